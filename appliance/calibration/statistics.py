"""Operating points from scores, with bounds; and the bundled scores of the shipped models, without any picture.

`models/impostors.toml` and `models/attacks.toml` are written by `appliance statistics` of scripts/lab.
"""

import tomllib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from math import ceil, floor
from pathlib import Path
from typing import Annotated, Self, TypeVar

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, TypeAdapter, model_validator

from appliance.calibration.points import CalibrationError, Measured, Sha256
from appliance.calibration.rates import RULE_OF_THREE, Rate, Reals

Indices = npt.NDArray[np.int64]

REPLICATES = 1000
"""Bootstrap samples: the usual number for a percentile interval (Efron, Tibshirani 1993, section 13)."""

PERCENTILES = (2.5, 97.5)
"""The middle 95 %."""

SEED = 19795
"""Makes results reproducible."""


@dataclass(frozen=True, slots=True)
class Pairs:
    """Scores of N comparisons, with the numbers of the first and the second person, 0..`people` - 1; `pictures` (people) is the
    number of pictures of each. Impostor pairs show two people, genuine pairs one.
    """

    scores: Reals
    first: Indices
    second: Indices
    pictures: Indices

    @property
    def people(self) -> int:
        return int(self.pictures.size)


def compared(embeddings: npt.NDArray[np.float32], person: Indices) -> tuple[Pairs, Pairs]:
    """All impostor and all genuine pairs of pictures, with cosines as scores. `embeddings`: N x D of unit length; `person` (N):
    the number of each picture's person, 0, 1, 2, …
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
    """The false match rate (FMR) at each threshold, with bounds."""

    def total(drawn: Indices) -> float:
        """Pairs of different people; two draws of the same person are not impostors."""
        pictures = (drawn * pairs.pictures).astype(np.float64)
        return float(pictures.sum() ** 2 - (pictures**2).sum()) / 2

    return _bounds(pairs, thresholds, lambda drawn, first, second: drawn[first] * drawn[second], total)


def genuine_bounds(pairs: Pairs, thresholds: Reals) -> list[Measured]:
    """The true match rate (TMR) at each threshold, with bounds."""
    each = pairs.pictures * (pairs.pictures - 1) / 2
    return _bounds(pairs, thresholds, lambda drawn, first, _: drawn[first], lambda drawn: float((drawn * each).sum()))


def _bounds(
    pairs: Pairs,
    thresholds: Reals,
    times: Callable[[Indices, Indices, Indices], Indices],
    total: Callable[[Indices], float],
) -> list[Measured]:
    """`times`: how often each pair (first, second) occurs if each person is drawn so often; `total`: the number of pairs
    then.
    """
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
    """A rate whose bounds are never narrower than those of independent trials (Wilson, or the rule of three)."""
    low, high = rate.bounds
    return Measured(count=rate.count, total=rate.total, lower=min(low, lower), upper=max(high, upper))


def _draws(people: int) -> Iterator[Indices]:
    """How often each person is drawn, for each bootstrap sample."""
    random = np.random.default_rng(SEED)
    for _ in range(REPLICATES):
        yield np.bincount(random.integers(people, size=people), minlength=people)


FEWEST_SEQUENCES = 20
"""Of real people; 5 % of fewer is less than one."""

BEFORE_LOWERING = frozenset({"print", "replay"})
"""Species of which FEWEST_SEQUENCES must be tried at this camera before the threshold goes below the shipped one."""

LOWEST, HIGHEST = -8.0, 8.0
"""Range of the liveness network's log odds."""


def fewest_pairs(fmr: float) -> int:
    """Impostor pairs that are enough to show a false match rate if none of them matches (rule of three)."""
    return ceil(RULE_OF_THREE / fmr)


def cosine(impostors: Reals, fmr: float) -> float:
    """The least cosine at which at most the share `fmr` of impostor pairs (N cosines) is accepted, midway between the two
    neighbouring scores. Raises CalibrationError if identical faces would be rejected.
    """
    ordered = np.sort(impostors)[::-1]
    refused = float(ordered[allowed(fmr, ordered.size)])
    if refused >= np.nextafter(1.0, 0.0):
        raise CalibrationError("photos of different people are identical: is a person in two folders?")
    accepted = ordered[ordered > refused]
    above = float(accepted[-1]) if accepted.size else 1.0
    return min(max((refused + above) / 2, float(np.nextafter(refused, 1.0))), float(np.nextafter(1.0, 0.0)))


def allowed(share: float, total: int) -> int:
    """The largest number of errors within a share of `total`, less than all; a product just below a whole number is rounded
    up.
    """
    return min(floor(share * total + 1e-9), total - 1)


def lowest_odds(attacks: Mapping[str, Reals], apcer: float) -> float:
    """The least log odds at which at most the share `apcer` of each species (N log odds each) is accepted. Values below LOWEST
    count as LOWEST: they were rejected for another reason than their odds.
    """
    refused = [float(np.sort(odds)[::-1][allowed(apcer, odds.size)].clip(LOWEST)) for odds in attacks.values()]
    return float(np.nextafter(max(refused, default=LOWEST), np.inf))


def highest_odds(real: Reals, bpcer: float) -> float:
    """The greatest log odds at which at most the share `bpcer` of real people's sequences (N log odds) is rejected."""
    return float(np.sort(real)[allowed(bpcer, real.size)])


def odds(
    real: Reals,
    shipped: Mapping[str, Reals],
    tried: Mapping[str, Reals],
    bpcer: float,
    apcer: float,
    point: float = 0.0,
) -> float:
    """The log odds from which a face is live.

    Every species keeps the APCER, among attacks `tried` here and `shipped` ones. If the BPCER leaves room above, the threshold
    lies midway if attacks were tried, otherwise as near as possible to the shipped `point`, because the highest threshold that
    keeps the BPCER of a few people rejects more of others. It is below that point only if `lowerable`: rejecting people does
    less harm than accepting attacks that were never tried here. Raises CalibrationError with too few sequences of real people.
    """
    if real.size < FEWEST_SEQUENCES:
        raise CalibrationError(
            f"{real.size} sequences of real people, {FEWEST_SEQUENCES} are needed: "
            "`appliance calibrate liveness` with people before the camera"
        )
    low, high = max(lowest_odds(each, apcer) for each in (shipped, tried)), highest_odds(real, bpcer)
    wished = (low + high) / 2 if tried else point
    least = low if lowerable(tried) else max(low, point)
    return float(np.clip(max(least, min(wished, high)), LOWEST, HIGHEST))


def lowerable(tried: Mapping[str, Reals]) -> bool:
    """Whether enough attacks of each species in BEFORE_LOWERING were tried here."""
    return {name for name, odds in tried.items() if odds.size >= FEWEST_SEQUENCES} >= BEFORE_LOWERING


T = TypeVar("T")

IMPOSTORS, ATTACKS = "impostors.toml", "attacks.toml"


class _Facts(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ImpostorTable(_Facts):
    """The tail of an embedder's impostor cosines: at ascending cosines the number of pairs that reach it, and the bounds of FMR
    and TMR.
    """

    model: Sha256
    file: str
    people: int
    pictures: int
    impostor_pairs: int
    genuine_pairs: int
    cosine: tuple[FiniteFloat, ...]
    false_matches: tuple[int, ...]
    fmr_lower: tuple[FiniteFloat, ...]
    fmr_upper: tuple[FiniteFloat, ...]
    true_matches: tuple[int, ...]
    tmr_lower: tuple[FiniteFloat, ...]
    tmr_upper: tuple[FiniteFloat, ...]

    @model_validator(mode="after")
    def _rows(self) -> Self:
        columns = [column for _, column in self if isinstance(column, tuple)]
        if not self.cosine or any(len(column) != len(self.cosine) for column in columns):
            raise ValueError("the columns differ in length")
        if any(b <= a for a, b in pairwise(self.cosine)):
            raise ValueError("the cosines are not ascending")
        return self

    def row(self, fmr: float) -> int:
        """The row of the least cosine whose false match rate is at most `fmr`. Raises CalibrationError with too few pairs."""
        if self.impostor_pairs < fewest_pairs(fmr):
            raise CalibrationError(
                f"FMR {fmr:g} needs {fewest_pairs(fmr):,} pairs of different people, the bundled statistics have "
                f"{self.impostor_pairs:,}: name a folder of photos, or choose a larger --fmr"
            )
        return next(row for row, count in enumerate(self.false_matches) if count <= fmr * self.impostor_pairs)

    def false_match_rate(self, row: int) -> Measured:
        bounds = {"lower": self.fmr_lower[row], "upper": self.fmr_upper[row]}
        return Measured(count=self.false_matches[row], total=self.impostor_pairs, **bounds)

    def true_match_rate(self, row: int) -> Measured:
        bounds = {"lower": self.tmr_lower[row], "upper": self.tmr_upper[row]}
        return Measured(count=self.true_matches[row], total=self.genuine_pairs, **bounds)


class Attacks(_Facts):
    """A liveness model's log odds of labelled attack sequences by species, ascending; those that never pass have the least."""

    model: Sha256
    file: str
    species: dict[str, Annotated[tuple[FiniteFloat, ...], Field(min_length=1)]]

    def odds(self) -> dict[str, Reals]:
        return {species: np.array(odds) for species, odds in self.species.items()}


@dataclass(frozen=True, slots=True)
class Statistics:
    """The bundled statistics by the sha256 of their model."""

    impostors: Mapping[str, ImpostorTable]
    attacks: Mapping[str, Attacks]

    @classmethod
    def read(cls, folder: Path) -> "Statistics":
        """The statistics beside the models of a folder; empty without the files. Raises CalibrationError."""
        impostors = _tables(folder / IMPOSTORS, TypeAdapter(list[ImpostorTable]))
        attacks = _tables(folder / ATTACKS, TypeAdapter(list[Attacks]))
        return cls({each.model: each for each in impostors}, {each.model: each for each in attacks})


def _tables(path: Path, adapter: TypeAdapter[list[T]]) -> list[T]:
    try:
        return adapter.validate_python(tomllib.loads(path.read_text("utf-8"))["model"])
    except FileNotFoundError:
        return []
    except (OSError, ValueError, KeyError) as error:
        raise CalibrationError(f"{path}: {error}") from error
