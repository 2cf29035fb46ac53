"""The field's measures as pure functions: scores and positions in, figures out.

Higher scores always mean "more alike" or "more alive"; a score is accepted when it is at or over the threshold.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import sqrt

import numpy as np
import numpy.typing as npt

Reals = npt.NDArray[np.float64]
"""Scores (N), boxes (N x 4: x, y, width, height) or points (N x 2), in the unit of whoever gives them."""

Flags = npt.NDArray[np.bool_]
"""One truth value an item (N)."""

Z_95 = 1.959964
"""Two-sided 95 % quantile of the normal distribution."""

RULE_OF_THREE = 3.0
"""95 % bound on a rate whose event was not seen in n trials: 3/n (Hanley and Lippman-Hand 1983; ISO/IEC 19795-1)."""

WIDER_IOU = 0.5
"""Overlap from which a detection is a labelled face (WIDER FACE, Yang et al. 2016, after PASCAL VOC)."""

WIDER_THRESHOLDS = 1000
"""Steps of the score axis in the WIDER FACE evaluation toolbox."""


@dataclass(frozen=True, slots=True)
class Rate:
    """`count` of `total` trials, and what the trials say of the true rate with 95 % confidence."""

    count: int
    total: int

    def __post_init__(self) -> None:
        """Raises ValueError when `count` of `total` is no share of anything."""
        if not 0 <= self.count <= self.total or self.total == 0:
            raise ValueError(f"{self.count} of {self.total} is not a rate")

    @property
    def value(self) -> float:
        """The observed rate, 0..1."""
        return self.count / self.total

    @property
    def bounds(self) -> tuple[float, float]:
        """Lower and upper 95 % bound, 0..1.

        Wilson's score interval (1927), and the rule of three when nothing or everything happened.
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
    """How many of the events (N) happened. Raises ValueError when there is none to count."""
    return Rate(int(np.count_nonzero(events)), int(events.size))


# ---- verification: ISO/IEC 19795-1


def false_match_rate(different: Reals, threshold: float) -> Rate:
    """FMR: comparisons of different people (N scores) that are accepted."""
    return rate(different >= threshold)


def true_match_rate(same: Reals, threshold: float) -> Rate:
    """TMR = 1 - FNMR: comparisons of one person (N scores) that are accepted."""
    return rate(same >= threshold)


def false_non_match_rate(same: Reals, threshold: float) -> Rate:
    """FNMR: comparisons of one person (N scores) that are refused."""
    return rate(same < threshold)


def best_threshold(same: Reals, different: Reals) -> tuple[float, float]:
    """The threshold that decides most pairs rightly, and the share of pairs (0..1) it does.

    The thresholds tried lie midway between neighbouring scores and at both ends; of equally good ones, the middle one.
    """
    scores = np.unique(np.concatenate([same, different]))
    tried = np.concatenate([scores[:1], (scores[1:] + scores[:-1]) / 2, [np.nextafter(scores[-1], np.inf)]])
    accepted = same.size - np.searchsorted(np.sort(same), tried)
    refused = np.searchsorted(np.sort(different), tried)
    right = accepted + refused
    best = np.flatnonzero(right == right.max())
    middle = best[best.size // 2]
    return float(tried[middle]), float(right[middle] / (same.size + different.size))


def folded_accuracy(same: Reals, different: Reals, folds: int = 10) -> tuple[float, float]:
    """Mean and standard error of the accuracy over `folds` parts, each judged by the best threshold of the others.

    The protocol of Labeled Faces in the Wild (Huang et al. 2007). Parts are consecutive scores, the same share of both
    kinds: a list sorted by person keeps a person's pairs together. Raises ValueError with fewer scores than folds.
    """
    if min(same.size, different.size) < folds:
        raise ValueError(f"{same.size} and {different.size} scores do not fill {folds} folds")
    accuracies = []
    for held_same, held_different in zip(_parts(same.size, folds), _parts(different.size, folds), strict=True):
        threshold, _ = best_threshold(same[~held_same], different[~held_different])
        right = np.concatenate([same[held_same] >= threshold, different[held_different] < threshold])
        accuracies.append(float(right.mean()))
    return float(np.mean(accuracies)), float(np.std(accuracies, ddof=1) / sqrt(folds))


def _parts(size: int, folds: int) -> list[Flags]:
    return [np.isin(np.arange(size), part) for part in np.array_split(np.arange(size), folds)]


# ---- any two kinds of scores


def area_under_curve(positives: Reals, negatives: Reals) -> float:
    """AUC, 0..1: the chance that a positive scores higher than a negative, ties counting half (Mann, Whitney 1947)."""
    ordered = np.sort(negatives)
    below = np.searchsorted(ordered, positives, side="left")
    not_above = np.searchsorted(ordered, positives, side="right")
    return float((below + not_above).sum() / 2 / (positives.size * negatives.size))


def equal_error_rate(positives: Reals, negatives: Reals) -> float:
    """EER, 0..1: the mean of both error rates at the threshold where they differ least."""
    tried = np.append(np.unique(np.concatenate([positives, negatives])), np.inf)
    missed = np.searchsorted(np.sort(positives), tried) / positives.size
    let_through = 1 - np.searchsorted(np.sort(negatives), tried) / negatives.size
    nearest = np.argmin(np.abs(missed - let_through))
    return float((missed[nearest] + let_through[nearest]) / 2)


# ---- presentation attacks: ISO/IEC 30107-3


def attack_classification_error(attacks: Mapping[str, Reals], threshold: float) -> tuple[str, dict[str, Rate]]:
    """APCER: for each species of attack the share of its scores taken for alive; and the name of the worst species.

    The standard judges a device by its worst species, never by the mean. Raises ValueError without any.
    """
    errors = {species: rate(scores >= threshold) for species, scores in attacks.items()}
    return max(errors, key=lambda species: errors[species].value), errors


def bona_fide_classification_error(real: Reals, threshold: float) -> Rate:
    """BPCER: the share of real people's scores (N) taken for an attack."""
    return rate(real < threshold)


# ---- landmarks


def normalised_mean_error(found: Reals, labelled: Reals, interocular: float) -> float:
    """NME: mean distance of N x 2 points to their labels over the inter-ocular distance (300-W).

    The distance is in pixels, the result in inter-ocular distances (0.05 is 5 %).
    """
    return float(np.linalg.norm(found - labelled, axis=1).mean() / interocular)


# ---- detection: WIDER FACE


@dataclass(frozen=True, slots=True)
class DetectedPicture:
    """What was found in one picture and what is there: boxes are x, y, width, height in its pixels.

    `found` (N x 4) with `scores` (N); `labelled` (M x 4), of which `counted` (M) says which count in the setting; the
    others are regions to ignore.
    """

    found: Reals
    scores: Reals
    labelled: Reals
    counted: Flags


def overlaps(found: Reals, labelled: Reals) -> Reals:
    """Intersection over union of N x 4 and M x 4 boxes (x, y, width, height): N x M, 0..1.

    Like the WIDER FACE toolbox, counts both border pixels: a box of width w covers w + 1 of them.
    """
    top_left = np.maximum(found[:, None, :2], labelled[None, :, :2])
    bottom_right = np.minimum((found[:, :2] + found[:, 2:])[:, None], (labelled[:, :2] + labelled[:, 2:])[None])
    shared = (bottom_right - top_left + 1).clip(0).prod(axis=2)
    areas = (found[:, 2:] + 1).prod(axis=1)[:, None] + (labelled[:, 2:] + 1).prod(axis=1)[None]
    return np.asarray(shared / (areas - shared), dtype=np.float64)


def average_precision(pictures: Sequence[DetectedPicture]) -> float:
    """AP, 0..1, by the rules of the WIDER FACE evaluation toolbox.

    Scores are stretched to 0..1 over all pictures. A detection belongs to the labelled face it overlaps most; from IoU
    0.5 on it recalls a counted face, and is itself left out when that face is to be ignored. Precision and recall are
    taken at 1000 thresholds; AP is the area under the precision's envelope (all-point interpolation, PASCAL VOC 2010).
    Raises ValueError when no face counts or none is found.
    """
    faces = sum(int(picture.counted.sum()) for picture in pictures)
    scores = np.concatenate([picture.scores for picture in pictures])
    if faces == 0 or scores.size == 0:
        raise ValueError(f"no average precision of {scores.size} detections on {faces} counted faces")
    low, high = float(scores.min()), float(scores.max())
    thresholds = 1 - np.arange(1, WIDER_THRESHOLDS + 1) / WIDER_THRESHOLDS
    proposed, recalled = np.zeros(WIDER_THRESHOLDS), np.zeros(WIDER_THRESHOLDS)
    for picture in pictures:
        order = np.argsort(-picture.scores, kind="stable")
        proposals, hits = _tally(picture, order)
        stretched = (picture.scores[order] - low) / (high - low or 1.0)
        taken = np.searchsorted(-stretched, -thresholds, side="right")
        proposed += proposals[taken]
        recalled += hits[taken]
    precision = np.divide(recalled, proposed, out=np.zeros_like(recalled), where=proposed > 0)
    return _area_under_envelope(recalled / faces, precision)


def _tally(picture: DetectedPicture, order: npt.NDArray[np.intp]) -> tuple[Reals, Reals]:
    """After each of the first 0..N detections: how many count as proposals, and how many counted faces are recalled."""
    proposals, hits = np.zeros(order.size + 1), np.zeros(order.size + 1)
    shared = overlaps(picture.found[order], picture.labelled)
    seen = np.zeros(len(picture.labelled), dtype=np.bool_)
    for rank, row in enumerate(shared, start=1):
        proposals[rank], hits[rank] = proposals[rank - 1] + 1, hits[rank - 1]
        if row.size == 0 or row.max() < WIDER_IOU:
            continue
        face = row.argmax()
        if not picture.counted[face]:
            proposals[rank] -= 1
        elif not seen[face]:
            seen[face] = True
            hits[rank] += 1
    return proposals, hits


def _area_under_envelope(recall: Reals, precision: Reals) -> float:
    steps = np.concatenate([[0.0], recall, [1.0]])
    heights = np.concatenate([[0.0], precision, [0.0]])
    envelope = np.maximum.accumulate(heights[::-1])[::-1]
    return float((np.diff(steps) * envelope[1:]).sum())
