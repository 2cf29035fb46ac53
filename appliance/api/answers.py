"""Results and faults as the JSON of the contract. Nothing here needs an HTTP library: the command line prints the same JSON."""

import json
import logging
from base64 import b64encode
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import date
from http import HTTPStatus
from typing import Any

import numpy as np

from appliance.access.identify import Identification, state_of
from appliance.access.invitations import NoSuchInvitationError
from appliance.access.passes import InvalidPassError, NoSuchPassError
from appliance.access.reason import Reason
from appliance.access.token import SignedDecision, stamp
from appliance.face.types import ALIGNED_SIZE, AlignedFace, Box, Embedding, Face, Pose
from appliance.faults import Fault, Refusal, ResultCode
from appliance.gallery.people import (
    GalleryError,
    InvalidPersonError,
    Known,
    NoSuchPersonError,
    NoSuchTemplateError,
    PersonExistsError,
    Template,
    TemplateFit,
    TooManyError,
)
from appliance.gallery.pin import InvalidPinError
from appliance.gallery.search import Outcome
from appliance.vision.engine import Portrait
from appliance.vision.quality import Quality

log = logging.getLogger(__name__)

DIGITS = 5
"""Decimals of coordinates and angles, as in the document's examples."""

RETRY_SECONDS = 5
"""`Retry-After` of what the gallery cannot do at the moment."""

CODINGS = "gzip, deflate"
"""The codings in which a body may be compressed, as the header of a refusal lists them (RFC 9110, 15.5.16)."""

NO_STORE = {"Cache-Control": "no-store"}


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP answer."""

    body: bytes
    status: int = HTTPStatus.OK
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def status_line(self) -> str:
        return f"{self.status:d} {HTTPStatus(self.status).phrase}"


@dataclass(frozen=True, slots=True)
class StreamedAnswer:
    """An HTTP answer whose parts are sent as they come."""

    body: Iterator[bytes]
    headers: Mapping[str, str]
    status: int = HTTPStatus.OK


def answer(
    body: Mapping[str, Any],
    code: ResultCode = ResultCode.OK,
    status: int | None = None,
    headers: Mapping[str, str] | None = None,
) -> Answer:
    """A JSON answer with `return_msg` at its end; its Content-Type has no charset because clients compare the string."""
    document = {**body, "return_msg": message(code)}
    content = json.dumps(document, separators=(",", ":")).encode()
    return Answer(
        content, code.status if status is None else status, {"Content-Type": "application/json", **(headers or {})}
    )


def csv(name: str, pieces: Iterable[bytes]) -> Answer:
    """A table that a browser saves under this name."""
    disposition = {"Content-Disposition": f'attachment; filename="{name}"'}
    return Answer(b"".join(pieces), headers={"Content-Type": "text/csv; charset=utf-8", **disposition, **NO_STORE})


def message(code: ResultCode) -> dict[str, str]:
    """The `return_msg` of every answer. (The document's prose says result_code; all its examples say return_code.)"""
    return {"return_code": code.text, "return_msg": code.message}


def failure(fault: Fault, challenge: str = "Bearer") -> Answer:
    """The answer to a request that failed: `return_msg`, and with a Refusal its reason, text and facts; with 401 the
    `challenge` (RFC 9110, 11.6.1).
    """
    body = {"reason": fault.reason, "text": fault.text, **fault.facts} if isinstance(fault, Refusal) else {}
    headers = {}
    if fault.retry_after is not None:
        headers["Retry-After"] = str(fault.retry_after)
    if fault.status == HTTPStatus.UNAUTHORIZED:
        headers["WWW-Authenticate"] = challenge
    if fault.status == HTTPStatus.UNSUPPORTED_MEDIA_TYPE:
        headers["Accept-Encoding"] = CODINGS
    return answer(body, fault.code, fault.status, headers)


ABSENT: Mapping[type[GalleryError], tuple[str, str]] = {
    NoSuchPersonError: ("no_such_person", "No person has this id."),
    NoSuchTemplateError: ("no_such_template", "This person has no template with this number."),
    NoSuchInvitationError: ("no_such_invitation", "This link is not valid any more: ask for another one."),
    NoSuchPassError: ("no_such_pass", "No pass has this id."),
}
"""The errors that are answered 404: reason and text."""


def refusal_of(error: GalleryError) -> Refusal:
    """The refusal that an error of the gallery becomes."""
    if absent := ABSENT.get(type(error)):
        return Refusal(ResultCode.INVALID_QUERY, *absent, status=404)
    match error:
        case PersonExistsError():
            return Refusal(ResultCode.REFUSED, "person_exists", "A person with this id exists already.", status=409)
        case TooManyError():
            return Refusal(ResultCode.REFUSED, "too_many_templates", str(error), status=409)
        case InvalidPersonError() | InvalidPinError() | InvalidPassError():
            return Refusal(ResultCode.INVALID_BODY, "invalid_body", str(error))
    log.warning("gallery: %s", error)
    return Refusal(ResultCode.NOT_READY, *state_of(error), status=503, retry_after=RETRY_SECONDS)


def faces(found: Sequence[Face]) -> dict[str, Any]:
    """The body of `/faces`."""
    return {"count": len(found), "faces": [face(each) for each in found]}


def face(found: Face) -> dict[str, Any]:
    """One element of `faces`."""
    points = np.round(found.points.astype(np.float64), DIGITS).tolist()
    return {
        "box": box(found.detection.box.squared()),
        "landmark": {"lm_points": [{"x": x, "y": y} for x, y in points]},
        "pose": pose(found.pose),
    }


def box(found: Box) -> dict[str, float]:
    """A box, in pixels."""
    return {name: round(getattr(found, name), DIGITS) for name in ("x", "y", "width", "height")}


def pose(found: Pose) -> dict[str, float]:
    """Yaw, pitch and roll in degrees."""
    return {name: round(angle, DIGITS) for name, angle in found._asdict().items()}


def quality(found: Quality) -> dict[str, Any]:
    """The quality of a face's picture, 0..1, and its weakest aspect. It is in no answer of the document."""
    aspects = {name: round(value, 2) for name, value in asdict(found).items()}
    return {"overall": round(found.overall, 2), "weakest": found.weakest, **aspects}


def aligned_faces(found: Sequence[AlignedFace]) -> dict[str, Any]:
    """The body of `/alignedfaces`: raw interleaved RGB, row by row, in base64."""
    return {"count": len(found), "aligned_faces": [aligned_face(each) for each in found]}


def aligned_face(found: AlignedFace) -> dict[str, Any]:
    """One element of `aligned_faces`."""
    return {
        "box": box(found.box),
        "image_height": ALIGNED_SIZE,
        "image_width": ALIGNED_SIZE,
        "image_channel": 3,
        "image_data": b64encode(found.pixels.tobytes()).decode("ascii"),
    }


def feature(found: Embedding) -> dict[str, Any]:
    """An embedding: little-endian float32, in base64."""
    return {"feature_size": len(found), "feature_data": b64encode(found.astype("<f4").tobytes()).decode("ascii")}


def feature_bytes(found: Embedding) -> dict[str, Any]:
    """An embedding as signed bytes, in base64: each number over the largest magnitude, times 127."""
    quantised = np.rint(found * (127 / np.abs(found).max())).astype(np.int8)
    return {"feature_size": len(found), "feature_data": b64encode(quantised.tobytes()).decode("ascii")}


def refused_face(portrait: Portrait) -> dict[str, Any]:
    """One element of the `faces` of `/identify`: a face that is not upright is not looked for in the gallery."""
    unknown = Identification(Outcome.UNKNOWN, None, -1.0, 0.0, None)
    reason = Reason.NOT_UPRIGHT
    return {**identified_face(portrait, unknown), "reason": reason.value, "text": reason.text}


def identified_face(portrait: Portrait, found: Identification) -> dict[str, Any]:
    """One element of the `faces` of `/identify`."""
    person = found.person
    return {
        "box": box(portrait.face.detection.box.squared()),
        "pose": pose(portrait.face.pose),
        "quality": quality(portrait.quality),
        "result": found.outcome.value,
        "person": {"id": person.id, "name": person.name, "groups": list(person.groups)} if person else None,
        "similarity": found.similarity,
    }


def shown_decision(signed: SignedDecision) -> dict[str, Any]:
    """A decision on a display at the door: the only names are those of people who are granted."""
    name = signed.name if signed.decision.granted else None
    return {**signed.document("result", "reason", "text"), "name": name}


def people(found: Sequence[Known], model: str | None, page: Mapping[str, Any]) -> dict[str, Any]:
    """The body of `GET /people`; `page` has what belongs to a page of the list."""
    return {
        "count": len(found),
        "templates": sum(len(known.templates) for known in found),
        "people": [person(known, model) for known in found],
        **page,
    }


def person(known: Known, model: str | None) -> dict[str, Any]:
    """A person with their templates, each usable if the embedder `model` (sha256) made it."""
    found = known.person
    return {
        "id": found.id,
        "name": found.name,
        "groups": list(found.groups),
        "valid_from": _day(found.valid_from),
        "valid_until": _day(found.valid_until),
        "created": stamp(found.created, "seconds"),
        "credential": found.credential and found.credential.document(),
        "templates": [template(each, model) for each in known.templates],
        "fit": None if known.fit is None else _fit(known.fit),
    }


def _fit(fit: TemplateFit) -> dict[str, Any]:
    cosines = {"first": round(fit.first, 3), "latest": round(fit.latest, 3)}
    return {"days": fit.days, **cosines, "day": fit.day.isoformat(), "worse": fit.worse}


def template(found: Template, model: str | None) -> dict[str, Any]:
    """The description of a template."""
    return {
        "number": found.number,
        "quality": round(found.quality, 2),
        "source": found.source.value,
        "created": stamp(found.created, "seconds"),
        "pictured": found.pictured,
        "usable": found.model == model,
        "strong": found.strong is not None,
    }


def _day(day: date | None) -> str | None:
    return day.isoformat() if day else None
