"""Where are a face's points, and do they follow the picture? Pictures with the 68 points of 300-W."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from appliance.evaluation.asked import FoundFace
from appliance.evaluation.inquiry import Inquiry
from appliance.evaluation.layout import SUFFIXES, LayoutError, read_lines
from appliance.evaluation.measures import Reals, area_under_error_curve, normalised_mean_error, overlaps, rate
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


POINTS = 68
"""Of 300-W, AFW, HELEN, IBUG and LFPW."""


@dataclass(frozen=True, slots=True)
class LabelledFace:
    """A picture, the 68 labelled points (68 x 2) of one face in it, and their inter-ocular distance in pixels."""

    path: Path
    points: Reals
    interocular: float

    @property
    def picture(self) -> bytes:
        """Its content. Raises OSError."""
        return self.path.read_bytes()


@dataclass(frozen=True, slots=True)
class Reflection:
    """What is not mirrored in a mirrored picture's face: points in inter-ocular distances, angles in degrees."""

    distance: float
    yaw: float
    roll: float


@dataclass(frozen=True, slots=True)
class Located:
    """The labelled faces; the face found at each, None where it is lost; and how each that was found follows its picture."""

    faces: tuple[LabelledFace, ...]
    found: tuple[FoundFace | None, ...]
    reflections: tuple[Reflection | None, ...]
    shifts: Mapping[float, tuple[float | None, ...]]

    @property
    def errors(self) -> Reals:
        """NME (0..) of each face, infinite where it is lost."""
        pairs = zip(self.faces, self.found, strict=True)
        return np.array([np.inf if found is None else labelled_error(face, found) for face, found in pairs])


def measure(inquiry: Inquiry, data: Path) -> Located:
    """`data` holds NAME.pts beside NAME.jpg or NAME.png, in any folder below it. Raises LayoutError, UnexpectedAnswerError."""
    faces = read_labelled_faces(data)
    found = inquiry.each("points", lambda face: find(inquiry, face), faces)
    pairs = [(face, match) for face, match in zip(faces, found, strict=True) if match is not None]
    reflections = inquiry.each("mirrored", lambda pair: reflect(inquiry, *pair), pairs)
    shifts = {degrees: tuple(roll_shifts(inquiry, pairs, degrees)) for degrees in (TURN, -TURN)}
    return Located(tuple(faces), tuple(found), tuple(reflections), shifts)


def findings(outcome: Located) -> list[Finding]:
    """Errors of the points, and how they follow mirrored and turned pictures."""
    return [
        *judge_points(outcome.errors),
        *judge_reflections(outcome.reflections),
        *(finding for degrees, each in outcome.shifts.items() for finding in judge_shifts(degrees, each)),
    ]


def judge_points(errors: Reals) -> list[Finding]:
    """The findings from the NME (0..) of each face, infinite where it is lost."""
    lost = np.isinf(errors)
    mean = 100 * float(errors[~lost].mean()) if not lost.all() else float("nan")
    return [
        Finding(QUESTION, "NME of faces found, 20 points", mean, "%", at_most=MOST_NME),
        percentage(QUESTION, "failed: NME > 8 % or lost", rate(errors > FAILURE)),
        Finding(QUESTION, "AUC of the error curve to 8 %", area_under_error_curve(errors, FAILURE)),
        percentage(QUESTION, "faces not found", rate(lost)),
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


def read_labelled_faces(folder: Path) -> list[LabelledFace]:
    """Every .pts file below the folder. Raises LayoutError."""
    paths = sorted(folder.rglob("*.pts"))
    if not paths:
        raise LayoutError(f"{folder}: no NAME.pts with the 68 points of 300-W beside NAME.jpg or NAME.png")
    return [read_face(path) for path in paths]


def read_face(path: Path) -> LabelledFace:
    """A .pts file and the picture beside it. Raises LayoutError."""
    rows = [line.split() for line in read_lines(path) if line.lstrip()[:1] in set("-0123456789")]
    try:
        points = np.array(rows, dtype=np.float64) - LABEL_ORIGIN
    except ValueError as error:
        raise LayoutError(f"{path}: its points are not all two numbers a line") from error
    if points.shape != (POINTS, 2) or not np.isfinite(points).all():
        raise LayoutError(f"{path}: {len(rows)} points; 300-W has {POINTS}, two numbers a line")
    picture = next((each for suffix in SUFFIXES if (each := path.with_suffix(suffix)).is_file()), None)
    if picture is None:
        raise LayoutError(f"{path.with_suffix('.jpg')}: no such picture beside its .pts")
    return LabelledFace(picture, points, float(np.linalg.norm(points[EYE_CORNERS[0]] - points[EYE_CORNERS[1]])))


def find(inquiry: Inquiry, face: LabelledFace) -> FoundFace | None:
    """The face found where the labels are."""
    return nearest(inquiry.faces(face.picture, detectcount=DETECTCOUNT), face.points)


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


def reflect(inquiry: Inquiry, face: LabelledFace, found: FoundFace) -> Reflection | None:
    """What the mirrored picture changes beyond mirroring; None when the face is not found there."""
    expected = mirror(found.points, size(face.picture)[0])
    match = nearest(inquiry.faces(mirrored(face.picture), detectcount=DETECTCOUNT), expected)
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
    inquiry: Inquiry, pairs: Sequence[tuple[LabelledFace, FoundFace]], degrees: float
) -> list[float | None]:
    """By how many degrees (-180..180) each roll follows its picture, turned clockwise; None when the face is lost."""

    def shift(pair: tuple[LabelledFace, FoundFace]) -> float | None:
        face, found = pair
        picture = turned(face.picture, degrees)
        match = nearest(inquiry.faces(picture.content, detectcount=DETECTCOUNT), picture.place(found.points))
        return None if match is None else float((match.pose[2] - found.pose[2] + 180) % 360 - 180)

    return inquiry.each(f"turned by {degrees:+.0f}°", shift, pairs)
