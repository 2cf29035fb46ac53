"""What a scene gives away about a face in it, without a network: frames, glued surroundings, moiré, stills, blindness.

Nearly silent on real people; thresholds measured on NUAA and on phone replays (models/CARDS.md).
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from itertools import pairwise

import cv2
import numpy as np
import numpy.typing as npt

from appliance.face.types import Box, Pixels, Points

MOIRE = 2.8
"""Mean strength (log power over its surroundings) of spectral peaks above which a screen's grid is seen."""

STILL = 0.25
"""Mean grey-level difference of two 64x64 frames below which they are one picture sent again, perhaps re-encoded."""

LEAST_CONTEXT = 1.2
"""Picture side over face side below which the network sees nothing but skin."""

LEAST_SHARPNESS = 2.5
"""Log variance of the Laplacian of the 128x128 face below which it is too blurred to judge."""

FACE_WIDTH = 64
"""Width in pixels to which a face is brought before lines are looked for."""

FLOW_SIDE = 320
"""Longer side of the pictures in which motion is followed."""

Grey = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Scene:
    """A frame and the face in it: RGB pixels and grey ones, and in the pixels of that frame the face's box, five landmarks
    (5 x 2) and 106 points (106 x 2).
    """

    pixels: Pixels
    box: Box
    landmarks: Points
    points: Points
    grey: Grey = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "grey", cv2.cvtColor(self.pixels, cv2.COLOR_RGB2GRAY))

    def grey_at(self, scale: float) -> Grey:
        return np.asarray(cv2.resize(self.grey, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA), np.uint8)


def bezel(scene: Scene) -> float:
    """How long near-vertical lines stand on both sides of the face (a screen's bezel, a sheet's edge), in face heights, at
    most 1.5: the shorter of the longest left and the longest right of it.
    """
    scale = FACE_WIDTH / scene.box.width
    box = scene.box.scaled(scale)
    edges = cv2.Canny(scene.grey_at(scale), 50, 120)
    lines = cv2.HoughLinesP(edges, 1, np.pi / 180, 40, minLineLength=int(box.height * 0.8), maxLineGap=6)
    if lines is None:
        return 0.0
    x1, y1, x2, y2 = lines.reshape(-1, 4).T.astype(np.float64)
    angle = np.abs(np.degrees(np.arctan2(y2 - y1, x2 - x1)))
    upright = (angle > 65) & (angle < 115)
    beside = (np.minimum(y1, y2) < box.y + box.height) & (np.maximum(y1, y2) > box.y)
    length = np.where(upright & beside, np.hypot(x2 - x1, y2 - y1) / box.height, 0.0)
    middle = (x1 + x2) / 2
    left = (middle > box.x - 3 * box.width) & (middle < box.x - 0.1 * box.width)
    right = (middle > box.x + 1.1 * box.width) & (middle < box.x + 4 * box.width)
    return float(min((length * left).max(), (length * right).max(), 1.5))


def moves_as_one(scenes: Sequence[Scene]) -> bool:
    """Whether the surroundings move glued to the face, as on a held print or screen, in the two consecutive frames between
    which the face moves most (by more than 5 % of its width).
    """
    height, width = scenes[0].pixels.shape[:2]
    scale = FLOW_SIDE / max(height, width)
    greys = [scene.grey_at(scale) for scene in scenes]
    moved, glued = 0.0, 0.0
    for (before, scene), (after, follower) in pairwise(zip(greys, scenes, strict=True)):
        motion, share = _coupling(before, after, scene, follower, scale)
        if motion > moved:
            moved, glued = motion, share
    return moved > 0.05 and glued > 0.5


def _coupling(before: Grey, after: Grey, scene: Scene, follower: Scene, scale: float) -> tuple[float, float]:
    """How far the face's own motion carries the ring around it (in face widths), and the share of the ring's tracked points
    that went along (closer than a quarter of that way, plus 1 % of the width).
    """
    if before.shape != after.shape:
        return 0.0, 0.0
    box = scene.box.scaled(scale)
    face_mask, ring_mask = _masks(before.shape, box)
    inside = _track(before, after, face_mask, 80)
    ring = _track(before, after, ring_mask, 120)
    if inside is not None:
        affine, _ = cv2.estimateAffinePartial2D(*inside, method=cv2.RANSAC, ransacReprojThreshold=1.5)
    else:
        affine, _ = cv2.estimateAffinePartial2D(scene.landmarks * scale, follower.landmarks * scale, method=cv2.LMEDS)
    if affine is None or ring is None:
        return 0.0, 0.0
    start, end = ring
    carried = start @ affine[:, :2].T + affine[:, 2]
    way = np.linalg.norm(carried - start, axis=1)
    along = np.linalg.norm(carried - end, axis=1) < 0.25 * way + 0.01 * box.width
    return float(way.mean() / box.width), float(along.mean())


def _masks(shape: tuple[int, ...], box: Box) -> tuple[Grey, Grey]:
    """Where to track: the ellipse of the face, and the ring about the head without head and shoulders."""
    face, ring = np.zeros(shape, np.uint8), np.zeros(shape, np.uint8)
    x, y, w, h = box.x, box.y, box.width, box.height
    axes = (max(2, int(w * 0.45)), max(2, int(h * 0.48)))
    cv2.ellipse(face, (int(x + w / 2), int(y + h / 2)), axes, 0, 0, 360, 255, -1)
    cv2.rectangle(ring, (int(x - w * 0.9), int(y - h * 0.7)), (int(x + w * 1.9), int(y + h * 0.8)), 255, -1)
    cv2.rectangle(ring, (int(x - w * 0.25), int(y - h * 0.45)), (int(x + w * 1.25), int(y + h * 1.5)), 0, -1)
    return face, ring


def _track(before: Grey, after: Grey, mask: Grey, most: int) -> tuple[Points, Points] | None:
    """Corners inside `mask` and where pyramidal Lucas-Kanade finds them again, forth and back within a pixel; None when
    fewer than eight survive.
    """
    x, y, width, height = cv2.boundingRect(mask)
    there = slice(y, y + height), slice(x, x + width)
    start = cv2.goodFeaturesToTrack(before[there], most, 0.01, 3, mask=mask[there]) if width else None
    if start is None or len(start) < 8:
        return None
    start += np.array([x, y], np.float32)
    end, forth, _ = cv2.calcOpticalFlowPyrLK(before, after, start, None, winSize=(21, 21), maxLevel=3)
    again, back, _ = cv2.calcOpticalFlowPyrLK(after, before, end, None, winSize=(21, 21), maxLevel=3)
    drift = np.linalg.norm((start - again).reshape(-1, 2), axis=1)
    good = (forth.ravel() == 1) & (back.ravel() == 1) & (drift < 1.0)
    if good.sum() < 8:
        return None
    return start.reshape(-1, 2)[good], end.reshape(-1, 2)[good]


def moire(scene: Scene) -> float:
    """Mean of the five strongest narrow peaks of the face's spectrum at 0.2..0.5 cycles a pixel (log power over the local
    median).
    """
    half = int(min(128, scene.box.width * 0.9)) // 2
    center_x, center_y = (int(value) for value in scene.box.center)
    patch = scene.grey[max(0, center_y - half) : center_y + half, max(0, center_x - half) : center_x + half]
    side = min(patch.shape)
    if side < 24:
        return 0.0
    values = patch[:side, :side].astype(np.float32)
    window, band = _spectral(side)
    spectrum = cv2.dft((values - values.mean()) / (values.std() + 1e-3) * window, flags=cv2.DFT_COMPLEX_OUTPUT)
    power = np.fft.fftshift(np.log((spectrum * spectrum).sum(axis=2) + 1e-6))
    peaks = (power - cv2.medianBlur(power, 5))[band]
    return float(np.partition(peaks, -5)[-5:].mean())


@cache
def _spectral(side: int) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.bool_]]:
    """A Hann window, and where in the centred spectrum the frequencies are at which a screen's grid is looked for."""
    window = np.hanning(side).astype(np.float32)
    rows, columns = np.mgrid[:side, :side] - side // 2
    frequency = np.hypot(rows, columns) / side
    return window[:, np.newaxis] * window, (frequency > 0.2) & (frequency < 0.5)


def smallest_change(scenes: Sequence[Scene]) -> float:
    """The least mean difference (grey levels) between consecutive frames at 64x64."""
    small = [cv2.resize(scene.grey, (64, 64), interpolation=cv2.INTER_AREA).astype(np.float32) for scene in scenes]
    return min(float(np.abs(a - b).mean()) for a, b in pairwise(small))


def blind(scenes: Sequence[Scene]) -> bool:
    """Whether the faces are too blurred, or too close, for the network to judge."""
    context = np.median([min(side - 1 for side in s.pixels.shape[:2]) / s.box.side for s in scenes])
    return bool(context < LEAST_CONTEXT or np.median([_sharpness(scene) for scene in scenes]) < LEAST_SHARPNESS)


def _sharpness(scene: Scene) -> float:
    x, y = max(0, int(scene.box.x)), max(0, int(scene.box.y))
    face = scene.grey[y : int(scene.box.y + scene.box.height), x : int(scene.box.x + scene.box.width)]
    interpolation = cv2.INTER_AREA if scene.box.width > 128 else cv2.INTER_LINEAR
    face = cv2.resize(face, (128, 128), interpolation=interpolation)
    return float(np.log(cv2.Laplacian(face, cv2.CV_32F).var() + 1))
