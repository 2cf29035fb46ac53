"""The measures: biometric verification and presentation attacks (ISO/IEC 19795-1, 30107-3), landmarks (300-W), detection
(WIDER FACE). Scores of different kinds are apart; higher means more alike, or more alive.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from appliance.calibration.rates import RULE_OF_THREE, Z_95, Flags, Rate, Reals, rate

WIDER_IOU = 0.5  # overlap from which a detection is a labelled face (WIDER FACE, Yang et al. 2016, after PASCAL VOC)
WIDER_THRESHOLDS = 1000  # steps of the score axis in the WIDER FACE evaluation toolbox


def best_threshold(same: Reals, different: Reals) -> tuple[float, float]:
    """The threshold that decides most pairs correctly, and the share of pairs (0..1) it decides correctly.

    The candidates lie midway between neighbouring scores and at both ends; of equally good ones, the middle one.
    """
    scores = np.unique(np.concatenate([same, different]))
    tried = np.concatenate([scores[:1], (scores[1:] + scores[:-1]) / 2, [np.nextafter(scores[-1], np.inf)]])
    right = same.size - np.searchsorted(np.sort(same), tried) + np.searchsorted(np.sort(different), tried)
    best = np.flatnonzero(right == right.max())
    middle = best[best.size // 2]
    return float(tried[middle]), float(right[middle] / (same.size + different.size))


def folded_accuracy(scores: Reals, same: Flags, folds: npt.NDArray[np.int64]) -> tuple[float, float]:
    """Mean and standard error of the accuracy over the folds (N, the fold of each score), each judged by the best threshold
    of the others: the protocol of Labeled Faces in the Wild (Huang et al. 2007). Raises ValueError with fewer than two folds,
    or if one has not both kinds.
    """
    names = np.unique(folds)
    if names.size < 2 or any(np.unique(same[folds == name]).size < 2 for name in names):
        raise ValueError(f"{same.sum()} and {same.size - same.sum()} scores do not fill {names.size} folds")
    from scipy import stats

    accuracies = []
    for held in (folds == name for name in names):
        threshold, _ = best_threshold(scores[~held & same], scores[~held & ~same])
        accuracies.append(float(((scores[held] >= threshold) == same[held]).mean()))
    return float(np.mean(accuracies)), float(stats.sem(accuracies))


def threshold_at(false_match: float, different: Reals) -> float | None:
    """The lowest threshold at which at most the share `false_match` (0..1) of the scores of different people is accepted; None
    with fewer scores than 3 / `false_match`, which could not show such a rate if none was accepted (rule of three).
    """
    if different.size < RULE_OF_THREE / false_match * (1 - 1e-9):
        return None
    refused = np.sort(different)[different.size - 1 - int(false_match * different.size * (1 + 1e-9))]
    return float(np.nextafter(refused, np.inf))


def error_curve(positives: Reals, negatives: Reals) -> tuple[Reals, Reals]:
    """Both kinds of error at each falling threshold, where a score at or over it is accepted, from scores of what should be
    accepted (N) and of what should not (M): the share (0..1) of accepted negatives (FMR, APCER), and that of refused positives
    (FNMR, BPCER).
    """
    from sklearn import metrics

    let_through, accepted, _ = metrics.roc_curve(*_labelled(positives, negatives), drop_intermediate=False)
    return let_through, (positives.size - np.rint(accepted * positives.size)) / positives.size


def area_under_curve(positives: Reals, negatives: Reals) -> float:
    """AUC, 0..1: the chance that a positive scores higher than a negative, ties counting half (Mann, Whitney 1947)."""
    from sklearn import metrics

    return float(metrics.roc_auc_score(*_labelled(positives, negatives)))


def equal_error_rate(positives: Reals, negatives: Reals) -> float:
    """EER, 0..1: the mean of both error rates at the threshold where they differ least; the lowest of several."""
    let_through, missed = error_curve(positives, negatives)
    differences = np.abs(missed - let_through)
    nearest = np.flatnonzero(differences == differences.min())[-1]
    return float((missed[nearest] + let_through[nearest]) / 2)


def attack_classification_error(attacks: Mapping[str, Reals], threshold: float) -> tuple[str, dict[str, Rate]]:
    """APCER: the name of the worst species of attack, by which the standard judges a device, and for each species the share of
    its scores taken for live.
    """
    errors = {species: rate(scores >= threshold) for species, scores in attacks.items()}
    return max(errors, key=lambda species: errors[species].value), errors


def normalised_mean_error(found: Reals, labelled: Reals, interocular: float) -> float:
    """NME: mean distance of N x 2 points (pixels) to their labels over the inter-ocular distance (300-W); 0.05 is 5 %."""
    return float(np.linalg.norm(found - labelled, axis=1).mean() / interocular)


def area_under_error_curve(errors: Reals, limit: float) -> float:
    """AUC, 0..1, of the cumulative distribution of errors (N, infinite without a face) up to `limit` (300-W): the integral of
    the empirical distribution from 0 to `limit`, over `limit`, exact and without steps.
    """
    return float(np.maximum(0.0, limit - errors).mean() / limit)


def mean_bounds(values: Reals) -> tuple[float, float]:
    """95 % bounds of the mean of N values by their standard error; of zero width for fewer than two."""
    from scipy import stats

    half = Z_95 * float(stats.sem(values)) if values.size > 1 else 0.0
    return float(values.mean()) - half, float(values.mean()) + half


def overlaps(found: Reals, labelled: Reals) -> Reals:
    """Intersection over union of N x 4 and M x 4 boxes (x, y, width, height): N x M, 0..1.

    Like the WIDER FACE toolbox, counts both border pixels: a box of width w covers w + 1 of them.
    """
    top_left = np.maximum(found[:, None, :2], labelled[None, :, :2])
    bottom_right = np.minimum((found[:, :2] + found[:, 2:])[:, None], (labelled[:, :2] + labelled[:, 2:])[None])
    shared = (bottom_right - top_left + 1).clip(0).prod(axis=2)
    areas = (found[:, 2:] + 1).prod(axis=1)[:, None] + (labelled[:, 2:] + 1).prod(axis=1)[None]
    return np.asarray(shared / (areas - shared), dtype=np.float64)


@dataclass(frozen=True, slots=True)
class DetectedPicture:
    """Detections and labels of one picture: boxes are x, y, width, height in its pixels. `found` (N x 4) with `scores` (N);
    `labelled` (M x 4), of which `counted` (M) says which count in the setting; the others are regions to ignore.
    """

    found: Reals
    scores: Reals
    labelled: Reals
    counted: Flags


HIT, FALSE, IGNORED = 1, 0, -1  # a detection recalls a counted face first; recalls none, or one again; does not count


@dataclass(frozen=True, slots=True)
class Matching:
    """The places of a picture's detections by falling score, the verdict on each in that order (HIT, FALSE, IGNORED), and which
    labelled faces are recalled (M).
    """

    order: npt.NDArray[np.intp]
    verdicts: npt.NDArray[np.int64]
    recalled: Flags


def match(picture: DetectedPicture) -> Matching:
    """Which detection belongs to which labelled face, by the rules of the WIDER FACE evaluation toolbox: that which it overlaps
    most. From IoU 0.5 on it recalls a counted face, and is itself left out when that face is to be ignored.
    """
    order = np.argsort(-picture.scores, kind="stable")
    recalled = np.zeros(len(picture.labelled), dtype=np.bool_)
    verdicts = np.full(order.size, FALSE, dtype=np.int64)
    for rank, shared in enumerate(overlaps(picture.found[order], picture.labelled)):
        if shared.size == 0 or shared.max() < WIDER_IOU:
            continue
        face = shared.argmax()
        if not picture.counted[face]:
            verdicts[rank] = IGNORED
        elif not recalled[face]:
            verdicts[rank] = HIT
        recalled[face] |= bool(picture.counted[face])
    return Matching(order, verdicts, recalled)


def precision_recall(pictures: Sequence[DetectedPicture]) -> tuple[Reals, Reals]:
    """Precision and recall, 0..1, at 1000 falling thresholds, by the rules of the WIDER FACE evaluation toolbox; scores are
    stretched to 0..1 over all pictures. scikit-learn's curve has a threshold a score, and no missed or ignored faces. Raises
    ValueError when no face counts or none is found.
    """
    faces = sum(int(picture.counted.sum()) for picture in pictures)
    scores = np.concatenate([picture.scores for picture in pictures])
    if faces == 0 or scores.size == 0:
        raise ValueError(f"no average precision of {scores.size} detections on {faces} counted faces")
    low, high = float(scores.min()), float(scores.max())
    thresholds = 1 - np.arange(1, WIDER_THRESHOLDS + 1) / WIDER_THRESHOLDS
    proposed, recalled = np.zeros(WIDER_THRESHOLDS), np.zeros(WIDER_THRESHOLDS)
    for picture in pictures:
        matching = match(picture)
        stretched = (picture.scores[matching.order] - low) / (high - low or 1.0)
        taken = np.searchsorted(-stretched, -thresholds, side="right")
        proposed += np.append(0, np.cumsum(matching.verdicts != IGNORED))[taken]
        recalled += np.append(0, np.cumsum(matching.verdicts == HIT))[taken]
    precision = np.divide(recalled, proposed, out=np.zeros_like(recalled), where=proposed > 0)
    return precision, recalled / faces


def average_precision(precision: Reals, recall: Reals) -> float:
    """AP, 0..1: the area under the envelope of a curve of falling thresholds (all-point interpolation, PASCAL VOC 2010)."""
    envelope = np.maximum.accumulate([0.0, *precision[::-1]])[::-1]
    return float((np.diff([0.0, *recall, 1.0]) * envelope).sum())


def _labelled(positives: Reals, negatives: Reals) -> tuple[Reals, Reals]:
    """Labels and scores as scikit-learn takes them."""
    return np.repeat([1.0, 0.0], [positives.size, negatives.size]), np.concatenate([positives, negatives])
