"""Are two faces one person's? Labelled pairs, as a client asks: /alignedfaces, then its answers to /similarity/v2."""

import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from appliance.evaluation.device import CutFace, Device, in_parallel
from appliance.evaluation.measures import (
    Reals,
    best_threshold,
    equal_error_rate,
    false_match_rate,
    folded_accuracy,
    rate,
    true_match_rate,
)
from appliance.evaluation.pictures import size
from appliance.evaluation.report import Finding, percentage

QUESTION = "verification"

OPERATING_POINT = 0.5
"""The similarity that the contract calibrates to a false match rate of 0.1 %."""

LEAST_ACCURACY, MOST_FALSE_MATCHES, LEAST_TRUE_MATCHES = 98.8, 0.3, 97.0
"""Percent. The accuracy is that of the same networks on all of LFW (models/CARDS.md), less half a point."""


@dataclass(frozen=True, slots=True)
class Pair:
    """Two file names, and whether they show one person."""

    image_a: str
    image_b: str
    same: bool


def measure(device: Device, data: Path, workers: int) -> list[Finding]:
    """`data` holds pairs.csv (image_a, image_b, same) and images/. A pair without two faces counts as similarity 0."""
    pairs = read_pairs(data / "pairs.csv")
    names = sorted({name for pair in pairs for name in (pair.image_a, pair.image_b)})
    cut = in_parallel(
        "aligning", lambda name: central_face(device, (data / "images" / name).read_bytes()), names, workers
    )
    faces = dict(zip(names, cut, strict=True))

    def similarity(pair: Pair) -> float:
        face_a, face_b = faces[pair.image_a], faces[pair.image_b]
        return 0.0 if face_a is None or face_b is None else device.similarity(face_a.pixels, face_b.pixels)

    scores = np.array(in_parallel("comparing", similarity, pairs, workers))
    same = np.array([pair.same for pair in pairs])
    missing = percentage(QUESTION, "pictures without a face", rate(np.array([face is None for face in cut])))
    return [*judge(scores[same], scores[~same]), missing]


def judge(same: Reals, different: Reals) -> list[Finding]:
    """The findings from the similarities (0..1) of one person's pairs and of different people's."""
    folded, error = folded_accuracy(same, different)
    threshold, plain = best_threshold(same, different)
    return [
        percentage(QUESTION, f"accuracy, 10 folds (SE {100 * error:.2f})", folded, at_least=LEAST_ACCURACY),
        percentage(QUESTION, f"accuracy at best threshold {threshold:.3f}", plain, at_least=LEAST_ACCURACY),
        percentage(QUESTION, "FMR at 0.5", false_match_rate(different, OPERATING_POINT), at_most=MOST_FALSE_MATCHES),
        percentage(QUESTION, "TMR at 0.5", true_match_rate(same, OPERATING_POINT), at_least=LEAST_TRUE_MATCHES),
        percentage(QUESTION, "EER", equal_error_rate(same, different)),
    ]


def read_pairs(path: Path) -> list[Pair]:
    """The labelled pairs in the file's order."""
    with path.open(newline="", encoding="utf-8") as lines:
        return [Pair(row["image_a"], row["image_b"], row["same"] == "1") for row in csv.DictReader(lines)]


def central_face(device: Device, picture: bytes) -> CutFace | None:
    """The aligned face nearest to the picture's centre: LFW centres the person who is named."""
    faces = device.aligned_faces(picture)
    centre = np.array(size(picture)) / 2
    return min(faces, key=lambda face: float(np.linalg.norm(face.box[:2] + face.box[2:] / 2 - centre)), default=None)
