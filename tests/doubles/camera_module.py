"""The camera module behind the doubles of picamera2 and libcamera, in a test's hands: what it sees, and what goes wrong.

In a process of its own it is in the hands of the file that CAMERA_MODULE names, with troubles in it (`unplugged silent`).
"""

import os
import time
from collections.abc import Callable
from contextlib import suppress
from enum import StrEnum
from pathlib import Path

import appliance_models
import cv2
import numpy as np
import numpy.typing as npt

Pixels = npt.NDArray[np.uint8]

CSI, USB = "/base/soc/i2c0mux/i2c@1/imx708@1a", "/base/soc/usb@7e980000/usb-port@1-1.1:1.0-046d:0825"
"""What libcamera calls a camera module and a USB camera."""

CONTROLS = ("FrameDurationLimits", "AfMode", "LensPosition", "ExposureTime", "AnalogueGain")
"""What a module with autofocus lets be set."""

ALIGNMENT = 64
"""A Raspberry Pi 5 pads each row of the small stream's Y plane to so many bytes."""


class Trouble(StrEnum):
    """What can go wrong with a camera module."""

    UNPLUGGED = "unplugged"  # libcamera does not list it, and frames stop
    SILENT = "silent"  # frames stop, without a word; they do not come again by themselves
    BUSY = "busy"  # another process has it
    NO_HEAP = "no_heap"  # there is no memory to share with it
    UNREADABLE = "unreadable"  # a frame's memory cannot be had
    STUCK_STOPPING = "stuck_stopping"  # the kernel does not return from stopping it
    STUCK_CAPTURING = "stuck_capturing"  # nor from a wait for a frame, whatever its time-out


troubles: set[Trouble] = set()
identifiers = [CSI]
advertised: tuple[str, ...] = CONTROLS
given_format: str | None = None
"""What libcamera gives instead of the format asked for."""

given_size: tuple[int, int] | None = None
stamped: Callable[[int], int | None] = int
"""Of nanoseconds of the monotonic clock, what stands in a frame's metadata."""

acquired: set[str] = set()
"""Cameras that are open in this process."""

lent: set[object] = set()
"""Completed requests that were handed out and not given back yet."""


def has(trouble: Trouble) -> bool:
    """Whether the module suffers from it now."""
    return trouble in troubles or trouble in _told()


def freeze_while(trouble: Trouble) -> None:
    """Returns when the trouble is over."""
    while has(trouble):
        time.sleep(0.01)


def listed() -> list[str]:
    """The cameras that libcamera sees."""
    return [] if has(Trouble.UNPLUGGED) else identifiers


def portrait(number: int) -> Pixels:
    """Somebody before the camera, never twice the same: RGB."""
    noise = np.random.default_rng(number).integers(0, 4, _PORTRAIT.shape, np.uint8)
    return cv2.add(_PORTRAIT, noise)


scene: Callable[[int], Pixels] = portrait
"""What is before the camera at frame 0, 1, 2, …: RGB of any size."""


def exposed(number: int, size: tuple[int, int]) -> Pixels:
    """The middle of the scene in a picture of that size, as a sensor crops it."""
    seen, (width, height) = scene(number), size
    scale = max(width / seen.shape[1], height / seen.shape[0])
    cut_width, cut_height = round(width / scale), round(height / scale)
    left, top = (seen.shape[1] - cut_width) // 2, (seen.shape[0] - cut_height) // 2
    return cv2.resize(seen[top : top + cut_height, left : left + cut_width], size, interpolation=cv2.INTER_AREA)


def _told() -> list[str]:
    with suppress(KeyError, FileNotFoundError):
        return Path(os.environ["CAMERA_MODULE"]).read_text("ascii").split()
    return []


def _on_canvas() -> Pixels:
    photo = cv2.cvtColor(cv2.imread(str(appliance_models.FOLDER / "portrait.jpg")), cv2.COLOR_BGR2RGB)
    canvas = np.full((720, 1280, 3), 120, np.uint8)
    canvas[:, 280:1000] = cv2.resize(photo, (720, 720), interpolation=cv2.INTER_LINEAR)
    return canvas


_PORTRAIT = _on_canvas()
