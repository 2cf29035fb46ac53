"""USB cameras and other devices at /dev/video*, through OpenCV."""

import fcntl
import struct
from collections.abc import Mapping
from pathlib import Path

import cv2
import numpy as np

from appliance.camera.source import (
    MJPG,
    CameraError,
    CameraFrame,
    LazyPixels,
    NoCameraError,
    Orientation,
    from_jpeg,
    rgb,
    taken,
)
from appliance.face.types import Pixels

QUERYCAP = 0x80685600
"""VIDIOC_QUERYCAP, _IOR('V', 0, struct v4l2_capability) (linux/videodev2.h)."""

CAPABILITY = struct.Struct("16s32s32sIII12x")
"""struct v4l2_capability: driver, card, bus, version, capabilities of the device, capabilities of this node."""

END = b"\xff\xd9"
"""The marker at the end of a JPEG (ITU-T T.81, B.1.1.3)."""

BGR = cv2.VideoWriter.fourcc(*"BGR3")
"""V4L2_PIX_FMT_BGR24 (linux/videodev2.h)."""

VIDEO_CAPTURE = 0x1
"""V4L2_CAP_VIDEO_CAPTURE (linux/videodev2.h)."""

LIBCAMERAS = {"unicam", "rp1-cfe", "bcm2835-isp", "bcm2835-codec", "pispbe", "rpi-hevc-dec", "rpivid"}
"""Drivers of a Raspberry Pi's own camera pipeline and codecs, whose nodes give raw sensor data or nothing."""


class V4l2Camera:
    """A Video4Linux camera."""

    demonstration = stored = False

    def __init__(
        self,
        device: Path | None,
        width: int,
        height: int,
        fps: float,
        orientation: Orientation,
        properties: Mapping[int, float],
    ) -> None:
        """`device`: such as /dev/video0 or, better, a link in /dev/v4l/by-id; None: the first camera. `properties`: OpenCV's
        CAP_PROP_* -> value, set in this order; a camera ignores those it does not have.
        """
        self._device, self._size, self._fps = device, (width, height), fps
        self._orientation, self._properties = orientation, properties
        self._capture: cv2.VideoCapture | None = None
        self._bgr: Pixels | None = None  # a frame is decoded into the memory of the one before
        self.description = f"v4l2 {device or ''}".strip()

    def open(self) -> None:
        """Starts the camera. Raises NoCameraError, CameraError."""
        device = self._device or first_device()
        self.description = f"v4l2 {device}"
        if not device.exists():
            raise NoCameraError(f"{device} does not exist")
        capture = cv2.VideoCapture(str(device.resolve()), cv2.CAP_V4L2)
        self._capture = capture
        if not capture.isOpened():
            raise CameraError(f"{device} cannot be opened: in use, no permission, or no camera")
        # most USB cameras reach the full frame rate at 720p with motion JPEG only; others keep their own format
        capture.set(cv2.CAP_PROP_FOURCC, MJPG)
        width, height = self._orientation.before(*self._size)
        capture.set(cv2.CAP_PROP_FRAME_WIDTH, width)
        capture.set(cv2.CAP_PROP_FRAME_HEIGHT, height)
        capture.set(cv2.CAP_PROP_FPS, self._fps)
        for name, value in self._properties.items():
            capture.set(name, value)
        if int(capture.get(cv2.CAP_PROP_FOURCC)) == MJPG:
            capture.set(cv2.CAP_PROP_CONVERT_RGB, 0)  # JPEGs stay as they are until their pixels are asked for

    def read(self) -> CameraFrame | None:
        """The next frame. Raises CameraError."""
        assert self._capture is not None
        if not self._capture.grab():
            raise CameraError(f"{self.description} stopped giving frames")
        captured = taken(self._capture.get(cv2.CAP_PROP_POS_MSEC) / 1e3)  # of the kernel, its monotonic clock
        decoded, pixels = self._capture.retrieve(self._bgr)
        if not decoded:
            return None  # a damaged JPEG; the next frame will do
        names = (cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT, cv2.CAP_PROP_FOURCC)
        width, height, fourcc = (int(self._capture.get(name)) for name in names)
        given = np.asarray(pixels, np.uint8)
        if fourcc == MJPG and given.ndim < 3:
            return _encoded(given, (width, height), self._orientation, captured)
        self._bgr = given
        bgr = given if given.ndim == 3 else _rows(given, width, fourcc)
        return CameraFrame(self._orientation.applied(rgb(bgr)), captured)

    def close(self) -> None:
        if self._capture is not None:
            self._capture.release()
            self._capture = None


def properties(autofocus: str | None, exposure_us: int | None, gain: float | None) -> dict[int, float]:
    """The configured controls for OpenCV's V4L2 backend; None leaves a control to the camera."""
    found: dict[int, float] = {}
    if autofocus is not None:
        found[cv2.CAP_PROP_AUTOFOCUS] = float(autofocus == "continuous")
    if exposure_us is not None:
        found[cv2.CAP_PROP_AUTO_EXPOSURE] = 1  # V4L2_EXPOSURE_MANUAL (linux/v4l2-controls.h)
        found[cv2.CAP_PROP_EXPOSURE] = exposure_us / 100  # V4L2_CID_EXPOSURE_ABSOLUTE counts 100 µs
    if gain is not None:
        found[cv2.CAP_PROP_GAIN] = gain
    return found


def _encoded(content: Pixels, size: tuple[int, int], orientation: Orientation, captured: float) -> CameraFrame | None:
    """A frame that is decoded when its pixels are asked for; `size` (width, height) is that before it is turned. None for one
    that is cut off.
    """
    whole = content.ravel()
    if END not in whole.tobytes():
        return None
    pixels = LazyPixels(*orientation.before(*size), whole, lambda: orientation.applied(from_jpeg(whole)))
    return CameraFrame(pixels, captured)


def _rows(row: Pixels, width: int, fourcc: int) -> Pixels:
    """H x W x 3 BGR of the single row that OpenCV 4.11 gives where the camera's own format is BGR. Raises CameraError for the
    formats that no OpenCV converts, which come as a single row, too.
    """
    if fourcc != BGR:
        name = fourcc.to_bytes(4, "little", signed=True).decode("ascii", "replace")
        raise CameraError(f"the camera's pixel format {name} cannot be converted to RGB")
    return row.reshape(-1, width, 3)


def first_device(nodes: Path = Path("/dev")) -> Path:
    """The first camera of `nodes`/video* that is not part of a Raspberry Pi's own pipeline. Raises NoCameraError."""
    for node in sorted(nodes.glob("video*"), key=lambda path: (len(path.name), path.name)):
        if _is_camera(node):
            return node
    raise NoCameraError("no camera: neither a camera module nor a USB camera was found")


def _is_camera(node: Path) -> bool:
    answer = bytearray(CAPABILITY.size)
    try:
        with node.open("rb", buffering=0) as file:
            fcntl.ioctl(file, QUERYCAP, answer)
    except OSError:
        return False
    driver, _card, _bus, _version, _device, node_capabilities = CAPABILITY.unpack(answer)
    return bool(node_capabilities & VIDEO_CAPTURE) and driver.rstrip(b"\0").decode("ascii", "replace") not in LIBCAMERAS
