"""The state of the device, for people, for monitors and for the live page. Parts register what they report."""

import os
import platform
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import bottle
from prometheus_client import CollectorRegistry, Counter, Histogram, Info, disable_created_metrics, generate_latest
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.openmetrics import exposition as openmetrics
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector

from appliance import __version__, identity, state
from appliance.access.token import SignedDecision
from appliance.api import answers
from appliance.api.access import ADMIN, ANY_KEY, METRICS, route
from appliance.api.answers import NO_STORE, Answer
from appliance.camera.condition import Trouble
from appliance.camera.loop import CameraLoop, CameraState
from appliance.events import Broadcast, DeliveryCounts, DoorEvent
from appliance.faults import Problem, ResultCode
from appliance.vision.loading import LOADING

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)
"""Bounds of the histograms: a stage takes from 1 ms here to some 100 ms on a small board, a queued request at most 10 s."""

PLAIN = "text/plain; version=0.0.4; charset=utf-8"
"""The format that every scraper reads, and every version of prometheus_client writes."""

THERMAL = Path("/sys/class/thermal")
"""The kernel's temperatures in thousandths of a degree (Documentation/driver-api/thermal/sysfs-api.rst)."""

Check = Callable[[], Iterable[Problem]]
"""Returns what is wrong with a part at the moment."""

Gauges = Callable[[], Mapping[str, tuple[str, float]]]
"""Returns the values of a part at the moment: name -> what it means, and the value."""


class Health:
    """What `/healthz` reports: the problems of all registered parts, and the state of the camera."""

    def __init__(
        self,
        camera: CameraLoop | None,
        clock: Callable[[], float] = time.monotonic,
        door: Callable[[], dict[str, Any] | None] = lambda: None,
        policy: Callable[[], dict[str, Any] | None] = lambda: None,
    ) -> None:
        """`camera` is None for a device without one; `door` returns the state of the door, None without relay and inputs;
        `policy` whose rules are in force, None without a fleet.
        """
        self._camera, self._clock, self._door, self._policy = camera, clock, door, policy
        self._checks: list[Check] = []
        self._started = clock()

    def register(self, *checks: Check) -> None:
        """Adds checks; their problems are reported in this order."""
        self._checks += checks

    @route("GET", "/healthz", ANY_KEY, quiet=True)
    def healthz(self) -> Answer:
        """The health of the device: 200 when everything works, else 503 with the reasons."""
        report = self.report()
        if report["status"] == "ok":
            return answers.answer(report, headers=NO_STORE)
        return answers.answer(report, ResultCode.NOT_READY, 503, NO_STORE)

    def report(self) -> dict[str, Any]:
        """The body of `/healthz`; `status` is "ok", "starting" or "fault"."""
        camera = self._camera.state() if self._camera else None
        reasons = [asdict(problem) for check in self._checks for problem in check()]
        starting = {LOADING, Trouble.STARTING.value}
        status = "ok" if not reasons else "starting" if all(r["state"] in starting for r in reasons) else "fault"
        return {
            "status": status,
            "reasons": reasons,
            "camera": _facts(camera) if camera else None,
            **({"door": door} if (door := self._door()) else {}),
            **({"policy": policy} if (policy := self._policy()) else {}),
            "uptime_s": round(self._clock() - self._started, 1),
        }

    def words(self) -> str:
        """The same as one line for people."""
        report = self.report()
        fine = "This is a demonstration." if (report["camera"] or {}).get("demonstration") else "Everything works."
        return " ".join(reason["text"] for reason in report["reasons"]) or fine

    def gauges(self) -> dict[str, tuple[str, float]]:
        return {"healthy": ("1 when everything works.", float(self.report()["status"] == "ok"))}


def disk_problems(folder: Path) -> list[Problem]:
    """A full disk, for `/healthz`."""
    if not state.full(folder):
        return []
    return [Problem("disk", "full", "The disk is full: neither keys nor settings can be changed.")]


def board_gauges(folder: Path | None, thermal: Path = THERMAL) -> dict[str, tuple[str, float]]:
    """The temperature of the board and the file system of the state folder, for `/metrics`; without what cannot be read."""
    gauges = {}
    if temperatures := [degrees for zone in thermal.glob("thermal_zone*/temp") for degrees in _degrees(zone)]:
        gauges["board_temperature_celsius"] = ("The hottest sensor of the board.", max(temperatures))
    try:
        disk = os.statvfs(folder) if folder else None
    except OSError:  # the folder is not there before the first key
        disk = None
    if disk:
        gauges["disk_size_bytes"] = (
            "Size of the file system of the state folder.",
            float(disk.f_blocks * disk.f_frsize),
        )
        gauges["disk_free_bytes"] = ("What is free of it.", float(disk.f_bavail * disk.f_frsize))
    return gauges


def _degrees(zone: Path) -> list[float]:
    """Celsius; empty for a sensor that gives no number, as those of a sleeping part do."""
    try:
        return [int(zone.read_text("ascii")) / 1000]
    except (OSError, ValueError):
        return []


def _facts(camera: CameraState) -> dict[str, Any]:
    return {
        "driver": camera.driver,
        "demonstration": camera.demonstration,
        "stored": camera.stored,
        "state": camera.trouble.value if camera.trouble else "ok",
        "width": camera.width,
        "height": camera.height,
        "fps": round(camera.fps, 1),
        "frame_age_ms": None if camera.frame_age_s is None else round(camera.frame_age_s * 1e3, 1),
        "frames": camera.frames,
        "reopened": camera.reopened,
    }


class Metrics(Collector):
    """Counts requests; `/metrics` shows the counts and the registered gauges."""

    def __init__(
        self,
        camera: CameraLoop | None,
        outputs: Callable[[], Mapping[str, DeliveryCounts]] = dict,
        folder: Path | None = None,
    ) -> None:
        """`outputs` returns the numbers of each output by its name; `folder` is the state folder."""
        self._camera, self._outputs = camera, outputs
        self._gauges: list[Gauges] = [lambda: board_gauges(folder)]
        disable_created_metrics()  # the time of the first sample of each series: a second series for each
        registry = self._registry = CollectorRegistry()
        self._requests = Counter(
            "appliance_requests", "Requests.", ("method", "endpoint", "status", "code"), registry=registry
        )
        self._seconds, self._stages = (
            Histogram(name, text, (label,), buckets=SECONDS, registry=registry)
            for name, text, label in (
                ("appliance_request_seconds", "Time to the answer.", "endpoint"),
                ("appliance_stage_seconds", "Time in a stage of a request.", "stage"),
            )
        )
        names = ("trigger", "result", "reason")
        self._decisions = Counter("appliance_decisions", "Decisions.", names, registry=registry)
        self._door_events = Counter("appliance_door_events", "Events at the door.", ("event",), registry=registry)
        build = {"version": __version__, "python": platform.python_version(), "board": identity.board()}
        Info("appliance_build", "The program and what it runs on.", registry=registry).info(build)
        ProcessCollector(registry=registry)
        registry.register(self)

    def register(self, *gauges: Gauges) -> None:
        self._gauges += gauges

    @route("GET", "/metrics", ADMIN | METRICS, quiet=True)
    def metrics(self) -> Answer:
        """The metrics in Prometheus' text format 0.0.4, or in OpenMetrics 1.0 for a scraper that accepts it."""
        if "application/openmetrics-text" in bottle.request.get_header("Accept", ""):
            content, kind = openmetrics.generate_latest(self._registry), openmetrics.CONTENT_TYPE_LATEST
        else:
            content, kind = generate_latest(self._registry), PLAIN
        return Answer(content, headers={"Content-Type": kind, **NO_STORE})

    def answered(
        self, method: str, endpoint: str, status: str, code: str, seconds: float, stages: Mapping[str, float]
    ) -> None:
        self._requests.labels(method, endpoint, status, code).inc()
        self._seconds.labels(endpoint).observe(seconds)
        for name, duration in stages.items():
            self._stages.labels(name).observe(duration)

    def listen(self, broadcast: Broadcast) -> None:
        broadcast.subscribe(DoorEvent, lambda event: self._door_events.labels(event.kind).inc())
        broadcast.subscribe(SignedDecision, self._decided)

    def refused(self, status: int, code: str) -> None:
        """Counts a request that did not reach an endpoint: broken HTTP, or too much of it."""
        self._requests.labels("other", "other", str(status), code).inc()

    def _decided(self, signed: SignedDecision) -> None:
        decision = signed.decision
        self._decisions.labels(decision.trigger, decision.result, decision.reason).inc()

    def collect(self) -> Iterable[Metric]:
        """What is read at the time of the request (prometheus_client's interface)."""
        for gauges in self._gauges:
            for name, (text, value) in gauges().items():
                yield GaugeMetricFamily(f"appliance_{name}", text, value)
        if self._camera is not None:
            yield from _camera_metrics(self._camera.state())
        yield from _output_metrics(self._outputs())

    def describe(self) -> Sequence[Metric]:
        """Nothing: what there is is only known when it is collected (prometheus_client's interface)."""
        return ()


def _output_metrics(outputs: Mapping[str, DeliveryCounts]) -> Iterable[Metric]:
    delivered = CounterMetricFamily("appliance_output_delivered", "Decisions handed over.", labels=("output",))
    dropped = CounterMetricFamily(
        "appliance_output_dropped", "Decisions given up: too late, too many.", labels=("output",)
    )
    waiting = GaugeMetricFamily("appliance_output_waiting", "Decisions to be handed over.", labels=("output",))
    for name, counts in outputs.items():
        delivered.add_metric((name,), counts.delivered)
        dropped.add_metric((name,), counts.dropped)
        waiting.add_metric((name,), counts.waiting)
    return (delivered, dropped, waiting)


def _camera_metrics(state: CameraState) -> Iterable[Metric]:
    current = state.trouble.value if state.trouble else "ok"
    states = GaugeMetricFamily("appliance_camera_state", "1 for the state the camera is in.", labels=("state",))
    for name in ("ok", *(trouble.value for trouble in Trouble)):
        states.add_metric((name,), float(name == current))
    yield states
    yield GaugeMetricFamily("appliance_camera_fps", "Frames a second.", state.fps)
    if state.frame_age_s is not None:
        yield GaugeMetricFamily("appliance_camera_frame_age_seconds", "Age of the newest frame.", state.frame_age_s)
    yield CounterMetricFamily("appliance_camera_frames", "Frames since the start.", state.frames)
    yield CounterMetricFamily("appliance_camera_reopened", "How often the camera was opened again.", state.reopened)
