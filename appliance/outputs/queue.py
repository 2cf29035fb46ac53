"""What an output is to the rest of the machine: told of decisions, run by a thread of its own, asked how it is."""

import logging
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

from appliance.access.token import SignedDecision
from appliance.faults import Problem


@dataclass(frozen=True, slots=True)
class Tally:
    """Decisions since the start: handed over, given up, and those still to be handed over."""

    delivered: int
    dropped: int
    waiting: int


class Output(Protocol):
    """One way out. `tell`, `stop`, `problem` and `tally` may be called from any thread and return at once."""

    name: str

    def tell(self, signed: SignedDecision) -> None: ...

    def run(self) -> None: ...

    def stop(self) -> None: ...

    def problem(self) -> Problem | None: ...

    def tally(self) -> Tally: ...


class Outputs:
    """Tells each output of each decision; none of them keeps the caller or another output waiting."""

    def __init__(self, outputs: Iterable[Output] = ()) -> None:
        self._outputs = tuple(outputs)
        self._threads: list[threading.Thread] = []

    def tell(self, signed: SignedDecision) -> None:
        """Hands a decision to all; from any thread. Returns at once and never raises."""
        for output in self._outputs:
            output.tell(signed)

    def start(self, start: Callable[[str, Callable[[], None]], threading.Thread]) -> None:
        """Runs each on a thread that `start` makes, by name."""
        self._threads = [start(output.name, output.run) for output in self._outputs]

    def stop(self, seconds: float) -> None:
        """Ends all: the relay is off, MQTT has said goodbye. Returns when they have ended, after so many seconds at most."""
        for output in self._outputs:
            output.stop()
        end = time.monotonic() + seconds
        for thread in self._threads:
            thread.join(max(0.0, end - time.monotonic()))

    def problems(self) -> tuple[Problem, ...]:
        """What is wrong now."""
        return tuple(problem for output in self._outputs if (problem := output.problem()))

    def tallies(self) -> Mapping[str, Tally]:
        """What became of the decisions, by output."""
        return {output.name: output.tally() for output in self._outputs}


def configured_outputs(
    relay: Mapping[str, Any],
    webhook: Mapping[str, Any],
    mqtt: Mapping[str, Any],
    device: str,
    introduction: Mapping[str, str],
    health: Callable[[], Mapping[str, Any]],
) -> Iterator[Output]:
    """The outputs that are configured (the tables of these names); of the others nothing is loaded. `device` is the id that
    MQTT topics name, `introduction` what Home Assistant shows (name, model, version), `health` the body of `/healthz`. Call
    before there are other threads.
    """
    if relay["pin"] is not None:
        from appliance.outputs.relay import Relay

        yield Relay(**relay)
    if webhook["url"] is not None:
        from appliance.outputs.webhook import Webhook

        yield Webhook(**webhook)
    if mqtt["host"] is not None:
        from appliance.outputs.mqtt import Broker, Publisher

        broker = Broker(*(mqtt[each] for each in ("host", "port", "tls", "ca_file", "username")))
        shown = dict(introduction) if mqtt["home_assistant"] else None
        yield Publisher(broker, mqtt["password_file"], mqtt["prefix"], device, health, shown)


def notice_of(signed: SignedDecision) -> dict[str, Any]:
    """The JSON object that a webhook and MQTT carry; `person` is an id or null, `token` what others can verify."""
    said = signed.decision.document()
    names = ("id", "device", "result", "reason", "person", "direction", "issued", "expires")
    return {**{name: said[name] for name in names}, "token": signed.token}


MOST_BYTES = 4096
"""A secret or a password is some dozen bytes; more is another file."""


class SecretError(Exception):
    """There is no usable secret; the text says why and what to do, and has nothing of its content."""


def read_secret(configured: Path | None, credential: str) -> str | None:
    """The one line of `configured`, or when that is None of `$CREDENTIALS_DIRECTORY/credential` (systemd.exec(5)); None when
    nothing is configured and that is not there, or blank: the unit's stand-in for a file that is missing.

    Raises SecretError: it cannot be read, others can read it, or it has not one line.
    """
    path = configured or _credential(credential)
    if path is None:
        return None
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            content = file.read(MOST_BYTES + 1)
    except FileNotFoundError as error:
        if configured is None:
            return None
        raise SecretError(f"{path}: {error.strerror}") from error
    except OSError as error:
        raise SecretError(f"{path}: {error.strerror}") from error
    if mode & 0o007:
        raise SecretError(f"{path} can be read by everybody: chmod o= {path}")
    try:
        text = content.decode("utf-8").strip()
    except UnicodeDecodeError as error:
        raise SecretError(f"{path} is no text") from error
    if configured is None and not text:
        return None
    if not text or len(content) > MOST_BYTES or "\n" in text:
        raise SecretError(f"{path} has not one line")
    return text


def _credential(name: str) -> Path | None:
    folder = os.environ.get("CREDENTIALS_DIRECTORY")
    return None if folder is None else Path(folder) / name


log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Told:
    """A decision, and when it was told (seconds of the monotonic clock)."""

    signed: SignedDecision
    since: float

    def age(self) -> float:
        """Seconds since it was told."""
        return time.monotonic() - self.since

    def late(self) -> bool:
        """Whether it holds no more. A clock that was set back does not make it young again."""
        decision = self.signed.decision
        span = (decision.expires - decision.issued).total_seconds()
        return datetime.now(UTC) >= decision.expires or self.age() >= span


class Waiting:
    """A queue for one output. What is taken counts as waiting until it is `settled`. Thread-safe."""

    def __init__(self, name: str, most: int) -> None:
        """`name` is the output's, for the log; `most` may wait, then the oldest is dropped."""
        self._name, self._most = name, most
        self._queue: deque[Told] = deque()
        self._changed = threading.Condition()
        self._taken = self._delivered = self._dropped = 0
        self._full = self._closed = False

    def put(self, signed: SignedDecision) -> None:
        """Adds a decision; returns at once. That decisions are dropped is told once, until one is delivered again."""
        with self._changed:
            self._queue.append(Told(signed, time.monotonic()))
            if len(self._queue) > self._most:
                self._queue.popleft()
                self._dropped += 1
                if not self._full:
                    log.warning("%s: more than %d decisions wait: the oldest are dropped", self._name, self._most)
                    self._full = True
            self._changed.notify_all()

    def take(self, seconds: float | None = None) -> Told | None:
        """The oldest, as soon as there is one; None after so many seconds (None: never), and once it is closed."""
        with self._changed:
            self._changed.wait_for(lambda: self._queue or self._closed, seconds)
            if self._closed or not self._queue:
                return None
            self._taken += 1
            return self._queue.popleft()

    def settled(self, *, delivered: bool) -> None:
        """What was taken has been delivered, or given up."""
        with self._changed:
            self._taken -= 1
            if delivered:
                self._delivered += 1
                self._full = False
            else:
                self._dropped += 1

    def drop_late(self) -> None:
        """Drops what holds no more."""
        with self._changed:
            while self._queue and self._queue[0].late():
                self._queue.popleft()
                self._dropped += 1

    def close(self) -> None:
        """Nothing is handed out from here on."""
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

    def tally(self) -> Tally:
        """Counts since the start."""
        with self._changed:
            return Tally(self._delivered, self._dropped, len(self._queue) + self._taken)
