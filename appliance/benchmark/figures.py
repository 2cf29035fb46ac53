"""Arithmetic of measured values: percentiles, curves and the lines through them."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from appliance.evaluation.report import Finding


@dataclass(frozen=True, slots=True)
class Line:
    """y = intercept + slope x, and the share of y's variance that it explains (R squared, 0..1)."""

    intercept: float
    slope: float
    r_squared: float

    @classmethod
    def through(cls, points: Sequence[tuple[float, float]]) -> "Line":
        """The line of least squares through two points or more, of which two differ in x. Raises ValueError."""
        x, y = np.asarray(points, np.float64).T
        if np.ptp(x) == 0:
            raise ValueError(f"no line goes through {points}")
        slope, intercept = np.polyfit(x, y, 1)
        spread = float(((y - y.mean()) ** 2).sum())
        left = float(((y - intercept - slope * x) ** 2).sum())
        return cls(float(intercept), float(slope), 1 - left / spread if spread else 1.0)


@dataclass(frozen=True, slots=True)
class Curve:
    """Measured points of a plot: what its axes are, and y over x, a line for each name."""

    title: str
    x: str
    y: str
    lines: dict[str, list[tuple[float, float]]]


@dataclass(frozen=True, slots=True)
class Measured:
    """What a part of the bench found out."""

    findings: list[Finding]
    curves: list[Curve] = field(default_factory=list)


def joined(parts: Sequence[Measured]) -> Measured:
    """Several parts as one, in their order."""
    return Measured(
        [each for part in parts for each in part.findings], [each for part in parts for each in part.curves]
    )


def percentile(values: Sequence[float], share: float) -> float:
    """The value below which `share` percent lie, between two neighbours on a straight line (Hyndman and Fan, 1996, type 7)."""
    return float(np.percentile(values, share))
