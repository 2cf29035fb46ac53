"""Are two faces one person's? Labelled pairs, as a client asks: /alignedfaces, then its answers to /similarity/v2."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from appliance.evaluation.asked import Asked, CutFace
from appliance.evaluation.inquiry import Inquiry, readable
from appliance.evaluation.measures import (
    RULE_OF_THREE,
    Z_95,
    Reals,
    area_under_curve,
    best_threshold,
    equal_error_rate,
    false_match_rate,
    false_non_match_rate,
    folded_accuracy,
    rate,
    threshold_at,
    true_match_rate,
)
from appliance.evaluation.pairs import Pair, PairList, read_pair_lists
from appliance.evaluation.pictures import size
from appliance.evaluation.report import Finding, percentage

QUESTION = "verification"

OPERATING_POINT = 0.5
"""The similarity that the contract calibrates to a false match rate of 0.1 %."""

FALSE_MATCH_RATES = (1e-2, 1e-3, 1e-4)
"""At which the true match rate is told, where there are enough impostors to speak of them."""

LEAST_ACCURACY, MOST_FALSE_MATCHES, MOST_FALSE_NON_MATCHES = 98.8, 0.3, 3.0
"""Percent. The accuracy is that of the same networks on all of LFW (models/CARDS.md), less half a point."""

KEPT_FACES = 512
"""Aligned faces (37 kB each) kept for the next pairs: lists name a picture again within some dozens of lines."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """A pair's similarity (0..1), None when a face is missing; each picture's face box (4), None without a face."""

    similarity: float | None
    boxes: tuple[list[float] | None, list[float] | None]


@dataclass(frozen=True, slots=True)
class Verification:
    """The pairs of a list, and how each was answered."""

    listed: PairList
    comparisons: tuple[Comparison, ...]

    @property
    def scores(self) -> Reals:
        """The similarity of each pair; a pair without two faces counts as 0, that is, as refused."""
        return np.array([each.similarity or 0.0 for each in self.comparisons], dtype=np.float64)

    @property
    def title(self) -> str:
        """The question, and which list it is of several."""
        return f"{QUESTION} {self.listed.name}".strip()


def measure(inquiry: Inquiry, data: Path) -> list[Verification]:
    """`data` is laid out as pairs.read_pair_lists wants it. Raises LayoutError, UnexpectedAnswerError."""

    @lru_cache(KEPT_FACES)
    def acquired(path: Path) -> CutFace | None:
        return readable(lambda: central_face(inquiry.engine, path.read_bytes()), None)

    def compare(pair: Pair) -> Comparison:
        pictures = [pair.image_a.read_bytes(), pair.image_b.read_bytes()]

        def ask() -> dict[str, object]:
            a, b = acquired(pair.image_a), acquired(pair.image_b)
            similarity = None if a is None or b is None else inquiry.engine.similarity(a.pixels, b.pixels)
            return {"similarity": similarity, "boxes": [None if f is None else f.box.tolist() for f in (a, b)]}

        kept = inquiry.journal.answer("comparison", pictures, {"face": "central"}, ask)
        return Comparison(kept["similarity"], tuple(kept["boxes"]))

    return [
        Verification(listed, tuple(inquiry.each(f"comparing {listed.name}", compare, listed.pairs)))
        for listed in read_pair_lists(data)
    ]


def central_face(engine: Asked, picture: bytes) -> CutFace | None:
    """The aligned face nearest to the picture's centre: LFW centres the person who is named."""
    faces = engine.aligned_faces(picture)
    if not faces:
        return None
    centre = np.array(size(picture)) / 2
    return min(faces, key=lambda face: float(np.linalg.norm(face.box[:2] + face.box[2:] / 2 - centre)))


def findings(outcome: Verification) -> list[Finding]:
    """The figures of a list of pairs. Failures to acquire count as non-matches in all of them."""
    title, scores, same = outcome.title, outcome.scores, outcome.listed.same
    genuine, impostor = scores[same], scores[~same]
    threshold, plain = best_threshold(genuine, impostor)
    return [
        _folded(outcome),
        percentage(title, f"accuracy at best threshold {threshold:.3f}", plain, at_least=LEAST_ACCURACY),
        percentage(title, "FMR at 0.5", false_match_rate(impostor, OPERATING_POINT), at_most=MOST_FALSE_MATCHES),
        percentage(
            title, "FNMR at 0.5", false_non_match_rate(genuine, OPERATING_POINT), at_most=MOST_FALSE_NON_MATCHES
        ),
        *(_true_matches(title, genuine, impostor, wanted) for wanted in FALSE_MATCH_RATES),
        percentage(title, "EER", equal_error_rate(genuine, impostor)),
        Finding(title, "AUC", area_under_curve(genuine, impostor)),
        percentage(title, "failure to acquire", rate(np.array(list(acquisitions(outcome).values())) == 0)),
    ]


def acquisitions(outcome: Verification) -> dict[Path, bool]:
    """Of each picture, whether a face was found in it."""
    return {
        path: box is not None
        for pair, each in zip(outcome.listed.pairs, outcome.comparisons, strict=True)
        for path, box in zip((pair.image_a, pair.image_b), each.boxes, strict=True)
    }


def worst(outcome: Verification, *, same: bool, count: int) -> Sequence[tuple[Pair, Comparison]]:
    """The pairs of one person that look least alike, or of two that look most alike, worst first, where 0.5 is wrong."""
    scores = outcome.scores
    wrong = (
        outcome.listed.same & (scores < OPERATING_POINT) if same else ~outcome.listed.same & (scores >= OPERATING_POINT)
    )
    places = sorted(np.flatnonzero(wrong), key=lambda place: scores[place] if same else -scores[place])
    return [(outcome.listed.pairs[place], outcome.comparisons[place]) for place in places[:count]]


def _folded(outcome: Verification) -> Finding:
    folds = outcome.listed.folds
    title = f"accuracy, {np.unique(folds).size} folds"
    try:
        mean, error = folded_accuracy(outcome.scores, outcome.listed.same, folds)
    except ValueError:
        return Finding(outcome.title, title, float("nan"), "%", at_least=LEAST_ACCURACY, note="too few")
    value, half = 100 * mean, 100 * Z_95 * error
    interval = max(0.0, value - half), min(100.0, value + half)
    return Finding(outcome.title, f"{title} (SE {100 * error:.2f})", value, "%", interval, at_least=LEAST_ACCURACY)


def _true_matches(title: str, genuine: Reals, impostor: Reals, wanted: float) -> Finding:
    threshold = threshold_at(wanted, impostor)
    if threshold is None:
        enough = f"{impostor.size:,} of {RULE_OF_THREE / wanted:,.0f}"
        return Finding(title, f"TMR at FMR {100 * wanted:g} % ({enough})", float("nan"), "%", note="too few")
    return percentage(title, f"TMR at FMR {100 * wanted:g} %", true_match_rate(genuine, threshold))
