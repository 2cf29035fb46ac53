"""Who is it, among all who are known? The only place that decides."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

import numpy as np

from appliance.face.types import Embedding
from appliance.gallery.matching import Candidate, Outcome, identify
from appliance.gallery.people import Known, Person
from appliance.gallery.threshold import Point, Tail, threshold
from appliance.vision.embedder import similarity

MOST_ALIKE = 8
"""People who are named to whoever enrols another one: in a gallery of thousands dozens reach the operating point."""


class Likeness(StrEnum):
    """Of somebody who is known already: so like that the search would take them for the same person; or as like as two pictures
    of one person can be.
    """

    DUPLICATE = "duplicate"
    LOOK_ALIKE = "look-alike"


@dataclass(frozen=True, slots=True)
class Identification:
    """What the search came to, and who is meant: nobody (None) unless the outcome is IDENTIFIED. `cosine` is that of whoever is
    nearest, -1 in an empty gallery, `runner_up` that of the second person, None without one. `similarity` tells the
    cosine on a scale of 0..1 with 0.5 where people begin to be identified.
    """

    outcome: Outcome
    person: Person | None
    cosine: float
    similarity: float
    runner_up: float | None


class Gallery(Protocol):
    """Those who are known."""

    @property
    def templates(self) -> int: ...

    def ranking(self, embedding: Embedding, count: int) -> Sequence[Candidate]: ...

    def named(self, reference: str) -> Known | None: ...


@dataclass(frozen=True, slots=True)
class Identifier:
    """Looks for people in a gallery.

    `tail` is that of the embedder's impostors, `point` the operating point for two pictures, this device's or the shipped one;
    `fpir` the wanted share of strangers that are taken for somebody (over 0); `margin` the cosine by which the best person must
    be ahead of the second.
    """

    gallery: Gallery
    tail: Tail
    point: Point
    fpir: float
    margin: float

    @property
    def threshold(self) -> float:
        """The cosine from which somebody is identified; it rises with the gallery."""
        return threshold(self.tail, self.point, self.fpir, self.gallery.templates)

    def identify(self, embedding: Embedding) -> Identification:
        """Who it is: takes 512 numbers of unit length. Raises ValueError for an embedding that is not finite."""
        least = self.threshold
        ranking = self._ranking(embedding, 2)
        outcome, best = identify(ranking, least, self.margin)
        known = None if best is None else self.gallery.named(best.reference)
        if outcome is Outcome.IDENTIFIED and known is None:
            outcome = Outcome.UNKNOWN  # they were erased in this moment
        first, second = [*(each.cosine for each in ranking), None, None][:2]
        cosine = -1.0 if first is None else first
        person = None if known is None else known.person
        return Identification(outcome, person, cosine, similarity(cosine, least, least), second)

    def alike(self, embedding: Embedding, but: Person | None = None) -> list[tuple[Person, Likeness]]:
        """Who else looks like somebody who is to be enrolled, most alike first, at most MOST_ALIKE; `but` is that person, who
        may have templates already. Raises ValueError for an embedding that is not finite.
        """
        least = self.threshold
        found = []
        for candidate in self._ranking(embedding, MOST_ALIKE + 1):
            known = self.gallery.named(candidate.reference)
            if known is None or candidate.cosine < self.point.cosine:
                continue
            if but is None or candidate.reference != but.reference:
                kind = Likeness.DUPLICATE if candidate.cosine >= least else Likeness.LOOK_ALIKE
                found.append((known.person, kind))
        return found[:MOST_ALIKE]

    def _ranking(self, embedding: Embedding, count: int) -> Sequence[Candidate]:
        if not np.isfinite(embedding).all():
            raise ValueError("an embedding is not finite")
        return self.gallery.ranking(embedding, count)
