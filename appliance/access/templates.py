"""How well templates fit as people age, and newer ones after sure decisions."""

import logging
from dataclasses import replace
from datetime import timedelta
from queue import SimpleQueue

from appliance.access.enrol import Enrolment
from appliance.access.identify import GalleryHandle, Recognition
from appliance.access.policy import ClockState, Facts, Subject
from appliance.faults import Fault
from appliance.gallery.people import GalleryError, Person, Source
from appliance.state import audit_log as audit
from appliance.vision.engine import EnginePool, Portrait

log = logging.getLogger(__name__)

MONTH = timedelta(days=30)
"""Age of a person's newest template from which another one is added."""

QUALITY, LIVENESS = 0.8, 0.9
"""Least quality of the picture of such a template, and confidence that the person was alive."""

MARGIN = 0.15
"""By how much the score must exceed the threshold of the search and the second person's score (docs/measured.md)."""

WAITING = 4
"""Decisions that may wait. Further ones are left out: the person comes again."""


class TemplateCare:
    """Looks at granted decisions afterwards, on a thread of its own."""

    def __init__(self, gallery: GalleryHandle, engines: EnginePool, *, refresh: bool) -> None:
        """With `refresh` templates are added."""
        self._gallery, self._engines, self._refresh = gallery, engines, refresh
        self._enrolment = Enrolment()
        self._decided: SimpleQueue[Facts | None] = SimpleQueue()

    def note(self, facts: Facts) -> None:
        """Takes the facts of a granted decision. Never blocks."""
        if self._decided.qsize() < WAITING:
            self._decided.put(facts)

    def run(self) -> None:
        while (facts := self._decided.get()) is not None:
            try:
                self.look_at(facts)
            except (GalleryError, Fault) as error:
                log.warning("templates are left as they are: %s", error)

    def stop(self) -> None:
        self._decided.put(None)

    def look_at(self, facts: Facts) -> None:
        """Notes how well the templates of the person who was recognised fit, and adds one where it may. Neither happens under
        duress, in a demonstration, or while the clock is certainly wrong. Raises GalleryError, Fault.
        """
        subject = facts.seen.subject
        if not (subject and subject.person and subject.portrait) or subject.demonstration:
            return
        if facts.given.duress or facts.clock is ClockState.UNSET:
            return
        recognition = self._gallery.recognition()
        gallery, reference = recognition.gallery, subject.person.reference
        cosine = gallery.score_by_hand(reference, subject.portrait.embedding)
        if cosine is None:
            return
        gallery.note_fit(reference, facts.now.date(), cosine)
        known = gallery.named(reference)
        fresh = known is None or any(facts.now - each.created < MONTH for each in known.templates)
        if self._refresh and _good(subject, subject.portrait) and not fresh:
            self._add(recognition, subject.person, subject.portrait)

    def _add(self, recognition: Recognition, person: Person, portrait: Portrait) -> None:
        with self._engines.lease() as engine:
            embedding = engine.feature_of_both(portrait.aligned, portrait.embedding)
        if recognition.identifier.sure(embedding, person, MARGIN):
            added = self._enrolment.enrol(recognition, person, replace(portrait, embedding=embedding), Source.DECISION)
            audit.info("person %s: template %d added after a decision", person.reference, added.template.number)
            self._gallery.publish()


def _good(subject: Subject, portrait: Portrait) -> bool:
    """Whether the picture is good and the person certainly alive; without a liveness check no one is."""
    return portrait.quality.overall >= QUALITY and (subject.liveness or 0.0) >= LIVENESS
