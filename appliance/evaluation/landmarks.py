"""Where are a face's points, and which way does it look? AFW pictures with the 68 points of 300-W."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from appliance.evaluation.device import Device, FoundFace, in_parallel
from appliance.evaluation.measures import Flags, Reals, normalised_mean_error, overlaps, rate
from appliance.evaluation.pictures import mirrored, size, turned
from appliance.evaluation.report import Finding, percentage

QUESTION = "landmarks"

SHARED_POINTS = (
    (17, 33), (21, 37), (22, 38), (26, 42),  # brows: outer and inner end of the left, inner and outer end of the right
    (30, 46), (31, 47), (33, 49), (35, 51),  # nose: tip, and the left end, middle and right end of its base
    (36, 52), (39, 55), (42, 58), (45, 61),  # eyes: outer and inner corner of the left, inner and outer of the right
    (48, 84), (54, 90), (51, 87), (57, 93),  # outer lip: left and right corner, top and bottom middle
    (60, 96), (64, 100), (62, 98), (66, 102),  # inner lip: left and right corner, top and bottom middle
)  # fmt: skip
"""(index in the 68 of 300-W, index in the device's 106) of the 20 points that mean the same spot in both schemes.

All of them are corners, ends, tips or middles: places with a name. Left out are points that only divide a curve evenly,
whose place follows from how many points the scheme has (brow arches, lids, nose bridge, the lips between corner and
middle), and the contour, which starts at the eyes in one scheme and at the ear's top in the other.
"""

LABEL_ORIGIN = 0.5
"""A .pts file counts pixel centres from one (MATLAB; so does menpo's importer), the contract starts in the picture's corner."""

EYE_CORNERS = (36, 45)
"""The outer eye corners, points 37 and 46 counted from one: 300-W's inter-ocular distance."""

MIRROR = (
    *range(32, -1, -1), *range(42, 32, -1), 43, 44, 45, 46, 51, 50, 49, 48, 47,  # contour, brows' upper edge, nose
    61, 60, 59, 58, 63, 62, 55, 54, 53, 52, 57, 56, *range(71, 63, -1),  # eyes, brows' lower edge
    75, 76, 77, 72, 73, 74, 79, 78, 81, 80, 83, 82,  # lids and eye centres, nose root and wings
    *range(90, 83, -1), 95, 94, 93, 92, 91, 100, 99, 98, 97, 96, 103, 102, 101, 105, 104,  # lips, pupils
)  # fmt: skip
"""The index that each of the 106 points has in a mirrored picture."""

FAILURE = 0.08
"""NME from which a face counts as failed (the 300-W challenge)."""

SAME_FACE = 0.3
"""Overlap of the boxes around two sets of points from which they are one face's; neighbours in a group stay below."""

DETECTCOUNT = 100
"""So many faces that the labelled one of a group picture is among the largest."""

TURN = 15.0
"""Degrees that a picture is turned to see its roll follow."""

MOST_NME, MOST_MIRROR_ERROR = 4.8, 1.5
"""Percent of the inter-ocular distance."""

ROLL_TOLERANCE = 2.0
"""Degrees."""


@dataclass(frozen=True, slots=True)
class LabelledFace:
    """A picture, the 68 labelled points (68 x 2) of one face in it, and their inter-ocular distance in pixels."""

    name: str
    picture: bytes
    points: Reals
    interocular: float


@dataclass(frozen=True, slots=True)
class Reflection:
    """What is not mirrored in a mirrored picture's face: points in inter-ocular distances, angles in degrees."""

    distance: float
    yaw: float
    roll: float


def measure(device: Device, data: Path, workers: int) -> list[Finding]:
    """`data` holds NAME.jpg beside NAME.pts."""
    faces = [read_face(path) for path in sorted(data.glob("*.pts"))]
    found = in_parallel("points", lambda face: find(device, face), faces, workers)
    pairs = [(face, match) for face, match in zip(faces, found, strict=True) if match is not None]
    errors = np.array([labelled_error(face, match) for face, match in pairs])
    reflections = in_parallel("mirrored", lambda pair: reflect(device, *pair), pairs, workers)
    shifts = {degrees: roll_shifts(device, pairs, degrees, workers) for degrees in (TURN, -TURN)}
    failed = np.concatenate([errors > FAILURE, np.ones(len(faces) - len(pairs), dtype=np.bool_)])
    return [
        *judge_points(errors, failed, rate(np.array([match is None for match in found])).value),
        *judge_reflections(reflections),
        *(finding for degrees, each in shifts.items() for finding in judge_shifts(degrees, each)),
    ]


def judge_points(errors: Reals, failed: Flags, missing: float) -> list[Finding]:
    """The findings from the NME (0..1) of each face found, which faces failed, and the share of faces not found."""
    mean = 100 * float(errors.mean()) if errors.size else float("nan")
    return [
        Finding(QUESTION, "NME of faces found, 20 points", mean, "%", at_most=MOST_NME),
        percentage(QUESTION, "failed: NME > 8 % or lost", rate(failed)),
        percentage(QUESTION, "faces not found", missing),
    ]


def judge_reflections(reflections: Sequence[Reflection | None]) -> list[Finding]:
    """The findings from mirrored pictures; None where the face was lost."""
    kept = [each for each in reflections if each is not None]

    def mean(values: list[float]) -> float:
        return float(np.mean(values)) if values else float("nan")

    return [
        Finding(
            QUESTION,
            "mirrored: mean distance, 106 points",
            100 * mean([each.distance for each in kept]),
            "%",
            at_most=MOST_MIRROR_ERROR,
        ),
        Finding(QUESTION, "mirrored: mean |yaw + yaw'|", mean([abs(each.yaw) for each in kept]), "°"),
        Finding(QUESTION, "mirrored: mean |roll + roll'|", mean([abs(each.roll) for each in kept]), "°"),
        Finding(QUESTION, "mirrored: faces lost", len(reflections) - len(kept)),
    ]


def judge_shifts(degrees: float, shifts: Sequence[float | None]) -> list[Finding]:
    """The findings from the roll's shift in turned pictures; None where the face was lost."""
    kept = np.array([shift for shift in shifts if shift is not None])
    mean = float(kept.mean()) if kept.size else float("nan")
    wanted = (degrees - ROLL_TOLERANCE, degrees + ROLL_TOLERANCE)
    return [
        Finding(QUESTION, f"turned by {degrees:+.0f}°: mean shift of roll", mean, "°", None, *wanted),
        Finding(QUESTION, f"turned by {degrees:+.0f}°: faces lost", len(shifts) - kept.size),
    ]


def read_face(path: Path) -> LabelledFace:
    """A .pts file and the picture beside it."""
    rows = [line.split() for line in path.read_text(encoding="ascii").splitlines() if line[:1] in set("-0123456789")]
    points = np.array(rows, dtype=np.float64) - LABEL_ORIGIN
    interocular = float(np.linalg.norm(points[EYE_CORNERS[0]] - points[EYE_CORNERS[1]]))
    return LabelledFace(path.stem, path.with_suffix(".jpg").read_bytes(), points, interocular)


def find(device: Device, face: LabelledFace) -> FoundFace | None:
    """The device's face where the labels are."""
    return nearest(device.faces(face.picture, detectcount=DETECTCOUNT), face.points)


def nearest(faces: Sequence[FoundFace], points: Reals) -> FoundFace | None:
    """The face whose points overlap N x 2 `points` most, None when none overlaps enough to be the same face."""
    if not faces:
        return None
    shared = overlaps(np.array([around(face.points) for face in faces]), around(points)[None])[:, 0]
    return faces[int(shared.argmax())] if shared.max() >= SAME_FACE else None


def around(points: Reals) -> Reals:
    """The box (x, y, width, height) of N x 2 points."""
    return np.concatenate([points.min(axis=0), np.ptp(points, axis=0)])


def labelled_error(face: LabelledFace, found: FoundFace) -> float:
    """NME over the inter-ocular distance of the 20 points that both schemes share."""
    labelled, given = np.array(SHARED_POINTS).T
    return normalised_mean_error(found.points[given], face.points[labelled], face.interocular)


def reflect(device: Device, face: LabelledFace, found: FoundFace) -> Reflection | None:
    """What the mirrored picture changes beyond mirroring; None when the face is not found there."""
    expected = mirror(found.points, size(face.picture)[0])
    match = nearest(device.faces(mirrored(face.picture), detectcount=DETECTCOUNT), expected)
    if match is None:
        return None
    distance = normalised_mean_error(match.points, expected, face.interocular)
    yaw, _, roll = match.pose + found.pose
    return Reflection(distance, float(yaw), float(roll))


def mirror(points: Reals, width: int) -> Reals:
    """The 106 points (106 x 2) of a picture `width` pixels wide as a mirror shows them, in their own order."""
    seen = points[list(MIRROR)]
    return np.column_stack([width - seen[:, 0], seen[:, 1]])


def roll_shifts(
    device: Device, pairs: Sequence[tuple[LabelledFace, FoundFace]], degrees: float, workers: int
) -> list[float | None]:
    """By how many degrees (-180..180) each roll follows its picture, turned clockwise; None when the face is lost."""

    def shift(pair: tuple[LabelledFace, FoundFace]) -> float | None:
        face, found = pair
        picture = turned(face.picture, degrees)
        match = nearest(device.faces(picture.content, detectcount=DETECTCOUNT), picture.place(found.points))
        return None if match is None else float((match.pose[2] - found.pose[2] + 180) % 360 - 180)

    return in_parallel(f"turned by {degrees:+.0f}°", shift, pairs, workers)
