"""The description of the API (OpenAPI 3.1), made from the table by which the server routes."""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

import bottle
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from appliance import __version__
from appliance.api import people_schemas, schemas
from appliance.api.access import ANY_KEY, Route, route
from appliance.api.answers import Answer
from appliance.api.door import Question, Step
from appliance.api.intake import DOCUMENTED, ChangedFields, NewPerson, PersonFields, PinFields
from appliance.api.passes import PassFields
from appliance.gallery.people import OnConflict

JSON, EVENTS = "application/json", "text/event-stream"

FAILURES = (schemas.FailureJson, schemas.DocumentedFailureJson)

KEYS: Mapping[str, Mapping[str, str]] = {
    "bearer": {"type": "http", "scheme": "bearer"},
    "basic": {"type": "http", "scheme": "basic", "description": "The key is the password."},
    "apiKey": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
    "rapidApiKey": {"type": "apiKey", "in": "header", "name": "X-RapidAPI-Key"},
}
"""The ways to send a key."""

COUNT = {"type": "integer", "minimum": 1}
FLAG = {"type": "string", "enum": ["1"]}

QUERY: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "minsize": ("Smallest side of a face's box in pixels.", {**COUNT, "maximum": 65_535, "default": 48}),
    "maxsize": ("Largest side of a face's box in pixels.", {**COUNT, "maximum": 65_535}),
    "detectcount": ("Most faces, the largest ones.", {**COUNT, "maximum": 1000, "default": 10}),
    "query": ("Only people whose id, name or groups contain this.", {"type": "string"}),
    "limit": ("Most people on a page.", {**COUNT, "maximum": 1000}),
    "after": ("The id behind which the page begins.", {"type": "string"}),
    "count": ("Most decisions, the newest ones.", {**COUNT, "maximum": 1000, "default": 50}),
    "pose": ("Where the person is to look.", {"type": "string", "enum": ["front", "left", "right", "up", "down"]}),
    "networks": ("both: the strong network's numbers behind the fast one's.", {"type": "string", "enum": ["both"]}),
    "face": (
        "x,y: the face of the photograph that is meant, in pixels.",
        {"type": "string", "pattern": "^[0-9]{1,6},[0-9]{1,6}$"},
    ),
    "consent": ("1: the person agrees to the text of the invitation.", FLAG),
    "dry_run": ("1: nothing is changed.", FLAG),
    "on_conflict": (
        "What becomes of people who are there already, and are not as in their row.",
        {"type": "string", "enum": [each.value for each in OnConflict], "default": OnConflict.REFUSE.value},
    ),
    "from": ("The first day, or the time from which on.", {"type": "string"}),
    "until": ("The last day, or the time before which.", {"type": "string"}),
    "person": ("Only decisions about the person with this id.", {"type": "string"}),
    "result": ("Only decisions with this result.", {"type": "string", "enum": ["granted", "denied", "void"]}),
    "reason": ("Only decisions with this reason.", {"type": "string"}),
    "direction": ("Only decisions about this direction.", {"type": "string", "enum": ["in", "out"]}),
    "allow_duplicate": ("1: another person may look the same.", FLAG),
    "allow_mismatch": ("1: the picture need not match the person's others.", FLAG),
}
"""The items of queries: what each means, and its schema."""

LIMITS, OVERRIDES = ("minsize", "maxsize", "detectcount"), ("allow_duplicate", "allow_mismatch")
NETWORKS = ("networks",)

Takes = type[BaseModel] | tuple[str, ...]
"""What a body is: JSON, or the parts of a form; one with a question mark may be absent."""

PHOTO: Takes = ("",)
"""A picture, or the first file of a form."""

FACE: Takes = ("image",)
"""An aligned face, or a form with it."""


@dataclass(frozen=True, slots=True)
class Described:
    """What an answer is (a model, or a media type), what a request takes, and the statuses of success."""

    gives: type[BaseModel] | str
    takes: Takes | None = None
    query: tuple[str, ...] = ()
    succeeds: tuple[int, ...] = (200,)
    fails: tuple[int, ...] = field(default=())
    """Statuses beyond those that `failures` finds."""


PAIR = ("image_a", "image_b")

ROUTES: Mapping[str, Described] = {
    "POST /faces": Described(schemas.FacesJson, PHOTO, LIMITS),
    "GET /faces": Described(schemas.FacesJson, query=LIMITS),
    "POST /alignedfaces": Described(schemas.AlignedFacesJson, PHOTO, LIMITS),
    "GET /alignedfaces": Described(schemas.AlignedFacesJson, query=LIMITS),
    "POST /similarity": Described(schemas.SimilarityJson, PAIR),
    "POST /similarity/v2": Described(schemas.SimilarityJson, PAIR),
    "POST /liveness/multiframe": Described(schemas.ConfidenceJson, ("images",)),
    "GET /liveness/multiframe": Described(schemas.ConfidenceJson),
    "POST /liveness/multiframe/v2": Described(schemas.VerdictJson, ("images", "frame_counts", "filename_extension")),
    "POST /liveness": Described(schemas.VerdictJson, PHOTO),
    "GET /version": Described(schemas.VersionJson),
    "POST /compare": Described(schemas.ComparisonJson, PAIR),
    "POST /compare/feature": Described(schemas.SimilarityJson, ("feature_a", "feature_b")),
    "POST /feature/floats": Described(schemas.FeatureJson, FACE, NETWORKS),
    "POST /feature/bytes": Described(schemas.FeatureJson, FACE, NETWORKS),
    "POST /feature/masking": Described(schemas.FeatureJson, FACE, succeeds=(), fails=(406,)),
    "POST /facefeatures": Described(schemas.FaceFeaturesJson, PHOTO, LIMITS + NETWORKS),
    "POST /facefeatures/masking": Described(schemas.FaceFeaturesJson, PHOTO, LIMITS, succeeds=(), fails=(406,)),
    "POST /facefeatures/withimages": Described(schemas.AlignedFeaturesJson, PHOTO, LIMITS + NETWORKS),
    "POST /masks": Described(schemas.MasksJson, PHOTO, LIMITS),
    "POST /identify": Described(people_schemas.IdentifiedJson, PHOTO, LIMITS),
    "GET /identify": Described(people_schemas.IdentifiedJson, query=LIMITS),
    "GET /people": Described(people_schemas.PeopleJson, query=("query", "limit", "after")),
    "GET /people.csv": Described("text/csv", query=("query",)),
    "POST /people/import": Described(
        people_schemas.ImportedJson, ("people", "photos?"), ("dry_run", "on_conflict"), fails=(409,)
    ),
    "POST /people": Described(people_schemas.OnePersonJson, NewPerson, succeeds=(201,), fails=(409,)),
    "GET /people/<identity>": Described(people_schemas.OnePersonJson),
    "PUT /people/<identity>": Described(people_schemas.OnePersonJson, PersonFields, fails=(409,)),
    "PATCH /people/<identity>": Described(people_schemas.OnePersonJson, ChangedFields, fails=(409,)),
    "DELETE /people/<identity>": Described(people_schemas.ErasureJson, fails=(409,)),
    "GET /people/<identity>/pin": Described(people_schemas.PinJson),
    "PUT /people/<identity>/pin": Described(people_schemas.PinJson, PinFields, fails=(409,)),
    "DELETE /people/<identity>/pin": Described(people_schemas.PinJson, fails=(409,)),
    "POST /people/<identity>/templates": Described(
        people_schemas.EnrolledJson, PHOTO, ("face", *OVERRIDES), succeeds=(201,), fails=(409,)
    ),
    "POST /people/<identity>/templates/camera": Described(
        people_schemas.EnrolledJson, query=("pose", *OVERRIDES), succeeds=(201,), fails=(409,)
    ),
    "POST /people/<identity>/captures": Described(people_schemas.CaptureJson, PHOTO, ("face",), succeeds=(201,)),
    "POST /people/<identity>/captures/camera": Described(
        people_schemas.CaptureJson, query=("pose",), succeeds=(201,), fails=(409,)
    ),
    "POST /people/<identity>/captures/<capture>/confirm": Described(
        people_schemas.EnrolledJson, query=OVERRIDES, succeeds=(201,), fails=(409,)
    ),
    "POST /people/<identity>/invitation": Described(people_schemas.InvitedJson, succeeds=(201,), fails=(409,)),
    "DELETE /people/<identity>/invitation": Described(schemas.SuccessJson),
    "GET /enrol/<token>/invitation": Described(people_schemas.InvitationAnswerJson, fails=(503,)),
    "POST /enrol/<token>": Described(
        people_schemas.SelfEnrolledJson, PHOTO, ("consent",), succeeds=(201,), fails=(409, 500, 503)
    ),
    "DELETE /people/<identity>/templates/<number>": Described(people_schemas.OnePersonJson, fails=(409,)),
    "GET /fleet.json": Described(schemas.FleetJson, query=("query", "limit", "after")),
    "POST /fleet/invitation": Described(schemas.FleetInvitedJson, succeeds=(201,), fails=(409, 503)),
    "POST /access/decide": Described(people_schemas.DecidedJson, Question, fails=(409,)),
    "POST /access/decide/<handle>": Described(people_schemas.DecidedJson, Step, fails=(409, 410)),
    "POST /access/open": Described(people_schemas.OpenedJson),
    "GET /access/key": Described(people_schemas.PublicKeyJson),
    "GET /access/passes": Described(people_schemas.PassesJson),
    "POST /access/passes": Described(people_schemas.PassJson, PassFields, succeeds=(201,), fails=(409,)),
    "GET /access/passes/<identity>": Described(people_schemas.PassJson),
    "DELETE /access/passes/<identity>": Described(people_schemas.PassJson, fails=(409,)),
    "GET /access/passes/<identity>/code.png": Described("image/png"),
    "GET /access/passes/<identity>/code.svg": Described("image/svg+xml"),
    "GET /access/decisions": Described(people_schemas.DecisionsJson, query=("count",)),
    "GET /access/decisions.csv": Described(
        "text/csv", query=("from", "until", "person", "result", "reason", "direction")
    ),
    "GET /.well-known/jwks.json": Described(people_schemas.KeySetJson),
    "GET /healthz": Described(schemas.HealthJson, succeeds=(200, 503)),
    "GET /metrics": Described("text/plain"),
    "GET /camera/frame.jpg": Described("image/jpeg"),
    "GET /camera/stream.mjpg": Described("multipart/x-mixed-replace"),
    "GET /events": Described(EVENTS),
    "GET /kiosk/events": Described(EVENTS),
    "POST /key": Described(schemas.SuccessJson),
    "DELETE /key": Described(schemas.SuccessJson),
    "GET /openapi.json": Described(JSON),
}
"""The routes of the API by method and rule: all but those of the pages and their files."""

PLACES: Mapping[str, Mapping[str, Any]] = {"number": COUNT}
"""The schemas of the places in paths that are not just strings."""

_SENTENCE_END = re.compile(r"(?<=[.])\s")
"""Between two sentences of a docstring."""

ANYTHING = {"type": "string", "contentMediaType": "application/octet-stream"}


class Description:
    """The description of a table of routes, and the endpoint that returns it."""

    def __init__(self) -> None:
        self._document: dict[str, Any] = {}

    @route("GET", "/openapi.json", ANY_KEY)
    def openapi(self) -> Answer:
        """The description of this API (OpenAPI 3.1)."""
        servers = [{"url": bottle.request.environ.get("SCRIPT_NAME") or "/"}]
        return Answer(json.dumps({**self._document, "servers": servers}).encode(), headers={"Content-Type": JSON})

    def cover(self, routes: Iterable[Route]) -> None:
        """Describes those of these routes that are in ROUTES, from now on."""
        paths: dict[str, dict[str, Any]] = {}
        for item in routes:
            if (about := ROUTES.get(f"{item.method} {item.rule}")) is None:
                continue
            path = re.sub("<(.*?)>", r"{\1}", item.rule)
            paths.setdefault(path, {})[item.method.lower()] = _operation(item, about)
        given = {each.gives for each in ROUTES.values()} | {*FAILURES}
        taken = {each.takes for each in ROUTES.values()}
        kinds = [(model, "serialization") for model in given if isinstance(model, type)]
        kinds += [(model, "validation") for model in taken if isinstance(model, type)]
        _, schema = models_json_schema(sorted(kinds, key=str), ref_template="#/components/schemas/{model}")  # type: ignore[arg-type]
        self._document = {
            "openapi": "3.1.0",
            "info": {"title": "Face Appliance", "version": __version__},
            "paths": paths,
            "components": {"schemas": schema["$defs"], "securitySchemes": KEYS},
        }


def failures(item: Route, about: Described) -> set[int]:
    """The statuses with which a request to a route can fail."""
    found = {400, 403, *about.fails}
    found |= {401, 500, 503} if item.scopes else set()
    found |= {404} if "<" in item.rule else set()
    found |= {406} if item.part or item.expires else set()
    found |= {413, 415} if about.takes else set()
    return found - {*about.succeeds}


def _operation(item: Route, about: Described) -> dict[str, Any]:
    places = [
        {"name": name, "in": "path", "required": True, "schema": PLACES.get(name, {"type": "string", "minLength": 1})}
        for name in re.findall("<(.*?)>", item.rule)
    ]
    query = [
        {"name": name, "in": "query", "description": QUERY[name][0], "schema": QUERY[name][1]} for name in about.query
    ]
    failure = FAILURES[item.rule in DOCUMENTED]
    good = {str(status): _response(status, about.gives) for status in about.succeeds}
    bad = {str(status): _response(status, failure) for status in sorted(failures(item, about))}
    words = " ".join((item.handler.__doc__ or "").split())
    scopes = [] if item.scopes == ANY_KEY else sorted(item.scopes)
    return {
        "operationId": re.sub(r"\W+", "_", f"{item.method.lower()}{item.rule}").strip("_"),
        "summary": _SENTENCE_END.split(words, maxsplit=1)[0],
        "description": words,
        "tags": [item.rule.split("/")[1].partition(".")[0]],
        "parameters": [*places, *query],
        **({"requestBody": {"required": True, "content": _content(about.takes)}} if about.takes else {}),
        "responses": {**good, **bad},
        **({"security": [{way: scopes} for way in KEYS]} if item.scopes else {}),
    }


def _response(status: int, gives: type[BaseModel] | str) -> dict[str, Any]:
    """A response of OpenAPI."""
    kind, schema = (gives, {}) if isinstance(gives, str) else (JSON, _reference(gives))
    return {"description": HTTPStatus(status).phrase, "content": {kind: {"schema": schema}}}


def _content(takes: Takes) -> dict[str, Any]:
    """The content of a request body."""
    if isinstance(takes, type):
        return {JSON: {"schema": _reference(takes)}}
    names = ["file"] if takes == PHOTO else list(takes)
    properties = {name.rstrip("?"): ANYTHING for name in names}
    schema = {"type": "object", "properties": properties, "required": [name for name in names if name in properties]}
    pictures = {"image/jpeg": {"schema": ANYTHING}, "image/png": {"schema": ANYTHING}}
    return {**(pictures if takes in (PHOTO, FACE) else {}), "multipart/form-data": {"schema": schema}}


def _reference(model: type[BaseModel]) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{model.__name__}"}
