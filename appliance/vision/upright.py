"""Which way up is a face? One run of a detector that is half as large as the smallest square one.

The detector's landmarks and the mesh are drawn upright even on a face that is not, but the detector's score is highest when
the face stands upright. The face's own patch is turned eight ways, and the way with the best score gives the lean to 45
degrees. Of LFW, AFW, HELEN and WIDER FACE, 0 of 159 upright faces were called turned and 0 of 98 turned ones upright.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from appliance.face.alignment import FIVE_OF_106, apply, inverse, rotated_square
from appliance.face.types import Box, Detection, Pixels
from appliance.vision.detector import Picture, cut, levels, scores
from appliance.vision.landmarks import REGION, Fit, Landmarks
from appliance.vision.runtime import Floats, Runs

TILES = 4
"""Tiles side by side in the network's input; two rows of them are the eight ways."""

CONTEXT = 2.0
"""Side of a tile's part of the picture over the face box's side."""

MARGIN = 0.15
"""Share of a tile, on each side, in which no face's centre is looked for; without it fewer turned faces are found."""

TURNED = 45.0
"""Degrees of lean above which a face is not upright: up to there the embedding of a face hardly changes."""

STEADY = 30.0
"""Degrees of lean up to which the mesh, fitted by the detector's landmarks, follows a face."""

PRESENCE = 0.5
"""Below it the mesh network sees no face (its model card)."""

CERTAIN_SCORE, CERTAIN_PRESENCE, CERTAIN_DISAGREEMENT = 0.92, 0.97, 0.12
"""A face of at least this score and presence, whose five landmarks by detector and mesh are on average less than this share of
the eye distance apart, is upright: 44 of 60 upright LFW faces are (their scores .934 and more), and 0 of 266 turned by 90,
105, 180, 255 and 270 degrees. By presence and disagreement alone, 5 of these are, with scores of up to .898.
"""

LESS_PRESENT = 0.05
"""How much less presence than the upright mesh a turned one may have for its points to be taken. Of 181 faces of AFW turned by
90 to 270 degrees none has .02 less; of 60 turned by 15 degrees one was taken to be upside down, with .13 less.
"""

TIGHT = 1.5
"""Side of the region of the second fit over the larger extent of the first one's points."""


@dataclass(frozen=True, slots=True)
class Standing:
    """A detection and its mesh, which agree with the way the face is turned; `upright` is False for a face that leans by
    more than TURNED, and for one whose lean is not known.
    """

    detection: Detection
    fit: Fit
    upright: bool = True

    @property
    def disagreement(self) -> float:
        """Mean distance of the five landmarks by detector and mesh, in distances between the mesh's pupils."""
        five = self.fit.points[list(FIVE_OF_106)]
        apart = np.linalg.norm(five - self.detection.landmarks, axis=1).mean()
        return float(apart / max(np.linalg.norm(five[1] - five[0]), 1e-6))


class OrientationCheck:
    """Finds out which way faces are turned."""

    def __init__(self, network: Runs) -> None:
        """`network` is the detector's smallest one (320 x 160)."""
        self._network = network

    def way(self, picture: Picture, detection: Detection) -> int:
        """How a face leans, clockwise, in steps of 45 degrees: -135..180."""
        file = self._network.file
        tile = file.width // TILES
        canvas = np.zeros((file.height, file.width, 3), np.uint8)
        canvas[: 2 * tile] = _mosaic(picture, detection.box, tile)
        lean = 45 * int(_best(self._network.run(canvas)).T.argmax())
        return lean - 360 if lean > 180 else lean


def certain(standing: Standing) -> bool:
    """Whether a face is upright so surely that its orientation need not be looked for."""
    sure = standing.detection.score >= CERTAIN_SCORE and standing.fit.presence >= CERTAIN_PRESENCE
    return sure and standing.disagreement < CERTAIN_DISAGREEMENT


def stood(landmarks: Landmarks, picture: Picture, standing: Standing, way: int) -> Standing:
    """The face with the points it has when it leans by about `way` degrees; `standing` is what was found by the detector's
    landmarks, which stays as it is for a face that leans by at most STEADY.
    """
    if way == 0:
        return standing
    first = landmarks.locate(picture, _leaning(standing.detection, standing.detection.box, way))
    if not np.isfinite(first.points).all():
        return _uncertain(standing)
    lean = _lean(first)
    center, extent = _extent(first, lean)
    side = float(extent.max()) * TIGHT / REGION
    fit = landmarks.locate(picture, _leaning(standing.detection, _square(center, side), lean))
    if not np.isfinite(fit.points).all() or fit.presence < PRESENCE:
        return _uncertain(standing)
    lean = _lean(fit)
    if min(abs(lean), abs(fit.pose.roll)) <= STEADY:
        return standing
    if fit.presence < standing.fit.presence - LESS_PRESENT:
        return replace(standing, upright=False)  # which of the two is right is not known
    five = fit.points[list(FIVE_OF_106)]
    return Standing(Detection(_box(fit, lean), five, standing.detection.score), fit, upright=abs(lean) <= TURNED)


def _uncertain(standing: Standing) -> Standing:
    """What was found by the detector's landmarks, upright if the mesh network saw a face there."""
    return Standing(standing.detection, standing.fit, upright=standing.fit.presence >= PRESENCE)


def _mosaic(picture: Picture, box: Box, tile: int) -> Pixels:
    """Two rows of four tiles: the patch turned back by 0, 90, 180, 270 degrees, and by 45, 135, 225, 315."""
    rows = []
    for start in (0, 45):
        patch = cut(picture, rotated_square(box.center, box.side * CONTEXT, np.radians(start), tile), tile)
        rows.append(np.hstack([np.rot90(patch, quarter) for quarter in range(4)]))
    return np.vstack(rows)


def _best(outputs: Sequence[Floats]) -> Floats:
    """The best score in each of the 2 x TILES tiles."""
    best = np.zeros((2, TILES), np.float32)
    for level in levels(outputs):
        found = scores(level)
        cells = found.shape[1] / TILES
        begins = [int(np.ceil((k + MARGIN) * cells)) for k in range(TILES)]
        ends = [int(np.floor((k + 1 - MARGIN) * cells)) for k in range(TILES)]
        spans = [slice(begin, max(end, begin + 1)) for begin, end in zip(begins, ends, strict=True)]
        level_best = [[found[rows, columns].max(initial=0) for columns in spans] for rows in spans[:2]]
        best = np.maximum(best, np.array(level_best, np.float32))
    return best


def _leaning(detection: Detection, box: Box, degrees: float) -> Detection:
    """The detection with another box, and with landmarks whose eye line leans by so much."""
    turn = np.radians(degrees)
    eyes = np.array([[0, 0], [np.cos(turn), np.sin(turn)], [0, 0], [0, 0], [0, 0]], np.float32)
    return Detection(box, eyes * np.float32(box.side), detection.score)


def _lean(fit: Fit) -> float:
    """Degrees by which the line of the pupils leans clockwise, -180..180."""
    (left_x, left_y), (right_x, right_y) = fit.points[list(FIVE_OF_106[:2])]
    return float(np.degrees(np.arctan2(right_y - left_y, right_x - left_x)))


def _extent(fit: Fit, lean: float) -> tuple[tuple[float, float], Floats]:
    """The centre (picture pixels) and the size (width, height) of the rectangle about the points that leans like the face."""
    turn = rotated_square((0, 0), 1, np.radians(lean), 1)
    seen = apply(turn, fit.points)
    low, high = seen.min(axis=0), seen.max(axis=0)
    (center,) = apply(inverse(turn), ((low + high) / 2)[np.newaxis])
    return (float(center[0]), float(center[1])), high - low


HEIGHT, RISE = 1.35, 0.18
"""The side of the detector's box, and how far its centre lies above that of the points, in heights of the points (medians over
115 upright LFW faces; standard deviations .07 and .04).
"""


def _box(fit: Fit, lean: float) -> Box:
    """The square that the detector puts about an upright face with these points, about the same place of the turned one."""
    (x, y), (_, height) = _extent(fit, lean)
    turn, rise = np.radians(lean), RISE * float(height)
    return _square((x + rise * float(np.sin(turn)), y - rise * float(np.cos(turn))), HEIGHT * float(height))


def _square(center: tuple[float, float], side: float) -> Box:
    return Box(center[0] - side / 2, center[1] - side / 2, side, side)
