"""The counter of changes, by which an older copy of the gallery or of the record of decisions is noticed.

Its value is sealed into the gallery in the transaction of each change, and then into the record of decisions. The gallery also
keeps the value that the record is known to have, so that a crash between the two is not taken for an older copy.
"""

import struct
from dataclasses import dataclass
from typing import Protocol, Self

from appliance.gallery.people import GalleryRolledBackError, RecordRolledBackError, RollbackError

ACCEPT = "if that was intended, `appliance people accept`"

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
