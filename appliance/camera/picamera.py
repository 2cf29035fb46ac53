"""A Raspberry Pi's camera module, through picamera2."""

import os
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import cv2
import numpy as np

from appliance.camera.source import CameraError, CameraFrame, NoCameraError, Orientation, taken
from appliance.face.types import Pixels

SMALL_WIDTH = 640
"""Width of the small stream: the largest input of the detector's two smaller networks."""

BUFFERS = 4
"""Frames in flight: one is copied while the camera fills the others."""

FRAME_SECONDS = 2.0
"""Longest wait for a frame, …"""

STARTUP_FRAMES = 10
"""… except for the first ones, which libcamera withholds while exposure and colours settle: eight with the usual tuning
(IpaBase::start, libcamera/src/ipa/rpi/common/ipa_base.cpp)."""

USB = "/usb"
"""Part of a USB camera's id in libcamera, by which picamera2 recognises it as well: it has no second stream."""


class PiCamera:
    """A camera module: the full picture in RGB and a small one of the same exposure."""

    demonstration = stored = False

    def __init__(
        self,
        number: int,
        width: int,
        height: int,
        fps: float,
        orientation: Orientation,
        settings: Mapping[str, float | str],
    ) -> None:
        """`number`: as in `rpicam-hello --list-cameras`; `settings`: by libcamera's names, enumerations by name."""
        self._number, self._size, self._fps = number, (width, height), fps
        self._patience = max(FRAME_SECONDS, STARTUP_FRAMES / fps)
        # sensor and ISP rotate by 180 degrees and mirror at no cost; a quarter turn is made afterwards
        quarter = orientation.rotation in (90, 270)
        half = orientation.rotation == 180
        self._flips = {"hflip": not quarter and (orientation.mirror != half), "vflip": half}
        self._turn = orientation if quarter else Orientation()
        self._settings = settings
        self._camera: Any = None
        self.description = f"picamera {number}"

    def open(self) -> None:
        """Starts the camera. Raises NoCameraError, CameraError."""
        try:
            import libcamera
            from picamera2 import Picamera2
        except ImportError as error:
            raise NoCameraError(f"picamera2 is not installed ({error}): sudo apt install python3-picamera2") from error
        if not hasattr(Picamera2, "captured_request"):
            raise NoCameraError("picamera2 is older than 0.3.21 and may wait forever: sudo apt full-upgrade")
        # USB cameras come last, so that the numbers remain right without them
        cameras = [camera for camera in Picamera2.global_camera_info() if USB not in camera["Id"]]
        if self._number >= len(cameras):
            raise NoCameraError(f"camera module {self._number} does not exist; libcamera finds {len(cameras)}")
        self.description = f"picamera {self._number} {cameras[self._number].get('Model', '')}".strip()
        self._camera = _acquired(Picamera2, self._number)
        self._start(self._camera, libcamera)

    def _start(self, camera: Any, libcamera: Any) -> None:
        width, height = self._turn.before(*self._size)
        small_width = min(SMALL_WIDTH, width)
        period = round(1e6 / self._fps)
        wanted = {
            "FrameDurationLimits": (period, period),
            **{name: _value(libcamera.controls, name, value) for name, value in self._settings.items()},
        }
        configuration = camera.create_video_configuration(
            main={"size": (width, height), "format": "BGR888"},  # libcamera names the bytes from the last to the first
            lores={"size": (small_width, round(height * small_width / width / 2) * 2), "format": "YUV420"},
            raw=None,  # four raw frames would take 16 MB and more of the memory that cameras share
            transform=libcamera.Transform(**self._flips),
            buffer_count=BUFFERS,
            queue=False,  # the next frame that is completed, never one that waited
            controls={name: value for name, value in wanted.items() if name in camera.camera_controls},
        )
        camera.configure(configuration)
        given = camera.camera_configuration()["main"]  # libcamera may choose another format, which it only logs
        if given["format"] != "BGR888":
            raise CameraError(f"{self.description} gives {given['format']} instead of RGB")
        camera.start()

    def read(self) -> CameraFrame | None:
        """The next frame. Raises CameraError."""
        try:
            with self._camera.captured_request(wait=self._patience) as request:
                pixels = request.make_array("main")
                planes = request.make_array("lores")
                stamp = request.get_metadata().get("SensorTimestamp")
        except TimeoutError as error:
            raise CameraError(f"{self.description} gave no frame for {self._patience:g} s") from error
        captured = taken(None if stamp is None else stamp / 1e9)
        small = _rgb(planes, self._camera.camera_configuration()["lores"]["size"])
        return CameraFrame(self._turn.applied(pixels), captured, self._turn.applied(small))

    def close(self) -> None:
        """Releases the camera, without its `stop`, which would wait forever for a missing frame."""
        camera, self._camera = self._camera, None
        if camera is not None:
            camera.close()


def controls(
    autofocus: str | None, lens_position: float | None, exposure_us: int | None, gain: float | None
) -> dict[str, float | str]:
    """The configured controls by libcamera's names; None leaves a control to the camera."""
    wanted: dict[str, float | str | None] = {
        "AfMode": autofocus and autofocus.capitalize(),
        "LensPosition": lens_position,
        "ExposureTime": exposure_us,
        "AnalogueGain": gain,
    }
    return {name: value for name, value in wanted.items() if value is not None}


def _acquired(picamera2: Any, number: int) -> Any:
    """An open camera. Raises CameraError, after closing what picamera2's constructor leaves open."""
    camera = picamera2.__new__(picamera2)
    try:
        camera.__init__(camera_num=number)
    except (IndexError, OSError, RuntimeError) as error:
        _abandon(camera)
        raise CameraError(f"camera module {number} cannot be opened: {error.__cause__ or error}") from error
    return camera


def _abandon(camera: Any) -> None:
    if camera.is_open:  # it has no memory to share with the camera, but holds the camera
        # the last steps of `close` release an allocator and a slot that it never had
        with suppress(AttributeError, KeyError):
            camera.close()
    else:  # in use, or unplugged
        camera.notifymeread.close()
        os.close(camera.notifyme_w)


def _value(controls: Any, name: str, value: float | str) -> object:
    """A control's value; for an enumeration its member."""
    return getattr(getattr(controls, f"{name}Enum"), value) if isinstance(value, str) else value


def _rgb(planes: Pixels, size: tuple[int, int]) -> Pixels:
    """Planar YUV 4:2:0, whose rows may be padded on the right, to RGB."""
    width, height = size
    return np.ascontiguousarray(cv2.cvtColor(planes, cv2.COLOR_YUV2RGB_I420)[:height, :width])
