"""Four frames of what stands before the camera, the newest of them taken after the question came."""

import time
from collections.abc import Callable
from typing import Protocol

from appliance.camera.source import CameraError, CameraFrame, Ring
from appliance.observation.tracking import SIGHTING_SECONDS, SIGHTINGS

PATIENCE_SECONDS = 2.5
"""Longest wait for these frames: a camera that has just started has them after 1.2 s."""

FRESH_SECONDS = 0.5
"""How old the newest frame may be when it is looked at."""

SPAN_SECONDS = 2.0
"""From the first frame to the last at most: in a longer gap somebody else may have come, and it takes a camera of more than
1.5 frames a second.
"""


class Camera(Protocol):
    """The camera, as far as a decision depends on it."""

    def usable(self) -> None:
        """Raises CameraError when its newest frame does not show what is before it now."""
        ...


class Genuine:
    """A camera that shows what is before this device, or is of no use."""

    def __init__(self, camera: Camera, demonstration: Callable[[], bool]) -> None:
        """`demonstration`: whether its pictures are bundled ones."""
        self._camera, self._demonstration = camera, demonstration

    def usable(self) -> None:
        """Raises CameraError when it shows anything else."""
        self._camera.usable()
        if self._demonstration():
            raise CameraError("the pictures are a demonstration's")


class Footage:
    """What the camera shows around a moment."""

    def __init__(self, camera: Camera, ring: Ring, clock: Callable[[], float] = time.monotonic) -> None:
        self._camera, self._ring, self._clock = camera, ring, clock

    def since(self, moment: float) -> list[CameraFrame]:
        """Four frames in time order, each SIGHTING_SECONDS after the one before, the last of them the newest and taken at
        `moment` (seconds of `time.monotonic`) or later: what it shows was there when the question had come. Raises CameraError
        when there are none within PATIENCE_SECONDS.
        """
        end, seen = self._clock() + PATIENCE_SECONDS, 0
        while (left := end - self._clock()) > 0:
            self._camera.usable()
            newest = self._ring.newest(seen, left)
            if newest is None:
                break
            seen = newest.sequence
            frames = self._ring.spaced(SIGHTINGS, SIGHTING_SECONDS) if newest.captured >= moment else []
            if frames and self._current(frames):
                self._camera.usable()
                return frames
        raise CameraError(f"no {SIGHTINGS} frames {SIGHTING_SECONDS:g} s apart within {PATIENCE_SECONDS:g} s")

    def _current(self, frames: list[CameraFrame]) -> bool:
        span = frames[-1].captured - frames[0].captured
        return span <= SPAN_SECONDS and self._clock() - frames[-1].captured <= FRESH_SECONDS
