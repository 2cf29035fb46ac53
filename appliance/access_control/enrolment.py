"""Enrolment: a portrait becomes a template, unless it is somebody else's, or not this person's."""

import threading
from dataclasses import dataclass

from appliance.access_control.register import Recognition
from appliance.face.types import Embedding
from appliance.faults import Refusal, ResultCode
from appliance.gallery.people import Known, Person, Source, Template
from appliance.imaging.encode import png
from appliance.vision.engine import Portrait

DUPLICATE, LOOK_ALIKE = "duplicate", "look-alike"
"""Somebody else who is so alike that the device would take one for the other, or that one of their pictures might be."""


class NotThisPersonError(Refusal):
    """The portrait is not of the person whose other templates there are."""

    def __init__(self) -> None:
        super().__init__(
            ResultCode.INVALID_QUERY,
            "not_the_same_person",
            "This is not like the pictures that this person was enrolled with: is it somebody else?",
            status=409,
        )


class DuplicateError(Refusal):
    """The portrait is of somebody who is known under another id, `person`."""

    def __init__(self, person: Person) -> None:
        super().__init__(
            ResultCode.INVALID_QUERY,
            DUPLICATE,
            "Somebody else who is known looks the same: is it the same person?",
            status=409,
            facts={"person": person.id},
        )


@dataclass(frozen=True, slots=True)
class Warned:
    """Somebody else who is like the person that was enrolled: `kind` is DUPLICATE or LOOK_ALIKE."""

    kind: str
    person: Person


@dataclass(frozen=True, slots=True)
class Enrolled:
    """A new template, and who else is like it."""

    person: Person
    template: Template
    warnings: tuple[Warned, ...]


class Enrolment:
    """Makes templates. Thread-safe: one at a time, so that of two pictures of one person, enrolled as two people at the same
    moment, the second finds the first.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()

    def enrol(
        self,
        recognition: Recognition,
        identity: str,
        portrait: Portrait,
        source: Source,
        *,
        allow_duplicate: bool = False,
        allow_mismatch: bool = False,
    ) -> Enrolled:
        """Another template of the person with the id `identity`. With `allow_duplicate` somebody else who looks the same is a
        warning, with `allow_mismatch` it does not matter that the person's other templates are unlike this one. Raises
        NotThisPersonError, DuplicateError, and the gallery's errors.
        """
        gallery = recognition.gallery
        with self._lock:
            known = gallery.person(identity)
            if not (allow_mismatch or _one_person(recognition, known, portrait.embedding)):
                raise NotThisPersonError
            alike = recognition.identifier.alike(portrait.embedding, but=known.person)
            warnings = [Warned(kind, person) for person, kind in alike]
            for warning in warnings:
                if warning.kind == DUPLICATE and not allow_duplicate:
                    raise DuplicateError(warning.person)
            template = gallery.enrol(
                identity,
                portrait.embedding,
                recognition.model,
                portrait.quality.overall,
                source,
                png(portrait.aligned.pixels),
            )
        return Enrolled(known.person, template, tuple(warnings))


def _one_person(recognition: Recognition, known: Known, embedding: Embedding) -> bool:
    """Whether the best of a person's templates is like this embedding; there may be none yet that can be compared."""
    if all(template.model != recognition.model for template in known.templates):
        return True
    everybody = recognition.gallery.ranking(embedding, len(recognition.gallery.people()))
    return any(each.reference == known.person.reference and each.cosine >= recognition.least for each in everybody)
