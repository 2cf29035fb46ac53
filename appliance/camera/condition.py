"""What is wrong with a camera's pictures: tampered with, covered, blurred, standing still."""

from dataclasses import dataclass, field
from enum import Enum
from typing import Self

import cv2
import numpy as np
import numpy.typing as npt

from appliance.camera.source import CameraFrame

LOOK_SECONDS = 0.25
"""Distance of the frames that are looked at; a look costs 1 ms."""

ENTER_SECONDS, LEAVE_SECONDS = 3.0, 1.5
"""A trouble begins when it has been seen for so long without a break (a hand that passes is none), and ends likewise."""

LOOK_WIDTH = 320
"""Width of the grey picture that is looked at."""

DARK, LIGHT = 16.0, 24.0
"""Mean grey level below which it is dark, and above which it no longer is (the darkest of 120 photographs with faces: 45)."""

FLAT, STRUCTURED = 5.0, 8.0
"""Standard deviation of the grey levels below which the lens is covered, and above which it no longer is (the flattest of
120 photographs: 27, blurred by 4 % of its width: 19)."""

BLURRED, SHARP = 10.5, 13.0
"""99th percentile of the Laplacian's magnitude below which the picture is blurred, and above which it no longer is: of 120
photographs the least has 14; all of them have at most 10 when blurred by 1 % of their width (Gaussian, sigma)."""

SAMPLE = 8
"""Every so many pixels, each way, are compared with those of the frame before: noise changes some of them in any camera."""


class Trouble(Enum):
    """What can be wrong with a camera: the name that clients see, and the words for people."""

    text: str

    def __new__(cls, name: str, text: str) -> Self:
        member = object.__new__(cls)
        member._value_ = name
        member.text = text
        return member

    STARTING = "starting", "The camera is starting."
    NO_CAMERA = "no_camera", "There is no camera, or it cannot be opened."
    NO_FRAMES = "no_frames", "The camera has stopped giving pictures."
    DARK = "dark", "The lens is covered, or it is dark."
    FROZEN = "frozen", "The camera gives the same picture again and again."
    BLURRED = "blurred", "The picture is strongly blurred: dirty lens, or out of focus."
    WRONG_SIZE = "wrong_size", "The camera gives pictures of another size than configured."

    @property
    def blinds(self) -> bool:
        """Whether the pictures, if any, do not show what stands before the camera now."""
        return self in (Trouble.STARTING, Trouble.NO_CAMERA, Trouble.NO_FRAMES, Trouble.FROZEN)


@dataclass(slots=True)
class Latch:
    """A condition with hysteresis in time."""

    on: bool = False
    _since: float | None = field(default=None)

    def update(self, now: float, *, seen: bool) -> None:
        """Takes note of what is seen at `now` (seconds)."""
        if seen == self.on:
            self._since = None
            return
        if self._since is None or now < self._since:
            self._since = now
        if now - self._since >= (ENTER_SECONDS if seen else LEAVE_SECONDS):
            self.on, self._since = seen, None


class Inspector:
    """Looks at some of a camera's frames."""

    def __init__(self, width: int, height: int) -> None:
        """The size that pictures should have."""
        self._size = (width, height)
        self._latches = {
            trouble: Latch() for trouble in (Trouble.DARK, Trouble.FROZEN, Trouble.BLURRED, Trouble.WRONG_SIZE)
        }
        self._sample: npt.NDArray[np.uint8] = np.empty(0, np.uint8)
        self._looked = float("-inf")

    @property
    def trouble(self) -> Trouble | None:
        """What is wrong, the worst first."""
        return next((trouble for trouble, latch in self._latches.items() if latch.on), None)

    def look(self, frame: CameraFrame) -> None:
        """Looks at the frame if it is time again."""
        now = frame.captured
        if 0 <= now - self._looked < LOOK_SECONDS:
            return
        self._looked = now
        sample = frame.pixels[::SAMPLE, ::SAMPLE].copy()
        grey = _grey(frame)
        dark, flat, blurred = (
            self._threshold(trouble, *limits)
            for trouble, limits in (
                (Trouble.DARK, (DARK, LIGHT)),
                (Trouble.DARK, (FLAT, STRUCTURED)),
                (Trouble.BLURRED, (BLURRED, SHARP)),
            )
        )
        seen = {
            Trouble.DARK: bool(grey.mean() < dark or grey.std() < flat),
            Trouble.FROZEN: np.array_equal(sample, self._sample),
            Trouble.BLURRED: _sharpness(grey) < blurred,
            Trouble.WRONG_SIZE: (frame.width, frame.height) != self._size,
        }
        self._sample = sample
        for trouble, latch in self._latches.items():
            latch.update(now, seen=seen[trouble])

    def _threshold(self, trouble: Trouble, enter: float, leave: float) -> float:
        return leave if self._latches[trouble].on else enter


def _grey(frame: CameraFrame) -> npt.NDArray[np.uint8]:
    pixels = frame.frame(LOOK_WIDTH / frame.width if frame.width > LOOK_WIDTH else 1.0).pixels
    size = (LOOK_WIDTH, max(1, round(LOOK_WIDTH * pixels.shape[0] / pixels.shape[1])))
    small = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.cvtColor(small, cv2.COLOR_RGB2GRAY), np.uint8)


def _sharpness(grey: npt.NDArray[np.uint8]) -> float:
    return float(np.percentile(np.abs(cv2.Laplacian(grey, cv2.CV_16S)), 99))
