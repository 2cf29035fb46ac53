"""Where are a face's points, and do they follow the picture? Pictures with the 68 points of 300-W."""

from math import inf, nan
from pathlib import Path

import numpy as np

from appliance.calibration.rates import Reals, rate
from lab.device import FoundFace
from lab.evaluate.client import Client
from lab.evaluate.datasets import LabelledFace, read_labelled_faces
from lab.evaluate.measures import area_under_error_curve, normalised_mean_error, overlaps
from lab.pictures import mirrored, size, turned
from lab.report import Evaluation, Finding, Mistake, percentage

QUESTION = "landmarks"

SHARED_POINTS = (
    (17, 33), (21, 37), (22, 38), (26, 42),  # brows: outer and inner end of the left, inner and outer end of the right
    (30, 46), (31, 47), (33, 49), (35, 51),  # nose: tip, and the left end, middle and right end of its base
    (36, 52), (39, 55), (42, 58), (45, 61),  # eyes: outer and inner corner of the left, inner and outer of the right
    (48, 84), (54, 90), (51, 87), (57, 93),  # outer lip: left and right corner, top and bottom middle
    (60, 96), (64, 100), (62, 98), (66, 102),  # inner lip: left and right corner, top and bottom middle
)  # fmt: skip
"""(index in the 68 of 300-W, index in the device's 106) of the 20 points that mean the same spot in both schemes: corners,
ends, tips and middles. Left out are points that only divide a curve evenly, whose place follows from how many points the
scheme has, and the contour, which starts at the eyes in one scheme and at the ear's top in the other.
"""

OF_68, OF_106 = np.array(SHARED_POINTS).T

MIRROR = (
    *range(32, -1, -1), *range(42, 32, -1), 43, 44, 45, 46, 51, 50, 49, 48, 47,  # contour, brows' upper edge, nose
    61, 60, 59, 58, 63, 62, 55, 54, 53, 52, 57, 56, *range(71, 63, -1),  # eyes, brows' lower edge
    75, 76, 77, 72, 73, 74, 79, 78, 81, 80, 83, 82,  # lids and eye centres, nose root and wings
    *range(90, 83, -1), 95, 94, 93, 92, 91, 100, 99, 98, 97, 96, 103, 102, 101, 105, 104,  # lips, pupils
)  # fmt: skip
"""The index that each of the 106 points has in a mirrored picture."""

FAILURE = 0.08  # NME from which a face counts as failed (the 300-W challenge)
SAME_FACE = 0.3  # overlap from which two sets of points are one face's; neighbours in a group stay below
DETECTCOUNT = 100  # so many faces that the labelled one of a group picture is among the largest
TURNS, ROLL_TOLERANCE = (15.0, -15.0), 2.0  # degrees by which a picture is turned, and by which its roll may miss that
MOST_NME, MOST_MIRROR_ERROR = 4.3, 2.1  # percent of the inter-ocular distance


def measure(client: Client, data: Path) -> Evaluation:
    """Errors of the 20 points that both schemes share, and how all points follow mirrored and turned pictures. `data` holds
    NAME.pts beside NAME.jpg or NAME.png, in any folder below it. Raises LayoutError, UnexpectedAnswerError.
    """

    def find(picture: bytes, points: Reals) -> FoundFace | None:
        return nearest(client.faces(picture, detectcount=DETECTCOUNT), points)

    def ask(face: LabelledFace) -> tuple[FoundFace | None, list[float]]:
        """The answer; NME of the shared points, inf for a lost face; of the mirrored picture the distance of all points, |yaw +
        yaw'| and |roll + roll'|; the shift of the roll (-180..180) in each turned picture. NaN where the face is lost there.
        """
        picture = face.path.read_bytes()
        found = find(picture, face.points)
        if found is None:
            return None, [inf, *[nan] * (3 + len(TURNS))]
        row = [normalised_mean_error(found.points[OF_106], face.points[OF_68], face.interocular)]
        expected = mirror(found.points, size(picture)[0])
        match = find(mirrored(picture), expected)
        if match is None:
            row += [nan] * 3
        else:
            yaw, _, roll = np.abs(match.pose + found.pose)
            row += [normalised_mean_error(match.points, expected, face.interocular), yaw, roll]
        for degrees in TURNS:
            match = find(*turned(picture, degrees, found.points))
            row.append(nan if match is None else (match.pose[2] - found.pose[2] + 180) % 360 - 180)
        return found, row

    faces = read_labelled_faces(data)
    found, rows = zip(*client.each("points", ask, faces), strict=True)
    errors, *others = np.array(rows, np.float64).T
    lost = np.isinf(errors)
    moved, yaw, roll, *shifts = (column[~lost] for column in others)
    findings = [
        Finding(QUESTION, "NME of faces found, 20 points", 100 * _mean(errors[~lost]), "%", at_most=MOST_NME),
        percentage(QUESTION, "failed: NME > 8 % or lost", rate(errors > FAILURE)),
        Finding(QUESTION, "AUC of the error curve to 8 %", area_under_error_curve(errors, FAILURE)),
        percentage(QUESTION, "faces not found", rate(lost)),
        Finding(QUESTION, "mirrored: mean distance, 106 points", 100 * _mean(moved), "%", at_most=MOST_MIRROR_ERROR),
        Finding(QUESTION, "mirrored: mean |yaw + yaw'|", _mean(yaw), "°"),
        Finding(QUESTION, "mirrored: mean |roll + roll'|", _mean(roll), "°"),
        Finding(QUESTION, "mirrored: faces lost", int(np.isnan(moved).sum())),
    ]
    for degrees, shift in zip(TURNS, shifts, strict=True):
        title, wanted = f"turned by {degrees:+.0f}°", (degrees - ROLL_TOLERANCE, degrees + ROLL_TOLERANCE)
        findings.append(Finding(QUESTION, f"{title}: mean shift of roll", _mean(shift), "°", None, *wanted))
        findings.append(Finding(QUESTION, f"{title}: faces lost", int(np.isnan(shift).sum())))
    remark = "The 20 points that mean the same spot in both schemes; lost faces count as errors of any size."
    worst = [_mistake(faces[place], found[place], errors[place]) for place in np.argsort(-errors, kind="stable")]
    kinds = {"Largest errors (orange found, green labelled)": worst}
    return Evaluation({"faces": len(faces)}, findings, remark, kinds)


def _mistake(face: LabelledFace, found: FoundFace | None, error: float) -> Mistake:
    text, points = ("lost", None) if found is None else (f"NME {100 * error:.1f} %", found.points[OF_106])
    return Mistake(text, [(face.path, around(face.points))], points, face.points[OF_68])


def nearest(faces: list[FoundFace], points: Reals) -> FoundFace | None:
    """The face whose points overlap N x 2 `points` most, None when none overlaps enough to be the same face."""
    if not faces:
        return None
    shared = overlaps(np.array([around(face.points) for face in faces]), around(points)[None])[:, 0]
    return faces[int(shared.argmax())] if shared.max() >= SAME_FACE else None


def around(points: Reals) -> Reals:
    """The box (x, y, width, height) of N x 2 points."""
    return np.concatenate([points.min(axis=0), np.ptp(points, axis=0)])


def mirror(points: Reals, width: int) -> Reals:
    """The 106 points (106 x 2) of a picture `width` pixels wide in its mirror image, in their own order."""
    return points[list(MIRROR)] * [-1, 1] + [width, 0]


def _mean(values: Reals) -> float:
    """The mean of those that are known, NaN without any."""
    known = values[~np.isnan(values)]
    return float(known.mean()) if known.size else nan
