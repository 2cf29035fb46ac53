"""The periods in which the door is open for everyone."""

from collections.abc import Callable
from datetime import UTC, date, datetime
from queue import Empty, SimpleQueue

from appliance.access.clock import Clock
from appliance.access.policy import Rules
from appliance.access.schedule import Schedule
from appliance.access.token import Decision, SignedDecision
from appliance.events import DeliveryCounts, DoorEvent, DoorEventKind, Event
from appliance.faults import Problem
from appliance.gallery.people import Person
from appliance.outputs.queue import Message

LOOK_SECONDS = 1.0
"""How often the clock is read."""


class OpenPeriods:
    """An output that publishes when such a period begins (UNLOCKED) and ends (LOCKED). One with groups begins with the first
    grant of one of their people, and after a restart with the next one.
    """

    name = "periods"

    def __init__(
        self,
        rules: Callable[[], Rules],
        clock: Clock,
        person: Callable[[str], Person | None],
        publish: Callable[[Event], None],
    ) -> None:
        """`rules` returns those that are followed now; `person` finds a person by id."""
        self._rules, self._clock, self._person, self._publish = rules, clock, person, publish
        self._granted: SimpleQueue[str | None] = SimpleQueue()
        self._begun: tuple[Schedule, date] | None = None
        self._open = self._stopping = False

    def notify(self, message: Message) -> None:
        match message:
            case SignedDecision(decision=Decision(granted=True, person=str(person))):
                self._granted.put(person)

    def run(self) -> None:
        person = None
        while not self._stopping:
            self.look(person)
            try:
                person = self._granted.get(timeout=LOOK_SECONDS)
            except Empty:
                person = None

    def look(self, granted: str | None = None) -> None:
        """Publishes a change; `granted` is the id of a person who has just been granted."""
        reading = self._clock.read()
        period = self._rules().open_period(reading.now, reading.state)
        if period and granted and (person := self._person(granted)) and period[0].names(person.groups):
            self._begun = period
        is_open = period is not None and (not period[0].groups or period == self._begun)
        if is_open != self._open:
            self._open = is_open
            self._publish(DoorEvent(DoorEventKind.UNLOCKED if is_open else DoorEventKind.LOCKED, datetime.now(UTC)))

    def stop(self) -> None:
        self._stopping = True
        self._granted.put(None)

    def problem(self) -> Problem | None:
        return None

    def counts(self) -> DeliveryCounts:
        return DeliveryCounts(0, 0, 0)
