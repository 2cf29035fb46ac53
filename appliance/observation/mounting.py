"""Is the camera the right way up? Nothing but turned faces says that it is not."""

import threading
import time
from collections.abc import Callable, Sequence

from appliance.face.types import Face
from appliance.faults import Problem

LEAST_LOOKS, LEAST_SECONDS = 10, 10.0
"""Frames with turned faces alone, and the time from the first of them to the last, after which it is the camera that is
turned: a person who lies down or holds up a photograph is neither there as often nor as long without an upright face.
"""

GAP_SECONDS = 10.0
"""After this time without a face the frames before it say nothing any more: the camera may have been turned since."""


class Mounting:
    """Watches which way the faces in the camera's frames are turned. Thread-safe."""

    def __init__(self, rotation: int, *, mirror: bool, clock: Callable[[], float] = time.monotonic) -> None:
        """`rotation` (degrees clockwise) and `mirror` are those of the configuration."""
        self._rotation, self._mirror, self._clock = rotation, mirror, clock
        self._lock = threading.Lock()
        self._looks, self._begun, self._last, self._lean = 0, 0.0, 0.0, 0.0

    def note(self, faces: Sequence[Face]) -> None:
        """Takes the faces of one frame of the camera, largest first."""
        if not faces:
            return
        now = self._clock()
        with self._lock:
            if any(face.upright for face in faces):
                self._looks = 0
                return
            if now - self._last > GAP_SECONDS:
                self._looks = 0
            self._begun = self._begun if self._looks else now
            self._looks, self._last, self._lean = self._looks + 1, now, faces[0].pose.roll

    def problems(self) -> list[Problem]:
        """A camera that shows nothing but turned faces, for `/healthz`."""
        with self._lock:
            recent = self._clock() - self._last <= GAP_SECONDS
            if not (recent and self._looks >= LEAST_LOOKS and self._last - self._begun >= LEAST_SECONDS):
                return []
            quarter = round(self._lean / 90) * 90
        rotation = (self._rotation + (quarter if self._mirror else -quarter)) % 360
        remedy = f"set it to {rotation}" if quarter else "check it"
        text = f"The camera shows only turned faces, which are not recognised: camera.rotation is {self._rotation}, {remedy}."
        return [Problem("camera", "turned", text)]
