"""The record of decisions: what was decided, and what was done to those it is about. Only ever added to, each entry hung on the
one before by its hash, on the disk before anybody is told. People appear by their reference; nothing biometric appears.
"""

import logging
import os
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from appliance import state
from appliance.access_control import chain, recall
from appliance.access_control.chain import Entry, Fact
from appliance.access_control.recall import RecordDamagedError, RecordError
from appliance.access_control.segments import SEGMENT_BYTES, Segment, cut, segments, sync, whole, write

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
        return recall.newest(self._folder, count, kind)

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
        line, _ = chain.write(tail.sequence + 1, now, kind, facts, tail.hash)
        segment, size = tail.segment, tail.size
        if segment is None or size + len(line) > SEGMENT_BYTES or segment.day != now.date():
            segment, size = Segment(tail.sequence + 1, now.date(), self._folder), 0
        write(segment, size, line)
        entry = chain.read(line[:-1])
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
            entry = recall.last(last)
            return _Tail(last, end, entry.sequence, entry.hash)
    return _Tail(None, 0, 0, chain.START)


def _leading(found: list[Segment], wanted: Callable[[Segment], bool]) -> list[Segment]:
    count = next((number for number, segment in enumerate(found) if not wanted(segment)), len(found))
    return found[:count]


def _size(segment: Segment | None) -> int:
    return segment.path.stat().st_size if segment else 0
