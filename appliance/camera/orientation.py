"""What turns a camera's pictures upright, and into RGB."""

from dataclasses import dataclass

import cv2
import numpy as np

from appliance.face.types import Pixels

_TURNS = {90: cv2.ROTATE_90_CLOCKWISE, 180: cv2.ROTATE_180, 270: cv2.ROTATE_90_COUNTERCLOCKWISE}


@dataclass(frozen=True, slots=True)
class Orientation:
    """Turned clockwise by `rotation` degrees (0, 90, 180, 270), then mirrored left to right if `mirror`."""

    rotation: int = 0
    mirror: bool = False

    def applied(self, pixels: Pixels) -> Pixels:
        """The upright picture; `pixels` itself when there is nothing to do."""
        if self.rotation:
            pixels = np.asarray(cv2.rotate(pixels, _TURNS[self.rotation]), np.uint8)
        return np.asarray(cv2.flip(pixels, 1), np.uint8) if self.mirror else pixels

    def before(self, width: int, height: int) -> tuple[int, int]:
        """The camera's own size for an upright picture of `width` x `height`."""
        return (height, width) if self.rotation in (90, 270) else (width, height)


def rgb(bgr: Pixels) -> Pixels:
    """OpenCV's colour order to ours."""
    return np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB), np.uint8)
