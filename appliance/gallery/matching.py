"""Who is it, among all who are known? Exact cosines of one embedding with every template."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Self

import numpy as np
import numpy.typing as npt

from appliance.face.types import Embedding
from appliance.gallery.columns import MOST, Columns, checked

_FEW = 8
"""Templates that are put in order for each person that is asked for; more when they turn out to be of fewer people."""


class Outcome(StrEnum):
    """What a search of the gallery came to."""

    IDENTIFIED = "identified"
    UNKNOWN = "unknown"
    AMBIGUOUS = "ambiguous"


@dataclass(frozen=True, slots=True)
class Candidate:
    """A person (their reference) and the best cosine of their templates with the embedding that is looked for."""

    reference: str
    cosine: float


@dataclass(frozen=True, slots=True)
class Index:
    """All templates, ready to be searched. It never changes: what is added or left out gives another one, which shares with it
    the columns that are the same, so that a search in any thread sees the whole of one state.
    """

    parts: tuple[Columns, ...] = ()

    @classmethod
    def build(cls, rows: Iterable[tuple[str, Embedding]]) -> Self:
        """From each template's person (their reference) and its vector: 512 float32, unit length. Raises ValueError for a
        vector of another shape, or with a number that is not finite.
        """
        listed = list(rows)
        return cls(tuple(Columns.of(listed[start : start + MOST]) for start in range(0, len(listed), MOST)))

    @property
    def size(self) -> int:
        """Templates."""
        return sum(part.size for part in self.parts)

    def adding(self, reference: str, vector: Embedding) -> Self:
        """The index with one more template. Raises ValueError as `build`."""
        for place, part in enumerate(self.parts):
            if part.size < MOST:
                return type(self)(_replaced(self.parts, place, part.adding(reference, vector)))
        return type(self)((*self.parts, Columns.of([(reference, vector)])))

    def without(self, reference: str) -> Self:
        """The index without any template of a person."""
        parts = self.parts
        for place, part in reversed(list(enumerate(parts))):
            if reference in part.owners:
                parts = _replaced(parts, place, part.without(reference))
        return type(self)(parts)

    def ranking(self, query: Embedding, count: int = 2) -> list[Candidate]:
        """The `count` people whose best template is nearest, best first; fewer when there are fewer. Takes a vector of unit
        length (512). Raises ValueError for another shape, or when a cosine is not finite.
        """
        cosines = self._cosines(checked(query))
        if not np.isfinite(cosines).all():
            raise ValueError("the embedding cannot be compared: a cosine is not finite")
        looked_at = _FEW * count
        while len(best := self._people(cosines, looked_at, count)) < count and looked_at < cosines.size:
            looked_at *= 2
        return best

    def _cosines(self, query: Embedding) -> npt.NDArray[np.float32]:
        cosines = np.empty(self.size, np.float32)
        start = 0
        with np.errstate(invalid="ignore", over="ignore"):  # ranking refuses what is not finite
            for part in self.parts:
                part.cosines(query, cosines[start : start + part.size])
                start += part.size
        return cosines

    def _people(self, cosines: npt.NDArray[np.float32], looked_at: int, count: int) -> list[Candidate]:
        """The first `count` people among the nearest `looked_at` templates."""
        best: dict[str, float] = {}
        for column in _nearest(cosines, looked_at):
            best.setdefault(self._owner(column), float(cosines[column]))
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
    """What the nearest two people (best first) come to, and who is meant.

    Nobody reaches the `threshold`: unknown. The second person is within `margin` of the first: ambiguous, and nobody is
    meant. Raises ValueError when a cosine, or one of the two bounds, is not finite.
    """
    numbers = [threshold, margin, *(candidate.cosine for candidate in ranking)]
    if not np.isfinite(numbers).all():
        raise ValueError("nobody can be identified by a cosine that is not finite")
    if not ranking or ranking[0].cosine < threshold:
        return Outcome.UNKNOWN, None
    if len(ranking) > 1 and ranking[0].cosine - ranking[1].cosine < margin:
        return Outcome.AMBIGUOUS, None
    return Outcome.IDENTIFIED, ranking[0]


def _nearest(cosines: npt.NDArray[np.float32], count: int) -> Iterator[int]:
    """The places of the `count` largest, falling."""
    some = np.arange(cosines.size) if count >= cosines.size else np.argpartition(-cosines, count)[:count]
    yield from (int(place) for place in some[np.argsort(-cosines[some], kind="stable")])


def _replaced(parts: tuple[Columns, ...], place: int, part: Columns) -> tuple[Columns, ...]:
    """The parts with another one in a place, or with none there when it is empty."""
    kept = (part,) if part.size else ()
    return (*parts[:place], *kept, *parts[place + 1 :])
