"""The camera's path: how old a frame is when it is answered, what the loop costs, and whether memory stays level."""

import json
import secrets
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from statistics import median

import numpy as np
import psutil

from lab.bench.bench import Bench
from lab.bench.material import FPS, film
from lab.device import OK, Device, resident_megabytes
from lab.report import Finding, tracked

MOST_LOOP_CPU = 10.0
"""Percent of a core that the idle loop may take."""

MOST_DECISION_MILLISECONDS = 1200.0
"""The longest that a person waits at a door."""

LEAST_FPS = 20.0
"""Frames a second that are read as fast as they come; with fewer, a part is broken."""

MOST_GROWTH_MEGABYTES = 10.0

LISTENER = "import sys, urllib.request as r\nfor line in r.urlopen(sys.argv[1] + '/events'): print(line, flush=True)"


def measure(bench: Bench) -> Iterator[Finding]:
    """All figures of a device that replays a film: ages of frames at their answer and times of decisions about an unknown
    person, as a door sees them; processor time of the idle loop; growth of memory with the frames.
    """
    film(bench.folder, bench.material.picture)
    ages, decisions = [], []
    with bench.device(film=True) as device, Device(device.url) as client:
        wait_for(client, 2 * FPS)
        percent = psutil.Process(device.process_id).cpu_percent(bench.extent.processor_seconds)
        for number in tracked(range(bench.extent.requests), "frames and decisions"):
            for _ in range(bench.extent.rounds):
                answer = client.ask_once("GET", "/faces")
                answer.expect(OK)
                ages.append(float(answer.headers["x-frame-age"]))
                time.sleep(0.01 + number % 7 / 1000)  # not in step with the camera
            decisions.append(decide(client)[0])
    for title, times, most in (
        ("age of a frame at its answer", ages, np.inf),
        ("a decision", decisions, MOST_DECISION_MILLISECONDS),
    ):
        yield Finding("camera", f"{title}, median", median(times), "ms", at_most=most)
        yield Finding("camera", f"{title}, 99th percentile", float(np.percentile(times, 99)), "ms")
    yield Finding("camera", f"idle loop at {FPS}/s, of one core", percent, "%", at_most=MOST_LOOP_CPU)
    with bench.device(film=True, real_time=False) as device, Device(device.url) as client:
        wait_for(client, bench.extent.warm_frames)
        before = resident_megabytes(device.process_id)
        wait_for(client, bench.extent.frames)
        growth = resident_megabytes(device.process_id) - before
    title = f"memory after {bench.extent.frames} frames, growth"
    yield Finding("camera", title, growth, "MB", at_most=MOST_GROWTH_MEGABYTES)


def decide(client: Device) -> tuple[float, float]:
    """Milliseconds of a decision as a door sees it, and those of its stages: the work, without waiting for frames."""
    begun = time.perf_counter()
    answer = client.ask_once("POST", "/access/decide", json.dumps({"nonce": secrets.token_urlsafe(16)}).encode())
    taken = 1e3 * (time.perf_counter() - begun)
    answer.expect(OK)
    return taken, sum(each for stage, each in answer.stages.items() if stage != "total")


def wait_for(client: Device, frames: int) -> None:
    """Returns when the camera has delivered so many frames. Raises TimeoutError."""
    seen, end = 0, time.monotonic() + 10 + frames / LEAST_FPS
    while seen < frames:
        if time.monotonic() > end:
            raise TimeoutError(f"{seen} frames of {frames} within {frames / LEAST_FPS:.0f} s")
        time.sleep(0.5)
        seen = client.ask_once("GET", "/healthz").result["camera"]["frames"]


@contextmanager
def listener(url: str) -> Iterator[None]:
    """A client that listens to the events: a process, so that its own work is not counted here."""
    process = subprocess.Popen([sys.executable, "-c", LISTENER, url], stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None
        next(line for line in process.stdout if b"event: faces" in line)
        yield
    finally:
        process.kill()
        process.communicate()
