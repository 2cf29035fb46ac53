"""Who is known: added, shown, changed and erased."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

import bottle

from appliance.access import enrol, log
from appliance.access.enrol import Asked, Enrolled, Enrolment
from appliance.access.identify import GalleryHandle, Recognition
from appliance.access.log import Record
from appliance.api import answers, intake
from appliance.api.access import NAME
from appliance.api.answers import refusing
from appliance.api.faces import PATIENCE_SECONDS, Live
from appliance.api.intake import Intake, NewPerson, Words
from appliance.camera.source import CameraFrame
from appliance.faults import Refusal, ResultCode
from appliance.gallery.people import Known, NoSuchTemplateError, Person, Source, Template, new_reference
from appliance.state import audit_log as audit
from appliance.vision.engine import EnginePool, Portrait

PEOPLE, PERSON = "/people", "/people/<identity>"
TEMPLATE = f"{PERSON}/templates/<number>"

TEMPLATES, FROM_CAMERA, IDENTIFY = f"{PERSON}/templates", f"{PERSON}/templates/camera", "/identify"

RULES = frozenset({PEOPLE, PERSON, TEMPLATE, TEMPLATES, FROM_CAMERA, IDENTIFY})
"""The paths that need a gallery."""

_NUMBER = re.compile(r"[0-9]{1,18}", re.ASCII)


@dataclass(frozen=True, slots=True)
class People:
    """One method an endpoint; each takes bottle's current request and returns the answer or raises a Fault."""

    register: GalleryHandle
    record: Record
    """Where it is kept that somebody was erased."""

    def everybody(self) -> bottle.HTTPResponse:
        """`GET /people`"""
        with refusing():
            gallery = self.register.gallery()
        people, model = gallery.people(), self.register.model()
        return self._answer(
            {
                "count": len(people),
                "templates": sum(len(known.templates) for known in people),
                "people": [record(known, model) for known in people],
            }
        )

    def add(self) -> bottle.HTTPResponse:
        """`POST /people`"""
        words = intake.read_person(_body(), NewPerson)
        with refusing():
            known = self.register.gallery().add(_person(words.id, words))
        self._told(known.person, "added")
        return self._one(known)

    def show(self, identity: str) -> bottle.HTTPResponse:
        """`GET /people/<identity>`"""
        with refusing():
            return self._one(self.register.gallery().person(identity))

    def change(self, identity: str) -> bottle.HTTPResponse:
        """`PUT /people/<identity>`"""
        words = intake.read_person(_body(), Words)
        with refusing():
            gallery = self.register.gallery()
            gallery.person(identity)  # an id that nobody has is unknown, however it is spelt
            known = gallery.change(_person(identity, words))
        self._told(known.person, "changed")
        return self._one(known)

    def erase(self, identity: str) -> bottle.HTTPResponse:
        """`DELETE /people/<identity>`"""
        with refusing():
            gallery = self.register.gallery()
            known = gallery.person(identity)
            erasure = gallery.erase(identity)
        self._told(known.person, "erased")
        return self._answer({"receipt": log.receipt(erasure, log.enter_receipt(self.record, erasure))})

    def forget(self, identity: str, number: str) -> bottle.HTTPResponse:
        """`DELETE /people/<identity>/templates/<number>`"""
        with refusing():
            gallery = self.register.gallery()
            known = gallery.person(identity)
            if not _NUMBER.fullmatch(number):
                raise NoSuchTemplateError("a template has a number")
            known = gallery.forget(identity, int(number))
        self._told(known.person, f"template {int(number)} erased")
        return self._one(known)

    def _one(self, known: Known) -> bottle.HTTPResponse:
        return self._answer({"person": record(known, self.register.model())})

    def _told(self, person: Person, what: str) -> None:
        note(person, what)
        self.register.publish()

    def _answer(self, body: dict[str, Any]) -> bottle.HTTPResponse:
        return answers.answer(body, headers={"Cache-Control": "no-store"})


def record(known: Known, model: str | None) -> dict[str, Any]:
    """A person as JSON; a template is usable when the embedder `model` made it."""
    person = known.person
    return {
        "id": person.id,
        "name": person.name,
        "groups": list(person.groups),
        "valid_from": _day(person.valid_from),
        "valid_until": _day(person.valid_until),
        "created": moment(person.created),
        "templates": [template_record(each, model) for each in known.templates],
    }


def template_record(template: Template, model: str | None) -> dict[str, Any]:
    """What is said of a template, as JSON."""
    return {
        "number": template.number,
        "quality": round(template.quality, 2),
        "source": template.source.value,
        "created": moment(template.created),
        "pictured": template.pictured,
        "usable": template.model == model,
    }


def moment(time: datetime) -> str:
    """A time as JSON, to the second."""
    return time.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def note(person: Person, what: str) -> None:
    """Tells the audit trail what was done about somebody by the key of bottle's current request."""
    audit.info("person %s: %s by key %s", person.reference, what, bottle.request.environ[NAME])


def _person(identity: str, words: Words) -> Person:
    """Somebody new; of somebody who is known, the gallery keeps reference and time of creation."""
    now = datetime.now(UTC)
    return Person(identity, words.name, words.groups, words.valid_from, words.valid_until, new_reference(), now)


def _body() -> bytes:
    content: bytes = bottle.request.environ["wsgi.input"].read()
    return content


def _day(day: date | None) -> str | None:
    return day.isoformat() if day else None


@dataclass(frozen=True, slots=True)
class Enrol:
    """One method an endpoint; each takes bottle's current request and returns the answer or raises a Fault."""

    register: GalleryHandle
    enrolment: Enrolment
    engines: EnginePool
    intake: Intake
    live: Live
    least_quality: float
    alive: bool
    """Whoever is enrolled by the camera must be alive, by four frames."""

    def from_photograph(self, identity: str) -> bottle.HTTPResponse:
        """`POST /people/<identity>/templates`"""
        self._known(identity)
        picture = self.intake.picture(self.intake.body(bottle.request.environ))
        with self.engines.lease() as engine:
            portrait = enrol.from_photograph(engine, picture, self.least_quality)
        return self._enrol(identity, portrait, Source.PHOTO)

    def from_camera(self, identity: str) -> bottle.HTTPResponse:
        """`POST /people/<identity>/templates/camera`"""
        asked = _asked(bottle.request.query.get("pose", Asked.FRONT.value))
        self._known(identity)
        self._frames(PATIENCE_SECONDS)  # a camera that has just started; these may be old when an engine is free
        with self.engines.lease() as engine:
            portrait = enrol.from_camera(engine, self._frames(0), asked, self.least_quality)
        return self._enrol(identity, portrait, Source.CAMERA)

    def _frames(self, patience: float) -> list[CameraFrame]:
        return self.live.spaced(patience) if self.alive else [self.live.newest()]

    def _known(self, identity: str) -> None:
        """That there is this person, and a gallery to enrol them in, before anybody is asked to hold still."""
        with refusing():
            self.register.recognition().gallery.person(identity)

    def _enrol(self, identity: str, portrait: Portrait, source: Source) -> bottle.HTTPResponse:
        query = bottle.request.query
        with refusing():
            recognition = self.register.recognition()
            enrolled = self.enrolment.enrol(
                recognition,
                identity,
                portrait,
                source,
                allow_duplicate=query.get("allow_duplicate") == "1",
                allow_mismatch=query.get("allow_mismatch") == "1",
            )
        note(enrolled.person, f"template {enrolled.template.number} enrolled ({source})")
        self.register.publish()
        return _answer(enrolled, portrait, recognition.model)


def _answer(enrolled: Enrolled, portrait: Portrait, model: str) -> bottle.HTTPResponse:
    body = {
        "template": template_record(enrolled.template, model),
        "quality": answers.quality(portrait.quality),
        "warnings": [{"kind": warning.kind, "person": warning.person.id} for warning in enrolled.warnings],
    }
    return answers.answer(body, headers={"Cache-Control": "no-store"})


def _asked(pose: str) -> Asked:
    try:
        return Asked(pose)
    except ValueError:
        poses = ", ".join(each.value for each in Asked)
        raise Refusal(ResultCode.INVALID_QUERY, "invalid_pose", f"pose: one of {poses}") from None


@dataclass(frozen=True, slots=True)
class Identify:
    """One method an endpoint; each takes bottle's current request and returns the answer or raises a Fault."""

    register: GalleryHandle
    engines: EnginePool
    intake: Intake
    live: Live

    def photograph(self) -> bottle.HTTPResponse:
        """`POST /identify`"""
        limits = intake.detect_limits(bottle.request.query)
        recognition = self._recognition()
        picture = self.intake.picture(self.intake.body(bottle.request.environ))
        with self.engines.lease() as engine:
            portraits = engine.portray(picture, engine.detect(picture, limits))
        return answers.answer(_faces(recognition, portraits), headers={"Cache-Control": "no-store"})

    def camera(self) -> bottle.HTTPResponse:
        """`GET /identify`"""
        limits = intake.detect_limits(bottle.request.query)
        recognition = self._recognition()
        with self.engines.lease() as engine:
            frame = self.live.newest()
            portraits = engine.portray(frame, engine.detect(frame, limits))
        return self.live.answer(_faces(recognition, portraits), frame)

    def _recognition(self) -> Recognition:
        with refusing():
            return self.register.recognition()


def _faces(recognition: Recognition, portraits: Sequence[Portrait]) -> dict[str, Any]:
    return {"count": len(portraits), "faces": [_face(recognition, portrait) for portrait in portraits]}


def _face(recognition: Recognition, portrait: Portrait) -> dict[str, Any]:
    found = recognition.identifier.identify(portrait.embedding)
    person = found.person
    return {
        "box": answers.box(portrait.face.detection.box.squared()),
        "pose": answers.pose(portrait.face.pose),
        "quality": answers.quality(portrait.quality),
        "result": found.outcome.value,
        "person": {"id": person.id, "name": person.name, "groups": list(person.groups)} if person else None,
        "similarity": found.similarity,
    }
