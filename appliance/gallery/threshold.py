"""The cosine from which somebody is taken for a person of the gallery, for the wanted share of strangers and its size.

A stranger is compared with every template, so that the chance that any of them matches grows with their number N:
FPIR <= N x FMR, whoever the templates are of and however alike they are (Boole's inequality; ISO/IEC 19795-1 has it as
1 - (1 - FMR)^N, which is a little less). A person's templates are alike, so that N templates of fewer people err less than
that: it is on the safe side.

Such small false match rates are seldom measured. Where log FMR falls more and more steeply the excess over a high cosine is
exponential or less (the generalised Pareto distribution's shape is 0 or below it: Pickands 1975), so an exponential tail that
begins where many pairs were measured is on the safe side, too. models/CARDS.md says how it does for other people than those it
was found on.
"""

from dataclasses import dataclass
from math import log
from pathlib import Path
from typing import Self

import numpy as np

from appliance.calibration.entries import CalibrationError
from appliance.calibration.statistics import Impostors, Statistics

START = 1e-3
"""False match rate at which the tail begins: in the bundled statistics two thousand pairs reach it, and of the starts that
were tried (1e-3, 3e-4, 1e-4) it errs least for other people (models/CARDS.md).
"""

_HALF = 0.5
"""Share of pairs of different people whose cosine is over 0, at least: embeddings of strangers point anywhere."""

_HIGHEST = 0.999
"""A threshold that identical pictures still reach."""


@dataclass(frozen=True, slots=True)
class Point:
    """An operating point for two pictures: the cosine at which the false match rate is `fmr`."""

    cosine: float
    fmr: float


@dataclass(frozen=True, slots=True)
class Tail:
    """How rare it is that two strangers are alike: `rate` of their pairs reach the cosine `start`, and from there on e times
    fewer with each `decay`.
    """

    start: float
    rate: float
    decay: float

    @classmethod
    def fitted(cls, table: Impostors) -> Self:
        """From what was measured of an embedder: the mean excess over the start (the most likely exponential), of the upper
        95 % bounds that drawing other people gives. Raises CalibrationError when these do not come down to the start.
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
        """Of an embedder of which no more than its operating point is known: half of the pairs have a cosine over 0, and
        log FMR falls from there to the point no more steeply than after it. Raises CalibrationError for a point that leaves no
        room for that.
        """
        if point.cosine <= 0 or not 0 < point.fmr < _HALF:
            raise CalibrationError(
                f"an operating point of cosine {point.cosine:g} at FMR {point.fmr:g} says nothing of rarer matches"
            )
        return cls(point.cosine, point.fmr, point.cosine / log(_HALF / point.fmr))

    def cosine(self, fmr: float) -> float:
        """The cosine that the share `fmr` (over 0) of strangers' pairs reach."""
        return self.start + self.decay * log(self.rate / fmr)

    def moved(self, point: Point) -> Self:
        """The tail of people who are more alike: `point` was found for them, and lies higher than the tail has it."""
        return type(self)(self.start + max(0.0, point.cosine - self.cosine(point.fmr)), self.rate, self.decay)


def tail_of(folder: Path, model: str, shipped: Point) -> Tail:
    """Of an embedder (its sha256): fitted to the statistics in the folder of the models, else supposed by the operating point
    that it comes with. Raises CalibrationError when there are statistics that cannot be read, or neither will do.
    """
    table = Statistics.read(folder).impostors.get(model)
    return Tail.supposed(shipped) if table is None else Tail.fitted(table)


def threshold(tail: Tail, point: Point, fpir: float, templates: int) -> float:
    """The cosine (below 1) at which at most the share `fpir` of strangers is taken for somebody of a gallery of so many
    templates; never below the operating point for two pictures.
    """
    wanted = fpir / max(1, templates)
    return min(max(point.cosine, tail.moved(point).cosine(wanted)), _HIGHEST)
