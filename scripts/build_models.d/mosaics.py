"""Pictures with faces of every size, made from pictures of one face each: what a detector must see to know its ranges."""

from collections.abc import Iterator, Sequence

import cv2
import numpy as np

from appliance.face.types import Pixels

SMALLEST_FACE = 10
"""Pixels; the smallest faces that WIDER FACE counts, and YuNet is trained on."""

LARGEST_FACE = 0.95
"""Of the canvas: a face held to the camera."""

PICTURE_PER_FACE = 2.2
"""A picture of LFW is a detected face box widened by this (Huang et al., "Labeled Faces in the Wild", 2007)."""

MOST_FACES = 40
"""In one mosaic: a group photograph."""


def mosaics(pictures: Sequence[Pixels], width: int, height: int, count: int, seed: int) -> Iterator[Pixels]:
    """`count` canvases of `height` x `width` x 3 in the pictures' colour order; the same ones for the same seed.

    Face sizes are log-uniform from SMALLEST_FACE to LARGEST_FACE, the larger faces lie below. What stays free is black, as
    in a letterbox. The first canvas has a black and a white pixel, so that together they span 0..255.
    """
    random = np.random.default_rng(seed)
    for index in range(count):
        canvas = np.zeros((height, width, 3), np.uint8)
        number = round(np.exp(random.uniform(0, np.log(MOST_FACES))))
        faces = np.exp(random.uniform(np.log(SMALLEST_FACE), np.log(LARGEST_FACE * height), number))
        for face in sorted(faces, reverse=True):
            picture = pictures[random.integers(len(pictures))]
            center = random.uniform(face / 2, (width - face / 2, height - face / 2))
            _lay(canvas, picture, round(face * PICTURE_PER_FACE), center)
        if index == 0:
            canvas[0, 0], canvas[0, 1] = 0, 255
        yield canvas


def _lay(canvas: Pixels, picture: Pixels, size: int, center: tuple[float, float]) -> None:
    """Draws the picture `size` pixels wide and high about `center`; what reaches past the canvas is cut off."""
    interpolation = cv2.INTER_AREA if size < picture.shape[0] else cv2.INTER_LINEAR
    scaled = cv2.resize(picture, (size, size), interpolation=interpolation)
    x, y = (round(position - size / 2) for position in center)
    left, top, right, bottom = max(x, 0), max(y, 0), min(x + size, canvas.shape[1]), min(y + size, canvas.shape[0])
    canvas[top:bottom, left:right] = scaled[top - y : bottom - y, left - x : right - x]
