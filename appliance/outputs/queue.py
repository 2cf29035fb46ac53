"""What an output is: it is notified of decisions and door events, runs on its own thread and reports its problems."""

import logging
import os
import random
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

from appliance import state
from appliance.access.clock import Clock
from appliance.access.identify import GalleryHandle
from appliance.access.log import Record
from appliance.access.policy import Rules
from appliance.access.token import LIFE, SignedDecision, milliseconds, stamp
from appliance.camera.source import Ring
from appliance.events import Broadcast, DeliveryCounts, DoorEvent, DoorState
from appliance.faults import Problem

log = logging.getLogger(__name__)

MOST_SECRET_BYTES = 4096
"""A secret or a password has some dozen bytes; a larger file is the wrong one."""

FIRST_PAUSE_SECONDS = 1.0
"""Before the second attempt. The pause doubles with each further one, and is random between half and all of that, so that
many devices do not return at the same moment.
"""


TABLES = {"relay", "inputs", "osdp", "wiegand", "webhook", "mqtt", "server", "lan"}
"""The tables of the configuration that `configured_outputs` reads."""

FRONT_PORT = 9443
"""The port of the TLS front (systemd/stunnel.conf)."""

Message = SignedDecision | DoorEvent
"""What an output is notified of."""


class Output(Protocol):
    """One output. `notify`, `stop`, `problem` and `counts` may be called from any thread and return at once."""

    name: str

    def notify(self, message: Message) -> None: ...

    def run(self) -> None: ...

    def stop(self) -> None: ...

    def problem(self) -> Problem | None: ...

    def counts(self) -> DeliveryCounts: ...


class Outputs:
    """Notifies every output of each decision and door event; no output delays the caller or another output."""

    def __init__(self, outputs: Iterable[Output] = ()) -> None:
        self._outputs = tuple(outputs)
        self._threads: list[threading.Thread] = []

    @property
    def empty(self) -> bool:
        """Whether no output is configured, so that a decision opens nothing."""
        return not self._outputs

    def notify(self, message: Message) -> None:
        """Hands a message to all outputs; from any thread. Returns at once and never raises."""
        for output in self._outputs:
            output.notify(message)

    def listen(self, broadcast: Broadcast) -> None:
        """Subscribes to the decisions and door events of the bus."""
        broadcast.subscribe(SignedDecision, self.notify)
        broadcast.subscribe(DoorEvent, self.notify)

    def start(self, start: Callable[[str, Callable[[], None]], threading.Thread]) -> None:
        self._threads = [start(output.name, output.run) for output in self._outputs]

    def stop(self, seconds: float) -> None:
        """Stops all outputs: the relay is off, MQTT disconnected. Returns when they have ended, or after so many seconds."""
        for output in self._outputs:
            output.stop()
        end = time.monotonic() + seconds
        for thread in self._threads:
            thread.join(max(0.0, end - time.monotonic()))

    def problems(self) -> tuple[Problem, ...]:
        return tuple(problem for output in self._outputs if (problem := output.problem()))

    def counts(self) -> Mapping[str, DeliveryCounts]:
        return {output.name: output.counts() for output in self._outputs}


def configured_outputs(
    tables: Mapping[str, Mapping[str, Any]],
    device: str,
    introduction: Mapping[str, str],
    health: Callable[[], Mapping[str, Any]],
    held_s: float,
    broadcast: Broadcast,
    record: Record,
    gallery: GalleryHandle,
    folder: Path,
    rules: Callable[[], Rules],
    clock: Clock,
    ring: Ring,
) -> Iterator[Output]:
    """The outputs that the `tables` configure; the modules of others are not loaded. `device` is the id in MQTT topics,
    `introduction` what Home Assistant shows (name, model, version), `health` returns the body of `/healthz`; `held_s` is that
    of the door, `broadcast` carries what happens there, `record` keeps it. People come from the `gallery`, and `folder` is that
    of the state; `rules` by the `clock` say when the door is open for everyone; the `ring` has the camera's frames. Call it
    before other threads start.
    """
    relay, inputs, osdp, webhook, mqtt = (tables[name] for name in ("relay", "inputs", "osdp", "webhook", "mqtt"))
    if relay["pin"] is not None or any(isinstance(each, dict) for each in inputs.values()):
        from appliance.outputs.hardware import DoorHardware
        from appliance.outputs.journal import DoorJournal

        yield DoorHardware(relay, inputs, held_s, broadcast.publish)
        yield DoorJournal(record)
    if relay["pin"] is not None:
        from appliance.outputs.periods import OpenPeriods

        yield OpenPeriods(rules, clock, gallery.person, broadcast.publish)
    if osdp["port"] is not None:
        from appliance.outputs.osdp import Reader
        from appliance.outputs.osdp_key import PanelKey

        key, serial = PanelKey(folder, gallery.site_key), int(device[:8], 16)
        reader = Reader(**osdp, serial=serial, key=key, person=gallery.person, record=record, publish=broadcast.publish)
        broadcast.subscribe(DoorState, reader.reflect)
        yield reader
    if tables["wiegand"]["data0"] is not None:
        from appliance.outputs.wiegand import LgpioWaves, WiegandSender

        data0, data1, active_high, pulse_us, gap_us = tables["wiegand"].values()
        waves = LgpioWaves(data0, data1, active_high=active_high)
        yield WiegandSender(waves, pulse_us, gap_us, gallery.person, record)
    if webhook["url"] is not None:
        from appliance.outputs.webhook import Webhook

        yield Webhook(**webhook, device=device)
    if mqtt["host"] is not None:
        from appliance.outputs.mqtt import Broker, Pictures, Publisher

        broker = Broker(*(mqtt[each] for each in ("host", "port", "tls", "ca_file", "username")))
        shown = {**introduction, "url": page_address(tables, device)} if mqtt["home_assistant"] else None
        signals = {name for name in ("contact", "tamper", "fire") if inputs[name]}
        sensors = [*({"contact"} & signals and ("open", "forced", "held")), *sorted(signals - {"contact"})]
        camera = Pictures(ring, mqtt["picture_s"]) if mqtt["picture_s"] else None
        yield Publisher(broker, mqtt["password_file"], mqtt["prefix"], device, health, shown, sensors, camera)


def page_address(tables: Mapping[str, Mapping[str, Any]], device: str) -> str:
    """The address of the device's page on the LAN, below `server.base_path` and by the TLS front if there is one; empty for a
    device that is not found there.
    """
    server = tables["server"]
    if not tables["lan"]["enabled"] or server["host"] in {"127.0.0.1", "::1", "localhost"}:
        return ""
    scheme, port = ("https", FRONT_PORT) if server["front_certificate"] else ("http", server["port"])
    return f"{scheme}://face-appliance-{device[:6]}.local:{port}{server['base_path']}/"


def notice_of(message: Message, device: str) -> dict[str, Any]:
    """The JSON object that webhook and MQTT carry; of a decision `person` is an id or null, `token` the signed decision."""
    if isinstance(message, DoorEvent):
        name = f"{device}-{milliseconds(message.time)}-{message.kind}"
        return {"id": name, "device": device, "event": message.kind, "by": message.by, "time": stamp(message.time)}
    signed = message
    document = signed.decision.document()
    names = ("id", "device", "result", "reason", "person", "direction", "issued", "expires")
    return {**{name: document[name] for name in names}, "token": signed.token}


class SecretError(Exception):
    """There is no usable secret; the text says why and how to fix it, and has nothing of its content."""


def read_secret(configured: Path | None, credential: str) -> str | None:
    """The single line of `configured`, or without one of `$CREDENTIALS_DIRECTORY/credential` (systemd.exec(5)). None if nothing
    is configured and the credential is missing or blank: the unit supplies a blank one for a file that does not exist.

    Raises SecretError: the file cannot be read, others can read it, or it does not have one line.
    """
    path = configured or state.credential(credential)
    if path is None:
        return None
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            content = file.read(MOST_SECRET_BYTES + 1)
    except OSError as error:
        raise SecretError(f"{path}: {error.strerror}") from error
    if mode & 0o007:
        raise SecretError(f"{path} can be read by all users: chmod o= {path}")
    try:
        text = content.decode("utf-8").strip()
    except UnicodeDecodeError as error:
        raise SecretError(f"{path} is not UTF-8 text") from error
    if configured is None and not text:
        return None
    if not text or len(content) > MOST_SECRET_BYTES or "\n" in text:
        raise SecretError(f"{path} does not have exactly one line")
    return text


@dataclass(frozen=True, slots=True)
class Queued:
    """A message, and when it was queued (seconds of the monotonic clock)."""

    message: Message
    since: float

    def age(self) -> float:
        return time.monotonic() - self.since

    def expired(self) -> bool:
        """Whether it is no longer valid, by either clock: setting the wall clock back does not renew it. A door event is valid
        for as long as a decision.
        """
        if isinstance(self.message, DoorEvent):
            begin, end = self.message.time, self.message.time + LIFE
        else:
            begin, end = self.message.decision.issued, self.message.decision.expires
        return datetime.now(UTC) >= end or self.age() >= (end - begin).total_seconds()


class DecisionQueue:
    """The queue of one output. A message that was taken counts as waiting until it is `settled`. Thread-safe."""

    def __init__(self, name: str, most: int) -> None:
        """`name` is the output's, for the log; beyond `most` messages the oldest is dropped."""
        self._name, self._most = name, most
        self._queue: deque[Queued] = deque()
        self._changed = threading.Condition()
        self._taken = self._delivered = self._dropped = 0
        self._full = self._closed = False

    def put(self, message: Message) -> None:
        """Adds a message; returns at once. Dropped messages are logged once, until one is delivered again."""
        with self._changed:
            self._queue.append(Queued(message, time.monotonic()))
            if len(self._queue) > self._most:
                self._queue.popleft()
                self._dropped += 1
                if not self._full:
                    log.warning("%s: more than %d messages are waiting: dropping the oldest", self._name, self._most)
                    self._full = True
            self._changed.notify_all()

    def take(self, seconds: float | None = None) -> Queued | None:
        """The oldest message, as soon as there is one; None after so many seconds (None: no limit), and once it is closed."""
        with self._changed:
            self._changed.wait_for(lambda: self._queue or self._closed, seconds)
            if self._closed or not self._queue:
                return None
            self._taken += 1
            return self._queue.popleft()

    def settled(self, *, delivered: bool) -> None:
        """A message that was taken has been delivered or dropped."""
        with self._changed:
            self._taken -= 1
            if delivered:
                self._delivered += 1
                self._full = False
            else:
                self._dropped += 1

    def drop_expired(self) -> None:
        """Drops messages that are no longer valid."""
        with self._changed:
            while self._queue and self._queue[0].expired():
                self._queue.popleft()
                self._dropped += 1

    def close(self) -> None:
        """From here on no message is handed out."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    @property
    def closed(self) -> bool:
        return self._closed

    def closed_within(self, seconds: float) -> bool:
        """Waits so long; whether it was closed meanwhile."""
        with self._changed:
            return self._changed.wait_for(lambda: self._closed, seconds)

    def counts(self) -> DeliveryCounts:
        with self._changed:
            return DeliveryCounts(self._delivered, self._dropped, len(self._queue) + self._taken)


class RetryState:
    """What is wrong with the server of an output, and the pause before the next attempt."""

    def __init__(self, name: str, longest_pause_s: float, texts: Mapping[str, str]) -> None:
        """`texts`: for each state a sentence for people."""
        self._name, self._longest, self._texts = name, longest_pause_s, texts
        self._why, self._failures = "", 0
        self.problem: Problem | None = None

    def failed(self, state: str, why: str) -> None:
        """Logs each cause once."""
        if why != self._why:
            log.warning("%s: %s", self._name, why)
        self.problem, self._why = Problem(self._name, f"{self._name}_{state}", self._texts[state]), why

    def pause(self) -> float:
        """Seconds before the next attempt; longer each time."""
        longest = min(self._longest, FIRST_PAUSE_SECONDS * 2.0**self._failures)
        self._failures = min(self._failures + 1, 16)
        return longest * random.uniform(0.5, 1.0)

    def reset_pause(self) -> None:
        """The server answers: the next pause is short again."""
        self._failures = 0

    def succeeded(self) -> None:
        """Nothing is wrong any more."""
        if self.problem is not None:
            log.info("%s: works again", self._name)
        self.problem, self._why, self._failures = None, "", 0
