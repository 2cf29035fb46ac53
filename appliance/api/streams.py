"""Answers that go on while a client is connected: the camera's picture and the events."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any

import bottle

from appliance.access.steps import PendingStep
from appliance.access.token import SignedDecision, stamp
from appliance.api import answers
from appliance.api.access import ADMIN, ADMITTED, KIOSK, LIVE, SCOPES, route
from appliance.api.answers import NO_STORE, Answer, StreamedAnswer
from appliance.api.monitoring import Health
from appliance.camera.loop import Camera
from appliance.camera.source import CameraError, Ring
from appliance.events import (
    Appeared,
    Broadcast,
    DoorEvent,
    DoorEventKind,
    DoorState,
    Event,
    FacesSeen,
    GalleryChanged,
    Left,
    LivenessJudged,
    PanelLight,
    PanelSound,
    PanelText,
)
from appliance.faults import Fault, ResultCode
from appliance.imaging.codec import jpeg

STUCK_SECONDS = 10.0
"""A client that has not read for this long is disconnected."""

WAIT_SECONDS = 0.5
"""Longest wait for something to send, so that the stream notices when it should end."""

NAP_SECONDS = 0.02
"""How often a slow client is checked: less than the time of a frame at 30 per second."""

HEARTBEAT_SECONDS = 5.0
"""A comment is sent so often: a proxy does not close the stream (nginx: after 60 s), and the second one after a client has left
frees its place.
"""

BOUNDARY, EVENTS = "frame", "text/event-stream"

NEEDED = {"camera", "models"}
"""The parts without which the display at the door says that it is out of service."""

SHOWN = (FacesSeen, SignedDecision, PendingStep, PanelLight, PanelSound, PanelText)
"""The events of the display at the door; it does not show the liveness of faces, which costs four runs of a network."""

Report = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A frame of the ring as a JPEG."""

    sequence: int
    content: bytes


class Snapshots:
    """The newest frame as a JPEG, encoded once for all clients."""

    def __init__(self, ring: Ring, quality: int) -> None:
        self._ring, self._quality = ring, quality
        self._lock = threading.Lock()
        self._last: Snapshot | None = None

    def newest(self, after: int = 0, timeout: float = 0.0) -> Snapshot | None:
        """The newest frame if its number is above `after`; waits for one at most `timeout` seconds."""
        frame = self._ring.newest(after, timeout)
        if frame is None:
            return None
        with self._lock:
            if self._last is None or self._last.sequence < frame.sequence:
                self._last = Snapshot(frame.sequence, jpeg(frame.pixels, self._quality))
            return self._last


class Places:
    """A bounded number of clients at once."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._lock = threading.Lock()
        self.taken = 0

    def take(self) -> None:
        """Raises Fault INF-08 (503) when all are taken."""
        with self._lock:
            if self.taken >= self._count:
                raise Fault(ResultCode.NOT_READY, f"all {self._count} streams are taken", status=503, retry_after=5)
            self.taken += 1

    def leave(self) -> None:
        with self._lock:
            self.taken -= 1


class StreamClient:
    """Whether the client of a stream reads it, and is still admitted."""

    def __init__(self, unsent: Callable[[], int], admitted: Callable[[], bool], stuck_s: float) -> None:
        """`unsent` returns the bytes that wait for the client, `admitted` whether its key is still valid; `stuck_s` is after
        how many seconds without a read it is gone.
        """
        self._unsent, self._admitted, self._stuck_s = unsent, admitted, stuck_s
        self._left = 0
        self._moved = time.monotonic()

    def free(self) -> bool:
        """Whether the client has read everything."""
        left = self._unsent()
        if left < self._left or not left:
            self._moved = time.monotonic()
        self._left = left
        return not left

    def gone(self) -> bool:
        """Whether the client has read nothing for too long, or is no longer admitted."""
        stuck = self._left > 0 and time.monotonic() - self._moved > self._stuck_s
        return stuck or not self._admitted()


class Streams:
    """Each method answers bottle's current request or raises a Fault."""

    def __init__(
        self,
        camera: Camera,
        ring: Ring,
        snapshots: Snapshots,
        broadcast: Broadcast,
        health: Health,
        *,
        viewers: int,
        listeners: int,
        fps: float,
        heartbeat: float = HEARTBEAT_SECONDS,
        stuck: float = STUCK_SECONDS,
    ) -> None:
        self._camera, self._ring, self._snapshots = camera, ring, snapshots
        self._broadcast, self._health = broadcast, health
        self._viewers, self._listeners = Places(viewers), Places(listeners)
        self._period, self._heartbeat, self._stuck = 1 / fps, heartbeat, stuck

    def gauges(self) -> dict[str, tuple[str, float]]:
        return {
            "stream_viewers": ("Open picture streams.", self._viewers.taken),
            "event_listeners": ("Open event streams.", self._listeners.taken),
        }

    @route("GET", "/camera/frame.jpg", LIVE | KIOSK)
    def frame(self) -> Answer:
        """The newest frame of the camera as JPEG."""
        self._camera.usable()
        snapshot = self._snapshots.newest()
        if snapshot is None:
            raise CameraError("no frame")
        headers = {"Content-Type": "image/jpeg", **NO_STORE, "X-Frame-Sequence": str(snapshot.sequence)}
        return Answer(snapshot.content, headers=headers)

    @route("GET", "/camera/stream.mjpg", LIVE | KIOSK)
    def stream(self) -> StreamedAnswer:
        """The frames of the camera as MJPEG, as they come, for as long as the client reads them."""
        self._camera.usable()
        kind = f"multipart/x-mixed-replace; boundary={BOUNDARY}"
        return self._stream(self._viewers, kind, self._pictures)

    @route("GET", "/events", LIVE)
    def events(self) -> StreamedAnswer:
        """Server-Sent Events of what the device sees and decides."""
        message = partial(_listened_event, admin=bottle.request.environ[SCOPES] >= ADMIN)
        return self._stream(self._listeners, EVENTS, partial(self._events, partial(_message, "health"), message))

    @route("GET", "/kiosk/events", LIVE | KIOSK)
    def kiosk(self) -> StreamedAnswer:
        """What the display at the door shows: where faces are, decisions, and what the panel sends. The only names are those of
        people who are granted.
        """
        return self._stream(self._listeners, EVENTS, partial(self._events, _kiosk_health, _kiosk_event, kinds=SHOWN))

    def _stream(self, places: Places, kind: str, content: Callable[[StreamClient], Iterator[bytes]]) -> StreamedAnswer:
        environ = bottle.request.environ
        client = StreamClient(environ["appliance.unsent"], environ[ADMITTED], self._stuck)
        places.take()

        def sent() -> Iterator[bytes]:
            try:
                yield from content(client)
            finally:
                places.leave()

        return StreamedAnswer(sent(), {"Content-Type": kind, "X-Accel-Buffering": "no", **NO_STORE})

    def _pictures(self, client: StreamClient) -> Iterator[bytes]:
        sequence, due, heard = 0, 0.0, time.monotonic()
        while not (self._ring.closed or client.gone() or time.monotonic() - heard > self._stuck):
            now = time.monotonic()
            if now < due or not client.free():
                time.sleep(NAP_SECONDS if now >= due else min(due - now, WAIT_SECONDS))
                continue
            snapshot = self._snapshots.newest(sequence, WAIT_SECONDS)
            if snapshot is None:
                continue
            sequence, heard = snapshot.sequence, time.monotonic()
            due = max(due + self._period, heard - self._period)
            head = f"--{BOUNDARY}\r\nContent-Type: image/jpeg\r\nContent-Length: {len(snapshot.content)}\r\n\r\n"
            yield head.encode() + snapshot.content + b"\r\n"

    def _events(
        self,
        health: Callable[[Report], str],
        message: Callable[[Event], str],
        client: StreamClient,
        kinds: tuple[type, ...] = (),
    ) -> Iterator[bytes]:
        sent, state = time.monotonic(), ""
        with self._broadcast.subscribed(*kinds) as subscription:
            while not (self._ring.closed or client.gone()):
                if not client.free():
                    time.sleep(NAP_SECONDS)
                    continue
                event = subscription.next(WAIT_SECONDS)
                messages = []
                report = self._health.report()
                if (seen := json.dumps([report["status"], report["reasons"]])) != state:
                    state = seen
                    messages.append(health(report))
                if event is not None:
                    messages.append(message(event))
                if time.monotonic() - sent > self._heartbeat:
                    sent = time.monotonic()
                    messages.append(":\n\n")
                if any(messages):
                    yield "".join(messages).encode()


def _kiosk_health(report: Report) -> str:
    usable = not any(each["part"] in NEEDED for each in report["reasons"])
    return _message("health", {"usable": usable, "demonstration": (report["camera"] or {}).get("demonstration", False)})


def _kiosk_event(event: Event) -> str:
    match event:
        case FacesSeen():
            faces = [
                {
                    "box": answers.box(seen.face.detection.box.squared()),
                    "pose": answers.pose(seen.face.pose),
                    "quality": answers.quality(seen.quality),
                }
                for seen in event.faces
            ]
            return _message("faces", {"width": event.width, "height": event.height, "faces": faces})
        case SignedDecision():
            return _message("decision", answers.shown_decision(event))
        case PendingStep():
            return _message("pending", event.document())
        case PanelLight() | PanelSound() | PanelText():
            return _event(event)
    return ""


def _listened_event(event: Event, *, admin: bool) -> str:
    """Without the scope `admin` nothing of a silent alarm; and no handle, because listeners answer no steps."""
    match event:
        case PendingStep():
            return _message("pending", {name: fact for name, fact in event.document().items() if name != "handle"})
        case DoorEvent(kind=DoorEventKind.DURESS) if not admin:
            return ""
    return _event(event)


def _event(event: Event) -> str:
    now = stamp(datetime.now(UTC))
    match event:
        case FacesSeen():
            name = "faces"
            body = {
                "sequence": event.sequence,
                "age_ms": round(event.age_s * 1e3, 1),
                "width": event.width,
                "height": event.height,
                "faces": [
                    {"id": seen.number, **answers.face(seen.face), "quality": answers.quality(seen.quality)}
                    for seen in event.faces
                ],
            }
        case Appeared():
            name, body = "appeared", {"id": event.number, "time": now}
        case Left():
            name, body = "left", {"id": event.number, "time": now, "seconds": round(event.seconds, 1)}
        case LivenessJudged():
            name, body = "liveness", {"id": event.number, "confidence": event.confidence}
        case SignedDecision():
            names = ("id", "time", "result", "reason", "text", "person", "direction")
            name, body = "decision", event.document(*names)
        case DoorEvent():
            name, body = "door_event", {"event": event.kind, "by": event.by, "time": stamp(event.time)}
        case DoorState():
            name, body = "door", asdict(event)
        case PanelLight() | PanelSound() | PanelText():
            name, body = "panel", {"kind": type(event).__name__.removeprefix("Panel").lower(), **asdict(event)}
        case GalleryChanged():
            name, body = "gallery", {"people": event.people, "templates": event.templates}
        case _:
            raise TypeError(f"{type(event).__name__} is not an event")
    return _message(name, body)


def _message(name: str, body: dict[str, Any]) -> str:
    return f"event: {name}\ndata: {json.dumps(body, separators=(',', ':'))}\n\n"
