"""What the record of decisions says, read without a lock: it is only ever added to."""

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

from appliance.access_control import chain
from appliance.access_control.chain import DamagedLineError, Entry
from appliance.access_control.segments import Segment, segments


class RecordError(Exception):
    """Nothing can be recorded; the text is one line that says why."""


class RecordDamagedError(RecordError):
    """A line of the record is not as it was written: it is kept as it is, and nothing is hung on it."""


def newest(folder: Path, count: int, kind: str | None = None) -> tuple[Entry, ...]:
    """The last entries, those of a kind if one is named, newest first. Raises RecordError."""
    sign, found = f'"kind":"{kind}"'.encode() if kind else b"", list[Entry]()
    try:
        for segment in reversed(segments(folder)):
            for number, line in reversed(_lines(segment)):
                if len(found) == count:
                    return tuple(found)
                if sign in line and (entry := _entry(segment, number, line)).kind == (kind or entry.kind):
                    found.append(entry)
    except OSError as error:
        raise RecordError(f"{error.filename or folder}: {error.strerror}") from error
    return tuple(found)


def latest(folder: Path) -> datetime | None:
    """The latest time in the last file: it cannot be earlier now. None when nothing is recorded. Raises RecordError."""
    try:
        found = segments(folder)
        return max((entry.time for entry in entries(found[-1])), default=None) if found else None
    except OSError as error:
        raise RecordError(f"{error.filename or folder}: {error.strerror}") from error


def entries(segment: Segment) -> Iterator[Entry]:
    """Those of one file, in its order. Raises RecordDamagedError, which names the line, and OSError."""
    for number, line in segment.lines():
        yield _entry(segment, number, line)


def last(segment: Segment) -> Entry:
    """The last one of a file that has any. Raises as `entries`."""
    return _entry(segment, *list(segment.lines())[-1])


def _lines(segment: Segment) -> list[tuple[int, bytes]]:
    """None when it has been removed meanwhile."""
    try:
        return list(segment.lines())
    except FileNotFoundError:
        return []


def _entry(segment: Segment, number: int, line: bytes) -> Entry:
    try:
        return chain.read(line)
    except DamagedLineError as error:
        raise RecordDamagedError(f"{segment.path}, line {number}: {error}") from error
