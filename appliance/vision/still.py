"""Are four frames edits of one still? They are laid over one another inside the face; what is then left moved by itself.

The later frames are registered to the first by a homography (inverse compositional alignment: Baker, Matthews, "Lucas-Kanade
20 years on", 2004) on local contrast, so that neither brightness, tone and colour nor shift, turn, scale and perspective
count. A living face is no plane and never at rest: something always remains. Measured in docs/measured.md, with its limits.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import cv2
import numpy as np
import numpy.typing as npt

from appliance.face.alignment import similarity_transform
from appliance.face.types import Points
from appliance.vision.evidence import Scene

LEAST_VARIATION = 0.005
"""Below it the frames are edits of one still. Of 59 real sequences the stillest have .0060, .0069 and .0072."""

FACE_WIDTH = 64
"""Width in pixels to which a face is brought; with 96 nothing is told apart better."""

AROUND = (17, 17)
"""Pixels over which contrast is local: a quarter of the face."""

FINE, COARSE = 0.8, 2.4
"""Standard deviations (pixels) of the Gaussians between which details are compared: what is finer is noise, the rest light."""

NOISE = 2 * 0.143
"""The power of noise between FINE and COARSE over that below FINE: for white noise .143, twice as much for a JPEG's losses."""

LEVELS = (1.6, FINE)
"""Standard deviations of the Gaussians under which frames are registered, the first for what the points are wrong by."""

STEPS = 6
"""Most steps of a registration on each level."""

_LOGARITHM = np.log((np.arange(256, dtype=np.float32) + 16) / 122)
"""Of a grey level, 0 for a middle one; the darkest ones, which are noise, are held together."""

Floats = npt.NDArray[np.float32]
Matrix = npt.NDArray[np.float64]


def variation(scenes: Sequence[Scene]) -> float:
    """The share of the face's details that the first frame does not explain, in the later frame in which it is largest: about
    0 for copies, 1 for another face. It may be slightly negative, and it is not a number when registration fails.
    """
    first, *later = scenes
    scale = min(1.0, FACE_WIDTH / first.box.width)
    reference = _Reference.of(_Chip.of(first, scale))
    return float(np.max([reference.unexplained(_Chip.of(scene, scale)) for scene in later]))


@dataclass(frozen=True, slots=True)
class _Chip:
    """A face and its surroundings: the logarithm of its light, local contrast, and in it the 106 points."""

    light: Floats
    contrast: Floats
    points: Points

    @classmethod
    def of(cls, scene: Scene, scale: float) -> Self:
        box, grey = scene.box, scene.grey
        left, top = max(0, int(box.x - 0.35 * box.width)), max(0, int(box.y - 0.35 * box.height))
        region = grey[top : int(box.y + 1.35 * box.height) + 1, left : int(box.x + 1.35 * box.width) + 1]
        light = cv2.LUT(cv2.resize(region, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA), _LOGARITHM)
        return cls(light, _contrast(light), (scene.points - np.array([left, top], np.float32)) * scale)

    def smooth(self, sigma: float) -> Floats:
        return np.asarray(cv2.GaussianBlur(self.contrast, (0, 0), sigma), np.float32)


@dataclass(frozen=True, slots=True)
class _Level:
    """The first frame under a Gaussian: its N pixels inside the face, their derivative (8 x N) by the entries of a homography
    in coordinates -1..1 (`unit` takes pixels there), and the inverse of the Hessian.
    """

    sigma: float
    inside: npt.NDArray[np.bool_]
    values: Floats
    steepest: Matrix
    inverse: Matrix
    unit: Matrix

    @classmethod
    def of(cls, chip: _Chip, inside: npt.NDArray[np.bool_], sigma: float) -> Self:
        smooth = chip.smooth(sigma)
        rows, columns = np.nonzero(inside)
        (height, width), half = smooth.shape, smooth.shape[1] / 2
        x, y = (columns - width / 2) / half, (rows - height / 2) / half
        right, down = (
            cv2.Sobel(smooth, cv2.CV_32F, *order, scale=half / 8)[rows, columns].astype(np.float64)
            for order in ((1, 0), (0, 1))
        )
        away = -(x * right + y * down)
        steepest = np.stack([x * right, y * right, right, x * down, y * down, down, x * away, y * away])
        inverse = np.linalg.inv(steepest @ steepest.T + np.eye(8))
        unit = np.array([[1, 0, -width / 2], [0, 1, -height / 2], [0, 0, half]]) / half
        return cls(sigma, inside, smooth[rows, columns], steepest, inverse, unit)

    def register(self, other: _Chip, homography: Matrix) -> Matrix:
        """A better homography from pixels of the first frame to those of `other`."""
        smooth, back = other.smooth(self.sigma), np.linalg.inv(self.unit)
        for _ in range(STEPS):
            warped = _warped(smooth, homography, self.inside.shape, cv2.INTER_LINEAR)
            step = self.inverse @ (self.steepest @ (warped[self.inside] - self.values))
            change = np.eye(3) + np.append(np.clip(step, -0.2, 0.2), 0).reshape(3, 3)
            homography = homography @ back @ np.linalg.inv(change) @ self.unit
            homography = homography / homography[2, 2]
            if np.abs(step).max() < 5e-4:  # a sixtieth of a pixel
                break
        return homography


@dataclass(frozen=True, slots=True)
class _Reference:
    """The first frame, ready to have others registered to it."""

    chip: _Chip
    inside: npt.NDArray[np.bool_]
    levels: Sequence[_Level]

    @classmethod
    def of(cls, chip: _Chip) -> Self:
        mask = np.zeros(chip.contrast.shape, np.uint8)
        cv2.fillConvexPoly(mask, cv2.convexHull(chip.points.astype(np.int32)), 1)
        return cls(chip, mask > 0, [_Level.of(chip, mask > 0, sigma) for sigma in LEVELS])

    def unexplained(self, other: _Chip) -> float:
        """The share of the details inside the face that differ from those of `other`, without the noise in both."""
        homography = np.vstack([similarity_transform(self.chip.points, other.points), [0, 0, 1]])
        for level in self.levels:
            homography = level.register(other, homography)
        light = _warped(other.light, homography, self.inside.shape, cv2.INTER_CUBIC).astype(np.float64)
        powers = np.stack([light**power for power in range(4)], axis=2)  # of a tone curve, if there is one
        tone, *_ = np.linalg.lstsq(powers[self.inside], self.chip.light[self.inside], rcond=None)
        rest = _contrast((powers @ tone).astype(np.float32)) - self.chip.contrast
        noise = (rest - cv2.GaussianBlur(rest, (0, 0), FINE))[self.inside].var()
        left, whole = (_details(each)[self.inside].var() for each in (rest, self.chip.contrast))
        return float((left - NOISE * noise) / (2 * whole + 1e-9))


def _contrast(light: Floats) -> Floats:
    """Zero mean and unit deviation about each pixel."""
    mean = cv2.blur(light, AROUND)
    deviation = np.sqrt(np.maximum(cv2.blur(light * light, AROUND) - mean * mean, 0))
    return np.asarray((light - mean) / (deviation + 0.03), np.float32)


def _warped(picture: Floats, homography: Matrix, shape: tuple[int, ...], interpolation: int) -> Floats:
    flags, size = interpolation | cv2.WARP_INVERSE_MAP, (shape[1], shape[0])
    warped = cv2.warpPerspective(picture, homography, size, flags=flags, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(warped, np.float32)


def _details(picture: Floats) -> Floats:
    fine, coarse = (cv2.GaussianBlur(picture, (0, 0), sigma) for sigma in (FINE, COARSE))
    return np.asarray(fine - coarse, np.float32)
