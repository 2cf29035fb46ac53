"""The loop that keeps the ring fresh, against a camera that fails in every way."""

import logging
import threading
import time
from collections.abc import Callable, Iterator

import cv2
import numpy as np
import pytest
from cameras import HEIGHT, WIDTH, Scripted, noisy, on_canvas
from devices import until

from appliance.camera.condition import Inspector, Trouble
from appliance.camera.drivers import FirstThatOpens
from appliance.camera.loop import CameraLoop
from appliance.camera.source import CameraError, FrameSource, LazyPixels, NoCameraError, Ring, from_jpeg
from appliance.face.types import Pixels


class Running:
    """A loop on a thread of its own, with a clock that a test can push."""

    def __init__(self, source: FrameSource) -> None:
        self.ring = Ring()
        self.ahead = 0.0
        self.loop = CameraLoop(
            source, self.ring, lambda: Inspector(WIDTH, HEIGHT), lambda: time.monotonic() + self.ahead
        )
        self._thread = threading.Thread(target=self.loop.run, name="camera")
        self._thread.start()

    @property
    def trouble(self) -> Trouble | None:
        return self.loop.state().trouble

    def becomes(self, trouble: Trouble | None) -> bool:
        return until(lambda: self.trouble is trouble, 10)

    def end(self) -> None:
        self.loop.stop(10)
        self._thread.join()


@pytest.fixture
def picture(portrait: bytes) -> Callable[[int], Pixels]:
    return noisy(on_canvas(portrait))


@pytest.fixture
def camera(picture: Callable[[int], Pixels]) -> Scripted:
    return Scripted(picture)


@pytest.fixture
def running(camera: Scripted) -> Iterator[Running]:
    started = Running(camera)
    yield started
    started.end()


def test_frames_flow(running: Running) -> None:
    assert running.trouble in (Trouble.STARTING, None)
    assert running.becomes(None)
    running.loop.usable()
    frame = running.ring.newest(timeout=5)
    assert frame is not None
    assert running.ring.newest(after=frame.sequence, timeout=5) is not None
    assert until(lambda: 20 < running.loop.state().fps < 110, 10)
    state = running.loop.state()
    assert (state.driver, state.width, state.height, state.reopened) == ("scripted", WIDTH, HEIGHT, 0)
    assert state.frame_age_s is not None
    assert 0 <= state.frame_age_s < 1


def test_a_pulled_cable_is_named_and_a_plugged_one_found(running: Running, camera: Scripted) -> None:
    assert running.becomes(None)
    frames = running.loop.state().frames
    camera.plugged = False
    assert running.becomes(Trouble.NO_CAMERA)
    with pytest.raises(CameraError, match="cable is pulled"):
        running.loop.usable()
    assert running.ring.newest() is None, "an old frame is not what is there now"
    camera.plugged = True
    assert running.becomes(None)
    assert running.loop.state().reopened == 1
    assert until(lambda: running.loop.state().frames > frames)
    assert camera.closed >= 1


@pytest.mark.parametrize(
    "error",
    [
        CameraError("broken"),
        OSError(5, "EIO"),
        RuntimeError("lost"),
        ValueError("odd"),
        KeyError("main"),
        TimeoutError(),
    ],
    ids=repr,
)
def test_whatever_a_driver_raises_is_survived(
    running: Running, camera: Scripted, error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    assert running.becomes(None)
    with caplog.at_level(logging.WARNING):
        camera.failing = error
        assert running.becomes(Trouble.NO_FRAMES)
    assert [record.message for record in caplog.records if "NoneType" not in record.message]
    camera.failing = None
    assert running.becomes(None)


def test_a_camera_that_cannot_be_opened_is_named(picture: Callable[[int], Pixels]) -> None:
    class InUse(Scripted):
        def open(self) -> None:
            raise CameraError("in use")

    running = Running(InUse(picture))
    try:
        assert running.becomes(Trouble.NO_CAMERA)
        assert running.loop.given_up(0) is None
    finally:
        running.end()


def test_what_was_wrong_before_a_loss_is_not_wrong_after_it(running: Running, camera: Scripted) -> None:
    playing, still = camera.picture, camera.picture(1)
    camera.picture = lambda _: still.copy()
    assert running.becomes(Trouble.FROZEN)
    camera.plugged = False
    assert running.becomes(Trouble.NO_CAMERA)
    camera.picture, camera.plugged = playing, True
    assert until(lambda: running.trouble is not Trouble.NO_CAMERA, 10)
    assert running.trouble is None


def test_a_silent_camera_is_opened_again(running: Running, camera: Scripted) -> None:
    assert running.becomes(None)
    camera.silent = True
    assert running.becomes(Trouble.NO_FRAMES)
    assert until(lambda: camera.closed >= 1, 10), "it was not closed"
    camera.silent = False
    assert running.becomes(None)


def test_a_hanging_driver_is_noticed_and_given_up(running: Running, camera: Scripted) -> None:
    assert running.becomes(None)
    assert running.loop.given_up(60) is None
    with camera.hanging():
        assert running.becomes(Trouble.NO_FRAMES)
        with pytest.raises(CameraError):
            running.loop.usable()
        running.ahead = 61
        reason = running.loop.given_up(60)
        assert reason is not None
        assert "has not returned" in reason
        running.ahead = 0
    assert running.becomes(None)
    assert running.loop.given_up(60) is None


def test_a_camera_that_worked_and_does_not_come_back_is_given_up(running: Running, camera: Scripted) -> None:
    assert running.becomes(None)
    camera.plugged = False
    assert running.becomes(Trouble.NO_CAMERA)
    assert running.loop.given_up(60) is None
    running.ahead = 61
    reason = running.loop.given_up(60)
    assert reason is not None
    assert "cable is pulled" in reason


def test_a_camera_that_never_was_is_waited_for(picture: Callable[[int], Pixels]) -> None:
    camera = Scripted(picture)
    camera.plugged = False
    running = Running(camera)
    try:
        assert running.becomes(Trouble.NO_CAMERA)
        running.ahead = 3600
        assert running.loop.given_up(60) is None
        camera.plugged = True
        running.ahead = 0
        assert running.becomes(None)
    finally:
        running.end()


def test_opening_again_is_tried_less_and_less_often(picture: Callable[[int], Pixels]) -> None:
    camera = Scripted(picture)
    camera.plugged = False
    running = Running(camera)
    time.sleep(4)
    running.end()
    assert 2 <= camera.closed <= 4, "0.5 s, 1 s, 2 s, 4 s"


def test_frames_of_another_size_are_named_and_kept(camera: Scripted) -> None:
    camera.picture = noisy(np.random.default_rng(1).integers(0, 255, (240, 320, 3), np.uint8))
    running = Running(camera)
    try:
        assert running.becomes(Trouble.WRONG_SIZE)
        running.loop.usable()
        assert running.loop.state().width == 320
    finally:
        running.end()


def test_a_frozen_camera_is_not_usable(running: Running, camera: Scripted) -> None:
    assert running.becomes(None)
    playing, still = camera.picture, camera.picture(1)
    camera.picture = lambda _: still.copy()
    assert running.becomes(Trouble.FROZEN)
    with pytest.raises(CameraError, match="same picture"):
        running.loop.usable()
    camera.picture = playing
    assert running.becomes(None)


def test_damaged_frames_are_passed_over(picture: Callable[[int], Pixels]) -> None:
    """A USB camera's JPEGs that cannot be decoded: neither a loss of the camera nor, where they are noticed, a frame."""
    jpegs = [cv2.imencode(".jpg", picture(number))[1].ravel() for number in range(3)]
    jpegs[0] = np.zeros(1000, np.uint8)

    def sent(number: int) -> LazyPixels:
        content = jpegs[number % 3].copy()
        return LazyPixels(WIDTH, HEIGHT, content, lambda: from_jpeg(content))

    camera = Scripted(sent, 0.12)
    running = Running(camera)
    try:
        assert until(lambda: camera.count > 20)
        assert running.trouble is None
        assert camera.opened == 1
        assert running.ring.newest() is not None
    finally:
        running.end()


def test_the_end_does_not_wait_for_a_hanging_driver(camera: Scripted, caplog: pytest.LogCaptureFixture) -> None:
    running = Running(camera)
    assert running.becomes(None)
    with camera.hanging():
        begun = time.monotonic()
        running.loop.stop(0.3)
        assert time.monotonic() - begun < 2
        assert "does not close" in caplog.text
    running.end()


def test_auto_takes_the_first_that_is_there_and_keeps_it(picture: Callable[[int], Pixels]) -> None:
    first, second = Scripted(picture), Scripted(picture)
    first.plugged = False
    auto = FirstThatOpens([first, second])
    auto.open()
    assert (first.closed, second.opened) == (1, 1)
    assert auto.read() is not None
    second.plugged, first.plugged = False, True
    auto.close()
    with pytest.raises(NoCameraError):
        auto.open()
    assert first.opened == 0, "a lost camera is not taken for another"
    second.plugged = True
    auto.open()
    assert second.opened == 2


def test_auto_says_why_there_is_none(picture: Callable[[int], Pixels]) -> None:
    first, second = Scripted(picture), Scripted(picture)
    first.plugged = second.plugged = False
    with pytest.raises(NoCameraError, match=r"cable is pulled.*cable is pulled"):
        FirstThatOpens([first, second]).open()


def test_auto_closes_one_that_is_there_and_does_not_work(picture: Callable[[int], Pixels]) -> None:
    class Broken(Scripted):
        def open(self) -> None:
            super().open()
            raise RuntimeError("configure failed")

    broken, second = Broken(picture), Scripted(picture)
    auto = FirstThatOpens([broken, second])
    with pytest.raises(RuntimeError):
        auto.open()
    auto.close()
    assert (broken.closed, second.opened) == (1, 0)
