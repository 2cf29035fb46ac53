"""Visitor passes: QR codes that this device has signed, with a key of their own, and the book of those that it has issued."""

import logging
import secrets
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from pydantic import AwareDatetime, TypeAdapter

from appliance.access.log import PASS, Record, RecordError
from appliance.access.sealed_book import SealedBook
from appliance.access.token import Signer, decoded, encoded, stamp
from appliance.camera.source import CameraFrame
from appliance.faults import Problem
from appliance.gallery.people import LONGEST_NAME, GalleryError
from appliance.gallery.vault import SiteKey
from appliance.imaging import barcode

log = logging.getLogger(__name__)

PASSES_FILE = "passes.sealed"

PREFIX = "FAP1."
"""What the text of a code begins with: face appliance pass, version 1."""

DOMAIN = b"face-appliance visitor pass 1\0"
"""Stands before what is signed, so that nothing else with this key, which is another one than that of decisions, is a pass."""

ID_BYTES = 8

_PAYLOAD = struct.Struct(f">{ID_BYTES}sII?")
"""Id, begin and end in minutes since 1970, and whether it is for a single use."""

MOST = 1000
"""Passes in the book; those that ended KEPT_DAYS ago make room."""

KEPT_DAYS = 30

LONGEST_DAYS = 366

VISITOR = "visitor:"
"""With the id of a pass, the person in a decision; no enrolled person's id has a colon."""


class InvalidPassError(GalleryError):
    """A pass cannot be issued like this; the text names the field."""


class NoSuchPassError(GalleryError):
    """No pass has this id."""


@dataclass(frozen=True, slots=True)
class VisitorPass:
    """A pass for whoever shows its code, from `valid_from` until just before `valid_until` (UTC). `used` is the last time it
    opened the door. `id` has 16 hexadecimal digits.
    """

    id: str
    name: str
    valid_from: AwareDatetime
    valid_until: AwareDatetime
    single_use: bool
    issued: AwareDatetime
    revoked: AwareDatetime | None = None
    used: AwareDatetime | None = None

    @property
    def person(self) -> str:
        """Who is granted by it, in a decision."""
        return f"{VISITOR}{self.id}"

    def code(self, signer: Signer) -> str:
        validity = _minutes(self.valid_from), _minutes(self.valid_until)
        payload = _PAYLOAD.pack(bytes.fromhex(self.id), *validity, self.single_use)
        return PREFIX + encoded(payload + signer.sign(DOMAIN + payload))

    def document(self) -> dict[str, Any]:
        times = {name: getattr(self, name) for name in ("valid_from", "valid_until", "issued", "revoked", "used")}
        shown = {name: time and stamp(time, "seconds") for name, time in times.items()}
        return {"id": self.id, "name": self.name, "single_use": self.single_use, **shown}


_BOOK = TypeAdapter(dict[str, VisitorPass])


class PassBook:
    """The passes that this device has issued, sealed in a file that the command line changes, too. Thread-safe. Raises
    GalleryError without a site key, and GalleryUnavailableError when the file cannot be read or written.
    """

    def __init__(self, path: Path, site_key: Callable[[], SiteKey], record: Record) -> None:
        """`record` keeps what is issued and revoked."""
        self._book = SealedBook(path, site_key, _BOOK, "issue the passes again")
        self._site_key, self._record = site_key, record

    def all(self) -> list[VisitorPass]:
        """Those in the book, in the order of their end."""
        with self._book.opened(writing=False) as book:
            return sorted(book.values(), key=lambda each: (each.valid_until, each.id))

    def one(self, identity: str) -> VisitorPass:
        """The pass with an id. Raises NoSuchPassError."""
        with self._book.opened(writing=False) as book:
            return _of(book, identity)

    def issue(
        self, name: str, valid_from: datetime | None, valid_until: datetime, *, single_use: bool, key: str
    ) -> VisitorPass:
        """A new pass, valid from now on unless `valid_from` is given. Times are cut to whole minutes. `key`: the name of the
        key that issues it, for the record. Raises InvalidPassError.
        """
        now = datetime.now(UTC).replace(microsecond=0)
        begin, end = (_EPOCH + timedelta(minutes=_minutes(each)) for each in (valid_from or now, valid_until))
        if not (name.strip() and name.isprintable() and len(name) <= LONGEST_NAME):
            raise InvalidPassError(f"name: 1 to {LONGEST_NAME} printable characters")
        if not timedelta() < end - begin <= timedelta(days=LONGEST_DAYS):
            raise InvalidPassError(f"valid_until: after valid_from, by {LONGEST_DAYS} days at most")
        if end <= now:
            raise InvalidPassError("valid_until: it has passed already")
        made = VisitorPass(secrets.token_hex(ID_BYTES), name, begin, end, single_use, now)
        with self._book.opened() as book:
            for each in [each for each in book.values() if each.valid_until < now - timedelta(days=KEPT_DAYS)]:
                del book[each.id]
            if len(book) >= MOST:
                raise InvalidPassError(f"there are {MOST} passes; they are dropped {KEPT_DAYS} days after their end")
            book[made.id] = made
        self._enter("issued", made, key)
        return made

    def code(self, issued: VisitorPass) -> str:
        return issued.code(self._signer())

    def revoke(self, identity: str, key: str) -> VisitorPass:
        """The pass, which opens nothing any more. Raises NoSuchPassError."""
        with self._book.opened() as book:
            found = _of(book, identity)
            now = datetime.now(UTC).replace(microsecond=0)
            book[identity] = revoked = replace(found, revoked=found.revoked or now)
        self._enter("revoked", revoked, key)
        return revoked

    def shown(self, frames: Sequence[CameraFrame]) -> VisitorPass | None:
        """The pass whose code one of these frames shows, the newest first. A code that this device has not signed is none."""
        if not self._book.path.exists():
            return None
        try:
            for text in (text for frame in reversed(frames) for text in barcode.read(frame.pixels)):
                if (identity := self._signed(text)) is not None:
                    with self._book.opened(writing=False) as book:
                        return book.get(identity)
        except GalleryError as error:
            if str(error) != self._book.trouble:
                log.error("visitor passes: %s", error)
            self._book.trouble = str(error)
            return None
        return None

    def note_use(self, identity: str, used: datetime | None) -> VisitorPass:
        """The pass as it was before it opened the door at `used`, which is noted unless it may not any more (for a single use,
        and used; or revoked). None takes the note back. Raises NoSuchPassError.
        """
        with self._book.opened() as book:
            found = _of(book, identity)
            if used is None or not (found.revoked or (found.single_use and found.used)):
                book[identity] = replace(found, used=used)
            return found

    def problems(self) -> list[Problem]:
        """A book that could not be read when it was last needed, for `/healthz`."""
        text = "Visitor passes cannot be used: see the log."
        return [Problem("door", "passes_unusable", text)] if self._book.trouble else []

    def _signed(self, text: str) -> str | None:
        """The id in a code with a signature of this device."""
        if not text.startswith(PREFIX):
            return None
        try:
            content = decoded(text.removeprefix(PREFIX))
        except ValueError:
            return None
        payload, signature = content[: _PAYLOAD.size], content[_PAYLOAD.size :]
        if len(payload) < _PAYLOAD.size or not self._signer().public.signed(DOMAIN + payload, signature):
            return None
        return payload[:ID_BYTES].hex()

    def _signer(self) -> Signer:
        return Signer.of(self._site_key().derive("passes: signing"))

    def _enter(self, event: str, about: VisitorPass, key: str) -> None:
        try:
            self._record.append(PASS, {"event": event, "pass": about.id, "key": key})
        except RecordError as error:
            log.error("pass %s: %s, and not recorded: %s", about.id, event, error)


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def _minutes(moment: datetime) -> int:
    return (moment - _EPOCH) // timedelta(minutes=1)


def _of(book: dict[str, VisitorPass], identity: str) -> VisitorPass:
    try:
        return book[identity]
    except KeyError:
        raise NoSuchPassError(f"there is no pass with the id {identity[:64]!r}") from None
