"""The counter of changes, by which an older copy of the gallery or of the record of decisions is noticed.

Its value is sealed into the gallery in the transaction of each change, and then into the record of decisions. The gallery also
keeps the value that the record is known to have, so that a crash between the two is not taken for an older copy.
"""

import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, Self

from appliance.gallery.people import GalleryRolledBackError, RecordRolledBackError, RollbackError
from appliance.gallery.vault import BrokenSealError, Seal

if TYPE_CHECKING:
    from appliance.gallery.repository import Transaction

ACCEPT = "if that was intended, `appliance people accept`"

_PLACE = ("record of decisions", "counter")
"""For which the record's counter is sealed."""

_FORMAT = struct.Struct("<qq")


class CounterUnreadableError(Exception):
    """The kept value cannot be read now, which does not mean that it is lost."""


class CounterStore(Protocol):
    """Keeps the counter outside the gallery, which works without it."""

    def counter(self) -> bytes | None:
        """Returns the sealed value that was kept last; None if there is none, or it is lost. Raises CounterUnreadableError."""

    def keep_counter(self, sealed: bytes, before: bytes | None) -> None:
        """Keeps a sealed value instead of `before`; does nothing if another process has replaced that meanwhile. Raises
        nothing.
        """


@dataclass(frozen=True, slots=True)
class ChangeCounter:
    """The number of `changes` of people and templates, and how many of them the record of decisions has `confirmed`."""

    changes: int = 0
    confirmed: int = 0

    @classmethod
    def unpack(cls, content: bytes) -> Self:
        return cls(*_FORMAT.unpack(content))

    def pack(self) -> bytes:
        return _FORMAT.pack(self.changes, self.confirmed)

    def rollback(self, before: int | None, after: int | None) -> RollbackError | None:
        """Returns which of the two is behind, by the values that the record of decisions kept `before` and `after` this counter
        was read (None: lost). Another process may have counted on in between.
        """
        if before is not None and before > self.changes:
            return GalleryRolledBackError(
                f"the gallery is an older copy, from change {self.changes} of {before}: people who were erased may be back; "
                f"{ACCEPT}"
            )
        if (after or 0) < self.confirmed:
            return RecordRolledBackError(
                f"the record of decisions is older than the gallery, or was replaced: entries are missing; {ACCEPT}"
            )
        return None

    def next(self, kept: int | None) -> Self:
        """Returns the counter after one more change, when the record of decisions has `kept` a value."""
        return type(self)(self.changes + 1, max(self.confirmed, kept or 0))

    def accepted(self, kept: int | None) -> Self:
        """Returns a counter after which neither is behind."""
        return type(self)(max(self.changes, kept or 0) + 1, 0)


class CounterGuard:
    """Compares the gallery's counter with the one that the record of decisions keeps, and counts on. Not thread-safe."""

    def __init__(self, seal: Seal, record: CounterStore | None, *, keeps: bool) -> None:
        """Unless it `keeps` what is counted, the record stays as it is."""
        self._seal, self._record, self._keeps = seal, record, keeps
        self.rollback: RollbackError | None = None
        """Which of the two is an older copy."""
        self.due = False
        """Whether they are to be compared: the gallery has changed, or the record could not be read."""

    def kept(self) -> tuple[bytes | None, int | None]:
        """Returns the counter that the record keeps, sealed and opened: None without one, or with a broken seal. Raises
        CounterUnreadableError.
        """
        sealed = self._record.counter() if self._record else None
        try:
            return sealed, int(self._seal.open(sealed, *_PLACE)) if sealed else None
        except BrokenSealError:
            return sealed, None

    def compare(self, read: Callable[[], ChangeCounter]) -> None:
        """Finds out which is behind; `read` returns the gallery's counter. Another process counts in the gallery first, so the
        record is read before the gallery and once more after it. What was known stays so while the record cannot be read.
        """
        if self._record is None:
            return
        try:
            _, before = self.kept()
            self.rollback = read().rollback(before, self.kept()[1])
        except CounterUnreadableError:
            self.due = True
        else:
            self.due = False

    def count(self, change: "Transaction") -> tuple[bytes, bytes | None] | None:
        """Counts a change of people or templates and returns what the record is to keep, and what it keeps now; None while the
        record cannot be read. While something is behind, the counter stands still, so that it stays behind until it is
        accepted.
        """
        before = change.counter()
        following = before.accepted if change.accepted else before.next
        try:
            sealed, kept = self.kept()
        except CounterUnreadableError:
            self.due = True
            if change.accepted or not self.rollback:
                change.write_counter(following(None))
            return None
        self.rollback = before.rollback(kept, kept) if self._record and not change.accepted else None
        if self.rollback:
            return None
        counter = following(kept)
        change.write_counter(counter)
        return self._seal.close(str(counter.changes).encode(), *_PLACE), sealed

    def keep(self, counted: tuple[bytes, bytes | None] | None) -> None:
        """Gives the record what `count` returned, once the change is on the disk."""
        if counted is not None and self._record is not None and self._keeps:
            self._record.keep_counter(*counted)
