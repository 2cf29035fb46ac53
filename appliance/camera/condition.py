"""Problems of a camera's pictures: dark or covered, frozen, blurred, of another size."""

from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Self

import cv2
import numpy as np
import numpy.typing as npt

from appliance.camera.source import CameraFrame

LOOK_SECONDS = 0.25
"""Interval of the frames that are inspected; an inspection costs 1 ms."""

ENTER_SECONDS, LEAVE_SECONDS = 3.0, 1.5
"""A problem begins when it was seen for so long without a break, unlike a passing hand, and ends likewise."""

LOOK_WIDTH = 320
"""Width of the grey picture that is inspected."""

DARK, LIGHT = 16.0, 24.0
"""Mean grey level below which it is dark, and above which it no longer is (darkest of 120 photographs with faces: 45)."""

FINE, COARSE = 1.0, 8.0
"""Gaussians (sigma, pixels of the grey picture): the first removes fine structure, the second removes coarse structure as
well."""

FLAT, STRUCTURED = 0.7, 1.0
"""Coarse structure (standard deviation in grey levels) below which the picture is empty, and above which it no longer is: the
least of 370 photographs has 8.5, or 1.9 blurred by 2 % of its width; a bare wall with sensor noise (3 grey levels) 0.2 to 0.5,
depending on vignetting; a wall with one faint edge 1.1."""

BLURRED, SHARP = 0.14, 0.17
"""Ratio of fine to coarse structure below which the picture is blurred, and above which it no longer is: the least of 370
photographs has 0.197; blurred by 1 % of their width (Gaussian, sigma) with sensor noise, 99 % have at most 0.087. A wall has
little of both (0.33 and more) and does not count as blurred."""


class Trouble(Enum):
    """What can be wrong with a camera: a word for clients and a sentence for people."""

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
        """Whether the pictures, if any, do not show what is in front of the camera now."""
        return self in (Trouble.STARTING, Trouble.NO_CAMERA, Trouble.NO_FRAMES, Trouble.FROZEN)


@dataclass(slots=True)
class Latch:
    """A condition with hysteresis in time."""

    on: bool = False
    _since: float | None = field(default=None)

    def update(self, now: float, *, seen: bool) -> None:
        if seen == self.on:
            self._since = None
            return
        if self._since is None or now < self._since:
            self._since = now
        if now - self._since >= (ENTER_SECONDS if seen else LEAVE_SECONDS):
            self.on, self._since = seen, None


class Inspector:
    """Inspects some of a camera's frames."""

    def __init__(self, width: int, height: int) -> None:
        self._size = (width, height)
        self._latches = {
            trouble: Latch() for trouble in (Trouble.DARK, Trouble.FROZEN, Trouble.BLURRED, Trouble.WRONG_SIZE)
        }
        self._sample: npt.NDArray[Any] = np.empty(0, np.uint8)
        self._moved = True
        self._looked = float("-inf")

    @property
    def trouble(self) -> Trouble | None:
        """The most significant problem: a black picture often is frozen as well."""
        return next((trouble for trouble, latch in self._latches.items() if latch.on), None)

    def look(self, frame: CameraFrame) -> None:
        """Compares the frame with the previous one, and inspects it if the interval has passed. Raises CameraError when it is
        damaged.
        """
        now, sample = frame.captured, frame.sample
        self._moved = self._moved or not np.array_equal(sample, self._sample)
        self._sample = sample
        if 0 <= now - self._looked < LOOK_SECONDS:
            return
        self._looked = now
        level, coarse, ratio = _structure(_grey(frame))
        dark, flat, blurred = (
            self._threshold(trouble, *limits)
            for trouble, limits in (
                (Trouble.DARK, (DARK, LIGHT)),
                (Trouble.DARK, (FLAT, STRUCTURED)),
                (Trouble.BLURRED, (BLURRED, SHARP)),
            )
        )
        seen = {
            Trouble.DARK: level < dark or coarse < flat,
            Trouble.FROZEN: not self._moved,
            Trouble.BLURRED: ratio < blurred,
            Trouble.WRONG_SIZE: (frame.width, frame.height) != self._size,
        }
        self._moved = False
        for trouble, latch in self._latches.items():
            latch.update(now, seen=seen[trouble])

    def _threshold(self, trouble: Trouble, enter: float, leave: float) -> float:
        return leave if self._latches[trouble].on else enter


def _grey(frame: CameraFrame) -> npt.NDArray[np.uint8]:
    pixels = frame.frame(LOOK_WIDTH / frame.width if frame.width > LOOK_WIDTH else 1.0).pixels
    size = (LOOK_WIDTH, max(1, round(LOOK_WIDTH * pixels.shape[0] / pixels.shape[1])))
    small = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.cvtColor(small, cv2.COLOR_RGB2GRAY), np.uint8)


def _structure(grey: npt.NDArray[np.uint8]) -> tuple[float, float, float]:
    """Mean grey level, coarse structure in grey levels, and the ratio of fine to coarse structure."""
    levels = grey.astype(np.float32)
    fine, coarse = (cv2.GaussianBlur(levels, (0, 0), sigma) for sigma in (FINE, COARSE))
    structure = float((fine - coarse).std())
    return float(levels.mean()), structure, float((levels - fine).std()) / max(structure, 1e-6)
