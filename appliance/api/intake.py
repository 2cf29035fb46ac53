"""From a request to what the engine works on: query, body, multipart, zip and JSON. Raises INF-01 to INF-05."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Annotated, Any, TypeVar, cast

import numpy as np
from multipart import MultipartError, MultipartSegment, PushMultipartParser, parse_options_header
from pydantic import BaseModel, ConfigDict, Field, PlainValidator, ValidationError

from appliance.face.types import ALIGNED_SIZE, AlignedFace, Box, DetectLimits
from appliance.faults import Fault, Refusal, ResultCode
from appliance.gallery.credential import Credential
from appliance.imaging.archive import four_pictures
from appliance.imaging.codec import EncodedPicture

RAW_ALIGNED_BYTES = ALIGNED_SIZE * ALIGNED_SIZE * 3
"""An aligned face as `/alignedfaces` returns it: raw interleaved RGB."""

MOST_PARTS = 16
"""Parts of a multipart body that are read: the contract has two at most, and real clients add a few text fields."""

_WHOLE_NUMBER = re.compile(r"0*([1-9][0-9]*)")


@dataclass(frozen=True, slots=True)
class Intake:
    """Reads requests within the configured bounds."""

    max_body: int
    max_pixels: int

    def body(self, environ: Mapping[str, Any]) -> bytes:
        """The whole body, which the server holds in memory already. Raises Fault INF-01 when the request announced none (no
        length, not chunked), INF-03 when it is empty.
        """
        if "CONTENT_LENGTH" not in environ:
            raise Fault(ResultCode.INVALID_BODY, "no Content-Length")
        content = cast("bytes", environ["wsgi.input"].read())
        if not content:
            raise Fault(ResultCode.NO_IMAGE, "empty body")
        return content

    def form(self, environ: Mapping[str, Any], *names: str) -> list[bytes]:
        """The named parts of a multipart body. Raises Fault INF-01, INF-03."""
        return parts(self.body(environ), environ.get("CONTENT_TYPE", ""), names)

    def picture(self, content: bytes) -> EncodedPicture:
        """A posted picture. Raises Fault INF-04."""
        return EncodedPicture(content, self.max_pixels)

    def aligned_face(self, content: bytes) -> AlignedFace:
        """A posted aligned face: JPEG or PNG of 112 x 112 with three channels, or 37,632 bytes of raw RGB.

        Raises Fault INF-04, INF-05.
        """
        box = Box(0, 0, ALIGNED_SIZE, ALIGNED_SIZE)
        try:
            picture = self.picture(content)
            if (picture.width, picture.height) != (ALIGNED_SIZE, ALIGNED_SIZE) or not picture.three_channels:
                raise Fault(ResultCode.NOT_ALIGNED, f"{picture.width}x{picture.height}")
            return AlignedFace(box, picture.frame(1.0).pixels)
        except Fault:
            if len(content) != RAW_ALIGNED_BYTES:
                raise
            return AlignedFace(box, np.frombuffer(content, np.uint8).reshape(ALIGNED_SIZE, ALIGNED_SIZE, 3))

    def four_pictures(self, content: bytes) -> list[EncodedPicture]:
        """The pictures 1 to 4 of a posted zip. Raises Fault INF-04, 22, 23, 24."""
        return [self.picture(file) for file in four_pictures(content, self.max_body)]


def detect_limits(query: Mapping[str, str]) -> DetectLimits:
    """`minsize`, `maxsize`, `detectcount`; other items of the query are ignored. Raises Fault INF-02."""
    fields = {"minsize": "min_size", "maxsize": "max_size", "detectcount": "count"}
    given: dict[str, Any] = {field: _whole_number(name, query[name]) for name, field in fields.items() if name in query}
    limits = DetectLimits(**given)
    if limits.min_size > limits.max_size:
        raise Fault(ResultCode.INVALID_QUERY, f"minsize {limits.min_size} > maxsize {limits.max_size}")
    return limits


def number(query: Mapping[str, str], name: str, usual: int, most: int) -> int:
    """A count in a query, 1 to `most`; `usual` when there is none. Raises Fault INF-02."""
    count = _whole_number(name, query[name]) if name in query else usual
    if not 1 <= count <= most:
        raise Fault(ResultCode.INVALID_QUERY, f"{name}={count}, 1 to {most}")
    return count


def parts(content: bytes, content_type: str, names: Iterable[str]) -> list[bytes]:
    """The named parts of a multipart/form-data body, in the order of `names`.

    Raises Fault INF-01 when the body does not parse, INF-03 when a part is missing or empty.
    """
    kind, options = parse_options_header(content_type)
    if kind != "multipart/form-data" or not options.get("boundary"):
        raise Fault(ResultCode.INVALID_BODY, f"not multipart/form-data: {content_type[:80]!r}")
    try:
        found = _segments(content, options["boundary"])
    except (MultipartError, ValueError) as error:
        raise Fault(ResultCode.INVALID_BODY, str(error)) from error
    missing = [name for name in names if not found.get(name)]
    if missing:
        raise Fault(ResultCode.NO_IMAGE, f"no part {', '.join(missing)}")
    return [found[name] for name in names]


def _segments(content: bytes, boundary: str) -> dict[str, bytes]:
    """The bytes of each part by name; of parts with the same name the first that is not empty."""
    found: dict[str, bytes] = {}
    name, chunks = "", list[bytes]()
    with PushMultipartParser(
        boundary,
        content_length=len(content),
        max_segment_count=MOST_PARTS,
        header_charset="latin-1",  # any bytes are Latin-1: a file name that is not UTF-8 does not refuse the form
    ) as parser:
        for event in parser.parse(content):
            if isinstance(event, MultipartSegment):
                name, chunks = event.name or "", []
            elif event:
                chunks.append(bytes(event))
            elif not found.get(name):
                found[name] = b"".join(chunks)
        list(parser.parse(b""))
    return found


def _whole_number(name: str, text: str) -> int:
    match = _WHOLE_NUMBER.fullmatch(text)
    if match is None:
        raise Fault(ResultCode.INVALID_QUERY, f"{name}={text[:40]!r}")
    return int(match[1][:18])  # far beyond every bound already, and int() refuses thousands of digits


LONGEST_ECHO = 40
"""Characters of a field's name that an answer repeats: an unknown one comes from the client."""

LONGEST = 16 * 1024
"""Bytes of a JSON body: the largest person has 3 kB. In a longer body pydantic would collect every mistake first, a million
in 8 MiB, while other requests wait.
"""


def _credential(document: object) -> Credential | None:
    return None if document is None else Credential.read(document)


class PersonFields(BaseModel):
    """The fields of a person that can be changed; the gallery checks their content (gallery/people.py)."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")

    name: str
    groups: Annotated[tuple[str, ...], Field(strict=False)] = ()
    valid_from: date | None = None
    valid_until: date | None = None
    credential: Annotated[Credential | None, PlainValidator(_credential)] = None


class NewPerson(PersonFields):
    """A person to be added."""

    id: str


Body = TypeVar("Body", bound=BaseModel)


def read_json(content: bytes, kind: type[Body]) -> Body:
    """A JSON body, whatever its Content-Type. Raises Refusal INF-01 `invalid_body`, whose text names the field."""
    if len(content) > LONGEST:
        raise Refusal(ResultCode.INVALID_BODY, "invalid_body", f"body: more than {LONGEST} bytes")
    try:
        return kind.model_validate_json(content)
    except ValidationError as error:
        mistake = error.errors(include_url=False, include_input=False, include_context=False)[0]
        field = ".".join(str(part) for part in mistake["loc"])[:LONGEST_ECHO]
        message = mistake["msg"].removeprefix("Value error, ")
        reason = "there is no such field" if mistake["type"] == "extra_forbidden" else message
        raise Refusal(ResultCode.INVALID_BODY, "invalid_body", f"{field or 'body'}: {reason}") from None
