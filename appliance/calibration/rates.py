"""Rates of events in trials, with their 95 % bounds (ISO/IEC 19795-1, 30107-3)."""

from dataclasses import dataclass
from math import sqrt

import numpy as np
import numpy.typing as npt

Reals = npt.NDArray[np.float64]
"""Scores (N), boxes (N x 4: x, y, width, height) or points (N x 2), in the unit of their source."""

Flags = npt.NDArray[np.bool_]
"""One truth value an item (N)."""

Z_95 = 1.959964
"""Two-sided 95 % quantile of the normal distribution."""

RULE_OF_THREE = 3.0
"""95 % bound on a rate whose event was not seen in n trials: 3/n (Hanley and Lippman-Hand 1983; ISO/IEC 19795-1)."""


@dataclass(frozen=True, slots=True)
class Rate:
    """`count` of `total` trials, and what the trials say of the true rate with 95 % confidence."""

    count: int
    total: int

    def __post_init__(self) -> None:
        """Raises ValueError unless `count` is 0..`total` and there are trials."""
        if not 0 <= self.count <= self.total or self.total == 0:
            raise ValueError(f"{self.count} of {self.total} is not a rate")

    @property
    def value(self) -> float:
        return self.count / self.total

    @property
    def bounds(self) -> tuple[float, float]:
        """Lower and upper 95 % bound, 0..1.

        Wilson's score interval (1927), and the rule of three when no trial or every trial had the event.
        """
        if self.count == 0:
            return 0.0, min(1.0, RULE_OF_THREE / self.total)
        if self.count == self.total:
            return max(0.0, 1 - RULE_OF_THREE / self.total), 1.0
        spread = Z_95**2 / self.total
        centre = (self.value + spread / 2) / (1 + spread)
        half = Z_95 / (1 + spread) * sqrt(self.value * (1 - self.value) / self.total + spread / (4 * self.total))
        return centre - half, centre + half


def rate(events: Flags) -> Rate:
    """The rate of N events. Raises ValueError without any."""
    return Rate(int(np.count_nonzero(events)), int(events.size))


def bona_fide_classification_error(real: Reals, threshold: float) -> Rate:
    """BPCER: the share of real people's scores (N) taken for an attack (ISO/IEC 30107-3)."""
    return rate(real < threshold)
