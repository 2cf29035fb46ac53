"""The camera's path: how old a frame is when it is answered, what the loop costs, and whether memory stays level."""

import json
import re
import secrets
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from statistics import median

import numpy as np
import psutil

from lab.bench.bench import Bench, Measured
from lab.bench.load import clients
from lab.bench.material import FPS, film
from lab.bench.resources import resident_megabytes
from lab.device import Device, OwnDevice
from lab.report import Finding, tracked

MOST_LOOP_CPU = 15.0
"""Percent of a core that the idle loop may take."""

MOST_DECISION_MILLISECONDS = 1200.0
"""The longest that a person waits at a door."""

LEAST_FPS = 20.0
"""Frames a second that are read as fast as they come; with fewer, a part is broken."""

MOST_GROWTH_MEGABYTES = 10.0


def measure(bench: Bench) -> Measured:
    """All figures of a device that replays a film."""
    film(bench.folder, bench.material.picture)
    parts = (ages(bench), decisions(bench), loop_cost(bench), watched(bench), memory(bench))
    return Measured([finding for part in parts for finding in part])


def ages(bench: Bench) -> Iterator[Finding]:
    """Age of the frame when `GET /faces` answers about it."""
    with bench.device(film=True) as device, Device(device.url) as client:
        milliseconds = []
        for number in tracked(range(bench.extent.ages), "frame age"):
            answer = client.ask_once("GET", "/faces")
            answer.expect("INF-00")
            milliseconds.append(float(answer.headers["x-frame-age"]))
            time.sleep(0.01 + number % 7 / 1000)  # not in step with the camera
    yield Finding("camera", "age of a frame at its answer, median", median(milliseconds), "ms")
    yield Finding("camera", "the same, 99th percentile", float(np.percentile(milliseconds, 99)), "ms")


def decisions(bench: Bench) -> Iterator[Finding]:
    """Time of `POST /access/decide`, as a door sees it, about an unknown person, and over that of a liveness check of the
    camera's frames within the same second.
    """
    decided, judged = [], []
    with bench.device(film=True) as device, Device(device.url) as client:
        wait_for(client, 2 * FPS)
        for _ in tracked(range(max(3, bench.extent.ages // 5)), "decisions"):
            question = json.dumps({"nonce": secrets.token_urlsafe(16)}).encode()
            decided.append(_milliseconds(client, "POST", "/access/decide", question))
            judged.append(_milliseconds(client, "GET", "/liveness/multiframe"))
    ratio = median(a / b for a, b in zip(decided, judged, strict=True))
    yield Finding("camera", "a decision, median", median(decided), "ms", at_most=MOST_DECISION_MILLISECONDS)
    yield Finding("camera", "the same, 99th percentile", float(np.percentile(decided, 99)), "ms")
    yield Finding("camera", "a decision over a liveness check", ratio)


def loop_cost(bench: Bench) -> Iterator[Finding]:
    """Processor time of a device that only keeps its ring fresh, beyond that of one without a camera."""
    percent = []
    for with_film in (True, False):
        with bench.device(film=with_film) as device:
            time.sleep(2)
            percent.append(psutil.Process(device.process_id).cpu_percent(bench.extent.processor_seconds))
    cost = percent[0] - percent[1]
    yield Finding("camera", f"idle loop at {FPS}/s, of one core", cost, "%", at_most=MOST_LOOP_CPU)


def watched(bench: Bench) -> Iterator[Finding]:
    """Time of a posted `/faces` while a client listens to the events, over that without one."""
    alone, beside = [], []
    with bench.device(film=True) as device:
        for _ in tracked(range(bench.extent.rounds), "watched"):
            alone.append(_posted(bench, device))
            with listener(device.url):
                beside.append(_posted(bench, device))
    yield Finding("camera", "posted /faces, without listeners", median(alone), "ms")
    yield Finding("camera", "posted /faces, with a listener", median(beside), "ms")
    yield Finding("camera", "ratio", median(b / a for a, b in zip(alone, beside, strict=True)))


def memory(bench: Bench) -> Iterator[Finding]:
    """Resident memory after so many frames, beyond that after the first ones."""
    with bench.device(film=True, real_time=False) as device, Device(device.url) as client:
        wait_for(client, bench.extent.warm_frames)
        before = resident_megabytes(device.process_id)
        wait_for(client, bench.extent.frames)
        growth = resident_megabytes(device.process_id) - before
    title = f"memory after {bench.extent.frames} frames, growth"
    yield Finding("camera", title, growth, "MB", at_most=MOST_GROWTH_MEGABYTES)


def _posted(bench: Bench, device: OwnDevice) -> float:
    return median(clients(device.url, bench.folder, "faces", bench.extent.requests).served)


def _milliseconds(client: Device, method: str, path: str, body: bytes | None = None) -> float:
    """How long an answer takes."""
    begun = time.perf_counter()
    client.ask_once(method, path, body).expect("INF-00")
    return 1e3 * (time.perf_counter() - begun)


def wait_for(client: Device, frames: int) -> None:
    """Returns when the camera has delivered so many frames. Raises TimeoutError."""
    seen, end = 0, time.monotonic() + frames / LEAST_FPS
    while seen < frames:
        if time.monotonic() > end:
            raise TimeoutError(f"{seen} frames of {frames} within {frames / LEAST_FPS:.0f} s")
        time.sleep(0.5)
        seen = client.ask_once("GET", "/healthz").result["camera"]["frames"]


@contextmanager
def listener(url: str) -> Iterator[None]:
    """A client that listens to the events: a process, so that its own work is not counted here."""
    program = "import sys, urllib.request as r\nfor line in r.urlopen(sys.argv[1] + '/events'): print(line, flush=True)"
    process = subprocess.Popen([sys.executable, "-c", program, url], stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None
        for line in process.stdout:
            if re.search(rb"event: faces", line):
                break
        yield
    finally:
        process.kill()
        process.communicate()
