"""The record of decisions: what was decided, and what was done to those it is about. Only ever added to, each entry hung on the
one before by its hash, on the disk before anybody is told. People appear by their reference; nothing biometric appears.
"""

import hashlib
import json
import logging
import os
import re
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

from appliance import state
from appliance.faults import ReportedError
from appliance.gallery.people import Erasure

Fact = str | int | bool | tuple[str | int, ...] | None
"""No floats: scores are biometric data's next of kin, and a number that is written in two ways has two hashes."""

START = "0" * 64
"""What the first entry of all hangs on."""

ENTRY_KIND = re.compile(r"[a-z][a-z_]{0,31}")

_LINE = re.compile(rb'(\{.*),"hash":"([0-9a-f]{64})"\}', re.DOTALL)


class DamagedLineError(ValueError):
    """A line is not as it was written."""


@dataclass(frozen=True, slots=True)
class Entry:
    """What was recorded: `sequence` counts from 1 without a gap, `time` is UTC to the millisecond, `previous` the hash of the
    entry before, `hash` (SHA-256 in hexadecimal) that of this one, which covers all the rest.
    """

    sequence: int
    time: datetime
    kind: str
    facts: Mapping[str, Fact]
    previous: str
    hash: str


def encoded(sequence: int, time: datetime, kind: str, facts: Mapping[str, Fact], previous: str) -> tuple[bytes, str]:
    """The line (canonical JSON, its hash last, a newline) and the hash. Raises ValueError for what has no place in a record."""
    if not ENTRY_KIND.fullmatch(kind):
        raise ValueError(f"{kind!r} is no kind of entry")
    for name, fact in facts.items():
        _check(name, fact)
    body = _canonical(
        {"facts": dict(facts), "kind": kind, "previous": previous, "sequence": sequence, "time": _stamp(time)}
    )
    digest = hashlib.sha256(body).hexdigest()
    return body[:-1] + f',"hash":"{digest}"}}\n'.encode(), digest


def decoded(line: bytes) -> Entry:
    """The entry of a line without its newline. Raises DamagedLineError when a single bit of it is not as it was written."""
    match = _LINE.fullmatch(line)
    if not match:
        raise DamagedLineError("it is not one of this record's")
    body, digest = match[1] + b"}", match[2].decode()
    if hashlib.sha256(body).hexdigest() != digest:
        raise DamagedLineError("its hash is another one")
    try:
        entry = _entry(json.loads(body), digest)
        again, _ = encoded(entry.sequence, entry.time, entry.kind, entry.facts, entry.previous)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise DamagedLineError(f"it lacks what an entry has: {error}") from error
    if again != line + b"\n":
        raise DamagedLineError("it is not written as entries are")
    return entry


def _entry(found: dict[str, Any], digest: str) -> Entry:
    sequence, previous = found["sequence"], found["previous"]
    if type(sequence) is not int or not isinstance(previous, str):
        raise TypeError("sequence and previous")
    facts = {name: tuple(fact) if isinstance(fact, list) else fact for name, fact in found["facts"].items()}
    return Entry(sequence, datetime.fromisoformat(found["time"]), found["kind"], facts, previous, digest)


def _check(name: str, fact: Fact) -> None:
    parts = fact if isinstance(fact, tuple) else (fact,)
    if not all(part is None or isinstance(part, (str, int)) for part in parts):
        raise ValueError(f"{name}: {type(fact).__name__} has no place in the record")


def _canonical(value: Mapping[str, object]) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False).encode("ascii")


def _stamp(time: datetime) -> str:
    return time.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


SEGMENT_BYTES = 2**20
"""Before which a file ends: some 2,300 decisions, read and checked in 0.13 s."""

_NAME = re.compile(r"([0-9]{12})-([0-9]{4}-[0-9]{2}-[0-9]{2})\.jsonl")


@dataclass(frozen=True, slots=True, order=True)
class Segment:
    """A file: the sequence of its first entry, and the day (UTC) of all of them. Its name has both."""

    first: int
    day: date
    folder: Path

    @property
    def path(self) -> Path:
        return self.folder / f"{self.first:012}-{self.day.isoformat()}.jsonl"

    def lines(self) -> Iterator[tuple[int, bytes]]:
        """Its whole lines by number, from 1; a torn one at the end is no line. Raises OSError."""
        content = self.path.read_bytes()
        yield from enumerate(content[: whole(content)].split(b"\n")[:-1], 1)


def segments(folder: Path) -> list[Segment]:
    """Those of a folder, oldest first; none when it is not there. Raises OSError."""
    try:
        names = os.listdir(folder)  # noqa: PTH208 - a tenth of the time of iterdir, at each decision
    except FileNotFoundError:
        return []
    found = (_NAME.fullmatch(name) for name in names)
    return sorted(Segment(int(match[1]), date.fromisoformat(match[2]), folder) for match in found if match)


def whole(content: bytes) -> int:
    """How many bytes of it are whole lines."""
    return content.rfind(b"\n") + 1


def write_segment(segment: Segment, size: int, line: bytes) -> None:
    """Adds a line to the end of the segment, which has `size` bytes (0: it is made), and is only back when the disk has it.
    When it cannot be added, nothing of it stays. Raises OSError.
    """
    flags = os.O_WRONLY | os.O_APPEND | (os.O_CREAT | os.O_EXCL if size == 0 else 0)
    descriptor = os.open(segment.path, flags, 0o600)
    try:
        rest = memoryview(line)
        while rest:
            rest = rest[os.write(descriptor, rest) :]
        os.fsync(descriptor)
        if size == 0:
            sync(segment.folder)
    except OSError:
        os.ftruncate(descriptor, size)
        if size == 0:
            segment.path.unlink()
        raise
    finally:
        os.close(descriptor)


def cut(segment: Segment, size: int) -> None:
    """Cuts a segment to `size` bytes; removes it when nothing is left. Raises OSError."""
    if size == 0:
        segment.path.unlink()
        sync(segment.folder)
        return
    with segment.path.open("r+b") as file:
        file.truncate(size)
        os.fsync(file.fileno())


def sync(folder: Path) -> None:
    """Names that came and went are only sure when the folder has been written, too (fsync(2))."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class RecordError(ReportedError):
    """Nothing can be recorded; the text is one line that says why."""


class RecordDamagedError(RecordError):
    """A line of the record is not as it was written: it is kept as it is, and nothing is hung on it."""


def newest_entries(folder: Path, count: int, kind: str | None = None) -> tuple[Entry, ...]:
    """The last entries, those of a kind if one is named, newest first. Raises RecordError."""
    sign, found = f'"kind":"{kind}"'.encode() if kind else b"", list[Entry]()
    try:
        for segment in reversed(segments(folder)):
            for number, line in reversed(_lines(segment)):
                if len(found) == count:
                    return tuple(found)
                if sign in line and (entry := _recalled(segment, number, line)).kind == (kind or entry.kind):
                    found.append(entry)
    except OSError as error:
        raise RecordError(f"{error.filename or folder}: {error.strerror}") from error
    return tuple(found)


def latest_time(folder: Path) -> datetime | None:
    """The latest time in the last file: it cannot be earlier now. None when nothing is recorded. Raises RecordError."""
    try:
        found = segments(folder)
        return max((entry.time for entry in entries(found[-1])), default=None) if found else None
    except OSError as error:
        raise RecordError(f"{error.filename or folder}: {error.strerror}") from error


def entries(segment: Segment) -> Iterator[Entry]:
    """Those of one file, in its order. Raises RecordDamagedError, which names the line, and OSError."""
    for number, line in segment.lines():
        yield _recalled(segment, number, line)


def last_entry(segment: Segment) -> Entry:
    """The last one of a file that has any. Raises as `entries`."""
    return _recalled(segment, *list(segment.lines())[-1])


def _lines(segment: Segment) -> list[tuple[int, bytes]]:
    """None when it has been removed meanwhile."""
    try:
        return list(segment.lines())
    except FileNotFoundError:
        return []


def _recalled(segment: Segment, number: int, line: bytes) -> Entry:
    try:
        return decoded(line)
    except DamagedLineError as error:
        raise RecordDamagedError(f"{segment.path}, line {number}: {error}") from error


log = logging.getLogger(__name__)

FOLDER = "decisions"
"""In the state folder."""

EXPIRED = "expired"
"""The kind of the entry that says up to which sequence older ones were removed, before they are."""

LEAST_FREE = SEGMENT_BYTES
"""Bytes below which there is no room for a segment; the database beside it wants some, too."""


@dataclass(frozen=True, slots=True)
class _Tail:
    """The end of the chain: the last segment and its size, the last sequence and its hash."""

    segment: Segment | None
    size: int
    sequence: int
    hash: str


class Record:
    """Thread-safe, and safe against other processes that append: the folder is locked (flock) while one does."""

    def __init__(self, folder: Path, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        """What a crash has left half-written at the end is cut off, and told in the log; so is whatever else is wrong."""
        self._folder, self._clock = folder, clock
        self._lock = threading.Lock()
        self._tail: _Tail | None = None
        if found := self.problem():
            log.warning("record of decisions: %s", found)

    def append(self, kind: str, facts: Mapping[str, Fact]) -> Entry:
        """Records something; its sequence and hash are an anchor, by which a cut-off end is found later. Raises RecordError,
        and then nothing of it is recorded; ValueError when `facts` are none that may be.
        """
        with self._lock:
            try:
                with state.held(self._folder / "segment"):
                    return self._append(kind, facts)
            except OSError as error:
                self._tail = None
                raise RecordError(f"{error.filename or self._folder}: {error.strerror}") from error

    def note_change(self, kind: str, facts: Mapping[str, Fact]) -> Entry | None:
        """Records something unless the newest entry of its kind says the same. Raises as `append`."""
        before = self.newest(1, kind)
        return None if before and before[0].facts == dict(facts) else self.append(kind, facts)

    def newest(self, count: int, kind: str | None = None) -> tuple[Entry, ...]:
        """As recall.newest."""
        return newest_entries(self._folder, count, kind)

    def latest(self) -> datetime | None:
        """The time of the newest entry; None without one. Raises RecordError."""
        return latest_time(self._folder)

    def expire(self, days: int) -> int:
        """Removes, by whole segments from the first one on, what is more than `days` days old; the record first says so
        itself. Returns how many segments. To be called while the clock can be trusted. Raises RecordError.
        """
        oldest = self._clock().astimezone(UTC).date() - timedelta(days=days)
        try:
            old = _leading(segments(self._folder), lambda segment: segment.day < oldest)
            if old:
                self._remove(old)
        except OSError as error:
            raise RecordError(f"{error.filename or self._folder}: {error.strerror}") from error
        return len(old)

    def problem(self) -> str | None:
        """Why nothing can be recorded just now; None when all is well."""
        with self._lock:
            try:
                with state.held(self._folder / "segment"):
                    self._end()
                room = os.statvfs(self._folder)
            except OSError as error:
                return f"{error.filename or self._folder}: {error.strerror}"
            except RecordDamagedError as error:
                return str(error)
        if room.f_flag & os.ST_RDONLY or not os.access(self._folder, os.W_OK | os.X_OK, effective_ids=True):
            return f"{self._folder}: it cannot be written"
        return f"{self._folder}: the disk is full" if room.f_bavail * room.f_frsize < LEAST_FREE else None

    def _append(self, kind: str, facts: Mapping[str, Fact]) -> Entry:
        tail, now = self._end(), self._clock().astimezone(UTC)
        line, _ = encoded(tail.sequence + 1, now, kind, facts, tail.hash)
        segment, size = tail.segment, tail.size
        if segment is None or size + len(line) > SEGMENT_BYTES or segment.day != now.date():
            segment, size = Segment(tail.sequence + 1, now.date(), self._folder), 0
        write_segment(segment, size, line)
        entry = decoded(line[:-1])
        self._tail = _Tail(segment, size + len(line), entry.sequence, entry.hash)
        return entry

    def _end(self) -> _Tail:
        """Where the chain ends; it is read anew when another process has added to it. The folder is held."""
        known, found = self._tail, segments(self._folder)
        if known and known.segment == (found[-1] if found else None) and known.size == _size(known.segment):
            return known
        tail = _read_end(found)
        if known and tail.sequence < known.sequence:
            raise RecordDamagedError(f"{self._folder}: entries {tail.sequence + 1} to {known.sequence} have gone")
        self._tail = tail
        return tail

    def _remove(self, old: list[Segment]) -> None:
        kept = [segment for segment in segments(self._folder) if segment not in old]
        end = kept[0].first - 1 if kept else self.newest(1)[0].sequence
        self.append(EXPIRED, {"until": end})
        for segment in old:
            segment.path.unlink(missing_ok=True)
        sync(self._folder)


def _read_end(found: list[Segment]) -> _Tail:
    """Where the chain ends on the disk, without what a crash has left half-written."""
    while found:
        last = found.pop()
        content = last.path.read_bytes()
        if (end := whole(content)) < len(content):
            log.warning("record of decisions: %s: %d bytes of a torn line cut off", last.path, len(content) - end)
        if end < len(content) or not end:
            cut(last, end)
        if end:
            entry = last_entry(last)
            return _Tail(last, end, entry.sequence, entry.hash)
    return _Tail(None, 0, 0, START)


def _leading(found: list[Segment], wanted: Callable[[Segment], bool]) -> list[Segment]:
    count = next((number for number, segment in enumerate(found) if not wanted(segment)), len(found))
    return found[:count]


def _size(segment: Segment | None) -> int:
    return segment.path.stat().st_size if segment else 0


DECISION, ERASURE = "decision", "erased"
"""Kinds of entries."""

COPIES = (
    "Backups and exports made before still hold them, and so do copies of the state folder together with the site key: "
    "erase those, too. Blocks that a memory card has put aside hold only what the site key seals."
)
"""What no device can erase."""


def enter_receipt(record: Record, erasure: Erasure) -> Entry | None:
    """Records that somebody was erased, by their reference; None, and a line in the log, when it cannot be recorded."""
    try:
        return record.append(ERASURE, {"person": erasure.reference, "templates": erasure.templates})
    except RecordError as error:
        log.error("person %s: erased, and not recorded: %s", erasure.reference, error)
        return None


def receipt(erasure: Erasure, entry: Entry | None) -> dict[str, Any]:
    """What says that, when and how thoroughly somebody was erased, as JSON. `complete`: nothing sealed of them is left in the
    files; `record`: where the record says so.
    """
    return {
        "reference": erasure.reference,
        "templates": erasure.templates,
        "time": erasure.time.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
        "complete": erasure.complete,
        "record": entry and {"sequence": entry.sequence, "hash": entry.hash},
        "copies": COPIES,
    }
