"""Whether the record of decisions is whole: every byte as it was written, every entry there, in its place."""

import re
from dataclasses import dataclass
from pathlib import Path

from appliance import state
from appliance.access import log
from appliance.access.log import EXPIRED, DamagedLineError, Entry, RecordError, Segment, segments, whole


@dataclass(frozen=True, slots=True)
class Anchor:
    """What a signed decision says of its own entry: the one way to see that an end, or all of it, was exchanged."""

    sequence: int
    hash: str

    @classmethod
    def of(cls, text: str) -> "Anchor":
        """From "SEQUENCE:HASH". Raises ValueError."""
        match = re.fullmatch(r"([1-9][0-9]{0,11}):([0-9a-f]{64})", text)
        if not match:
            raise ValueError("an anchor is SEQUENCE:HASH, as `record` in a signed decision has them")
        return cls(int(match[1]), match[2])


@dataclass(frozen=True, slots=True)
class Verdict:
    """What was found: `entries` sound ones from sequence `first` to `last` (0: none), the last with this hash; and what is
    wrong with the first that is not, None when nothing is.
    """

    entries: int
    first: int
    last: int
    hash: str
    problem: str | None

    @property
    def sound(self) -> bool:
        return self.problem is None


def verify(folder: Path, anchor: Anchor | None = None) -> Verdict:
    """Reads all of the record as it is now; what is added meanwhile is not looked at. Raises RecordError when it cannot.

    Whoever can write to the folder can write a whole record anew, hash by hash: only an anchor that was kept elsewhere tells.
    """
    walk = _Walk(anchor)
    try:
        for segment, size in _as_they_are(folder):
            with segment.path.open("rb") as file:
                walk.read(segment, file.read(size))
            if walk.problem:
                break
    except OSError as error:
        raise RecordError(f"{error.filename or folder}: {error.strerror}") from error
    return walk.verdict()


def _as_they_are(folder: Path) -> list[tuple[Segment, int]]:
    """The files and their sizes at one moment, in which nobody is adding a line."""
    if not folder.is_dir():
        return []
    with state.held(folder / "segment"):
        return [(segment, segment.path.stat().st_size) for segment in segments(folder)]


class _Walk:
    """Along the chain, until the first thing that is wrong."""

    def __init__(self, anchor: Anchor | None) -> None:
        self.problem: str | None = None
        self._anchor = anchor
        self._first, self._sequence, self._hash, self._expired = 0, 0, log.START, 0

    def read(self, segment: Segment, content: bytes) -> None:
        """Goes on with a file."""
        name = segment.path.name
        for number, line in enumerate(content[: whole(content)].split(b"\n")[:-1], 1):
            try:
                entry = log.decoded(line)
            except DamagedLineError as error:
                self.problem = f"{name}, line {number}: {error}"
                return
            wrong = self._out_of_place(entry) or _misfiled(segment, number, entry)
            if wrong:
                self.problem = f"{name}, line {number}: {wrong}"
                return
            self._take(entry)
        if whole(content) < len(content) or not content:
            self.problem = f"{name}: its last line is torn"

    def verdict(self) -> Verdict:
        entries = self._sequence - self._first + 1 if self._first else 0
        return Verdict(entries, self._first, self._sequence, self._hash, self.problem or self._missing())

    def _out_of_place(self, entry: Entry) -> str | None:
        expected = self._sequence + 1
        if self._first and entry.sequence != expected:
            missing = entry.sequence > expected
            return f"{_span(expected, entry.sequence - 1)} missing before it" if missing else "it does not belong here"
        if (self._first or entry.sequence == 1) and entry.previous != self._hash:
            return "it does not follow the entry before it"
        anchor = self._anchor
        if anchor and anchor.sequence == entry.sequence and anchor.hash != entry.hash:
            return "it is another one than the anchor's"
        return None

    def _take(self, entry: Entry) -> None:
        self._first = self._first or entry.sequence
        self._sequence, self._hash = entry.sequence, entry.hash
        until = entry.facts.get("until")
        if entry.kind == EXPIRED and isinstance(until, int):
            self._expired = max(self._expired, until)

    def _missing(self) -> str | None:
        if self._anchor and self._anchor.sequence > self._sequence:
            return f"{_span(self._sequence + 1, self._anchor.sequence)} missing at the end, by the anchor"
        if self._first > self._expired + 1:
            return f"{_span(self._expired + 1, self._first - 1)} missing at the beginning, and had not expired"
        return None


def _span(first: int, last: int) -> str:
    return f"{first}" if first == last else f"{first} to {last}"


def _misfiled(segment: Segment, number: int, entry: Entry) -> str | None:
    """A file's name says what it begins with, and of which day it is."""
    if (number == 1 and entry.sequence != segment.first) or entry.time.date() != segment.day:
        return "it is in a file of another name"
    return None
