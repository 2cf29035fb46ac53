"""What a camera is, and the ring of its newest frames."""

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Protocol

import cv2
import numpy as np
import numpy.typing as npt

from appliance.face.types import Frame, Pixels
from appliance.faults import Fault, ResultCode
from appliance.stages import stage

KEPT, SPACING = 5, 0.3
"""Earlier frames in the ring, and their least distance in seconds: one more than the liveness check needs (the contract). A
frame of 1280 x 720 takes 2.8 MB.
"""


OLDEST_SECONDS = 5.0
"""An older time stamp is not of our clock, such as that of libcamera's virtual camera."""


class CameraError(Fault):
    """The camera gives no pictures; `detail` says why. Clients receive INF-08 with status 503."""

    def __init__(self, detail: str) -> None:
        super().__init__(ResultCode.NOT_READY, detail, status=503, retry_after=1)


class NoCameraError(CameraError):
    """The camera does not exist or is not plugged in."""


def taken(stamp: float | None) -> float:
    """When the frame that the driver returns now was captured, by `time.monotonic`. `stamp`: the driver's time stamp, in
    seconds; ignored if it is of another clock.
    """
    now = time.monotonic()
    return stamp if stamp is not None and 0 <= now - stamp < OLDEST_SECONDS else now


SAMPLE = 8
"""Every so many pixels in both directions are compared with the previous frame; sensor noise always changes some of them."""


class LazyPixels:
    """The pixels of a frame, made once, when they are first asked for: most frames are replaced before that. Thread-safe."""

    def __init__(self, width: int, height: int, source: npt.NDArray[Any], make: Callable[[], Pixels]) -> None:
        """`make` returns height x width x 3 RGB or raises CameraError; `source` is what they are made of."""
        self.width, self.height, self.source = width, height, source
        self._make = make
        self._lock = threading.Lock()
        self._made: Pixels | None = None

    def made(self) -> Pixels:
        """Raises CameraError when the frame is damaged."""
        with self._lock:
            if self._made is None:
                with stage("decode"):
                    self._made = self._make()
                self._made.flags.writeable = False
            return self._made


@dataclass(frozen=True, slots=True)
class CameraFrame:
    """One frame: H x W x 3 RGB, never written to again, perhaps not made yet; the time of capture (seconds of
    `time.monotonic`), the camera's own smaller version, if any, and the number that the ring assigns: 1, 2, 3, …
    """

    content: Pixels | LazyPixels
    captured: float
    small: Pixels | None = None
    sequence: int = 0

    @property
    def pixels(self) -> Pixels:
        """Raises CameraError when the frame is damaged."""
        return self.content.made() if isinstance(self.content, LazyPixels) else self.content

    @property
    def width(self) -> int:
        return self.content.width if isinstance(self.content, LazyPixels) else int(self.content.shape[1])

    @property
    def height(self) -> int:
        return self.content.height if isinstance(self.content, LazyPixels) else int(self.content.shape[0])

    @property
    def sample(self) -> npt.NDArray[Any]:
        """What differs between any two frames of a camera that works."""
        content = self.content
        return content.source if isinstance(content, LazyPixels) else content[::SAMPLE, ::SAMPLE].copy()

    def frame(self, detail: float) -> Frame:
        """The picture with at least `detail` frame pixels per picture pixel (0..1]."""
        if self.small is not None:
            scale = self.small.shape[1] / self.width
            if detail <= scale:
                return Frame(self.small, scale)
        return Frame(self.pixels)


class FrameSource(Protocol):
    """A camera. `open`, `read` and `close` are called from one thread, `description` from any."""

    @property
    def description(self) -> str:
        """The driver and the camera, for the log and `/healthz`."""
        ...

    @property
    def demonstration(self) -> bool:
        """Whether its pictures are bundled ones instead of what is in front of the device."""
        ...

    @property
    def stored(self) -> bool:
        """Whether its pictures come from files, so that they do not show who is there now."""
        ...

    def open(self) -> None:
        """Starts the camera. Raises NoCameraError, CameraError."""
        ...

    def read(self) -> CameraFrame | None:
        """The next frame, whose pixels belong to the caller; None if none came within about a second. Raises CameraError."""
        ...

    def close(self) -> None:
        """Releases the camera in any state; a closed source can be opened again."""
        ...


class Ring:
    """The newest frame and a few earlier ones. One thread publishes; readers never delay it. Frames are never written to,
    so that none is torn.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._newest: CameraFrame | None = None
        self._earlier: deque[CameraFrame] = deque(maxlen=KEPT)
        self._count = 0
        self._closed = False

    def publish(self, frame: CameraFrame) -> CameraFrame:
        """Makes `frame` the newest and returns it with its number."""
        for pixels in (frame.content, frame.small):
            if isinstance(pixels, np.ndarray):
                pixels.flags.writeable = False
        with self._changed:
            self._count += 1
            numbered = replace(frame, sequence=self._count)
            self._newest = numbered
            if not self._earlier or numbered.captured - self._earlier[-1].captured >= SPACING:
                self._earlier.append(numbered)
            self._changed.notify_all()
        return numbered

    def newest(self, after: int = 0, timeout: float = 0.0) -> CameraFrame | None:
        """The newest frame if its number is above `after`; waits for one at most `timeout` seconds."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed or self._is_after(after), timeout)
            return self._newest if self._is_after(after) else None

    def spaced(self, count: int, gap: float, timeout: float = 0.0) -> list[CameraFrame]:
        """`count` frames in time order up to the newest, each at least `gap` (up to SPACING) seconds after the one before;
        waits for them at most `timeout` seconds. Empty if there are too few.
        """
        found: list[CameraFrame] = []

        def enough() -> bool:
            found[:] = self._spaced(count, gap)
            return self._closed or bool(found)

        with self._changed:
            self._changed.wait_for(enough, timeout)
            return found

    def clear(self) -> None:
        """Removes all frames: they no longer show the present."""
        with self._changed:
            self._newest = None
            self._earlier.clear()

    def close(self) -> None:
        """Wakes all readers; from here on they do not wait."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    @property
    def closed(self) -> bool:
        """Whether no further frames will come."""
        return self._closed

    def _is_after(self, number: int) -> bool:
        return self._newest is not None and self._newest.sequence > number

    def _spaced(self, count: int, gap: float) -> list[CameraFrame]:
        if self._newest is None:
            return []
        chosen = [self._newest]
        for frame in reversed(self._earlier):
            if len(chosen) < count and chosen[-1].captured - frame.captured >= gap:
                chosen.append(frame)
        return chosen[::-1] if len(chosen) == count else []


_TURNS = {90: cv2.ROTATE_90_CLOCKWISE, 180: cv2.ROTATE_180, 270: cv2.ROTATE_90_COUNTERCLOCKWISE}


@dataclass(frozen=True, slots=True)
class Orientation:
    """A clockwise rotation (0, 90, 180, 270 degrees), then mirrored left to right if `mirror`."""

    rotation: int = 0
    mirror: bool = False

    def applied(self, pixels: Pixels) -> Pixels:
        """The upright picture; `pixels` itself if nothing changes."""
        if self.rotation:
            pixels = np.asarray(cv2.rotate(pixels, _TURNS[self.rotation]), np.uint8)
        return np.asarray(cv2.flip(pixels, 1), np.uint8) if self.mirror else pixels

    def before(self, width: int, height: int) -> tuple[int, int]:
        """The camera's own size for an upright picture of `width` x `height`."""
        return (height, width) if self.rotation in (90, 270) else (width, height)


def rgb(bgr: Pixels) -> Pixels:
    """From OpenCV's colour order."""
    return np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB), np.uint8)


MJPG = cv2.VideoWriter.fourcc(*"MJPG")
"""Motion JPEG, of which each frame is a JPEG of its own."""


def from_jpeg(content: npt.NDArray[np.uint8]) -> Pixels:
    """The RGB pixels of a motion JPEG's frame. Raises CameraError."""
    bgr = cv2.imdecode(content, cv2.IMREAD_COLOR)
    if bgr is None:
        raise CameraError("the frame is a damaged JPEG")
    return rgb(np.asarray(bgr, np.uint8))
