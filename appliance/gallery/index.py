"""Exact cosines of one embedding with every template: a person's is the best of theirs."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

from appliance.gallery.matching import Candidate
from appliance.gallery.rotation import Rotated


@dataclass(frozen=True, slots=True)
class Index:
    """Templates that are searched; it never changes."""

    parts: tuple[tuple[str, Rotated], ...] = ()

    @classmethod
    def build(cls, rows: Iterable[tuple[str, Rotated]]) -> Self:
        """Of (person's reference, unit vector) a template."""
        return cls(tuple(rows))

    @property
    def size(self) -> int:
        """Templates."""
        return len(self.parts)

    def adding(self, reference: str, vector: Rotated) -> Self:
        """With one more."""
        return type(self)((*self.parts, (reference, vector)))

    def without(self, reference: str) -> Self:
        """Without a person's."""
        return type(self)(tuple(row for row in self.parts if row[0] != reference))

    def ranking(self, query: Rotated, count: int) -> list[Candidate]:
        """The `count` people who are nearest, best first."""
        best: dict[str, float] = {}
        for reference, vector in self.parts:
            best[reference] = max(best.get(reference, -1.0), float(vector @ query))
        ranked = sorted(best.items(), key=lambda entry: entry[1], reverse=True)
        return [Candidate(reference, cosine) for reference, cosine in ranked[:count]]
