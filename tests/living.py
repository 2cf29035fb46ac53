"""A photograph that stirs as a living face does."""

from functools import lru_cache

import cv2
import numpy as np

from appliance.face.types import Pixels


def stirred(pixels: Pixels, number: int) -> Pixels:
    """The picture in frame `number`, bent a little by a smooth random field. The liveness check takes that for life; what it
    does detect of edited stills is in docs/measured.md.
    """
    height, width = pixels.shape[:2]
    rows, columns = _grid(height, width)
    shape = (2, 1 + height // 32, 1 + width // 32)
    coarse = np.random.default_rng([7, number]).normal(0, 1, shape).astype(np.float32)
    right, down = (cv2.resize(each, (width, height), interpolation=cv2.INTER_CUBIC) for each in coarse)
    bent = cv2.remap(pixels, columns + right, rows + down, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101)
    return np.asarray(bent, np.uint8)


@lru_cache(16)
def _grid(height: int, width: int) -> np.ndarray:
    """The rows and the columns of all pixels."""
    return np.mgrid[:height, :width].astype(np.float32)
