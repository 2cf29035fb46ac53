"""Exact cosines of one embedding with every template: a person's is the best of theirs."""

from collections.abc import Sequence

import numpy as np

from appliance.gallery.matching import Candidate
from appliance.gallery.rotation import DIMENSIONS, Rotated


class Index:
    """Templates that are searched; it never changes."""

    def __init__(self, references: tuple[str, ...], matrix: Rotated) -> None:
        self._references, self._matrix = references, matrix

    @classmethod
    def build(cls, rows: Sequence[tuple[str, Rotated]]) -> "Index":
        """Of (person's reference, unit vector) a template."""
        matrix = np.array([vector for _, vector in rows], np.float32).reshape(-1, DIMENSIONS)
        return cls(tuple(reference for reference, _ in rows), matrix)

    def ranking(self, query: Rotated, count: int) -> list[Candidate]:
        """The `count` people who are nearest, best first."""
        best: dict[str, float] = {}
        for reference, cosine in zip(self._references, self._matrix @ query, strict=True):
            best[reference] = max(best.get(reference, -1.0), float(cosine))
        ranked = sorted(best.items(), key=lambda entry: entry[1], reverse=True)
        return [Candidate(reference, cosine) for reference, cosine in ranked[:count]]
