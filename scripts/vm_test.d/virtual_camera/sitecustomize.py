"""Makes libcamera's virtual camera look to picamera2 like a Raspberry Pi's. Python loads it when this folder is on its path.

The virtual camera gives NV12 alone, in buffers of two planes, has no raw stream, makes a frame the moment it is asked for one,
and gives each picture four times. A Raspberry Pi gives what is asked for, in buffers of one plane with padded rows, at the rate
asked for, with grain that is never the same, until the cable is pulled.
"""

import ctypes
import random
import threading
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import libcamera
import numpy as np
import picamera2.allocators.dmaallocator
from picamera2 import Picamera2
from picamera2.request import Helpers

PADDING = 256
"""Rows are padded to a multiple of this: a Raspberry Pi 5's 64 would leave none at the usual sizes."""
GRAIN = np.random.default_rng(1).integers(0, 4, (1024, 2048), np.uint8)
PULLED = Path("/run/camera_cable_pulled")


class Sensor:
    """Passes on one of the waiting requests a period; libcamera's virtual camera completes each at once."""

    def __init__(self) -> None:
        self.period = 1 / 15
        self._waiting: deque[tuple[libcamera.Camera, libcamera.Request]] = deque()
        self._lock = threading.Lock()
        self._queue_request, self._stop = libcamera.Camera.queue_request, libcamera.Camera.stop
        threading.Thread(target=self._run, daemon=True).start()

    def queue_request(self, camera: libcamera.Camera, request: libcamera.Request) -> None:
        """Stands in for `Camera.queue_request`."""
        self._waiting.append((camera, request))

    def stop(self, camera: libcamera.Camera) -> None:
        """Stands in for `Camera.stop`."""
        with self._lock:
            self._waiting.clear()
            self._stop(camera)

    def _run(self) -> None:
        pause = threading.Event()
        while not pause.wait(self.period):
            with self._lock:
                if self._waiting and not PULLED.exists():
                    self._queue_request(*self._waiting.popleft())


class TwoPlanes:
    """A frame buffer for NV12 in the one piece of memory that picamera2 allocated."""

    Plane = libcamera.FrameBuffer.Plane

    def __new__(cls, planes: Sequence[libcamera.FrameBuffer.Plane]) -> libcamera.FrameBuffer:
        luma, chroma = planes[0], cls.Plane()
        chroma.fd = luma.fd
        chroma.offset = luma.length * 2 // 3
        chroma.length = luma.length - chroma.offset
        luma.length = chroma.offset
        buffer = libcamera.FrameBuffer([luma, chroma])
        # libcamera 0.4 does not initialise the status, and its virtual camera does not set it: by chance it says "cancelled".
        # It is the first field of the structure that a pybind11 object points to right behind Python's own header.
        metadata = buffer.metadata  # another thread would be given the memory of an object that nothing refers to
        address = ctypes.c_size_t.from_address(id(metadata) + object.__basicsize__).value
        ctypes.c_int.from_address(address).value = int(libcamera.FrameMetadata.Status.Success)
        return buffer


def array(_helpers: Helpers, buffer: np.ndarray, config: dict[str, Any]) -> np.ndarray:
    """Stands in for `Helpers._make_array_shared`, which would find NV12 whatever was asked for."""
    width, height = config["size"]
    nv12 = buffer.reshape(height * 3 // 2, width).copy()
    top, left = random.randrange(GRAIN.shape[0] - height), random.randrange(GRAIN.shape[1] - width)
    nv12[:height] = cv2.add(nv12[:height], GRAIN[top : top + height, left : left + width])
    if config["format"] == "BGR888":
        return cv2.cvtColor(nv12, cv2.COLOR_YUV2RGB_NV12)
    if config["format"] == "YUV420":
        padded = np.zeros((height * 3, config["stride"] // 2), np.uint8)
        padded[: height * 2].reshape(height, -1)[:, :width] = nv12[:height]
        chroma = nv12[height:].reshape(height // 2, width // 2, 2)
        padded[height * 2 : height * 5 // 2, : width // 2] = chroma[..., 0]
        padded[height * 5 // 2 :, : width // 2] = chroma[..., 1]
        return padded.reshape(height * 3 // 2, config["stride"])
    raise ValueError(f"the virtual camera cannot give {config['format']}")


def configure(camera: Picamera2, wanted: dict[str, Any]) -> None:
    """Stands in for `Picamera2.configure_`: what was asked for stays, though libcamera adjusts it."""
    formats = {name: wanted[name]["format"] for name in ("main", "lores") if wanted[name]}
    real_configure(camera, wanted)
    for name, pixel_format in formats.items():
        stream = camera.camera_config[name]
        row = stream["size"][0] * (3 if pixel_format == "BGR888" else 1)
        stream |= {"format": pixel_format, "stride": -(-row // PADDING) * PADDING}
    sensor.period = wanted["controls"]["FrameDurationLimits"][0] / 1e6


sensor = Sensor()
libcamera.Camera.queue_request = lambda *request: sensor.queue_request(*request)
libcamera.Camera.stop = lambda camera: sensor.stop(camera)
picamera2.allocators.dmaallocator.libcamera = SimpleNamespace(FrameBuffer=TwoPlanes)
real_configure, Picamera2.configure_ = Picamera2.configure_, configure
Picamera2._get_raw_modes = lambda _camera: [{"format": "NV12", "size": (1280, 720)}]  # noqa: SLF001
Helpers._make_array_shared = array  # noqa: SLF001
