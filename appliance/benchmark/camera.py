"""The camera's path: how old a frame is when it is answered, what the loop costs, and whether memory stays level."""

import json
import os
import re
import secrets
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import cv2
import numpy as np
import tomlkit
from rich.console import Console
from rich.progress import track

from appliance.benchmark.extent import Extent
from appliance.benchmark.figures import percentile
from appliance.benchmark.load import clients
from appliance.benchmark.material import CANVAS
from appliance.config import EngineSection
from appliance.evaluation.device import Device
from appliance.evaluation.own_device import OwnDevice, own_device
from appliance.evaluation.pictures import flickering
from appliance.evaluation.report import Finding

FPS = 30
FILM, PICTURES = "film.avi", 60
"""The replayed film, and how many frames it has."""

MOST_LOOP_CPU = 15.0
"""Percent of a core that the idle loop may take."""

MOST_DECISION_MILLISECONDS = 1200.0
"""What somebody before a door is made to wait."""

LEAST_FPS = 20.0
"""Frames a second that are read as fast as they come; fewer, and something is broken."""

MOST_GROWTH_MEGABYTES = 10.0

AS_SHIPPED = EngineSection()


@dataclass(frozen=True, slots=True)
class Cameras:
    """A folder with a film, how the engine of the devices before it is configured, and how much to measure."""

    folder: Path
    engine: EngineSection
    extent: Extent

    def measure(self) -> list[Finding]:
        """All that is measured before the film."""
        return [*self.ages(), *self.decisions(), *self.loop_cost(), *self.watched(), *self.memory()]

    def ages(self) -> list[Finding]:
        """Age of the frame when `GET /faces` answers about it."""
        with self._device() as device, Device(device.url) as client:
            milliseconds = []
            for number in track(range(self.extent.ages), "frame age", console=Console(stderr=True)):
                answer = client.ask_once("GET", "/faces")
                answer.expect("INF-00")
                milliseconds.append(float(answer.headers["x-frame-age"]))
                time.sleep(0.01 + number % 7 / 1000)  # not in step with the camera
        return [
            Finding("camera", "age of a frame at its answer, median", median(milliseconds), "ms"),
            Finding("camera", "the same, 99th percentile", percentile(milliseconds, 99), "ms"),
        ]

    def decisions(self) -> list[Finding]:
        """Time of `POST /access/decide`, as a door sees it, about a person nobody knows, and over that of a liveness check of
        the camera's frames within the same second.
        """
        decided, judged = [], []
        with self._device() as device, Device(device.url) as client:
            _wait_for(client, 2 * FPS)
            for _ in track(range(max(3, self.extent.ages // 5)), "decisions", console=Console(stderr=True)):
                question = json.dumps({"nonce": secrets.token_urlsafe(16)}).encode()
                decided.append(_milliseconds(client, "POST", "/access/decide", question))
                judged.append(_milliseconds(client, "GET", "/liveness/multiframe"))
        ratio = median(a / b for a, b in zip(decided, judged, strict=True))
        return [
            Finding("camera", "a decision, median", median(decided), "ms", at_most=MOST_DECISION_MILLISECONDS),
            Finding("camera", "the same, 99th percentile", percentile(decided, 99), "ms"),
            Finding("camera", "a decision over a liveness check", ratio),
        ]

    def loop_cost(self) -> list[Finding]:
        """Processor time of a device that only keeps its ring fresh, beyond that of one without a camera."""
        with self._device() as device:
            with_camera = _cpu_percent(device, self.extent.processor_seconds)
        with own_device("--config", str(without_camera(self.folder, self.engine))) as device:
            without = _cpu_percent(device, self.extent.processor_seconds)
        cost = with_camera - without
        return [Finding("camera", f"idle loop at {FPS}/s, of one core", cost, "%", at_most=MOST_LOOP_CPU)]

    def watched(self) -> list[Finding]:
        """Time of a posted `/faces` while somebody listens to the events, over that while nobody does."""
        alone, beside = [], []
        with self._device() as device:
            for _ in track(range(self.extent.rounds), "watched", console=Console(stderr=True)):
                alone.append(self._posted(device))
                with _listener(device.url):
                    beside.append(self._posted(device))
        ratio = median(b / a for a, b in zip(alone, beside, strict=True))
        return [
            Finding("camera", "posted /faces, nobody watches", median(alone), "ms"),
            Finding("camera", "posted /faces, somebody watches", median(beside), "ms"),
            Finding("camera", "ratio", ratio),
        ]

    def memory(self) -> list[Finding]:
        """Resident memory after so many frames, beyond that after the first ones."""
        with self._device(real_time=False) as device, Device(device.url) as client:
            _wait_for(client, self.extent.warm_frames)
            before = resident_megabytes(device.process_id)
            _wait_for(client, self.extent.frames)
            growth = resident_megabytes(device.process_id) - before
        title = f"memory after {self.extent.frames} frames, growth"
        return [Finding("camera", title, growth, "MB", at_most=MOST_GROWTH_MEGABYTES)]

    def _device(self, *, real_time: bool = True) -> AbstractContextManager[OwnDevice]:
        return camera_device(self.folder, self.engine, real_time=real_time)

    def _posted(self, device: OwnDevice) -> float:
        (load,) = clients(device.url, self.folder, "faces", self.extent.requests)
        return median(load.milliseconds)


def film(folder: Path, picture: bytes) -> None:
    """Writes a film of motion JPEGs, as USB cameras send them: each frame is decoded anew, whenever it is played."""
    motion_jpeg = cv2.VideoWriter.fourcc(*"MJPG")
    writer = cv2.VideoWriter(str(folder / FILM), motion_jpeg, FPS, CANVAS)
    for number in range(PICTURES):
        frame = cv2.imdecode(np.frombuffer(flickering(picture, number), np.uint8), cv2.IMREAD_COLOR)
        writer.write(cv2.resize(frame, CANVAS))
    writer.release()


def without_camera(folder: Path, engine: EngineSection = AS_SHIPPED) -> Path:
    """A configuration of a device that answers posted pictures alone."""
    return _configuration(folder / "without_camera.toml", engine, {"driver": "none"})


@contextmanager
def camera_device(folder: Path, engine: EngineSection = AS_SHIPPED, *, real_time: bool = True) -> Iterator[OwnDevice]:
    """A device before the film."""
    width, height = CANVAS
    section = {"driver": "replay", "source": str(folder / FILM), "fps": FPS, "width": width, "height": height}
    path = _configuration(folder / "camera.toml", engine, {**section, "real_time": real_time})
    with own_device("--config", str(path)) as device:
        yield device


def resident_megabytes(process_id: int) -> float:
    """Resident memory of a process in units of 10^6 bytes (proc(5), VmRSS). Raises OSError when it is gone."""
    status = Path(f"/proc/{process_id}/status").read_text(encoding="ascii")
    line = next(line for line in status.splitlines() if line.startswith("VmRSS:"))
    return int(line.split()[1]) * 1024 / 1e6


def _configuration(path: Path, engine: EngineSection, camera: Mapping[str, Any]) -> Path:
    gallery = {"key_file": str(path.with_suffix(".key"))}
    sections = {"engine": engine.model_dump(mode="json", exclude_none=True), "camera": camera, "gallery": gallery}
    path.write_text(tomlkit.dumps(sections), encoding="utf-8")
    return path


def _milliseconds(client: Device, method: str, path: str, body: bytes | None = None) -> float:
    """How long an answer takes."""
    begun = time.perf_counter()
    client.ask_once(method, path, body).expect("INF-00")
    return 1e3 * (time.perf_counter() - begun)


def _cpu_percent(device: OwnDevice, seconds: float) -> float:
    """Of one core, while nobody asks."""
    time.sleep(2)
    before = _cpu_seconds(device.process_id)
    time.sleep(seconds)
    return 100 * (_cpu_seconds(device.process_id) - before) / seconds


def _cpu_seconds(process_id: int) -> float:
    """User and system time of a process (proc(5), stat, fields 14 and 15)."""
    fields = Path(f"/proc/{process_id}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _wait_for(client: Device, frames: int) -> None:
    seen, end = 0, time.monotonic() + frames / LEAST_FPS
    while seen < frames:
        if time.monotonic() > end:
            raise TimeoutError(f"{seen} frames of {frames} within {frames / LEAST_FPS:.0f} s")
        time.sleep(0.5)
        seen = client.ask_once("GET", "/healthz").result["camera"]["frames"]


@contextmanager
def _listener(url: str) -> Iterator[None]:
    """Somebody who listens to the events: a process, so that its own work is not counted here."""
    program = "import sys, urllib.request as r\nfor line in r.urlopen(sys.argv[1] + '/events'): print(line, flush=True)"
    process = subprocess.Popen(  # noqa: S603 (ourselves)
        [sys.executable, "-c", program, url], stdout=subprocess.PIPE
    )
    try:
        assert process.stdout is not None
        for line in process.stdout:
            if re.search(rb"event: faces", line):
                break
        yield
    finally:
        process.kill()
        process.communicate()
