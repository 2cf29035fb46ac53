"""USB cameras, without one: what is said when there is none, and the kernel's interface. `scripts/vm_test` has real ones."""

import struct
from pathlib import Path

import cv2
import numpy as np
import pytest
from cameras import HEIGHT, WIDTH, on_canvas

from appliance.camera.source import CameraError, NoCameraError, Orientation
from appliance.camera.v4l2 import (
    BGR,
    CAPABILITY,
    LIBCAMERAS,
    QUERYCAP,
    VIDEO_CAPTURE,
    V4l2Camera,
    _encoded,
    _rows,
    first_device,
    properties,
)
from appliance.face.types import Pixels

NULL = Path("/dev/null")


def camera(device: Path | None) -> V4l2Camera:
    return V4l2Camera(device, 640, 480, 30, Orientation(), {})


def open_files() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


@pytest.fixture
def regular(tmp_path: Path) -> Path:
    """A file that is no device."""
    path = tmp_path / "video0"
    path.write_bytes(bytes(4096))
    return path


def test_a_missing_camera_is_reported(tmp_path: Path) -> None:
    with pytest.raises(NoCameraError) as caught:
        first_device(tmp_path)
    assert caught.value.detail == "no camera: neither a camera module nor a USB camera was found"


@pytest.mark.skipif(bool(list(Path("/dev").glob("video*"))), reason="there is a camera")
def test_without_a_configured_device_the_first_is_looked_for() -> None:
    source = camera(None)
    with pytest.raises(NoCameraError, match="no camera"):
        source.open()
    source.close()


def test_nodes_that_are_no_cameras_are_passed_over(tmp_path: Path, regular: Path) -> None:
    (tmp_path / "video1").symlink_to(NULL)
    (tmp_path / "video2").symlink_to(tmp_path / "absent")
    before = open_files()
    with pytest.raises(NoCameraError):
        first_device(tmp_path)
    assert open_files() == before


def test_an_absent_device_is_named(tmp_path: Path) -> None:
    absent = tmp_path / "video9"
    with pytest.raises(NoCameraError, match=f"{absent} does not exist"):
        camera(absent).open()


def test_a_link_to_nothing_counts_as_absent(tmp_path: Path) -> None:
    """A camera of /dev/v4l/by-id that was unplugged a moment ago."""
    link = tmp_path / "usb-046d_0825-video-index0"
    link.symlink_to(tmp_path / "absent")
    with pytest.raises(NoCameraError, match="usb-046d_0825-video-index0 does not exist"):
        camera(link).open()


@pytest.mark.parametrize("which", ["regular", "null", "folder"])
def test_what_is_no_camera_is_named_and_left_closed(tmp_path: Path, regular: Path, which: str) -> None:
    device = {"regular": regular, "null": NULL, "folder": tmp_path}[which]
    source = camera(device)
    with pytest.raises(CameraError):
        source.open()
    source.close()
    before = open_files()
    for _ in range(20):
        with pytest.raises(CameraError, match=f"{device} cannot be opened") as caught:
            source.open()
        assert not isinstance(caught.value, NoCameraError), "no other is taken instead of one that is configured"
        source.close()
    assert open_files() == before
    assert source.description == f"v4l2 {device}"


def test_closing_what_was_never_opened() -> None:
    camera(NULL).close()


def test_the_kernel_is_asked_in_its_own_terms() -> None:
    # struct v4l2_capability: __u8 driver[16], card[32], bus_info[32]; __u32 version, capabilities, device_caps, reserved[3]
    assert CAPABILITY.size == 16 + 32 + 32 + 6 * 4 == 104
    # _IOR(type, number, size) of asm-generic/ioctl.h: direction (read: 2) from bit 30, size from 16, type from 8
    ioctl = 2 << 30 | CAPABILITY.size << 16 | ord("V") << 8 | 0
    assert ioctl == QUERYCAP


def test_the_answer_is_read_at_the_right_places() -> None:
    answer = bytearray(104)
    answer[0:8] = b"uvcvideo"
    struct.pack_into("=III", answer, 80, 0x60C00, 0x84A00001, 0x04200001)
    driver, _card, _bus, version, device, node = CAPABILITY.unpack(answer)
    assert driver.rstrip(b"\0") == b"uvcvideo"
    assert (version, device, node) == (0x60C00, 0x84A00001, 0x04200001)
    assert node & VIDEO_CAPTURE


def test_a_raspberry_pis_own_nodes_are_no_usb_cameras() -> None:
    assert {"unicam", "rp1-cfe", "bcm2835-isp", "pispbe"} <= LIBCAMERAS
    assert "uvcvideo" not in LIBCAMERAS


def test_nothing_configured_leaves_the_camera_alone() -> None:
    assert properties(None, None, None) == {}


@pytest.mark.parametrize(("autofocus", "value"), [("continuous", 1.0), ("manual", 0.0)])
def test_autofocus(autofocus: str, value: float) -> None:
    assert properties(autofocus, None, None) == {cv2.CAP_PROP_AUTOFOCUS: value}


def test_a_fixed_exposure_is_set_after_the_automatic_is_off() -> None:
    found = properties(None, 8000, 12.0)
    assert list(found.items()) == [
        (cv2.CAP_PROP_AUTO_EXPOSURE, 1),
        (cv2.CAP_PROP_EXPOSURE, 80),
        (cv2.CAP_PROP_GAIN, 12.0),
    ]


def test_a_single_row_of_bgr_becomes_a_picture() -> None:
    picture = np.random.default_rng(1).integers(0, 256, (6, 8, 3), np.uint8)
    assert np.array_equal(_rows(picture.reshape(1, -1), 8, BGR), picture)


def test_a_single_row_of_another_format_is_not_taken_for_bgr() -> None:
    yuyv = np.zeros((1, 8 * 6 * 2), np.uint8)
    with pytest.raises(CameraError, match="format YVYU cannot be converted"):
        _rows(yuyv, 8, cv2.VideoWriter.fourcc(*"YVYU"))


def motion_jpeg(pixels: Pixels) -> bytes:
    """A JPEG without its Huffman tables, as many USB cameras send it, and with what is left of the frame before behind it."""
    content = cv2.imencode(".jpg", pixels[:, :, ::-1])[1].tobytes()
    while (start := content.find(b"\xff\xc4")) >= 0:
        content = content[:start] + content[start + 2 + int.from_bytes(content[start + 2 : start + 4], "big") :]
    return content + bytes(1000)


def in_one_row(content: bytes) -> Pixels:
    return np.frombuffer(content, np.uint8)[np.newaxis]


def test_a_jpeg_of_the_camera_is_decoded_when_its_pixels_are_asked_for(portrait: bytes) -> None:
    pixels = on_canvas(portrait)
    row = in_one_row(motion_jpeg(pixels))
    frame = _encoded(row, (WIDTH, HEIGHT), Orientation(90), 5.0)
    assert frame is not None
    assert (frame.width, frame.height, frame.captured) == (HEIGHT, WIDTH, 5.0)
    assert np.array_equal(frame.sample, row[0])
    turned = np.rot90(pixels, -1).astype(int)
    assert frame.pixels.shape == turned.shape
    assert np.abs(frame.pixels - turned).mean() < 4
    assert frame.pixels is frame.pixels, "once"
    assert not frame.pixels.flags.writeable


def test_of_damaged_jpegs_none_becomes_a_picture(portrait: bytes) -> None:
    content = motion_jpeg(on_canvas(portrait))
    assert _encoded(in_one_row(content[: len(content) // 2]), (WIDTH, HEIGHT), Orientation(), 0) is None
    headless = _encoded(in_one_row(b"\xff\xd8" + content[1000:]), (WIDTH, HEIGHT), Orientation(), 0)
    assert headless is not None
    for _ in range(2):
        with pytest.raises(CameraError, match="damaged JPEG"):
            _ = headless.pixels
