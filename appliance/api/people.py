"""Who is known: added, shown, changed and erased."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

import bottle

from appliance.access_control import receipts
from appliance.access_control.record import Record
from appliance.access_control.register import Register
from appliance.api import answers, person_body
from appliance.api.access import NAME
from appliance.api.gallery_troubles import refusing
from appliance.api.person_body import NewPerson, Words
from appliance.audit import log as audit
from appliance.gallery.people import (
    Known,
    NoSuchTemplateError,
    Person,
    Template,
    new_reference,
)

PEOPLE, PERSON = "/people", "/people/<identity>"
TEMPLATE = f"{PERSON}/templates/<number>"

_NUMBER = re.compile(r"[0-9]{1,18}", re.ASCII)


@dataclass(frozen=True, slots=True)
class People:
    """One method an endpoint; each takes bottle's current request and returns the answer or raises a Fault."""

    register: Register
    model: Callable[[], str | None]
    """The sha256 of the embedder that works now; None while none does."""
    record: Record
    """Where it is kept that somebody was erased."""

    def everybody(self) -> bottle.HTTPResponse:
        """`GET /people`"""
        with refusing():
            gallery = self.register.gallery()
        people, model = gallery.people(), self.model()
        return self._answer(
            {
                "count": len(people),
                "templates": sum(len(known.templates) for known in people),
                "people": [record(known, model) for known in people],
            }
        )

    def add(self) -> bottle.HTTPResponse:
        """`POST /people`"""
        words = person_body.read(_body(), NewPerson)
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
        words = person_body.read(_body(), Words)
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
        return self._answer({"receipt": receipts.receipt(erasure, receipts.entered(self.record, erasure))})

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
        return self._answer({"person": record(known, self.model())})

    def _told(self, person: Person, what: str) -> None:
        note(person, what)
        self.register.tell()

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
