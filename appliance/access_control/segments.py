"""The files that the record of decisions is kept in: one a day at least, none much larger than a mebibyte."""

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path

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


def write(segment: Segment, size: int, line: bytes) -> None:
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
