"""The endpoints of the people known to this device: kept, enrolled and identified."""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial

import bottle

from appliance.access import enrol, log
from appliance.access.enrol import Captures, Enrolment, RequestedPose
from appliance.access.identify import GalleryHandle
from appliance.access.log import Record
from appliance.access.observe import PATIENCE_SECONDS
from appliance.api import answers, intake
from appliance.api.access import ADMIN, LIVE, NAME, RECOGNISE, Part, route
from appliance.api.answers import NO_STORE, Answer
from appliance.api.faces import Subjects
from appliance.api.intake import ChangedFields, NewPerson, PersonFields, PinFields
from appliance.camera.source import CameraFrame
from appliance.face.types import Embedding
from appliance.faults import Refusal, ResultCode
from appliance.gallery.people import (
    ChangedElsewhereError,
    Known,
    NoSuchTemplateError,
    Person,
    Source,
    matching,
    new_reference,
)
from appliance.gallery.pin import StoredPin
from appliance.state import audit_log as audit
from appliance.vision.engine import FaceEngine, Portrait

MOST_LISTED = 1000
"""People on a page of the list at most."""

_NUMBER = re.compile(r"[0-9]{1,18}", re.ASCII)


@dataclass(frozen=True, slots=True)
class People:
    """Each method answers bottle's current request, or raises a Fault or a GalleryError."""

    handle: GalleryHandle
    record: Record
    """Where receipts of erasures are kept."""
    subjects: Subjects
    min_quality: float
    liveness: bool
    """Whether a person who is enrolled by the camera is checked for liveness, with four frames."""
    refresh: bool = False
    """Whether decisions add templates, which the list says."""
    share: Callable[[str], bool | None] = lambda _: None
    """Shares a person, or their erasure, with the fleet: whether its servers have it, None without a fleet. Raises
    ChangedElsewhereError.
    """
    enrolment: Enrolment = field(default_factory=Enrolment)
    captures: Captures = field(default_factory=Captures)

    @route("GET", "/people", ADMIN, Part.GALLERY)
    def all(self) -> Answer:
        """The people in the order of their ids: those whose id, name or groups contain `query`; with `limit` so many at most,
        from the one behind the id `after` on.
        """
        found, page = listed(self.handle, None)
        page |= {"refresh": True} if self.refresh else {}
        return answers.answer(answers.people(found, self.handle.model(), page), headers=NO_STORE)

    @route("POST", "/people", ADMIN, Part.GALLERY)
    def add(self) -> Answer:
        """Adds a person, who has no templates yet."""
        fields = intake.read_json(_body(), NewPerson)
        known = self.handle.gallery().add(new_person(fields.id, fields))
        shared = self.changed(known.person, "added")
        return self._one(known, 201, {"Location": f"people/{fields.id}"}, shared)

    @route("GET", "/people/<identity>", ADMIN, Part.GALLERY)
    def show(self, identity: str) -> Answer:
        """A person with their templates, without biometrics."""
        return self._one(self.handle.gallery().person(identity))

    @route("PUT", "/people/<identity>", ADMIN, Part.GALLERY)
    def change(self, identity: str) -> Answer:
        """Replaces everything of a person but the id and the templates."""
        return self._change(identity, intake.read_json(_body(), PersonFields), PersonFields.model_fields)

    @route("PATCH", "/people/<identity>", ADMIN, Part.GALLERY)
    def change_some(self, identity: str) -> Answer:
        """Changes the fields of a person that are in the body."""
        fields = intake.read_json(_body(), ChangedFields)
        return self._change(identity, fields, fields.model_fields_set)

    @route("DELETE", "/people/<identity>", ADMIN, Part.GALLERY)
    def erase(self, identity: str) -> Answer:
        """Erases a person with all templates; the receipt says what was erased."""
        gallery = self.handle.gallery()
        known = gallery.person(identity)
        erasure = gallery.erase(identity)
        self.captures.drop(known.person)
        receipt = log.receipt(erasure, log.enter_receipt(self.record, erasure))
        return answers.answer({"receipt": receipt, **self.changed(known.person, "erased")}, headers=NO_STORE)

    @route("GET", "/people/<identity>/pin", ADMIN, Part.GALLERY)
    def has_pin(self, identity: str) -> Answer:
        """Whether a person has a PIN."""
        gallery = self.handle.gallery()
        return _pin({}, is_set=gallery.pin(gallery.person(identity).person.reference) is not None)

    @route("PUT", "/people/<identity>/pin", ADMIN, Part.GALLERY)
    def set_pin(self, identity: str) -> Answer:
        """Sets the PIN of a person, and the PIN for duress."""
        fields = intake.read_json(_body(), PinFields)
        known = self.handle.gallery().set_pin(identity, StoredPin.of(fields.pin, fields.duress))
        return _pin(self.changed(known.person, "PIN set"), is_set=True)

    @route("DELETE", "/people/<identity>/pin", ADMIN, Part.GALLERY)
    def remove_pin(self, identity: str) -> Answer:
        """Removes the PINs of a person."""
        known = self.handle.gallery().set_pin(identity, None)
        return _pin(self.changed(known.person, "PIN removed"), is_set=False)

    @route("DELETE", "/people/<identity>/templates/<number>", ADMIN, Part.GALLERY)
    def forget(self, identity: str, number: str) -> Answer:
        """Erases a template of a person."""
        gallery = self.handle.gallery()
        known = gallery.person(identity)
        if not _NUMBER.fullmatch(number):
            raise NoSuchTemplateError("a template has a number")
        known = gallery.forget(identity, int(number))
        return self._one(known, shared=self.changed(known.person, f"template {int(number)} erased"))

    @route("POST", "/people/<identity>/templates", ADMIN, Part.GALLERY)
    def enrol_photograph(self, identity: str) -> Answer:
        """Enrols a face of a photograph as a template of a person."""
        return self._enrol(self._enrollable(identity), self._from_photograph(), Source.PHOTO)

    @route("POST", "/people/<identity>/templates/camera", ADMIN, Part.GALLERY)
    def enrol_frame(self, identity: str) -> Answer:
        """Enrols the person at the camera as a template."""
        requested = _requested_pose()
        return self._enrol(self._enrollable(identity), self._from_camera(requested), Source.CAMERA)

    @route("POST", "/people/<identity>/captures", ADMIN, Part.GALLERY)
    def capture_photograph(self, identity: str) -> Answer:
        """A photograph's face as it would be enrolled, which is held until it is confirmed."""
        return self._held(self._enrollable(identity), self._from_photograph(), Source.PHOTO)

    @route("POST", "/people/<identity>/captures/camera", ADMIN, Part.GALLERY)
    def capture_frame(self, identity: str) -> Answer:
        """The face of the person at the camera as it would be enrolled, which is held until it is confirmed."""
        requested = _requested_pose()
        return self._held(self._enrollable(identity), self._from_camera(requested), Source.CAMERA)

    @route("POST", "/people/<identity>/captures/<capture>/confirm", ADMIN, Part.GALLERY)
    def confirm(self, identity: str, capture: str) -> Answer:
        """Enrols a capture as a template, once."""
        person = self._enrollable(identity)
        with self.captures.taken(capture, person) as (portrait, source):
            return self._enrol(person, portrait, source)

    @route("POST", "/identify", RECOGNISE, Part.GALLERY, expires=True)
    @route("GET", "/identify", LIVE, Part.GALLERY, expires=True)
    def identify(self) -> Answer:
        """Who each face of a picture is, the largest face first; with GET, in the newest frame."""
        limits = intake.detect_limits(bottle.request.query)
        identifier = self.handle.recognition().identifier
        with self.subjects.leased() as (engine, picture):
            faces = [
                answers.identified_face(each, identifier.identify(each.embedding, partial(_both, engine, each)))
                if each.face.upright
                else answers.refused_face(each)
                for each in engine.portray(picture, engine.detect(picture, limits))
            ]
        return self.subjects.answer({"count": len(faces), "faces": faces}, picture, NO_STORE)

    def _enrollable(self, identity: str) -> Person:
        """Raises GalleryError when the person cannot be enrolled, before anyone is asked to hold still."""
        return self.handle.recognition().gallery.person(identity).person

    def _from_photograph(self) -> Portrait:
        try:
            meant = enrol.point(bottle.request.query["face"]) if "face" in bottle.request.query else None
        except ValueError:
            text = "face: x,y in pixels of the upright photograph"
            raise Refusal(ResultCode.INVALID_QUERY, "invalid_face", text) from None
        with self.subjects.leased() as (engine, picture):
            return enrol.capture_from_photograph(engine, picture, self.min_quality, meant)

    def _from_camera(self, requested: RequestedPose) -> Portrait:
        if self.subjects.live.camera.stored:
            text = "The camera shows stored pictures, which are not enrolled: use a photograph."
            raise Refusal(ResultCode.REFUSED, "stored_pictures", text, status=409)
        self._frames(PATIENCE_SECONDS)  # for a camera that has just started; these may be old when an engine is free
        with self.subjects.engines.lease() as engine:
            return enrol.capture_from_camera(engine, self._frames(0), requested, self.min_quality)

    def _frames(self, patience: float) -> list[CameraFrame]:
        live = self.subjects.live
        return live.spaced(patience) if self.liveness else [live.newest()]

    def _held(self, person: Person, portrait: Portrait, source: Source) -> Answer:
        body = {
            "capture": self.captures.hold(person, portrait, source),
            "face": answers.aligned_face(portrait.aligned),
            "quality": answers.quality(portrait.quality),
        }
        return answers.answer(body, status=201, headers=NO_STORE)

    def _enrol(self, person: Person, portrait: Portrait, source: Source) -> Answer:
        allowed = {name: bottle.request.query.get(name) == "1" for name in ("allow_duplicate", "allow_mismatch")}
        recognition = self.handle.recognition()
        enrolled = self.enrolment.enrol(recognition, person, portrait, source, **allowed)
        shared = self.changed(enrolled.person, f"template {enrolled.template.number} enrolled ({source})")
        body = {
            "template": answers.template(enrolled.template, recognition.model),
            "quality": answers.quality(portrait.quality),
            "warnings": [{"kind": likeness.value, "person": person.id} for person, likeness in enrolled.alike],
            **shared,
        }
        return answers.answer(body, status=201, headers=NO_STORE)

    def _change(self, identity: str, fields: PersonFields, names: Iterable[str]) -> Answer:
        known = self.handle.gallery().change(identity, {name: getattr(fields, name) for name in names})
        return self._one(known, shared=self.changed(known.person, "changed"))

    def changed(self, person: Person, what: str) -> dict[str, bool]:
        """Notes in the audit trail what has changed, and publishes it; with a fleet, returns whether it is `shared`. Raises
        Refusal `changed_elsewhere` (409) with the person as another device has changed them at the same time.
        """
        audit.info("person %s: %s by key %s", person.reference, what, bottle.request.environ[NAME])
        self.handle.publish()
        try:
            shared = self.share(person.id)
        except ChangedElsewhereError as error:
            newer = self.handle.gallery().snapshot.people.get(person.id)
            facts = {"person": newer and answers.person(newer, self.handle.model())}
            reason, text = "changed_elsewhere", str(error)
            raise Refusal(ResultCode.REFUSED, reason, text, status=409, facts=facts) from error
        return {} if shared is None else {"shared": shared}

    def _one(
        self,
        known: Known,
        status: int = 200,
        headers: Mapping[str, str] | None = None,
        shared: Mapping[str, bool] | None = None,
    ) -> Answer:
        body = {"person": answers.person(known, self.handle.model()), **(shared or {})}
        return answers.answer(body, status=status, headers={**NO_STORE, **(headers or {})})


def listed(handle: GalleryHandle, limit: int | None) -> tuple[list[Known], dict[str, object]]:
    """The people whom the query asks for, and the number of all who match with the begin of the next page; without a limit
    everyone, and nothing.
    """
    query = bottle.request.query
    found = matching(handle.gallery().people(), query.getunicode("query", ""))
    if "limit" not in query and limit is None:
        return found, {}
    limit, after = intake.number(query, "limit", limit or MOST_LISTED, MOST_LISTED), query.getunicode("after", "")
    rest = [known for known in found if known.person.id > after]
    return rest[:limit], {"total": len(found), "next": rest[limit - 1].person.id if len(rest) > limit else None}


def new_person(identity: str, fields: PersonFields) -> Person:
    """A person as they are posted. When the gallery changes a person it keeps their reference and their time of creation."""
    now = datetime.now(UTC)
    validity = (fields.valid_from, fields.valid_until)
    return Person(identity, fields.name, fields.groups, *validity, new_reference(), now, fields.credential)


def _pin(shared: Mapping[str, bool], *, is_set: bool) -> Answer:
    return answers.answer({"pin": {"set": is_set}, **shared}, headers=NO_STORE)


def _both(engine: FaceEngine, portrait: Portrait) -> Embedding:
    return engine.feature_of_both(portrait.aligned, portrait.embedding)


def _body() -> bytes:
    content: bytes = bottle.request.environ["wsgi.input"].read()
    return content


def _requested_pose() -> RequestedPose:
    pose = bottle.request.query.get("pose", RequestedPose.FRONT.value)
    try:
        return RequestedPose(pose)
    except ValueError:
        poses = ", ".join(each.value for each in RequestedPose)
        raise Refusal(ResultCode.INVALID_QUERY, "invalid_pose", f"pose: one of {poses}") from None
