"""Results -> the documented JSON; Fault -> status."""

import json
import logging
from base64 import b64encode
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any

import bottle
import numpy as np

from appliance.access.identify import state_of
from appliance.face.types import ALIGNED_SIZE, AlignedFace, Box, Embedding, Face, Pose
from appliance.faults import Fault, Refusal, ResultCode
from appliance.gallery.people import (
    GalleryError,
    InvalidPersonError,
    NoSuchPersonError,
    NoSuchTemplateError,
    PersonExistsError,
    TooManyError,
)
from appliance.vision.quality import Quality

DIGITS = 5
"""Decimals of coordinates and angles, as in the document's examples."""


def answer(
    body: Mapping[str, Any],
    code: ResultCode = ResultCode.OK,
    status: int | None = None,
    headers: Mapping[str, str] | None = None,
) -> bottle.HTTPResponse:
    """A JSON answer with `return_msg` at its end; its Content-Type has no charset, because clients compare the string."""
    document = {**body, "return_msg": message(code)}
    content = json.dumps(document, separators=(",", ":")).encode()
    fields = {"Content-Type": "application/json", **(headers or {})}
    return bottle.HTTPResponse(content, code.status if status is None else status, fields)


def message(code: ResultCode) -> dict[str, str]:
    """The `return_msg` of every answer. (The document's prose says result_code; all its examples say return_code.)"""
    return {"return_code": code.text, "return_msg": code.message}


def failure(fault: Fault) -> bottle.HTTPResponse:
    """The answer to a request that failed: `return_msg`, and of a Refusal why; nothing else."""
    why = {"reason": fault.reason, "text": fault.text, **fault.facts} if isinstance(fault, Refusal) else {}
    response = answer(why, fault.code, fault.status)
    if fault.retry_after is not None:
        response.set_header("Retry-After", str(fault.retry_after))
    if fault.status == 401:
        response.set_header("WWW-Authenticate", "Bearer")
    return response


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


def pose(found: Pose) -> dict[str, float]:
    """Which way a head looks, degrees."""
    return {name: round(angle, DIGITS) for name, angle in found._asdict().items()}


def quality(found: Quality) -> dict[str, Any]:
    """What a face's picture is worth, 0..1, and what spoils it most; not in the document, so in no documented answer."""
    aspects = {name: round(value, 2) for name, value in asdict(found).items()}
    return {"overall": round(found.overall, 2), "weakest": found.weakest, **aspects}


def aligned_faces(found: Sequence[AlignedFace]) -> dict[str, Any]:
    """The body of `/alignedfaces`: raw interleaved RGB, row by row, in base64."""
    return {
        "count": len(found),
        "aligned_faces": [
            {
                "box": box(each.box),
                "image_height": ALIGNED_SIZE,
                "image_width": ALIGNED_SIZE,
                "image_channel": 3,
                "image_data": b64encode(each.pixels.tobytes()).decode("ascii"),
            }
            for each in found
        ],
    }


def feature(found: Embedding) -> dict[str, Any]:
    """An embedding: little-endian float32, in base64."""
    return {"feature_size": len(found), "feature_data": b64encode(found.astype("<f4").tobytes()).decode("ascii")}


def box(found: Box) -> dict[str, float]:
    """A box."""
    return {
        "x": round(found.x, DIGITS),
        "y": round(found.y, DIGITS),
        "width": round(found.width, DIGITS),
        "height": round(found.height, DIGITS),
    }


log = logging.getLogger(__name__)

WAIT_SECONDS = 5
"""After which a client may try again what the gallery cannot do now."""


@contextmanager
def refusing() -> Iterator[None]:
    """What the gallery raises inside becomes a Refusal."""
    try:
        yield
    except GalleryError as error:
        raise _refusal(error) from None


def _refusal(error: GalleryError) -> Refusal:
    query = ResultCode.INVALID_QUERY
    match error:
        case NoSuchPersonError():
            return Refusal(query, "no_such_person", "There is nobody with this id.", status=404)
        case NoSuchTemplateError():
            return Refusal(query, "no_such_template", "This person has no template with this number.", status=404)
        case PersonExistsError():
            return Refusal(query, "person_exists", "There is somebody with this id already.", status=409)
        case TooManyError():
            return Refusal(query, "too_many_templates", str(error), status=409)
        case InvalidPersonError():
            return Refusal(ResultCode.INVALID_BODY, "invalid_body", str(error))
    log.warning("gallery: %s", error)
    return Refusal(ResultCode.NOT_READY, *state_of(error), status=503, retry_after=WAIT_SECONDS)
