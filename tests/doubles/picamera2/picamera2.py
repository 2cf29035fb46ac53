"""An open camera: a thread of frames, a list of jobs that wait for them, and a few buffers for both."""
# ruff: noqa: B006, B008, FBT002
# parameters and their defaults are those of the real one

import atexit
import os
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError, Future
from contextlib import contextmanager
from typing import Any

import camera_module
import libcamera
from camera_module import Trouble

from picamera2.request import CompletedRequest, padded

STREAM_KEYS = ("format", "size", "stride", "preserve_ar")


class Job:
    """Something that the thread of frames does; it is tried at each frame, until it is done."""

    def __init__(self, function: Callable[[], tuple[bool, Any]]) -> None:
        self.function = function
        self.future: Future[Any] = Future()

    def execute(self) -> bool:
        done, result = self.function()
        if done:
            self.future.set_result(result)
        return done


class Picamera2:
    """A camera. Of several callers one gets the next frame, and one the frame after it."""

    @staticmethod
    def global_camera_info() -> list[dict[str, Any]]:
        """The cameras there are, those on USB last."""
        found = [
            {
                "Model": "imx708" if "/usb" not in name else "C270",
                "Location": 2,
                "Rotation": 180,
                "Id": name,
                "Num": number,
            }
            for number, name in enumerate(camera_module.listed())
        ]
        return sorted(found, key=lambda camera: ("/usb" not in camera["Id"], camera["Id"]), reverse=True)

    def __init__(self, camera_num=0, verbose_console=None, tuning=None, allocator=None) -> None:
        self.notifyme_r, self.notifyme_w = os.pipe2(os.O_NONBLOCK)
        self.notifymeread = os.fdopen(self.notifyme_r, "rb")
        self.is_open = False
        self.started = False
        self.camera_config: dict[str, Any] = {}
        self.stop_count = 0
        self.lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._ending, self._prodded = threading.Event(), threading.Event()
        self._jobs: list[Job] = []
        self._completed: list[CompletedRequest] = []
        self._out: set[CompletedRequest] = set()
        self._kept, self._period, self._number = 0, 1 / 30, 0
        self._mute = False
        cameras = self.global_camera_info()
        if camera_num >= len(cameras):
            raise RuntimeError(f"No camera number {camera_num} found")
        self._identifier = cameras[camera_num]["Id"]
        if camera_module.has(Trouble.BUSY) or self._identifier in camera_module.acquired:
            cause = RuntimeError("Failed to acquire camera: Device or resource busy")
            raise RuntimeError("Camera __init__ sequence did not complete.") from cause
        camera_module.acquired.add(self._identifier)
        self.is_open = True
        atexit.register(self.close)
        if camera_module.has(Trouble.NO_HEAP):
            raise RuntimeError("Could not open any dmaHeap device")
        self.allocator = allocator or object()

    @property
    def camera_controls(self) -> dict[str, tuple[Any, Any, Any]]:
        """Least, greatest and usual value of each control there is."""
        return dict.fromkeys(camera_module.advertised, (0, 0, 0))

    def create_video_configuration(
        self,
        main={},
        lores=None,
        raw={},
        transform=libcamera.Transform(),
        colour_space=None,
        buffer_count=6,
        controls={},
        display="main",
        encode="main",
        queue=True,
        sensor={},
        use_case="video",
    ) -> dict[str, Any]:
        """A configuration; odd sizes become even without a word."""
        if not self.is_open:
            raise RuntimeError("Camera not opened")
        full = _stream({"format": "XBGR8888", "size": (1280, 720), "preserve_ar": True}, main)
        small = {"format": "YUV420", "size": full["size"], "preserve_ar": False}
        return {
            "use_case": use_case,
            "transform": transform,
            "colour_space": colour_space,
            "buffer_count": buffer_count,
            "queue": queue,
            "main": full,
            "lores": None if lores is None else _stream(small, lores),
            "raw": None if raw is None else _stream({"format": "SBGGR10_CSI2P", "size": full["size"]}, raw),
            "controls": controls,
            "sensor": sensor,
            "display": display,
            "encode": encode,
        }

    def configure(self, camera_config=None) -> None:
        """Sets the camera up; what it gives instead is only told by `camera_configuration`."""
        if self.started:
            raise RuntimeError("Camera must be stopped before configuring")
        self.camera_config = {}
        given = camera_config.copy()  # its streams stay shared, and are changed
        for name in ("main", "lores", "raw"):
            _check(name, given[name])
        main, lores = given["main"], given["lores"]
        if lores is not None:
            if lores["size"][0] > main["size"][0] or lores["size"][1] > main["size"][1]:
                raise RuntimeError("lores stream dimensions may not exceed main stream")
            lores |= {"stride": padded(lores["size"][0])}
        main |= {
            "format": camera_module.given_format or main["format"],
            "size": camera_module.given_size or main["size"],
        }
        main |= {"stride": main["size"][0] * 3}
        for name in given["controls"]:
            if name not in self.camera_controls:
                raise RuntimeError(f"Control {name} is not advertised by libcamera")
        self._kept = int(given["queue"] and given["buffer_count"] > 1)
        self._period = given["controls"].get("FrameDurationLimits", (33_333, 33_333))[0] / 1e6
        self.camera_config = given

    def camera_configuration(self) -> dict[str, Any]:
        """What the camera gives."""
        return self.camera_config

    def start(self, config=None, show_preview=False) -> None:
        """Frames come from here on."""
        if config is not None:
            self.configure(config)
        if not self.camera_config:
            raise RuntimeError("Camera has not been configured")
        if self._thread is None:
            self._ending.clear()
            self._thread = threading.Thread(target=self._run, name="NullPreview", daemon=True)
            self._thread.start()
        if not self.started:
            self._mute, self.started = False, True

    def stop(self) -> None:
        """Frames end. Waits, for ever if need be, for the jobs that came before."""
        if not self.started:
            return
        if self._thread is None:
            self._stop()
        else:
            self._dispatch(self._stop, None, immediate=True)

    def close(self) -> None:
        """Gives the camera back, from whatever state it is in."""
        atexit.unregister(self.close)
        thread, self._thread = self._thread, None
        if thread is not None:
            self._ending.set()
            thread.join()
        if not self.is_open:
            return
        self.stop()
        camera_module.acquired.discard(self._identifier)
        self.is_open = False
        self.camera_config = {}
        self.notifymeread.close()
        os.close(self.notifyme_w)
        del self.allocator

    def cancel_all_and_flush(self) -> None:
        """Nobody waits any more."""
        with self.lock:
            for job in self._jobs:
                job.future.set_exception(CancelledError())
            self._jobs.clear()

    def capture_request(self, wait=None, signal_function=None, flush=None) -> Any:
        """The next completed request; one that was not awaited long enough still takes a frame, and keeps it."""
        camera_module.freeze_while(Trouble.STUCK_CAPTURING)
        return self._dispatch(self._capture, wait)

    @contextmanager
    def captured_request(self, wait=None, flush=None) -> Iterator[CompletedRequest]:
        """The next completed request, which is released in the end."""
        request = self.capture_request(wait=wait, flush=flush)
        try:
            yield request
        finally:
            request.release()

    def _dispatch(
        self, function: Callable[[], tuple[bool, Any]], wait: float | None, *, immediate: bool = False
    ) -> Any:
        job = Job(function)
        with self.lock:
            only = not self._jobs
            self._jobs.append(job)
            if only and (self._completed or immediate):
                self._prodded.set()
        if wait is not None and not wait:
            return job
        return job.future.result(None if wait is None or wait is True else wait)

    def _capture(self) -> tuple[bool, CompletedRequest | None]:
        if not self._completed:
            return False, None
        request = self._completed.pop(0)
        camera_module.lent.add(request)
        return True, request

    def _stop(self) -> tuple[bool, None]:
        camera_module.freeze_while(Trouble.STUCK_STOPPING)
        self.stop_count += 1
        self.started = False
        while self._completed:
            self._completed.pop(0).release()
        self._out.clear()
        return True, None

    def _give_back(self, request: CompletedRequest) -> None:
        self._out.discard(request)

    def _run(self) -> None:
        due = time.monotonic() + self._period
        while not self._ending.is_set():
            self._prodded.wait(max(0.0, min(due - time.monotonic(), 0.2)))
            self._prodded.clear()
            if time.monotonic() >= due:
                due = max(due + self._period, time.monotonic())
                self._expose()
            self._work()

    def _expose(self) -> None:
        self._mute |= camera_module.has(Trouble.SILENT) or camera_module.has(Trouble.UNPLUGGED)
        self._number += 1
        if self.started and not self._mute and len(self._out) < self.camera_config["buffer_count"]:
            request = CompletedRequest((self._number, time.monotonic_ns()), self)
            self._out.add(request)
            self._completed.append(request)

    def _work(self) -> None:
        with self.lock:
            while self._jobs and self._jobs[0].execute():
                self._jobs.pop(0)
            while len(self._completed) > self._kept:
                self._completed.pop(0).release()


def _stream(usual: dict[str, Any], wanted: dict[str, Any]) -> dict[str, Any]:
    unknown = wanted.keys() - STREAM_KEYS
    if unknown:
        raise ValueError(f"Bad key {unknown}: valid stream configuration keys are {STREAM_KEYS}")
    width, height = (usual | wanted)["size"]
    return usual | wanted | {"size": (width - width % 2, height - height % 2)}


def _check(name: str, stream: dict[str, Any] | None) -> None:
    if stream is None:
        return
    size = stream["size"]
    if type(size) is not tuple or len(size) != 2:
        raise RuntimeError(f"size in {name} stream should be (width, height)")
    if size[0] % 2 or size[1] % 2:
        raise RuntimeError("width and height should be even")
