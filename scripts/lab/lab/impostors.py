"""The table of an embedder's impostor scores, as it is bundled."""

import numpy as np

from appliance.calibration.statistics import ImpostorTable, Pairs, genuine_bounds, impostor_bounds

STEP = 0.002
"""Between two cosines of the table; one step changes the false match rate by some 4 %."""

LOOSEST = 0.1
"""Highest false match rate of the table, and the highest that can be requested."""


def tabulated(model: str, file: str, impostors: Pairs, genuine: Pairs, loosest: float = LOOSEST) -> ImpostorTable:
    """The table of an embedder from its impostor and genuine pairs, from the false match rate `loosest` on."""
    start = np.ceil(np.quantile(impostors.scores, 1 - loosest) / STEP)
    end = np.floor(impostors.scores.max() / STEP) + 1
    cosines = np.arange(start, end + 1) * STEP
    false, true = impostor_bounds(impostors, cosines), genuine_bounds(genuine, cosines)
    return ImpostorTable(
        model=model,
        file=file,
        people=impostors.people,
        pictures=int(impostors.pictures.sum()),
        impostor_pairs=int(impostors.scores.size),
        genuine_pairs=int(genuine.scores.size),
        cosine=tuple(round(float(each), 3) for each in cosines),
        false_matches=tuple(each.count for each in false),
        fmr_lower=tuple(_short(each.lower) for each in false),
        fmr_upper=tuple(_short(each.upper) for each in false),
        true_matches=tuple(each.count for each in true),
        tmr_lower=tuple(_short(each.lower) for each in true),
        tmr_upper=tuple(_short(each.upper) for each in true),
    )


def _short(share: float) -> float:
    """Three digits exceed the precision of any bound."""
    return float(f"{share:.3g}")
