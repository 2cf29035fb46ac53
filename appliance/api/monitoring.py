"""How the device is, for people, for monitors and for the live page."""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Protocol

import bottle
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector

from appliance.access.identify import state_of
from appliance.api import answers
from appliance.camera.condition import Trouble
from appliance.camera.loop import CameraState
from appliance.faults import ResultCode
from appliance.gallery.people import GalleryError


class Problem(Protocol):
    """What is wrong with a part, in constant words: its name, a word for programs, a sentence for people."""

    @property
    def part(self) -> str: ...

    @property
    def state(self) -> str: ...

    @property
    def text(self) -> str: ...


class Health:
    """Puts together what the parts say of themselves."""

    def __init__(
        self,
        camera: Callable[[], CameraState] | None,
        models: Callable[[], Sequence[Problem]],
        keys: Callable[[], str | None],
        full: Callable[[], bool],
        clock: Callable[[], float] = time.monotonic,
        *,
        points: Callable[[], str | None] = lambda: None,
        outputs: Callable[[], Sequence[Problem]] = tuple,
        gallery: Callable[[], GalleryError | None] = lambda: None,
    ) -> None:
        """`camera` is None for a device without one; `models` gives what is wrong with each, and is empty while they load;
        `keys` gives what is wrong with them, `points` what is wrong with the operating points, `outputs` what is wrong
        with the ways out, `gallery` what is wrong with that, and `full` says whether the disk is.
        """
        self._points, self._outputs, self._gallery = points, outputs, gallery
        self._camera, self._models, self._keys, self._full, self._clock = camera, models, keys, full, clock
        self._started = clock()

    def healthz(self) -> bottle.HTTPResponse:
        """`GET /healthz`: 200 when everything works, else 503 with the reasons."""
        report = self.report()
        sound = report["status"] == "ok"
        response = answers.answer(report, ResultCode.OK if sound else ResultCode.NOT_READY, 200 if sound else 503)
        response.set_header("Cache-Control", "no-store")
        return response

    def report(self) -> dict[str, Any]:
        """The body of `/healthz`; `status` is "ok", "starting" or "fault"."""
        camera = self._camera() if self._camera else None
        reasons = [
            *(_reason(problem.part, problem.state, problem.text) for problem in self._models()),
            *self._about_keys(),
            *self._about_points(),
            *self._about_gallery(),
            *self._about_disk(),
            *_about_camera(camera),
            *(_reason(problem.part, problem.state, problem.text) for problem in self._outputs()),
        ]
        starting = {"loading", Trouble.STARTING.value}
        status = "ok" if not reasons else "starting" if all(r["state"] in starting for r in reasons) else "fault"
        return {
            "status": status,
            "reasons": reasons,
            "camera": _facts(camera) if camera else None,
            "uptime_s": round(self._clock() - self._started, 1),
        }

    def words(self) -> str:
        """The same as one line for people."""
        return " ".join(reason["text"] for reason in self.report()["reasons"]) or "Everything works."

    def _about_keys(self) -> list[dict[str, str]]:
        if self._keys() is None:
            return []
        return [_reason("keys", "keys_damaged", "The file of keys cannot be read: no key is accepted.")]

    def _about_points(self) -> list[dict[str, str]]:
        if self._points() is None:
            return []
        return [
            _reason("calibration", "calibration_damaged", "The file of operating points cannot be read: see the log.")
        ]

    def _about_gallery(self) -> list[dict[str, str]]:
        trouble = self._gallery()
        return [_reason("gallery", *state_of(trouble))] if trouble else []

    def _about_disk(self) -> list[dict[str, str]]:
        if not self._full():
            return []
        return [_reason("disk", "full", "The disk is full: neither keys nor settings can be changed.")]


def _about_camera(camera: CameraState | None) -> list[dict[str, str]]:
    if camera is None or camera.trouble is None:
        return []
    return [_reason("camera", camera.trouble.value, camera.trouble.text)]


def _facts(camera: CameraState) -> dict[str, Any]:
    return {
        "driver": camera.driver,
        "demonstration": camera.demonstration,
        "state": camera.trouble.value if camera.trouble else "ok",
        "width": camera.width,
        "height": camera.height,
        "fps": round(camera.fps, 1),
        "frame_age_ms": None if camera.frame_age_s is None else round(camera.frame_age_s * 1e3, 1),
        "frames": camera.frames,
        "reopened": camera.reopened,
    }


def _reason(part: str, state: str, text: str) -> dict[str, str]:
    return {"part": part, "state": state, "text": text}


SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)
"""Bounds of the histograms: a stage takes from 1 ms here to some 100 ms on a small board, a queued request at most 10 s."""


class Tally(Protocol):
    """What became of the decisions that were to go out one way."""

    @property
    def delivered(self) -> int: ...

    @property
    def dropped(self) -> int: ...

    @property
    def waiting(self) -> int: ...


class Metrics:
    """Counts requests, and shows the state of the parts when it is asked."""

    def __init__(
        self,
        camera: Callable[[], CameraState] | None,
        gauges: Mapping[str, tuple[str, Callable[[], float]]],
        outputs: Callable[[], Mapping[str, Tally]] = dict,
    ) -> None:
        """`gauges`: name -> what it says, and its value now; `outputs`: by name what became of the decisions."""
        self._registry = CollectorRegistry()
        self._requests = Counter(
            "appliance_requests", "Requests.", ("method", "endpoint", "status", "code"), registry=self._registry
        )
        self._seconds = Histogram(
            "appliance_request_seconds", "Time to the answer.", ("endpoint",), buckets=SECONDS, registry=self._registry
        )
        self._stages = Histogram(
            "appliance_stage_seconds",
            "Time in a stage of a request.",
            ("stage",),
            buckets=SECONDS,
            registry=self._registry,
        )
        ProcessCollector(registry=self._registry)
        self._registry.register(_Now(camera, gauges, outputs))

    def answered(
        self, method: str, endpoint: str, status: str, code: str, seconds: float, stages: Mapping[str, float]
    ) -> None:
        """Takes note of an answer."""
        self._requests.labels(method, endpoint, status, code).inc()
        self._seconds.labels(endpoint).observe(seconds)
        for name, duration in stages.items():
            self._stages.labels(name).observe(duration)

    def refused(self, status: int, code: str) -> None:
        """Takes note of a request that never reached an endpoint: broken HTTP, or too much of it."""
        self._requests.labels("other", "other", str(status), code).inc()

    def metrics(self) -> bottle.HTTPResponse:
        """`GET /metrics`"""
        headers = {"Content-Type": CONTENT_TYPE_LATEST, "Cache-Control": "no-store"}
        return bottle.HTTPResponse(generate_latest(self._registry), 200, headers)


class _Now(Collector):
    """What is read only when somebody asks."""

    def __init__(
        self,
        camera: Callable[[], CameraState] | None,
        gauges: Mapping[str, tuple[str, Callable[[], float]]],
        outputs: Callable[[], Mapping[str, Tally]],
    ) -> None:
        self._camera, self._gauges, self._outputs = camera, gauges, outputs

    def collect(self) -> Iterable[Metric]:
        for name, (text, value) in self._gauges.items():
            yield GaugeMetricFamily(f"appliance_{name}", text, value())
        if self._camera is not None:
            yield from _camera_metrics(self._camera())
        yield from _output_metrics(self._outputs())


def _output_metrics(tallies: Mapping[str, Tally]) -> Iterable[Metric]:
    delivered = CounterMetricFamily("appliance_output_delivered", "Decisions handed over.", labels=("output",))
    dropped = CounterMetricFamily(
        "appliance_output_dropped", "Decisions given up: too late, too many.", labels=("output",)
    )
    waiting = GaugeMetricFamily("appliance_output_waiting", "Decisions to be handed over.", labels=("output",))
    for name, tally in tallies.items():
        delivered.add_metric((name,), tally.delivered)
        dropped.add_metric((name,), tally.dropped)
        waiting.add_metric((name,), tally.waiting)
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
