"""CompreFace's REST surface (https://github.com/exadel-inc/CompreFace, version 1.2) on this device's gallery, for its clients.

A subject is a person and an image a template. What this device lacks (age, gender, masks, kept pictures) is absent, and so is
is erasing everyone with one request, which CompreFace's own Python client sends by mistake for a name that begins with "#".
"""

import json
from binascii import a2b_base64
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import wraps
from typing import Any
from uuid import UUID

import bottle

from appliance.access import enrol
from appliance.access.identify import Recognition
from appliance.api import answers
from appliance.api.access import ADMIN, RECOGNISE, Part, route
from appliance.api.answers import NO_STORE, Answer
from appliance.api.intake import LONGEST, PersonFields
from appliance.api.people import People, new_person
from appliance.face.alignment import FIVE_OF_106
from appliance.face.types import DetectLimits, Embedding, Face
from appliance.faults import Fault, Refusal, ResultCode
from appliance.gallery.gallery import Gallery
from appliance.gallery.people import (
    PERSON_ID,
    GalleryError,
    Known,
    NoSuchPersonError,
    NoSuchTemplateError,
    PersonExistsError,
    Source,
    new_reference,
)
from appliance.gallery.search import Outcome
from appliance.imaging.codec import EncodedPicture
from appliance.vision.detector import SCORE
from appliance.vision.embedder import similarity
from appliance.vision.engine import LARGEST_COUNT, Portrait

BELOW, ABOVE = 0.8, 0.9
"""CompreFace's similarity at this device's operating point, from below and from above: every threshold from 0.81 to 0.9, which
are usual there, decides as this device does.
"""

FOUND = 0.8
"""CompreFace's `det_prob_threshold` is usually 0.8: the probability of a face that the detector is only just sure of."""

DIGITS = 5
"""Decimals of probabilities and similarities, as there."""

CODES = {
    "no_face": 28,
    enrol.Prompt.NOBODY.value: 28,
    enrol.Prompt.MORE_THAN_ONE.value: 31,
    "no_such_template": 11,
    "no_such_person": 42,
    "person_exists": 43,
    "missing_parameter": 33,
}
"""CompreFace's code (CommonExceptionCode.java) for each reason; 0 for all others."""

MOST_PREDICTED = 5
"""Subjects named of each face, as many as a list on a screen shows: a key that only recognises is not to list everyone, and a
picture of hundreds of faces not to cost an answer of everyone for each.
"""

MOST_MARKS = 16
"""Commas, colons and brackets in a JSON body of more than LONGEST bytes, each of which may cost an object of Python's: two
pictures in base64 have three.
"""

RULE = "/api/v1/recognition"

Handler = Callable[..., Answer]


def _route(method: str, rule: str, *scopes: Any, **how: Any) -> Callable[[Handler], Handler]:
    """As `route`; a refusal has CompreFace's `message` and `code` beside its own reason and text."""

    def marked(handler: Handler) -> Handler:
        @wraps(handler)
        def guarded(self: "CompreFace", **places: str) -> Answer:
            try:
                return handler(self, **places)
            except GalleryError as error:
                raise _in_their_words(answers.refusal_of(error)) from error
            except Fault as fault:
                raise _in_their_words(self.people.subjects.intake.explained(fault, rule)) from fault

        return route(method, rule, *scopes, **how)(guarded)

    return marked


def _in_their_words(fault: Fault) -> Refusal:
    reason, text = (fault.reason, fault.text) if isinstance(fault, Refusal) else ("failed", fault.code.message)
    facts = {"message": text, "code": CODES.get(reason, 0)}
    status = 400 if fault.status == 409 else fault.status
    return Refusal(fault.code, reason, text, status=status, retry_after=fault.retry_after, facts=facts)


@dataclass(frozen=True, slots=True)
class CompreFace:
    """Each method answers bottle's current request, or raises a Refusal."""

    people: People

    @_route("GET", f"{RULE}/subjects", ADMIN, Part.GALLERY)
    @_route("GET", f"{RULE}/subjects/", ADMIN, Part.GALLERY)
    def subjects(self) -> Answer:
        return _answer({"subjects": sorted(self._subjects())})

    @_route("POST", f"{RULE}/subjects", ADMIN, Part.GALLERY)
    def add_subject(self) -> Answer:
        subject = self._posted_subject()
        if subject in self._subjects():
            raise PersonExistsError(subject)
        self._add(subject)
        return _answer({"subject": subject}, 201)

    @_route("PUT", f"{RULE}/subjects/<subject>", ADMIN, Part.GALLERY)
    def rename_subject(self, subject: str) -> Answer:
        """CompreFace merges two subjects of one name; this device refuses the second."""
        known, name = self._known(subject), self._posted_subject()
        if self._subjects().get(name, known).person.id != known.person.id:
            raise PersonExistsError(name)
        self.people.changed(self._gallery.change(known.person.id, {"name": name}).person, "changed")
        return _answer({"updated": True})

    @_route("DELETE", f"{RULE}/subjects/<subject>", ADMIN, Part.GALLERY)
    def erase_subject(self, subject: str) -> Answer:
        self.people.erase(self._known(subject).person.id)
        return _answer({"subject": subject})

    @_route("GET", f"{RULE}/faces", ADMIN, Part.GALLERY)
    def images(self) -> Answer:
        page, size = _number("page", 0), _number("size", 20, least=1)
        wanted = bottle.request.query.getunicode("subject")
        found = [
            {"image_id": _image_id(template.number), "subject": subject}
            for subject, known in sorted(self._subjects().items())
            if wanted in (None, subject)
            for template in known.templates
        ]
        return _answer(
            {
                "faces": found[page * size : (page + 1) * size],
                "page_number": page,
                "page_size": size,
                "total_pages": -(-len(found) // size),
                "total_elements": len(found),
            }
        )

    @_route("POST", f"{RULE}/faces", ADMIN, Part.GALLERY)
    def add_image(self) -> Answer:
        """Enrols as this device does: with its checks of quality, and against duplicates."""
        subject, picture = _subject_of_query(), self._picture("file")
        recognition = self.people.handle.recognition()
        with self.people.subjects.engines.lease(picture.decoded_bytes) as engine:
            portrait = enrol.capture_from_photograph(engine, picture, self.people.min_quality)
        known = self._subjects().get(subject)
        person = known.person if known else self._add(subject).person
        try:
            enrolled = self.people.enrolment.enrol(recognition, person, portrait, Source.PHOTO)
        except (Fault, GalleryError):
            if known is None:
                self.people.erase(person.id)
            raise
        self.people.changed(person, f"template {enrolled.template.number} enrolled (photo)")
        return _answer({"image_id": _image_id(enrolled.template.number), "subject": subject}, 201)

    @_route("DELETE", f"{RULE}/faces", ADMIN, Part.GALLERY)
    def erase_images(self) -> Answer:
        """Those of one subject."""
        known = self._subjects().get(_subject_of_query())
        templates = known.templates if known else ()
        for template in templates:
            assert known
            self.people.forget(known.person.id, str(template.number))
        return _answer({"deleted": len(templates)})

    @_route("DELETE", f"{RULE}/faces/<image>", ADMIN, Part.GALLERY)
    def erase_image(self, image: str) -> Answer:
        subject, known, number = self._image(image)
        self.people.forget(known.person.id, str(number))
        return _answer({"image_id": image, "subject": subject})

    @_route("POST", f"{RULE}/recognize", RECOGNISE, Part.GALLERY, expires=True)
    def recognize(self) -> Answer:
        """A `prediction_count` of more than MOST_PREDICTED means as many."""
        count = min(_number("prediction_count", 1, least=1), MOST_PREDICTED)
        recognition = self.people.handle.recognition()
        portraits = self._portraits(self._picture("file"))
        subjects = {known.person.reference: subject for subject, known in self._subjects().items()}
        return _answer(
            {
                "result": [
                    {**_face(each), "subjects": self._predicted(recognition, each, subjects, count)}
                    for each in portraits
                ]
            }
        )

    @_route("POST", f"{RULE}/faces/<image>/verify", RECOGNISE, Part.GALLERY, expires=True)
    def verify_image(self, image: str) -> Answer:
        """Compares with the person of an image: with the most similar one of theirs."""
        subject, known, _ = self._image(image)
        recognition = self.people.handle.recognition()
        result = []
        for portrait in self._portraits(self._picture("file")):
            everyone = len(recognition.gallery.people())
            ranked, least = recognition.identifier.ranked(portrait.embedding, everyone, two_pictures=True)
            cosine = next((each.cosine for each in ranked if each.reference == known.person.reference), -1.0)
            alike = similarity(cosine, least, least) if portrait.face.upright else 0.0
            result.append({**_face(portrait), "subject": subject, "similarity": _similarity(alike)})
        return _answer({"result": result})

    @_route("POST", "/api/v1/verification/verify", RECOGNISE, expires=True)
    def verify(self) -> Answer:
        """Compares the largest face of one picture with all of another."""
        source, target = (self._portraits(picture) for picture in self._pictures("source_image", "target_image"))
        with self.people.subjects.engines.lease() as engine:
            matches = [
                {**_face(each), "similarity": _similarity(engine.compare(source[0].aligned, each.aligned))}
                for each in target
            ]
        return _answer({"result": [{"source_image_face": _face(source[0]), "face_matches": matches}]})

    @_route("POST", "/api/v1/detection/detect", RECOGNISE, expires=True)
    def detect(self) -> Answer:
        return _answer({"result": [_face(each) for each in self._portraits(self._picture("file"))]})

    @property
    def _gallery(self) -> Gallery:
        return self.people.handle.gallery()

    def _subjects(self) -> Mapping[str, Known]:
        """All people by the name of their subject: their own name, or their id when another person has that name, or has it as
        an id.
        """
        everyone = self._gallery.people()
        taken: dict[str, int] = {}
        for known in everyone:
            for name in {known.person.id, known.person.name}:
                taken[name] = taken.get(name, 0) + 1
        return {known.person.name if taken[known.person.name] == 1 else known.person.id: known for known in everyone}

    def _known(self, subject: str) -> Known:
        """Raises NoSuchPersonError."""
        found = self._subjects().get(subject)
        if found is None:
            raise NoSuchPersonError(subject)
        return found

    def _image(self, image: str) -> tuple[str, Known, int]:
        """The subject, the person and the number of the template. Raises NoSuchTemplateError."""
        for subject, known in self._subjects().items():
            for template in known.templates:
                if _image_id(template.number) == image:
                    return subject, known, template.number
        raise NoSuchTemplateError(image)

    def _add(self, subject: str) -> Known:
        """A new person of that name, whose id is the same where it may be one."""
        identity = subject if PERSON_ID.fullmatch(subject) else new_reference()
        known = self._gallery.add(new_person(identity, PersonFields(name=subject)))
        self.people.changed(known.person, "added")
        return known

    def _posted_subject(self) -> str:
        content = self.people.subjects.intake.body(bottle.request.environ)
        if len(content) > LONGEST:
            raise Refusal(ResultCode.INVALID_BODY, "invalid_body", f"body: more than {LONGEST} bytes")
        return _checked(_document(content).get("subject"))

    def _picture(self, name: str) -> EncodedPicture:
        return self._pictures(name)[0]

    def _pictures(self, *names: str) -> list[EncodedPicture]:
        """The pictures of these names in a form, or as base64 in a JSON document."""
        reads, environ = self.people.subjects.intake, bottle.request.environ
        if environ.get("CONTENT_TYPE", "").lower().startswith("application/json"):
            document = _document(reads.body(environ))
            return [reads.picture(_bytes(document.get(name))) for name in names]
        return [reads.picture(part) for part in reads.form(environ, *names)]

    def _portraits(self, picture: EncodedPicture) -> list[Portrait]:
        """The faces of a picture, largest first. Raises Fault INF-17 when there is none."""
        limit, least = _number("limit", 0), _threshold(bottle.request.query.get("det_prob_threshold", "0"))
        with self.people.subjects.engines.lease(picture.decoded_bytes) as engine:
            faces = engine.detect(picture, DetectLimits(count=limit or LARGEST_COUNT))
            found = engine.portray(picture, [face for face in faces if _probability(face) >= least])
        if not found:
            raise Fault(ResultCode.NO_FACE)
        return found

    def _predicted(
        self, recognition: Recognition, portrait: Portrait, subjects: Mapping[str, str], count: int
    ) -> Sequence[Mapping[str, Any]]:
        """The `count` most similar people of `subjects` (by reference). Only the one whom this device identifies, maybe by both
        networks, reaches ABOVE, and comes first.
        """
        if not portrait.face.upright:
            return []
        least = recognition.identifier.threshold

        def second_look() -> Embedding:
            with self.people.subjects.engines.lease() as engine:
                return engine.feature_of_both(portrait.aligned, portrait.embedding)

        found = recognition.identifier.identify(portrait.embedding, second_look)
        identified = found.person.reference if found.outcome is Outcome.IDENTIFIED and found.person else None
        alike = {identified: _similarity(found.similarity)} if identified else {}
        for each in recognition.gallery.ranking(portrait.embedding, count):
            alike.setdefault(each.reference, _similarity(similarity(each.cosine, least, least), sure=False))
        return [
            {"subject": subjects[reference], "similarity": likeness}
            for reference, likeness in list(alike.items())[:count]
            if reference in subjects
        ]


def _face(portrait: Portrait) -> dict[str, Any]:
    """A face as CompreFace describes it, with the plugins that are asked for and known here."""
    face = portrait.face
    box = face.detection.box
    corners = {"x_min": box.x, "y_min": box.y, "x_max": box.x + box.width, "y_max": box.y + box.height}
    plugins: dict[str, Callable[[], dict[str, Any]]] = {
        "landmarks": lambda: {"landmarks": [[round(x), round(y)] for x, y in face.points[list(FIVE_OF_106)].tolist()]},
        "pose": lambda: {"pose": answers.pose(face.pose)},
        "calculator": lambda: {"embedding": portrait.embedding.tolist()},
    }
    asked = bottle.request.query.get("face_plugins", "").split(",")
    found: dict[str, Any] = {
        "box": {"probability": _probability(face), **{name: round(at) for name, at in corners.items()}}
    }
    for name in plugins.keys() & {each.strip() for each in asked}:
        found |= plugins[name]()
    return found


def _probability(face: Face) -> float:
    """The detector's score, on a scale whose FOUND is the least score of a face."""
    score = (face.detection.score - SCORE) / (1 - SCORE)
    return round(FOUND + (1 - FOUND) * min(max(score, 0.0), 1.0), DIGITS)


def _similarity(alike: float, *, sure: bool = True) -> float:
    """CompreFace's similarity for one whose operating point is 0.5; below it unless this device is `sure`."""
    if alike < 0.5 or not sure:
        return round(BELOW * min(2 * alike, 1.0), DIGITS)
    return round(ABOVE + (1 - ABOVE) * (2 * alike - 1), DIGITS)


def _answer(body: Mapping[str, Any], status: int = 200) -> Answer:
    return answers.answer(body, status=status, headers=NO_STORE)


def _image_id(number: int) -> str:
    """A template's number as the UUID that clients of CompreFace expect."""
    return str(UUID(int=number))


def _subject_of_query() -> str:
    subject = bottle.request.query.getunicode("subject")
    if subject is None:
        text = "The query has no subject. This device does not erase everyone with one request."
        raise Refusal(ResultCode.INVALID_QUERY, "missing_parameter", text)
    return _checked(subject)


def _checked(subject: object) -> str:
    """A subject's name. A blank at an end is what is left of "Ann #2" where a client does not encode it."""
    if not isinstance(subject, str) or not subject or subject != subject.strip():
        text = "subject: a name without blanks at its ends; a client has to encode # and & in an address"
        raise Refusal(ResultCode.INVALID_BODY, "invalid_body", text)
    return subject


def _document(content: bytes) -> Mapping[str, Any]:
    if len(content) > LONGEST and sum(content.count(mark) for mark in (b",", b":", b"[")) > MOST_MARKS:
        raise Refusal(ResultCode.INVALID_BODY, "invalid_body", "body: more than two pictures")
    try:
        found = json.loads(content)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise Refusal(ResultCode.INVALID_BODY, "invalid_body", "body: not a JSON object")
    return found


def _bytes(text: object) -> bytes:
    try:
        content = a2b_base64(text) if isinstance(text, str) else b""
    except ValueError as error:
        raise Fault(ResultCode.BROKEN_IMAGE, "not base64") from error
    if not content:
        raise Fault(ResultCode.NO_IMAGE)
    return content


def _number(name: str, usual: int, least: int = 0) -> int:
    text = bottle.request.query.get(name, str(usual))
    if not (text.isascii() and text.isdecimal() and len(text) < 5 and int(text) >= least):
        raise Fault(ResultCode.INVALID_QUERY, f"{name}={text[:40]!r}")
    return int(text)


def _threshold(text: str) -> float:
    try:
        found = float(text)
    except ValueError:
        found = -1.0
    if not 0 <= found <= 1:
        raise Fault(ResultCode.INVALID_QUERY, f"det_prob_threshold={text[:40]!r}")
    return found
