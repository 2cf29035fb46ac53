"""Enters in the record what happens at the door."""

import logging
import time

from appliance.access.log import DOOR, Fact, Record, RecordError
from appliance.events import DeliveryCounts, DoorEvent, DoorEventKind
from appliance.faults import Problem
from appliance.outputs.queue import DecisionQueue, Message

log = logging.getLogger(__name__)

MOST_WAITING = 256
"""Events: one takes a millisecond, and up to 5 s while another program keeps the record locked."""

REPEAT_SECONDS = 1.0
"""For how long the same event has no entry of its own, but is counted in the next one: a magnet in a hand does not fill it."""

RECORDED = (DoorEventKind.REMOTE_OPEN, DoorEventKind.DURESS)
"""Events that `Decider` has recorded."""


class DoorJournal:
    """An output that records door events. Those that come with a decision or a request are in the record already."""

    name = "record"

    def __init__(self, record: Record) -> None:
        self._record = record
        self._queue = DecisionQueue(self.name, MOST_WAITING)
        self._entered: dict[DoorEventKind, float] = {}
        self._repeats: dict[DoorEventKind, int] = {}
        self._problem: Problem | None = None

    def notify(self, message: Message) -> None:
        if isinstance(message, DoorEvent) and message.kind not in RECORDED:
            self._queue.put(message)

    def run(self) -> None:
        while (queued := self._queue.take()) is not None:
            if isinstance(queued.message, DoorEvent):
                self._queue.settled(delivered=self._enter(queued.message, time.monotonic()))

    def stop(self) -> None:
        self._queue.close()

    def problem(self) -> Problem | None:
        return self._problem

    def counts(self) -> DeliveryCounts:
        return self._queue.counts()

    def _enter(self, event: DoorEvent, now: float) -> bool:
        """Returns whether it is recorded, or counted."""
        kind = event.kind
        if event.by is None and now - self._entered.get(kind, float("-inf")) < REPEAT_SECONDS:
            self._repeats[kind] = self._repeats.get(kind, 0) + 1
            return True
        facts: dict[str, Fact] = {"event": kind.value}
        facts |= {"decision": event.by} if event.by else {}
        facts |= {"repeats": self._repeats[kind]} if kind in self._repeats else {}
        try:
            self._record.append(DOOR, facts)
        except RecordError as error:
            log.error("the door event %s cannot be recorded: %s", kind, error)
            self._problem = Problem("record", "door_unrecorded", "Events of the door cannot be recorded: see the log.")
            return False
        self._entered[kind], self._problem = now, None
        self._repeats.pop(kind, None)
        return True
