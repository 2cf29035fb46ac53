"""The camera module itself: `scripts/test -m pi` on a Raspberry Pi that has one, with the device's own service stopped.

picamera2 is a package of the system: `sudo apt install python3-picamera2` before `.venv` is made.
"""

import time
from collections.abc import Iterator

import pytest

from appliance.camera.picamera import PiCamera
from appliance.camera.source import Orientation

pytestmark = [
    pytest.mark.pi,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),  # picamera2 calls Thread.setDaemon
]


@pytest.fixture(autouse=True)
def _asked_for(request: pytest.FixtureRequest) -> None:
    if "pi" not in request.config.option.markexpr.split():
        pytest.skip("needs a Raspberry Pi with a camera module: scripts/test -m pi")


@pytest.fixture
def camera() -> Iterator[PiCamera]:
    source = PiCamera(0, 1280, 720, 15, Orientation(), {})
    yield source
    source.close()


def test_frames_of_the_configured_size_come_at_the_configured_rate(camera: PiCamera) -> None:
    camera.open()
    frames = [camera.read() for _ in range(30)]
    assert {frame.pixels.shape for frame in frames if frame} == {(720, 1280, 3)}
    assert {frame.small.shape for frame in frames if frame and frame.small is not None} == {(360, 640, 3)}
    times = [frame.captured for frame in frames if frame]
    assert (times[-1] - times[-16]) / 15 == pytest.approx(1 / 15, rel=0.1)


def test_frames_are_young(camera: PiCamera) -> None:
    camera.open()
    ages = []
    for _ in range(30):
        frame = camera.read()
        assert frame is not None
        ages.append(time.monotonic() - frame.captured)
    assert 0.001 < max(ages) < 0.2, "with an age of nothing the stamps were not believed"


def test_it_opens_and_closes_five_times(camera: PiCamera) -> None:
    for _ in range(5):
        camera.open()
        assert camera.read() is not None
        camera.close()


def test_the_names_of_the_focus_modes_are_libcameras() -> None:
    from libcamera import controls

    assert controls.AfModeEnum.Continuous != controls.AfModeEnum.Manual
