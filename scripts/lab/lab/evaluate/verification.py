"""Are two faces one person's? Labelled pairs, as a client asks: /alignedfaces, then its answers to /similarity/v2."""

from collections.abc import Iterator
from functools import lru_cache
from math import nan
from pathlib import Path
from typing import Any

import numpy as np

from appliance.calibration.rates import RULE_OF_THREE, Z_95, Flags, Rate, Reals, rate
from lab.device import CutFace
from lab.evaluate.client import Client, central
from lab.evaluate.datasets import Pair, PairList, read_pair_list
from lab.evaluate.measures import area_under_curve, best_threshold, equal_error_rate, folded_accuracy, threshold_at
from lab.report import Evaluation, Finding, Mistake, percentage

QUESTION = "verification"
OPERATING_POINT = 0.5  # the similarity that the contract calibrates to a false match rate of 0.1 %
FALSE_MATCH_RATES = (1e-2, 1e-3, 1e-4)  # at which the true match rate is reported, where there are enough impostors
LEAST_ACCURACY = 98.8  # percent: that of the same networks on all of LFW (models/CARDS.md), less half a point
MOST_FALSE_MATCHES, MOST_FALSE_NON_MATCHES = 0.3, 3.0  # percent
KEPT_FACES = 512  # aligned faces (37 kB each) that are kept: lists name a picture again within some dozens of lines


def measure(client: Client, data: Path) -> Evaluation:
    """`data` is laid out as datasets.read_pair_list describes. Raises LayoutError, UnexpectedAnswerError."""

    @lru_cache(KEPT_FACES)
    def acquired(path: Path) -> CutFace | None:
        content = path.read_bytes()
        return central(client.aligned_faces(content), content)

    def compare(pair: Pair) -> dict[str, Any]:
        """The similarity, None when a face is missing; and each picture's face box, None without a face."""

        def ask() -> dict[str, Any]:
            a, b = acquired(pair.image_a), acquired(pair.image_b)
            similarity = None if a is None or b is None else client.similarity(a.pixels, b.pixels)
            return {"similarity": similarity, "boxes": [None if f is None else f.box.tolist() for f in (a, b)]}

        pictures = [pair.image_a.read_bytes(), pair.image_b.read_bytes()]
        kept: dict[str, Any] = client.journal.answer("comparison", pictures, {"face": "central"}, ask)
        return kept

    listed = read_pair_list(data)
    compared = client.each("comparing", compare, listed.pairs)
    boxes = [
        dict(zip((pair.image_a, pair.image_b), each["boxes"], strict=False))
        for pair, each in zip(listed.pairs, compared, strict=True)
    ]
    lost = sorted({path for each in boxes for path, box in each.items() if box is None})
    scores = np.array([each["similarity"] or 0.0 for each in compared], dtype=np.float64)
    same, accepted = listed.same, scores >= OPERATING_POINT

    def worst(wrong: Flags, sign: int) -> list[Mistake]:
        places = sorted(np.flatnonzero(wrong), key=lambda place: sign * scores[place])
        texts = (compared[place]["similarity"] for place in places)
        return [
            Mistake("no face found" if text is None else f"similarity {text:.3f}", [*boxes[place].items()])
            for place, text in zip(places, texts, strict=True)
        ]

    pictures = len({path for each in boxes for path in each})
    return Evaluation(
        {"pairs": len(compared), "pictures": pictures},
        [*_findings(listed, scores), percentage(QUESTION, "failure to acquire", Rate(len(lost), pictures))],
        "Pairs share people and pictures, so the bounds, which take them as independent, are somewhat too narrow.",
        {
            "False non-matches: one person, least alike first": worst(same & ~accepted, 1),
            "False matches: two people, most alike first": worst(~same & accepted, -1),
            "No face found": [Mistake("", [(path, None)]) for path in lost],
        },
    )


def _findings(listed: PairList, scores: Reals) -> Iterator[Finding]:
    """Accuracy, error rates at the operating point, true match rates, EER and AUC; a failure to acquire is a score of 0."""
    genuine, impostor = scores[listed.same], scores[~listed.same]
    threshold, plain = best_threshold(genuine, impostor)
    matches, misses = rate(impostor >= OPERATING_POINT), rate(genuine < OPERATING_POINT)
    yield _folded(listed, scores)
    yield percentage(QUESTION, f"accuracy at best threshold {threshold:.3f}", plain, at_least=LEAST_ACCURACY)
    yield percentage(QUESTION, "FMR at 0.5", matches, at_most=MOST_FALSE_MATCHES)
    yield percentage(QUESTION, "FNMR at 0.5", misses, at_most=MOST_FALSE_NON_MATCHES)
    for wanted in FALSE_MATCH_RATES:
        measure, at = f"TMR at FMR {100 * wanted:g} %", threshold_at(wanted, impostor)
        if at is None:
            enough = f"({impostor.size:,} of {RULE_OF_THREE / wanted:,.0f})"
            yield Finding(QUESTION, f"{measure} {enough}", nan, "%", note="too few")
        else:
            yield percentage(QUESTION, measure, rate(genuine >= at))
    yield percentage(QUESTION, "EER", equal_error_rate(genuine, impostor))
    yield Finding(QUESTION, "AUC", area_under_curve(genuine, impostor))


def _folded(listed: PairList, scores: Reals) -> Finding:
    title = f"accuracy, {np.unique(listed.folds).size} folds"
    try:
        mean, error = folded_accuracy(scores, listed.same, listed.folds)
    except ValueError:
        return Finding(QUESTION, title, nan, "%", at_least=LEAST_ACCURACY, note="too few")
    value, half = 100 * mean, 100 * Z_95 * error
    interval = max(0.0, value - half), min(100.0, value + half)
    return Finding(QUESTION, f"{title} (SE {100 * error:.2f})", value, "%", interval, at_least=LEAST_ACCURACY)
