"""A camera that does what a test tells it, and pictures for it."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import cv2
import numpy as np

from appliance.camera.source import CameraFrame, LazyPixels, NoCameraError
from appliance.face.types import Pixels

WIDTH, HEIGHT = 640, 360


class Scripted:
    """A camera with cable and lens in a test's hands; it opens, plays, falls silent, fails and hangs for real."""

    description, demonstration, stored = "scripted", False, False

    def __init__(self, picture: Callable[[int], Pixels | LazyPixels], period: float = 0.01) -> None:
        """`picture` gives the pixels of frame 0, 1, 2, …"""
        self.picture, self.period = picture, period
        self.plugged, self.silent = True, False
        self.failing: Exception | None = None
        self.opened = self.closed = self.count = 0
        self._free = threading.Event()
        self._free.set()

    def open(self) -> None:
        self._free.wait()
        if not self.plugged:
            raise NoCameraError("the cable is pulled")
        self.opened += 1

    def read(self) -> CameraFrame | None:
        self._free.wait()
        time.sleep(self.period)
        captured = time.monotonic()  # before the test's will is looked at: nothing is captured after a change of it
        if not self.plugged:
            raise OSError(19, "No such device")
        if self.failing is not None:
            raise self.failing
        if self.silent:
            return None
        self.count += 1
        return CameraFrame(self.picture(self.count), captured)

    def close(self) -> None:
        self._free.wait()
        self.closed += 1

    @contextmanager
    def hanging(self) -> Iterator[None]:
        """Inside, no call returns."""
        self._free.clear()
        try:
            yield
        finally:
            self._free.set()


def noisy(pixels: Pixels) -> Callable[[int], Pixels]:
    """The picture as a sensor sees it: the same and never the same."""

    def picture(number: int) -> Pixels:
        noise = np.random.default_rng(number).integers(0, 4, pixels.shape, np.uint8)
        return cv2.add(pixels, noise)

    return picture


def on_canvas(content: bytes, width: int = WIDTH, height: int = HEIGHT, left: float = 0.5) -> Pixels:
    """An encoded photograph at its full height in a grey picture; `left` 0..1 says where."""
    photo = cv2.cvtColor(cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)
    photo = cv2.resize(photo, (round(photo.shape[1] * height / photo.shape[0]), height), interpolation=cv2.INTER_AREA)
    canvas = np.full((height, width, 3), 120, np.uint8)
    x = round((width - photo.shape[1]) * left)
    canvas[:, x : x + photo.shape[1]] = photo
    return canvas


def frame(pixels: Pixels, captured: float) -> CameraFrame:
    """A frame taken at a time of the test's choice."""
    return CameraFrame(pixels, captured)
