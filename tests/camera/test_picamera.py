"""The door to picamera2, against doubles of picamera2 and libcamera that behave as the real ones do where it matters."""

import importlib
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from client import Client
from devices import Child, until
from document import assert_refusal

from appliance.camera import picamera
from appliance.camera.drivers import camera_source
from appliance.camera.picamera import BUFFERS, PiCamera
from appliance.camera.source import CameraError, CameraFrame, NoCameraError, Orientation
from appliance.face.types import Pixels
from appliance.sections import CameraSection

DOUBLES = Path(__file__).parents[1] / "doubles"
NAMES = ("camera_module", "libcamera", "picamera2")

RED, GREEN, BLUE, GREY = (200, 30, 30), (30, 160, 30), (30, 30, 200), (120, 120, 120)


@pytest.fixture
def module(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """What the doubles see as a camera; new for each test."""
    monkeypatch.syspath_prepend(DOUBLES)
    yield importlib.import_module("camera_module")
    for name in [name for name in sys.modules if name.split(".")[0] in NAMES]:
        del sys.modules[name]


@pytest.fixture
def camera(module: ModuleType) -> Iterator[Callable[..., PiCamera]]:
    """Makes cameras by what is configured, as the machine does."""
    made = []

    def make(**options: object) -> PiCamera:
        section = CameraSection.model_validate(
            {"driver": "picamera", "width": 640, "height": 360, "fps": 60, **options}
        )
        source = camera_source(**section.source_settings, demonstrate=None)
        assert isinstance(source, PiCamera)
        made.append(source)
        return source

    yield make
    for source in made:
        source.close()
    assert not module.acquired, "a camera is still open"


def read(source: PiCamera) -> CameraFrame:
    frame = source.read()
    assert frame is not None
    return frame


def configuration(source: PiCamera) -> dict:
    return source._camera.camera_configuration()


def corners(pixels: Pixels) -> list[tuple[int, ...]]:
    """The colours near the corners, in reading order, to the nearest that there is."""
    height, width = pixels.shape[:2]
    y, x = height // 8, width // 8
    found = [pixels[y, x], pixels[y, -x], pixels[-y, x], pixels[-y, -x]]
    colours = (RED, GREEN, BLUE, GREY)
    return [min(colours, key=lambda each: np.abs(np.subtract(each, colour, dtype=int)).sum()) for colour in found]


def four_colours(number: int) -> Pixels:
    """Red, green / blue, grey."""
    quarters = np.array([[RED, GREEN], [BLUE, GREY]], np.uint8)
    return np.repeat(np.repeat(quarters, 360, axis=0), 360, axis=1)


def open_files() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def test_a_frame_is_rgb_of_the_configured_size_with_a_small_one(
    camera: Callable[..., PiCamera], module: ModuleType
) -> None:
    module.scene = four_colours
    source = camera(width=1280, height=720)
    source.open()
    frame = read(source)
    assert frame.pixels.shape == (720, 1280, 3)
    assert frame.pixels.flags.c_contiguous
    assert frame.small is not None
    assert frame.small.shape == (360, 640, 3)
    assert np.abs(frame.pixels[90, 160].astype(int) - RED).max() <= 1
    assert np.abs(frame.small[45, 80].astype(int) - RED).max() <= 6, "by way of YUV"
    assert corners(frame.pixels) == corners(frame.small) == [RED, GREEN, BLUE, GREY]
    assert frame.frame(0.5).pixels is frame.small


@pytest.mark.parametrize(
    ("width", "height"), [(640, 360), (480, 270), (642, 482), (160, 120), (1296, 972), (4056, 3040)]
)
def test_any_configured_size_is_given(camera: Callable[..., PiCamera], width: int, height: int) -> None:
    source = camera(width=width, height=height)
    source.open()
    frame = read(source)
    assert (frame.width, frame.height) == (width, height)
    assert frame.small is not None
    assert frame.small.shape[1] == min(width, 640)
    assert frame.small.shape[0] == pytest.approx(height * min(width, 640) / width, abs=1)


@pytest.mark.parametrize("width", [480, 162, 600])
def test_the_padding_of_the_small_picture_is_cut_off(
    camera: Callable[..., PiCamera], module: ModuleType, width: int
) -> None:
    module.scene = lambda _: np.full((120, width, 3), GREY, np.uint8)
    source = camera(width=width, height=122)
    source.open()
    assert configuration(source)["lores"]["stride"] > width, "there is padding"
    frame = read(source)
    assert frame.small is not None
    assert frame.small.shape == (122, width, 3)
    assert frame.small.flags.c_contiguous
    assert np.abs(frame.small.astype(int) - GREY).max() <= 2


@pytest.mark.parametrize("mirror", [False, True])
@pytest.mark.parametrize("rotation", [0, 90, 180, 270])
def test_pictures_are_turned_clockwise_then_mirrored(
    camera: Callable[..., PiCamera], module: ModuleType, rotation: int, *, mirror: bool
) -> None:
    module.scene = four_colours
    source = camera(rotation=rotation, mirror=mirror)
    source.open()
    frame = read(source)
    assert frame.pixels.shape == (360, 640, 3), "the upright picture has the configured size"
    assert frame.small is not None
    upright = np.rot90([[RED, GREEN], [BLUE, GREY]], -rotation // 90)
    expected = [tuple(colour) for colour in (upright[:, ::-1] if mirror else upright).reshape(4, 3).tolist()]
    assert corners(frame.pixels) == expected
    assert corners(frame.small) == expected
    taken = configuration(source)["main"]["size"]
    assert taken == ((360, 640) if rotation in (90, 270) else (640, 360))


def test_what_is_configured_arrives(camera: Callable[..., PiCamera]) -> None:
    source = camera(fps=25, autofocus="manual", lens_position=2.5, exposure_us=8000, gain=4.0)
    source.open()
    given = configuration(source)
    libcamera = sys.modules["libcamera"]
    assert given["controls"] == {
        "FrameDurationLimits": (40_000, 40_000),
        "AfMode": libcamera.controls.AfModeEnum.Manual,
        "LensPosition": 2.5,
        "ExposureTime": 8000,
        "AnalogueGain": 4.0,
    }
    assert (given["raw"], given["queue"], given["buffer_count"]) == (None, False, BUFFERS)
    times = [read(source).captured for _ in range(11)]
    assert (times[-1] - times[0]) / 10 > 0.9 / 25, "not as fast as it can"


def test_what_is_not_configured_is_left_to_the_camera(camera: Callable[..., PiCamera]) -> None:
    source = camera(fps=25, autofocus="continuous")
    source.open()
    given = configuration(source)["controls"]
    assert given.keys() == {"FrameDurationLimits", "AfMode"}
    assert given["AfMode"] is sys.modules["libcamera"].controls.AfModeEnum.Continuous


def test_a_control_that_the_camera_has_not_is_left_out(camera: Callable[..., PiCamera], module: ModuleType) -> None:
    module.advertised = ("FrameDurationLimits", "ExposureTime")
    source = camera(autofocus="continuous", gain=2.0, exposure_us=9000)
    source.open()
    assert configuration(source)["controls"].keys() == {"FrameDurationLimits", "ExposureTime"}


def test_small_and_full_are_of_the_same_exposure(camera: Callable[..., PiCamera], module: ModuleType) -> None:
    module.scene = lambda number: np.full((72, 128, 3), 20 + 7 * number % 200, np.uint8)
    source = camera()
    source.open()
    levels = set()
    for _ in range(20):
        frame = read(source)
        assert frame.small is not None
        levels.add(int(frame.pixels[0, 0, 0]))
        assert abs(int(frame.small.mean()) - int(frame.pixels.mean())) <= 2
    assert len(levels) > 15, "the frames differ"


def test_more_frames_than_buffers(camera: Callable[..., PiCamera], module: ModuleType) -> None:
    source = camera()
    source.open()
    frames = [read(source) for _ in range(5 * BUFFERS)]
    assert not module.lent, "a request was not released"
    assert all(a.captured < b.captured for a, b in pairwise(frames))
    frames[0].pixels[:] = 0
    assert frames[1].pixels.any(), "a frame's pixels are its own"


def test_a_frame_that_cannot_be_read_is_released_too(camera: Callable[..., PiCamera], module: ModuleType) -> None:
    source = camera()
    source.open()
    module.troubles.add(module.Trouble.UNREADABLE)
    for _ in range(2 * BUFFERS):
        with pytest.raises(RuntimeError, match="failed to find buffer"):
            source.read()
    assert not module.lent
    module.troubles.clear()
    read(source)


def test_a_silent_camera_is_named_closed_and_opened_again(
    camera: Callable[..., PiCamera], module: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(picamera, "FRAME_SECONDS", 0.3)
    source = camera()
    source.open()
    read(source)
    module.troubles.add(module.Trouble.SILENT)
    time.sleep(0.1)
    with pytest.raises(CameraError, match=r"picamera 0 imx708 gave no frame for 0\.3 s") as caught:
        source.read()
    assert not isinstance(caught.value, NoCameraError)
    module.troubles.clear()
    with pytest.raises(CameraError):
        source.read()  # the cable is seated again, and the camera still silent
    closing = threading.Thread(target=source.close, daemon=True)
    closing.start()
    closing.join(5)
    assert not closing.is_alive(), "close waits behind the frame that does not come"
    source.open()
    read(source)


def test_the_double_would_hang_in_stop_as_the_real_one_does(
    camera: Callable[..., PiCamera], module: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(picamera, "FRAME_SECONDS", 0.2)
    source = camera()
    source.open()
    module.troubles.add(module.Trouble.SILENT)
    with pytest.raises(CameraError):
        source.read()
    double = source._camera
    stopped = []

    def stop() -> None:
        with suppress(CancelledError):
            double.stop()
            stopped.append(True)

    stopping = threading.Thread(target=stop, daemon=True)
    stopping.start()
    stopping.join(0.5)
    assert stopping.is_alive()
    double.cancel_all_and_flush()
    stopping.join(2)
    assert not stopped


def test_the_double_stalls_when_requests_are_kept(camera: Callable[..., PiCamera]) -> None:
    source = camera()
    source.open()
    kept = [source._camera.capture_request(wait=1) for _ in range(BUFFERS)]
    with pytest.raises(TimeoutError):
        source._camera.capture_request(wait=0.3)
    kept[0].release()
    late = until(lambda: source._camera._out - set(kept), 2)
    assert late, "the one who no longer waits gets the frame, and keeps it"


@pytest.mark.parametrize(("fps", "seconds"), [(120, 2), (30, 2), (1, 10)])
def test_the_first_frames_of_a_slow_camera_are_waited_for(
    camera: Callable[..., PiCamera], monkeypatch: pytest.MonkeyPatch, fps: float, seconds: float
) -> None:
    waits = []
    source = camera(fps=fps)
    source.open()
    asked = source._camera.captured_request
    monkeypatch.setattr(source._camera, "captured_request", lambda wait: waits.append(wait) or asked(wait=wait))
    read(source)
    assert waits == [seconds]


def test_it_can_be_opened_and_closed_over_and_over(camera: Callable[..., PiCamera]) -> None:
    source = camera()
    source.open()
    source.close()
    before = open_files()
    for _ in range(5):
        source.open()
        read(source)
        source.close()
        source.close()
    assert open_files() == before


@pytest.mark.parametrize("trouble", ["unplugged", "busy", "no_heap"])
def test_failing_to_open_leaves_no_file_open(camera: Callable[..., PiCamera], module: ModuleType, trouble: str) -> None:
    source = camera()
    module.troubles.add(module.Trouble(trouble))
    with pytest.raises(CameraError):
        source.open()
    before = open_files()
    for _ in range(50):
        with pytest.raises(CameraError):
            source.open()
        source.close()
    assert open_files() == before
    module.troubles.clear()
    source.open()
    read(source)


def test_a_camera_in_use_is_named(camera: Callable[..., PiCamera]) -> None:
    first, second = camera(), camera()
    first.open()
    with pytest.raises(CameraError, match=r"camera module 0 cannot be opened: .*resource busy") as caught:
        second.open()
    assert not isinstance(caught.value, NoCameraError), "it is there: no other is taken instead"
    first.close()
    second.open()
    read(second)


def test_missing_memory_is_named(camera: Callable[..., PiCamera], module: ModuleType) -> None:
    module.troubles.add(module.Trouble.NO_HEAP)
    with pytest.raises(CameraError, match="cannot be opened: Could not open any dmaHeap device"):
        camera().open()


@pytest.mark.parametrize(("number", "seen"), [(0, 0), (1, 1), (3, 2)])
def test_an_absent_camera_is_named(camera: Callable[..., PiCamera], module: ModuleType, number: int, seen: int) -> None:
    module.identifiers = [f"{module.CSI}{each}" for each in range(seen)]
    with pytest.raises(NoCameraError, match=f"camera module {number} does not exist; libcamera finds {seen}"):
        camera(module=number).open()


def test_a_usb_camera_is_left_to_its_own_driver(camera: Callable[..., PiCamera], module: ModuleType) -> None:
    module.identifiers = [module.USB]
    with pytest.raises(NoCameraError):
        camera().open()
    module.identifiers = [module.USB, module.CSI]
    source = camera()
    source.open()
    assert source.description == "picamera 0 imx708"
    with pytest.raises(NoCameraError, match="libcamera finds 1"):
        camera(module=1).open()


def test_auto_goes_on_to_the_usb_camera(module: ModuleType, tmp_path: Path) -> None:
    module.identifiers = [module.USB]
    source = camera_source(**CameraSection(driver="auto", device=tmp_path / "video0").source_settings, demonstrate=None)
    assert source is not None
    with pytest.raises(NoCameraError, match=r"camera module 0 does not exist; .*video0 does not exist"):
        source.open()


def test_another_format_is_refused(camera: Callable[..., PiCamera], module: ModuleType) -> None:
    module.given_format = "YUYV"
    source = camera()
    with pytest.raises(CameraError, match="imx708 gives YUYV instead of RGB"):
        source.open()
    source.close()
    module.given_format = None
    source.open()
    read(source)


def test_another_size_is_passed_on(camera: Callable[..., PiCamera], module: ModuleType) -> None:
    """The loop names it."""
    module.given_size = (800, 600)
    source = camera()
    source.open()
    assert read(source).pixels.shape == (600, 800, 3)


def test_a_picamera2_that_waits_for_ever_is_refused(
    camera: Callable[..., PiCamera], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(importlib.import_module("picamera2").Picamera2, "captured_request")
    with pytest.raises(NoCameraError, match=r"older than 0\.3\.21"):
        camera().open()


@pytest.mark.parametrize("name", ["picamera2", "libcamera"])
def test_a_missing_package_is_named(
    camera: Callable[..., PiCamera], monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(NoCameraError, match=f"{name}.*sudo apt install python3-picamera2"):
        camera().open()


def test_a_frame_was_taken_when_its_stamp_says(camera: Callable[..., PiCamera], module: ModuleType) -> None:
    source = camera()
    source.open()
    module.stamped = lambda taken: taken - 1_500_000_000
    for _ in range(3):
        before = time.monotonic()
        frame = read(source)
        assert before - 1.5 - 0.1 < frame.captured < time.monotonic() - 1.5


@pytest.mark.parametrize(
    "stamped",
    [
        lambda _: None,
        lambda _: 0,
        lambda _: -(10**18),
        lambda taken: taken - 6 * 10**9,
        lambda taken: taken + 60 * 10**9,
        lambda _: time.time_ns(),
        lambda _: 2**64 - 1,
    ],
    ids=["none", "zero", "negative", "old", "future", "calendar", "largest"],
)
def test_a_stamp_of_another_clock_is_not_believed(
    camera: Callable[..., PiCamera], module: ModuleType, stamped: Callable[[int], int | None]
) -> None:
    source = camera()
    source.open()
    module.stamped = stamped
    before = time.monotonic()
    frame = read(source)
    assert before <= frame.captured <= time.monotonic()


def test_a_wish_that_no_camera_has_cannot_be_made() -> None:
    assert picamera.controls(None, None, None, None) == {}
    assert picamera.controls("continuous", 0.0, 100, 1.5) == {
        "AfMode": "Continuous",
        "LensPosition": 0.0,
        "ExposureTime": 100,
        "AnalogueGain": 1.5,
    }


def test_closing_what_was_never_opened() -> None:
    PiCamera(0, 640, 360, 30, Orientation(), {}).close()


CONFIG = """
[engine]
engines = 1
[camera]
driver = "picamera"
width = 640
height = 360
fps = 15
restart_after_s = {restart}
"""


def states(client: Client) -> list[str]:
    return [reason["state"] for reason in client.get("/healthz").document["reasons"]]


@pytest.fixture
def troubles(tmp_path: Path) -> Path:
    """A file that says what is wrong with the child's camera module."""
    return tmp_path / "troubles"


def child(folder: Path, troubles: Path, restart: int = 60) -> Child:
    environment = {"PYTHONPATH": str(DOUBLES), "CAMERA_MODULE": str(troubles)}
    return Child(folder, CONFIG.format(restart=restart), environment=environment)


def test_a_device_sees_through_it_and_survives_a_pulled_cable(tmp_path: Path, troubles: Path) -> None:
    with child(tmp_path, troubles) as running:
        client = running.ready()
        assert until(lambda: client.get("/healthz").status == 200)
        answer = client.get("/faces")
        assert answer.document["count"] == 1
        box = answer.document["faces"][0]["box"]
        assert 140 < box["x"] < box["x"] + box["width"] < 500, "where the portrait is"
        report = client.get("/healthz").document["camera"]
        assert report["driver"] == "picamera 0 imx708"
        assert until(lambda: 10 < client.get("/healthz").document["camera"]["fps"] < 17)

        troubles.write_text("unplugged")
        assert until(lambda: states(client) == ["no_camera"])
        assert_refusal(client.get("/faces"), 503, "INF-08")
        running.logged("camera module 0 does not exist")

        troubles.unlink()
        assert until(lambda: client.get("/healthz").status == 200)
        assert client.get("/faces").document["count"] == 1

        troubles.write_text("silent")
        assert until(lambda: states(client) == ["no_frames"])
        running.logged("gave no frame for 2 s")
        troubles.unlink()
        assert until(lambda: client.get("/healthz").status == 200)
        assert running.terminate() == 0


@pytest.mark.logs_errors("camera: ")
@pytest.mark.parametrize(
    ("trouble", "reason"),
    [
        ("stuck_capturing", r"picamera 0 imx708 has (not returned|been lost) for \d+ s"),
        ("silent stuck_stopping", r"picamera 0 imx708 has been lost for \d+ s: .*gave no frame for 2 s"),
    ],
)
def test_a_driver_that_does_not_return_ends_the_device(
    tmp_path: Path, troubles: Path, trouble: str, reason: str
) -> None:
    with child(tmp_path, troubles, restart=5) as running:
        client = running.ready()
        assert until(lambda: client.get("/healthz").status == 200)
        troubles.write_text(trouble)
        assert until(lambda: states(client) == ["no_frames"])
        assert running.process.wait(20) == 1
        running.logged(f"CRITICAL.*{reason}; the process ends")
