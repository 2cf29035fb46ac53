"""Which threshold keeps the rates that are wanted. Scores at or over it are accepted."""

from collections.abc import Mapping
from math import ceil, floor

import numpy as np

from appliance.calibration.entries import CalibrationError
from appliance.evaluation.measures import RULE_OF_THREE, Reals

FEWEST_SEQUENCES = 20
"""Of real people: with fewer, 5 % of them is less than one."""

BEFORE_LOWERING = frozenset({"print", "replay"})
"""Species of attack of which FEWEST_SEQUENCES must have been tried here before the threshold goes below the shipped one."""

LOWEST, HIGHEST = -8.0, 8.0
"""Where the liveness network's log odds end."""


def fewest_pairs(fmr: float) -> int:
    """How many pairs can bear out a false match rate: none of them may match (rule of three)."""
    return ceil(RULE_OF_THREE / fmr)


def cosine(impostors: Reals, fmr: float) -> float:
    """The least cosine at which at most the share `fmr` of impostor pairs (N cosines) is accepted, midway between the pairs
    on either side of it. Raises CalibrationError when even identical faces would have to be refused.
    """
    ordered = np.sort(impostors)[::-1]
    refused = float(ordered[allowed(fmr, ordered.size)])
    if refused >= np.nextafter(1.0, 0.0):
        raise CalibrationError("photos of different people are identical: is one person in two folders?")
    accepted = ordered[ordered > refused]
    above = float(accepted[-1]) if accepted.size else 1.0
    return min(max((refused + above) / 2, float(np.nextafter(refused, 1.0))), float(np.nextafter(1.0, 0.0)))


def allowed(share: float, total: int) -> int:
    """How many of `total` may err when the share may; less than all, and a whole number that rounding has missed counts."""
    return min(floor(share * total + 1e-9), total - 1)


def lowest_odds(attacks: Mapping[str, Reals], apcer: float) -> float:
    """The least log odds at which no species (N log odds each) is accepted in more than the share `apcer`. What lies below
    LOWEST was refused for another reason than its odds, and counts as LOWEST.
    """
    refused = [float(np.sort(odds)[::-1][allowed(apcer, odds.size)].clip(LOWEST)) for odds in attacks.values()]
    return float(np.nextafter(max(refused, default=LOWEST), np.inf))


def highest_odds(real: Reals, bpcer: float) -> float:
    """The greatest log odds at which at most the share `bpcer` of real people's sequences (N log odds) is refused."""
    return float(np.sort(real)[allowed(bpcer, real.size)])


def odds(
    real: Reals,
    shipped: Mapping[str, Reals],
    tried: Mapping[str, Reals],
    bpcer: float,
    apcer: float,
    point: float = 0.0,
) -> float:
    """The log odds from which somebody is taken for alive.

    Every species keeps its APCER, as it was `tried` here and as it was `shipped`. Where that leaves room below what
    keeps the BPCER, the threshold lies midway when attacks were tried; otherwise as near as can be to the shipped `point`,
    because the highest that keeps the BPCER of a few people turns more of others away. It is below that point only
    when it is `lowerable`: a door that turns people away is less of a harm than one that nobody has attacked yet.
    Raises CalibrationError with too few sequences of real people.
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
    """Whether enough attacks were tried here, of each of BEFORE_LOWERING."""
    return {name for name, odds in tried.items() if odds.size >= FEWEST_SEQUENCES} >= BEFORE_LOWERING
