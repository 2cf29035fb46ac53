"""What comparisons that share people say of a rate: 95 % bounds by a bootstrap over people.

A person's pairs are alike, so pairs are not independent trials and Wilson's interval is too narrow. People are drawn with
replacement and all their pairs go along: the subsets bootstrap (Bolle, Ratha, Pankanti, "Error analysis of pattern
recognition systems: the subsets bootstrap", 2004; Poh, Martin, Bengio, "Performance generalization in biometric
authentication using joint user-specific and sample bootstraps", 2007).
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from appliance.calibration.entries import Measured
from appliance.evaluation.measures import Rate, Reals

Indices = npt.NDArray[np.int64]

REPLICATES = 1000
"""Draws of people: the usual number for a percentile interval (Efron, Tibshirani 1993, section 13)."""

PERCENTILES = (2.5, 97.5)
"""The middle 95 %."""

SEED = 19795
"""The draws are the same each time."""


@dataclass(frozen=True, slots=True)
class Pairs:
    """Scored comparisons (N), and who is compared: the numbers of the first and of the second person, 0..`people` - 1.

    `pictures` (people) says how many pictures each has. Impostor pairs are of two people, genuine pairs of one.
    """

    scores: Reals
    first: Indices
    second: Indices
    pictures: Indices

    @property
    def people(self) -> int:
        return int(self.pictures.size)


def compared(embeddings: npt.NDArray[np.float32], person: Indices) -> tuple[Pairs, Pairs]:
    """All pairs of pictures: those of different people, and those of one. `embeddings` is N x D of unit length, scores are
    cosines; `person` (N) has the number of each picture's person, 0, 1, 2, …
    """
    a, b = np.triu_indices(len(person), k=1)
    cosines = (embeddings @ embeddings.T)[a, b].astype(np.float64)
    first, second = person[a], person[b]
    one = first == second
    pictures = np.bincount(person)
    return (
        Pairs(cosines[~one], first[~one], second[~one], pictures),
        Pairs(cosines[one], first[one], second[one], pictures),
    )


def impostor_bounds(pairs: Pairs, thresholds: Reals) -> list[Measured]:
    """The false match rate at each threshold, with its bounds."""

    def total(drawn: Indices) -> float:
        """How many pairs of different people there are; two draws of one person are no impostors."""
        pictures = (drawn * pairs.pictures).astype(np.float64)
        return float(pictures.sum() ** 2 - (pictures**2).sum()) / 2

    return _bounds(pairs, thresholds, lambda drawn, first, second: drawn[first] * drawn[second], total)


def genuine_bounds(pairs: Pairs, thresholds: Reals) -> list[Measured]:
    """The true match rate at each threshold, with its bounds."""
    each = pairs.pictures * (pairs.pictures - 1) / 2
    return _bounds(pairs, thresholds, lambda drawn, first, _: drawn[first], lambda drawn: float((drawn * each).sum()))


def _bounds(
    pairs: Pairs,
    thresholds: Reals,
    times: Callable[[Indices, Indices, Indices], Indices],
    total: Callable[[Indices], float],
) -> list[Measured]:
    """`times` says how often each pair (first, second) occurs when each person is drawn so often; `total`, how many do."""
    order = np.argsort(-pairs.scores)
    counts = np.searchsorted(-pairs.scores[order], -thresholds, side="right")
    reaching = order[: int(counts.max(initial=0))]
    first, second = pairs.first[reaching], pairs.second[reaching]
    replicates = []
    for drawn in _draws(pairs.people):
        if trials := total(drawn):
            accepted = np.concatenate([[0], np.cumsum(times(drawn, first, second))])
            replicates.append(accepted[counts] / trials)
    lower, upper = np.percentile(replicates, PERCENTILES, axis=0)
    return [
        measured(Rate(int(count), pairs.scores.size), float(low), float(high))
        for count, low, high in zip(counts, lower, upper, strict=True)
    ]


def measured(rate: Rate, lower: float = 1.0, upper: float = 0.0) -> Measured:
    """A rate with bounds that are never narrower than those of independent trials (Wilson; the rule of three when none or
    all happened).
    """
    low, high = rate.bounds
    return Measured(count=rate.count, total=rate.total, lower=min(low, lower), upper=max(high, upper))


def _draws(people: int) -> Iterator[Indices]:
    """How often each person is drawn, in each replicate."""
    random = np.random.default_rng(SEED)
    for _ in range(REPLICATES):
        yield np.bincount(random.integers(people, size=people), minlength=people)
