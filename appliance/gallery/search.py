"""The 1:N search: exact scores of one face with every template, and the threshold for a gallery's size."""

import threading
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from math import log
from pathlib import Path
from typing import Self

import numpy as np
import numpy.typing as npt

from appliance.calibration.points import CalibrationError
from appliance.calibration.statistics import ImpostorTable, Statistics
from appliance.face.embedding import FAST, SHARES, STRONG, scaled
from appliance.face.types import Embedding

DIMENSIONS = FAST + STRONG
"""Rows of a part: the numbers of both networks; the last ones are 0 for a template without the strong one's."""

MOST = 4096
"""Columns of a part: 10 MB, copied in a few milliseconds when a person is removed. Larger parts are searched no faster
(measured with 1,024 to 50,000: from 4,096 on all take the same time).
"""

START = 1e-3
"""False match rate at which the tail begins. In the bundled statistics two thousand pairs reach it, and of the starts that
were tried (1e-3, 3e-4, 1e-4) it errs least for other people (models/CARDS.md).
"""

_FIRST = 64
"""Columns of a new part: 160 kB."""

_FEW = 8
"""Templates sorted for each person asked for; more if they belong to fewer people."""

_HALF = 0.5
"""Largest share of pairs of different people whose cosine is over 0: embeddings of strangers point in any direction."""

_HIGHEST = 0.999
"""A threshold that identical pictures still reach."""


class Outcome(StrEnum):
    """The result of a search."""

    IDENTIFIED = "identified"
    UNKNOWN = "unknown"
    AMBIGUOUS = "ambiguous"


@dataclass(frozen=True, slots=True)
class Candidate:
    """A person (their reference) and the best cosine, or score of both networks, of their templates with the query."""

    reference: str
    cosine: float


@dataclass(frozen=True, slots=True)
class Columns:
    """At most MOST templates and their owners by column. It never changes. One made from it by adding shares its memory and
    writes only columns that no earlier one has.
    """

    owners: tuple[str, ...]
    _room: "_Room"

    @classmethod
    def of(cls, rows: Sequence[tuple[str, Embedding]]) -> Self:
        """Returns the columns of at most MOST owners and vectors. Raises ValueError unless they are 512 or 640 finite ones."""
        vectors = [_column(vector) for _, vector in rows]
        content = np.stack(vectors, axis=1) if vectors else np.empty((DIMENSIONS, 0), np.float32)
        return cls(tuple(owner for owner, _ in rows), _Room(_capacity(len(rows)), [content]))

    @property
    def size(self) -> int:
        return len(self.owners)

    def adding(self, owner: str, vector: Embedding) -> Self:
        """Returns these columns and one more. Raises ValueError for anything but 512 or 640 finite numbers."""
        column = _column(vector)
        room = self._room
        if not room.claim(self.size):
            room = _Room(_capacity(self.size + 1), [room.matrix[:, : self.size]])
            room.claim(self.size)
        room.matrix[:, self.size] = column
        return type(self)((*self.owners, owner), room)

    def without(self, owner: str) -> Self:
        """Returns all columns except one owner's, in memory of their own, so that removed vectors disappear with the last
        search that still uses them.
        """
        theirs = [column for column, each in enumerate(self.owners) if each == owner]
        owners = tuple(each for each in self.owners if each != owner)
        between = zip([0, *(column + 1 for column in theirs)], [*theirs, self.size], strict=True)
        stretches = [self._room.matrix[:, start:end] for start, end in between]
        return type(self)(owners, _Room(_capacity(len(owners)), stretches))

    def forget_strong(self) -> None:
        """Removes the strong embedder's part of all columns, which share no memory yet."""
        self._room.matrix[FAST:] = 0

    def scores(self, query: Embedding, handicap: float, out: npt.NDArray[np.float32]) -> None:
        """Writes the score of `query` with each template to `out` (`size`), as `Index.ranking` has it."""
        columns = self._room.matrix[:, : self.size]
        np.matmul(query if query.size == FAST else scaled(query, SHARES), columns[: query.size], out=out)
        if query.size > FAST and (single := np.flatnonzero(columns[FAST] == 0)).size:
            out[single] = query[:FAST] @ columns[:FAST, single] - np.float32(handicap)


class _Room:
    """Memory for columns, handed out in order, each once."""

    def __init__(self, capacity: int, stretches: Sequence[npt.NDArray[np.float32]]) -> None:
        """The first columns are those of the `stretches`, one after another."""
        self.matrix = np.zeros((DIMENSIONS, capacity), np.float32)
        self._claimed = 0
        for stretch in stretches:
            end = self._claimed + stretch.shape[1]
            self.matrix[:, self._claimed : end] = stretch
            self._claimed = end
        self._lock = threading.Lock()

    def claim(self, column: int) -> bool:
        """Returns whether the caller may write this column, because it is the next free one."""
        with self._lock:
            free = column == self._claimed < self.matrix.shape[1]
            self._claimed += free
            return free


@dataclass(frozen=True, slots=True)
class Index:
    """All templates, ready to be searched. It never changes. Adding or removing returns another index, which shares the
    unchanged columns, so a search in any thread sees one consistent state.
    """

    parts: tuple[Columns, ...] = ()

    @classmethod
    def build(cls, rows: Iterable[tuple[str, Embedding]]) -> Self:
        """Returns the index of owners' references and vectors (float32, 512, or 640 of both networks; each network's of unit
        length). Raises ValueError for a vector of another shape, or with a number that is not finite.
        """
        listed = list(rows)
        return cls(tuple(Columns.of(listed[start : start + MOST]) for start in range(0, len(listed), MOST)))

    @property
    def size(self) -> int:
        return sum(part.size for part in self.parts)

    def adding(self, reference: str, vector: Embedding) -> Self:
        """Returns the index with one more template. Raises ValueError as `build`."""
        for place, part in enumerate(self.parts):
            if part.size < MOST:
                return type(self)(_replaced(self.parts, place, part.adding(reference, vector)))
        return type(self)((*self.parts, Columns.of([(reference, vector)])))

    def without(self, reference: str) -> Self:
        parts = self.parts
        for place, part in reversed(list(enumerate(parts))):
            if reference in part.owners:
                parts = _replaced(parts, place, part.without(reference))
        return type(self)(parts)

    def ranking(self, query: Embedding, count: int = 2, handicap: float = 0.0) -> list[Candidate]:
        """Returns the `count` people whose best template is nearest to a face, best first, or all if there are fewer. A query
        of the fast network (512) is compared by its cosine. One of both (640) is compared by both (SHARES); a template
        without the strong one's embedding then has the fast one's cosine less the `handicap`. Raises ValueError for another
        shape, or if a score is not finite.
        """
        scores = self._scores(_checked(query), handicap)
        if not np.isfinite(scores).all():
            raise ValueError("the embedding cannot be compared: a cosine is not finite")
        sorted_count = _FEW * count
        while len(best := self._people(scores, sorted_count, count)) < count and sorted_count < scores.size:
            sorted_count *= 2
        return best

    def _scores(self, query: Embedding, handicap: float) -> npt.NDArray[np.float32]:
        scores = np.empty(self.size, np.float32)
        start = 0
        with np.errstate(invalid="ignore", over="ignore"):  # ranking rejects what is not finite
            for part in self.parts:
                part.scores(query, handicap, scores[start : start + part.size])
                start += part.size
        return scores

    def _people(self, scores: npt.NDArray[np.float32], sorted_count: int, count: int) -> list[Candidate]:
        """Returns the first `count` people among the nearest `sorted_count` templates."""
        best: dict[str, float] = {}
        for column in _nearest(scores, sorted_count):
            best.setdefault(self._owner(column), float(scores[column]))
            if len(best) == count:
                break
        return [Candidate(reference, cosine) for reference, cosine in best.items()]

    def _owner(self, column: int) -> str:
        for part in self.parts:
            if column < part.size:
                return part.owners[column]
            column -= part.size
        raise IndexError(column)


def identify(ranking: Sequence[Candidate], threshold: float, margin: float) -> tuple[Outcome, Candidate | None]:
    """Returns the outcome for the nearest two people (best first), and the identified one.

    The outcome is UNKNOWN if no one reaches the `threshold`, and AMBIGUOUS if the second is within `margin` of the first.
    Raises ValueError if a cosine or a bound is not finite.
    """
    numbers = [threshold, margin, *(candidate.cosine for candidate in ranking)]
    if not np.isfinite(numbers).all():
        raise ValueError("a cosine that is not finite identifies no one")
    if not ranking or ranking[0].cosine < threshold:
        return Outcome.UNKNOWN, None
    if len(ranking) > 1 and ranking[0].cosine - ranking[1].cosine < margin:
        return Outcome.AMBIGUOUS, None
    return Outcome.IDENTIFIED, ranking[0]


@dataclass(frozen=True, slots=True)
class Point:
    """An operating point for two pictures: the cosine at which the false match rate is `fmr`."""

    cosine: float
    fmr: float


@dataclass(frozen=True, slots=True)
class Tail:
    """The tail of the impostor distribution: the share `rate` of strangers' pairs reaches the cosine `start`, and e times fewer
    with each `decay` above it.
    """

    start: float
    rate: float
    decay: float

    @classmethod
    def fitted(cls, table: ImpostorTable) -> Self:
        """Fits the tail to an embedder's measurements: the mean excess over the start (the maximum likelihood exponential) of
        the upper 95 % bounds that drawing other people gives. Raises CalibrationError if the bounds do not fall to the start.
        """
        cosines, bounds = np.array(table.cosine), np.array(table.fmr_upper)
        if bounds.min() > START:
            raise CalibrationError(f"the statistics of {table.file} have too few people for FMR {START:g}")
        first = int(np.flatnonzero(bounds <= START)[0])
        above, reaching = cosines[first:], bounds[first:]
        excess = float(((reaching[1:] + reaching[:-1]) / 2 * np.diff(above)).sum())
        return cls(float(cosines[first]), float(bounds[first]), excess / float(bounds[first]))

    @classmethod
    def supposed(cls, point: Point) -> Self:
        """Returns the tail of an embedder of which only the operating point is known: half of the pairs have a cosine over 0,
        and log FMR falls from there to the point no more steeply than after it. Raises CalibrationError for a point that
        leaves no room for that.
        """
        if point.cosine <= 0 or not 0 < point.fmr < _HALF:
            raise CalibrationError(
                f"an operating point of cosine {point.cosine:g} at FMR {point.fmr:g} says nothing about rarer matches"
            )
        return cls(point.cosine, point.fmr, point.cosine / log(_HALF / point.fmr))

    def cosine(self, fmr: float) -> float:
        """Returns the cosine that the share `fmr` (over 0) of strangers' pairs reaches."""
        return self.start + self.decay * log(self.rate / fmr)

    def moved(self, point: Point) -> Self:
        """Returns the tail moved up to `point`, which was measured for people who are more alike."""
        return type(self)(self.start + max(0.0, point.cosine - self.cosine(point.fmr)), self.rate, self.decay)


def tail_of(folder: Path, model: str, shipped: Point) -> Tail:
    """Returns the tail of an embedder (sha256): fitted to the statistics in the folder of the models, else supposed from its
    shipped operating point. Raises CalibrationError if the statistics cannot be read, or neither will do.
    """
    table = Statistics.read(folder).impostors.get(model)
    return Tail.supposed(shipped) if table is None else Tail.fitted(table)


def threshold(tail: Tail, point: Point, fpir: float, templates: int) -> float:
    """Returns the cosine (below 1) at which at most the share `fpir` of strangers is identified as a person of a gallery of so
    many templates; never below the operating point for two pictures.
    """
    wanted = fpir / max(1, templates)
    return min(max(point.cosine, tail.moved(point).cosine(wanted)), _HIGHEST)


def _checked(vector: Embedding) -> Embedding:
    if vector.shape not in {(FAST,), (DIMENSIONS,)} or not np.isfinite(vector).all():
        raise ValueError(f"an embedding has {FAST} or {DIMENSIONS} finite numbers")
    return vector


def _column(vector: Embedding) -> Embedding:
    return np.pad(_checked(vector), (0, DIMENSIONS - vector.size))


def _capacity(columns: int) -> int:
    """Returns a power of two, so that adding one column after another copies each a few times at most."""
    return min(max(_FIRST, 1 << (columns - 1).bit_length()), MOST)


def _nearest(cosines: npt.NDArray[np.float32], count: int) -> Iterator[int]:
    """Yields the places of the `count` largest cosines, largest first."""
    some = np.arange(cosines.size) if count >= cosines.size else np.argpartition(-cosines, count)[:count]
    yield from (int(place) for place in some[np.argsort(-cosines[some], kind="stable")])


def _replaced(parts: tuple[Columns, ...], place: int, part: Columns) -> tuple[Columns, ...]:
    """Returns the parts with another one in a place, or with none there if it is empty."""
    kept = (part,) if part.size else ()
    return (*parts[:place], *kept, *parts[place + 1 :])
