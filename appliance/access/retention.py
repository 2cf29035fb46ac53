"""The care of what the device keeps: people, templates and decisions are erased after their time."""

import logging
import threading
import time
from collections.abc import Callable
from datetime import date, timedelta

from appliance.access import log as receipts
from appliance.access.clock import MOST_AHEAD_SECONDS, Clock
from appliance.access.identify import GalleryHandle
from appliance.access.log import Record, RecordError
from appliance.access.policy import ClockState, Rules
from appliance.faults import Fault, Problem
from appliance.gallery.people import GalleryError
from appliance.state import audit_log as audit

log = logging.getLogger(__name__)

TICK_SECONDS = 1.0
"""How often the gallery is checked for changes by the command line."""

EXPIRY_SECONDS = 3600.0
"""How often the device looks for what has been kept long enough; the limits are in days."""

RULES = "rules"
"""The kind of the record's entry about the rules that hold from there on."""


class Retention:
    """Follows the gallery's changes, and erases what has been kept for as long as the configuration says."""

    def __init__(
        self,
        gallery: GalleryHandle,
        record: Record,
        clock: Clock,
        good_enough: ClockState,
        *,
        people_days: int | None,
        template_days: int | None,
        record_days: int | None = None,
        rules: Rules | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """People are erased `people_days` after their validity, templates when they are `template_days` old, decisions when
        they are `record_days` old; None: never. Nothing is erased for its age unless the clock is SYNCHRONISED, or in the
        state that is `good_enough`. `rules` are entered in the record when they are not those of the last start.
        """
        self._gallery, self._record = gallery, record
        self._clock, self._good_enough, self._monotonic = clock, good_enough, monotonic
        self._people_days, self._template_days = people_days, template_days
        self._record_days, self._rules = record_days, rules
        self._stopping = threading.Event()
        self._looked, self._waits = float("-inf"), False

    def follow(self, rules: Rules) -> None:
        """Enters other rules in the record, if it has any."""
        if self._rules is not None:
            self._rules = rules
            self._begin_record()

    def run(self) -> None:
        self._begin_record()
        while not self._stopping.wait(TICK_SECONDS):
            self._gallery.refresh()
            if self._monotonic() - self._looked >= EXPIRY_SECONDS:
                self.expire()

    def stop(self) -> None:
        self._stopping.set()

    def problems(self) -> list[Problem]:
        """A record that cannot be written, for `/healthz`."""
        if self._record.problem() is None:
            return []
        return [Problem("record", "record_unavailable", "Decisions cannot be recorded: see the log.")]

    def expire(self) -> None:
        """Erases what has been kept long enough, if the clock can be trusted with that."""
        reading = self._clock.read()
        if reading.state not in {ClockState.SYNCHRONISED, self._good_enough}:
            if not self._waits and (self._people_days, self._template_days) != (None, None):
                log.warning("gallery: nothing is erased for its age before the clock is set by a time service")
            self._waits = True
            return
        self._looked, self._waits = self._monotonic(), False
        self._expire_people(reading.now.date())
        self._expire_record()
        self._begin_record()

    def _begin_record(self) -> None:
        """Gives the clock the newest time in the record, and also the newest that is not far ahead of it. Enters the rules
        again when their entry has expired.
        """
        if self._rules is None:
            return
        try:
            for until in (None, self._clock.read().now + timedelta(seconds=MOST_AHEAD_SECONDS)):
                if latest := self._record.latest(until):
                    self._clock.not_before(latest)
            self._record.note_change(RULES, {"digest": self._rules.digest()})
        except RecordError as error:
            log.error("record of decisions: %s", error)

    def _expire_record(self) -> None:
        if self._record_days is None:
            return
        try:
            if removed := self._record.expire(self._record_days):
                log.info("record of decisions: %d entries of more than %d days removed", removed, self._record_days)
        except RecordError as error:
            log.warning("record of decisions: nothing is removed for its age now: %s", error)

    def _expire_people(self, today: date) -> None:
        if self._people_days is None and self._template_days is None:
            return
        try:
            gallery = self._gallery.gallery()
            due = gallery.expired(today, self._people_days, self._template_days)
            for person in due.people:
                erasure = gallery.erase(person.id)
                audit.info("person %s: erased, %s days after valid_until", erasure.reference, self._people_days)
                receipts.enter_receipt(self._record, erasure)
            for person, number in due.templates:
                gallery.forget(person.id, number)
                audit.info("person %s: template %d erased, %s days old", person.reference, number, self._template_days)
            self._gallery.publish()
        except (GalleryError, Fault) as error:
            log.warning("gallery: not everything is erased for its age now: %s", error)
