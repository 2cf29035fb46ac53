"""Are two faces one person's? Labelled pairs, as a client asks: /alignedfaces, then its answers to /similarity/v2."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from appliance.calibration.rates import RULE_OF_THREE, Z_95, Flags, Rate, Reals, rate
from lab.device import CutFace
from lab.evaluate.client import Client, central
from lab.evaluate.datasets import Pair, PairList, read_pair_list
from lab.evaluate.measures import area_under_curve, best_threshold, equal_error_rate, folded_accuracy, threshold_at
from lab.report import Evaluation, Finding, Mistake, percentage

QUESTION = "verification"

OPERATING_POINT = 0.5
"""The similarity that the contract calibrates to a false match rate of 0.1 %."""

FALSE_MATCH_RATES = (1e-2, 1e-3, 1e-4)
"""At which the true match rate is reported, where there are enough impostors."""

LEAST_ACCURACY, MOST_FALSE_MATCHES, MOST_FALSE_NON_MATCHES = 98.8, 0.3, 3.0
"""Percent. The accuracy is that of the same networks on all of LFW (models/CARDS.md), less half a point."""

KEPT_FACES = 512
"""Aligned faces (37 kB each) kept for the next pairs: lists name a picture again within some dozens of lines."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """A pair's similarity (0..1), None when a face is missing; each picture's face box (4), None without a face."""

    similarity: float | None
    boxes: tuple[list[float] | None, list[float] | None]


def measure(client: Client, data: Path) -> Evaluation:
    """`data` is laid out as datasets.read_pair_list describes. Raises LayoutError, UnexpectedAnswerError."""

    @lru_cache(KEPT_FACES)
    def acquired(path: Path) -> CutFace | None:
        content = path.read_bytes()
        return central(client.aligned_faces(content), content)

    def compare(pair: Pair) -> Comparison:
        def ask() -> dict[str, object]:
            a, b = acquired(pair.image_a), acquired(pair.image_b)
            similarity = None if a is None or b is None else client.similarity(a.pixels, b.pixels)
            return {"similarity": similarity, "boxes": [None if f is None else f.box.tolist() for f in (a, b)]}

        pictures = [pair.image_a.read_bytes(), pair.image_b.read_bytes()]
        kept = client.journal.answer("comparison", pictures, {"face": "central"}, ask)
        return Comparison(kept["similarity"], tuple(kept["boxes"]))

    listed = read_pair_list(data)
    comparisons = client.each("comparing", compare, listed.pairs)
    seen = {
        path: box is not None
        for pair, each in zip(listed.pairs, comparisons, strict=True)
        for path, box in zip((pair.image_a, pair.image_b), each.boxes, strict=True)
    }
    scores = np.array([each.similarity or 0.0 for each in comparisons], dtype=np.float64)
    return Evaluation(
        {"pairs": len(comparisons), "pictures": len(seen)},
        [*findings(listed, scores, rate(np.array(list(seen.values())) == 0))],
        "Pairs share people and pictures, so the bounds, which take them as independent, are somewhat too narrow.",
        mistakes(listed, comparisons, scores, sorted(path for path, found in seen.items() if not found)),
    )


def findings(listed: PairList, scores: Reals, lost: Rate) -> Iterator[Finding]:
    """Accuracy, error rates at the operating point, true match rates, EER, AUC and failure to acquire, which counts as a
    score of 0 in all of them.
    """
    same = listed.same
    genuine, impostor = scores[same], scores[~same]
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
            yield Finding(QUESTION, f"{measure} {enough}", float("nan"), "%", note="too few")
        else:
            yield percentage(QUESTION, measure, rate(genuine >= at))
    yield percentage(QUESTION, "EER", equal_error_rate(genuine, impostor))
    yield Finding(QUESTION, "AUC", area_under_curve(genuine, impostor))
    yield percentage(QUESTION, "failure to acquire", lost)


def mistakes(
    listed: PairList, comparisons: Sequence[Comparison], scores: Reals, lost: Sequence[Path]
) -> dict[str, list[Mistake]]:
    """Wrong at 0.5, worst first: the least alike pairs of one person, and the most alike pairs of two."""
    accepted, same = scores >= OPERATING_POINT, listed.same

    def worst(wrong: Flags, sign: int) -> list[Mistake]:
        places = sorted(np.flatnonzero(wrong), key=lambda place: sign * scores[place])
        return [_mistake(listed.pairs[place], comparisons[place]) for place in places]

    return {
        "False non-matches: one person, least alike first": worst(same & ~accepted, 1),
        "False matches: two people, most alike first": worst(~same & accepted, -1),
        "No face found": [Mistake("", [(path, None)]) for path in lost],
    }


def _mistake(pair: Pair, compared: Comparison) -> Mistake:
    text = "no face found" if compared.similarity is None else f"similarity {compared.similarity:.3f}"
    return Mistake(text, [*zip((pair.image_a, pair.image_b), compared.boxes, strict=True)])


def _folded(listed: PairList, scores: Reals) -> Finding:
    title = f"accuracy, {np.unique(listed.folds).size} folds"
    try:
        mean, error = folded_accuracy(scores, listed.same, listed.folds)
    except ValueError:
        return Finding(QUESTION, title, float("nan"), "%", at_least=LEAST_ACCURACY, note="too few")
    value, half = 100 * mean, 100 * Z_95 * error
    interval = max(0.0, value - half), min(100.0, value + half)
    return Finding(QUESTION, f"{title} (SE {100 * error:.2f})", value, "%", interval, at_least=LEAST_ACCURACY)
