"""A frame that the camera has completed."""

from typing import TYPE_CHECKING, Any

import camera_module
import cv2
import numpy as np
import numpy.typing as npt
from camera_module import ALIGNMENT, Trouble

if TYPE_CHECKING:
    from picamera2.picamera2 import Picamera2


class CompletedRequest:
    """The streams of one exposure. The camera has one buffer less until it is released."""

    def __init__(self, request: tuple[int, int], picam2: "Picamera2") -> None:
        """`request`: the number of the frame, and when it was taken (nanoseconds)."""
        self.picam2 = picam2
        self.config = picam2.camera_configuration().copy()
        self._number, self._taken = request
        self._released = False

    def release(self) -> None:
        """Gives the buffers back."""
        if self._released:
            raise RuntimeError("CompletedRequest: lock now has negative ref_count")
        self._released = True
        camera_module.lent.discard(self)
        self.picam2._give_back(self)

    def get_metadata(self) -> dict[str, Any]:
        """What the camera says about the frame."""
        stamp = camera_module.stamped(self._taken)
        return {"ExposureTime": 10_000} | ({} if stamp is None else {"SensorTimestamp": stamp})

    def make_array(self, name: str) -> npt.NDArray[np.uint8]:
        """A copy of the stream's picture: RGB formats without the padding of their rows, YUV420 with it."""
        stream = self.config.get(name)
        if stream is None:
            raise RuntimeError(f"Stream {name!r} is not defined")
        if self._released or camera_module.has(Trouble.UNREADABLE):
            raise RuntimeError("failed to find buffer")
        transform = self.config["transform"]
        pixels = camera_module.exposed(self._number, self.config["main"]["size"])
        pixels = pixels[:: -1 if transform.vflip else 1, :: -1 if transform.hflip else 1]
        if name == "main":
            return np.ascontiguousarray(pixels if stream["format"] == "BGR888" else pixels[..., ::-1])
        small = cv2.resize(np.ascontiguousarray(pixels), stream["size"], interpolation=cv2.INTER_AREA)
        return _planes(small, stream["stride"])


def padded(width: int) -> int:
    """Bytes of a row of the Y plane."""
    return -(-width // ALIGNMENT) * ALIGNMENT


def _planes(rgb: npt.NDArray[np.uint8], stride: int) -> npt.NDArray[np.uint8]:
    """Planar YUV 4:2:0 with rows of `stride` bytes (those of U and V: half of it); bright green after their end."""
    height, width = rgb.shape[:2]
    wide = np.full((height, stride, 3), (0, 255, 0), np.uint8)
    wide[:, :width] = rgb
    return cv2.cvtColor(wide, cv2.COLOR_RGB2YUV_I420)
