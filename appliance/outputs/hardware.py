"""The door's own wires: the relay and the inputs, on one thread that nothing else delays."""

import logging
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from queue import Empty, SimpleQueue
from typing import Any

from appliance.access.token import Decision, SignedDecision
from appliance.events import DeliveryCounts, DoorEvent, DoorEventKind, DoorState, Event
from appliance.faults import Problem
from appliance.outputs.door import DoorMonitor, Notice, Signal
from appliance.outputs.inputs import Edge, InputPin, Inputs
from appliance.outputs.queue import Message, Queued
from appliance.outputs.relay import Relay, pin_library

log = logging.getLogger(__name__)

RETRY_SECONDS = 10.0
"""How often an unavailable pin is tried again."""

SAMPLE_SECONDS = 1.0
"""How often the inputs are read, whatever edges are heard: the thread of lgpio that reports them may have ended."""

MOST_WAITING = 256
"""Edges and decisions: what an input that bounces adds beyond is dropped, and its level is read afterwards."""


class DoorHardware:
    """Releases the lock for granted decisions that are still valid, for the exit button, for requests over HTTP, while the door
    is open for everyone, and during a fire; publishes what happens at the door. The relay is off before the first of these and
    once stopped, except in a fire.
    """

    def __init__(
        self, relay: Mapping[str, Any], inputs: Mapping[str, Any], held_s: float, publish: Callable[[Event], None]
    ) -> None:
        """`relay` and `inputs` are tables of the configuration. Call it before other threads start: see `pin_library`."""
        failures = pin_library()
        pins = {signal: InputPin(**inputs[signal]) for signal in Signal if inputs[signal] is not None}
        pin = relay["pin"]
        self._relay = None if pin is None else Relay(pin, failures, active_high=relay["active_high"])
        self._inputs = Inputs(pins, inputs["debounce_s"], failures, self._put)
        self._monitor = DoorMonitor(
            relay["pulse_s"], held_s, contact=Signal.CONTACT in pins, until_opened=relay["until_opened"]
        )
        self.name = "inputs" if self._relay is None else "relay"
        self._pulse, self._publish = relay["pulse_s"], publish
        self._inbox: SimpleQueue[Queued | Edge | DoorEventKind | None] = SimpleQueue()
        self._state: DoorState | None = None
        self._notices: list[Notice] = []
        self._delivered = self._dropped = 0
        self._open_at = float("-inf")
        self._stopping = False

    def notify(self, message: Message) -> None:
        """Ignores denials, and what it has published itself."""
        match message:
            case DoorEvent(kind=DoorEventKind.REMOTE_OPEN) | SignedDecision(decision=Decision(granted=True)):
                self._inbox.put(Queued(message, time.monotonic()))
            case DoorEvent(kind=DoorEventKind.UNLOCKED | DoorEventKind.LOCKED as kind):
                self._inbox.put(kind)

    def run(self) -> None:
        """Works until `stop`. Unavailable pins are problems, and tried again."""
        try:
            while not self._stopping:
                self._step()
        finally:
            if Signal.FIRE not in self._inputs.active and self._relay is not None:
                self._relay.close()  # else the kernel keeps it on, and the next process takes it over
            self._inputs.close()

    def stop(self) -> None:
        self._stopping = True
        self._inbox.put(None)

    def problem(self) -> Problem | None:
        return (self._relay and self._relay.problem) or self._inputs.problem()

    def counts(self) -> DeliveryCounts:
        return DeliveryCounts(self._delivered, self._dropped, self._inbox.qsize())

    def _step(self) -> None:
        """Until the next edge, decision or moment when something is due."""
        now = time.monotonic()
        if now >= self._open_at:
            self._open(now)
        for edge in self._inputs.sampled(now):
            self._notices += self._monitor.set(now, edge.signal, on=edge.on)
        self._notices += self._monitor.advance(now)
        self._drive(now)
        self._tell()
        try:
            received = self._inbox.get(timeout=self._pause(now))
        except Empty:
            return
        match received:
            case Edge():
                if self._inputs.changed(received):
                    self._notices += self._monitor.set(time.monotonic(), received.signal, on=received.on)
            case Queued():
                self._release(received)
            case DoorEventKind():
                self._monitor.unlock(time.monotonic(), on=received is DoorEventKind.UNLOCKED)

    def _open(self, now: float) -> None:
        opened = self._inputs.open()
        self._notices += self._monitor.start(now, opened & self._inputs.active)
        if self._relay is not None and not self._relay.works:
            self._relay.open(on=self._monitor.released(now))
        self._open_at = now + RETRY_SECONDS if self.problem() else float("inf")

    def _pause(self, now: float) -> float | None:
        """Seconds for which nothing is due; None without a limit."""
        times = [self._monitor.due(now), self._inputs.due(now), self._open_at if self.problem() else None]
        times += [now + SAMPLE_SECONDS] * self._inputs.any
        return min((max(0.0, each - now) for each in times if each is not None), default=None)

    def _release(self, queued: Queued) -> None:
        valid = not queued.expired() and (self._relay is None or self._relay.works)
        if valid:
            now = time.monotonic()
            if isinstance(queued.message, DoorEvent):
                self._monitor.release(now)
            else:
                self._monitor.grant(now, queued.message.decision.id)
        self._delivered, self._dropped = self._delivered + valid, self._dropped + (not valid)
        if self._relay is not None:
            text = f"on for {self._pulse:g} s" if valid else "a decision has expired, or the pin is unavailable"
            log.info("relay: %s", text)

    def _drive(self, now: float) -> None:
        works, on = self._relay is not None and self._relay.works, self._monitor.released(now)
        if self._relay is not None:
            self._relay.switch(on=on)
        state = self._monitor.state(relay=on if works else None)
        if state != self._state:
            self._state = state
            self._publish(state)

    def _tell(self) -> None:
        notices, self._notices = self._notices, []
        for kind, decision in notices:
            log.log(logging.WARNING if kind in _ALARMS else logging.INFO, "door: %s", kind)
            self._publish(DoorEvent(kind, datetime.now(UTC), decision))

    def _put(self, edge: Edge) -> None:
        if self._inbox.qsize() < MOST_WAITING:
            self._inbox.put(edge)


_ALARMS = {DoorEventKind.FORCED, DoorEventKind.HELD, DoorEventKind.TAMPER, DoorEventKind.FIRE}
