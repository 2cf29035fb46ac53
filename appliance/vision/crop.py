"""The pixels that models look at: crops cut from a picture at the size a model wants."""

from typing import Protocol

import cv2
import numpy as np

from appliance.face.alignment import Affine
from appliance.face.types import Frame, Pixels

BLUR_FREE_SHRINK = 2.0
"""A bilinear warp reads 2 x 2 source pixels a target pixel: shrinking by more than this would skip pixels and alias."""


class Picture(Protocol):
    """A picture whose pixels can be had at several sizes; `width` and `height` are those of the full, upright picture."""

    @property
    def width(self) -> int: ...

    @property
    def height(self) -> int: ...

    def frame(self, detail: float) -> Frame:
        """The picture with at least `detail` frame pixels a picture pixel (0..1]; may be finer."""
        ...


def magnification(affine: Affine) -> float:
    """How many target pixels a source pixel becomes under a similarity transform."""
    return float(np.hypot(affine[0, 0], affine[1, 0]))


def cut(picture: Picture, affine: Affine, size: int) -> Pixels:
    """A `size` x `size` RGB crop of the picture; `affine` takes picture pixels to crop pixels. Black beyond the border."""
    frame = picture.frame(min(1.0, magnification(affine)))
    pixels, matrix = frame.pixels, affine.copy()
    matrix[:, :2] /= frame.scale
    shrink = 1 / magnification(matrix)
    if shrink > BLUR_FREE_SHRINK:
        pixels, matrix = _shrunk(pixels, matrix, size, shrink)
    return np.asarray(cv2.warpAffine(pixels, matrix, (size, size), flags=cv2.INTER_LINEAR), np.uint8)


def mirror(crop: Pixels) -> Pixels:
    """The crop with left and right exchanged."""
    return np.asarray(cv2.flip(crop, 1), np.uint8)


def _shrunk(pixels: Pixels, matrix: Affine, size: int, shrink: float) -> tuple[Pixels, Affine]:
    """The part of `pixels` under the crop, averaged down so that the warp shrinks by at most 1.5, and its transform."""
    height, width = pixels.shape[:2]
    corners = np.array([[0, 0], [size, 0], [0, size], [size, size]], np.float64)
    inside = (corners - matrix[:, 2]) @ np.linalg.inv(matrix[:, :2]).T
    left, top = np.clip(np.floor(inside.min(axis=0)).astype(int), 0, [width - 1, height - 1])
    right, bottom = np.clip(np.ceil(inside.max(axis=0)).astype(int), [left + 1, top + 1], [width, height])
    region = pixels[top:bottom, left:right]
    factor = 1.5 / shrink
    small = cv2.resize(
        region,
        (max(1, round(region.shape[1] * factor)), max(1, round(region.shape[0] * factor))),
        interpolation=cv2.INTER_AREA,
    )
    linear = matrix[:, :2] / [small.shape[1] / region.shape[1], small.shape[0] / region.shape[0]]
    shift = matrix[:, 2] + matrix[:, :2] @ np.array([left, top])
    return np.asarray(small, np.uint8), np.column_stack([linear, shift])
