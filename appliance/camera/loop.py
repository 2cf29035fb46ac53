"""Reads the camera into the ring, re-opens a lost camera and reports its state."""

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from appliance.camera.condition import Inspector, Trouble
from appliance.camera.source import CameraError, CameraFrame, FrameSource, NoCameraError, Ring
from appliance.faults import Fault, Problem, ResultCode, failing_as

log = logging.getLogger(__name__)

SILENCE_SECONDS = 3.0
"""A camera without a frame for so long has stopped."""

OPENING_SECONDS = 10.0
"""A driver call that takes longer hangs; opening a camera module takes two seconds."""

FIRST_PAUSE, LONGEST_PAUSE = 0.5, 15.0
"""Seconds before a lost camera is opened again; doubled each time, up to the longest."""

RATE_WEIGHT = 0.1
"""Weight of the newest frame interval in the running mean for the frame rate."""


@dataclass(frozen=True, slots=True)
class CameraState:
    """The state of the camera at one moment."""

    driver: str
    demonstration: bool
    stored: bool
    trouble: Trouble | None
    detail: str
    width: int
    height: int
    fps: float
    frame_age_s: float | None
    frames: int
    reopened: int


class CameraLoop:
    """Owns a camera. `run` belongs to one thread, the rest to any."""

    def __init__(
        self,
        source: FrameSource,
        ring: Ring,
        inspector: Callable[[], Inspector],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`inspector` makes a new one whenever the camera is opened: earlier problems do not count."""
        self._source, self._ring, self._new_inspector = source, ring, inspector
        self._inspector = inspector()
        self._clock = clock
        self._stopping, self._ended = threading.Event(), threading.Event()
        self._called: float | None = None
        self._lost: Trouble | None = Trouble.STARTING
        self._detail = ""
        self._last: CameraFrame | None = None
        self._heard = clock()
        self._period = 0.0
        self._reopened = -1

    def run(self) -> None:
        pause = FIRST_PAUSE
        while not self._stopping.is_set():
            before = self._last
            trouble = Trouble.NO_CAMERA
            try:
                self._open()
                trouble = Trouble.NO_FRAMES
                self._play()
            except Fault as fault:
                self._lose(Trouble.NO_CAMERA if isinstance(fault, NoCameraError) else trouble, fault.detail)
            self._close()
            if self._last is not before:
                pause = FIRST_PAUSE
            self._stopping.wait(pause)
            pause = min(2 * pause, LONGEST_PAUSE)
        self._ended.set()

    def stop(self, seconds: float) -> None:
        """Ends `run` and waits for it at most so many seconds, because a driver may hang."""
        self._stopping.set()
        if not self._ended.wait(seconds):
            log.warning("camera: %s does not close", self._source.description)

    def given_up(self, limit: float) -> str | None:
        """Why a new process is needed, or None: for `limit` seconds a call into the driver has not returned, or a camera that
        worked has been lost. A camera that never worked is waited for: a new process would not find it either.
        """
        stuck, silent = self._stuck_s(), self._clock() - self._heard
        if stuck > limit:
            return f"a call into the driver of {self._source.description} has not returned for {stuck:.0f} s"
        if self._last is not None and silent > limit:
            return f"{self._source.description} has been lost for {silent:.0f} s: {self._detail}"
        return None

    def state(self) -> CameraState:
        last, now = self._last, self._clock()
        silent = self._lost is None and now - self._heard > SILENCE_SECONDS
        trouble = self._lost or self._inspector.trouble
        if silent or self._stuck_s() > OPENING_SECONDS:
            trouble = Trouble.NO_FRAMES
        return CameraState(
            driver=self._source.description,
            demonstration=self._source.demonstration,
            stored=self._source.stored,
            trouble=trouble,
            detail=self._detail,
            width=last.width if last else 0,
            height=last.height if last else 0,
            fps=1 / self._period if self._period and not self._lost else 0.0,
            frame_age_s=now - last.captured if last else None,
            frames=last.sequence if last else 0,
            reopened=max(0, self._reopened),
        )

    @property
    def demonstration(self) -> bool:
        """Whether the pictures are bundled ones."""
        return self._source.demonstration

    @property
    def stored(self) -> bool:
        """Whether the pictures come from files."""
        return self._source.stored

    def problems(self) -> list[Problem]:
        trouble = self.state().trouble
        return [] if trouble is None else [Problem("camera", trouble.value, trouble.text)]

    def usable(self) -> None:
        """Raises CameraError if the newest frame does not show what is in front of the camera now."""
        state = self.state()
        if state.trouble is not None and state.trouble.blinds:
            raise CameraError(f"{state.trouble.text} {state.detail}".strip())

    def _stuck_s(self) -> float:
        called = self._called
        return 0.0 if called is None else self._clock() - called

    def _open(self) -> None:
        with self._in_driver():
            self._source.open()
        self._reopened += 1
        self._inspector = self._new_inspector()
        log.info("camera: %s is open", self._source.description)

    def _play(self) -> None:
        opened = self._clock()
        while not self._stopping.is_set():
            with self._in_driver():
                frame = self._source.read()
            if frame is not None:
                self._take(frame)
            elif self._clock() - max(opened, self._heard) > SILENCE_SECONDS:
                raise CameraError(f"no frame for {SILENCE_SECONDS:g} s")

    def _take(self, frame: CameraFrame) -> None:
        now = self._clock()
        try:
            self._inspector.look(frame)
        except CameraError:
            return  # a damaged frame; the next one will do
        numbered = self._ring.publish(frame)
        if self._lost is not None:
            log.info("camera: pictures of %d x %d", frame.width, frame.height)
            self._lost, self._detail = None, ""
            self._period = 0.0
        elif self._last is not None:
            distance = frame.captured - self._last.captured
            self._period += (distance - self._period) * (RATE_WEIGHT if self._period else 1.0)
        self._last, self._heard = numbered, now

    def _lose(self, trouble: Trouble, detail: str) -> None:
        if (trouble, detail) != (self._lost, self._detail):
            log.warning("camera: %s %s", trouble.text, detail)
        self._lost, self._detail = trouble, detail
        self._ring.clear()

    def _close(self) -> None:
        try:
            with self._in_driver():
                self._source.close()
        except Fault as fault:
            log.warning("camera: closing failed: %s", fault.detail)

    @contextmanager
    def _in_driver(self) -> Iterator[None]:
        """A call into the driver: its duration is watched, and its exceptions become Faults."""
        self._called = self._clock()
        try:
            with failing_as(ResultCode.NOT_READY):
                yield
        finally:
            self._called = None


class NoCamera:
    """The camera of a device that is configured without one."""

    demonstration = stored = False

    def usable(self) -> None:
        raise CameraError('camera.driver is "none"')


Camera = CameraLoop | NoCamera
"""Whose `usable` raises CameraError when the newest frame does not show the present scene."""
