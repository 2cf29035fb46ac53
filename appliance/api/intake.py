"""From a request to what the engine works on: query, body, multipart, zip and JSON. Raises INF-01 to INF-05."""

import re
import zlib
from codecs import BOM_UTF8
from collections.abc import Collection, Iterable, Iterator, Mapping, MutableMapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from typing import Annotated, Any, TypeVar, cast

import numpy as np
from multipart import MultipartError, MultipartSegment, PushMultipartParser, parse_options_header
from pydantic import BaseModel, ConfigDict, Field, PlainValidator, ValidationError, WithJsonSchema

from appliance.face.types import ALIGNED_SIZE, AlignedFace, Box, DetectLimits
from appliance.faults import Fault, Refusal, ResultCode, wrong_value
from appliance.gallery.credential import FORMATS, MOST_BITS, RAW, Credential
from appliance.imaging.archive import FRAMES, SUFFIXES, numbered_pictures
from appliance.imaging.codec import EncodedPicture

RAW_ALIGNED_BYTES = ALIGNED_SIZE * ALIGNED_SIZE * 3
"""An aligned face as `/alignedfaces` returns it: raw interleaved RGB."""

MOST_PARTS = 16
"""Parts of a multipart body that are read: the contract has two at most, and real clients add a few text fields."""

EMPTY_BODY = "appliance.body"
"""In a request's environment: a function that returns an empty body of the server's, which is bounded."""

CODINGS = {"gzip": 31, "x-gzip": 31, "deflate": 15}
"""`wbits` of zlib by the Content-Encoding (RFC 9110, 8.4.1)."""

RAW_DEFLATE = -15
"""`wbits` for what some clients send as "deflate": no zlib header about it."""

CHUNK = 64 * 1024

PICTURES = (b"\xff\xd8", b"\x89PNG")
"""How a JPEG and a PNG begin, and a form does not."""

DOCUMENTED = frozenset(
    {"", "/faces", "/alignedfaces", "/similarity", "/similarity/v2", "/liveness/multiframe", "/version"}
)
"""The paths of the published document, which answer a failure with `return_msg` and nothing else; and that of a request
whose path could not be read.
"""

REASONS = {
    (ResultCode.INVALID_BODY, 400): ("invalid_body", "The body is incomplete, or not of the form that this path takes."),
    (ResultCode.INVALID_BODY, 413): ("too_large", "The body is larger than {max_body} bytes."),
    (ResultCode.INVALID_BODY, 415): ("unknown_encoding", "A body is sent as it is, or compressed with gzip or deflate."),
    (ResultCode.INVALID_QUERY, 400): ("invalid_query", "A number in the query is not a whole number, or out of its range."),
    (ResultCode.INVALID_QUERY, 405): ("wrong_method", "This path does not have this method: see the header Allow."),
    (ResultCode.NO_IMAGE, 400): ("no_picture", "There is no picture: the body, or a part of the form, is missing or empty."),
    (ResultCode.BROKEN_IMAGE, 400): (
        "invalid_picture", "This is not a complete JPEG or PNG of at most {megapixels:g} megapixels."
    ),
    (ResultCode.NOT_ALIGNED, 400): ("not_aligned", "An aligned face has 112 x 112 pixels and three channels."),
    (ResultCode.NO_FACE, 400): ("no_face", "There is no face of at least 48 pixels in a picture."),
    (ResultCode.NOT_A_ZIP, 400): ("not_a_zip", "The part is not a zip that can be read."),
    (ResultCode.ZIP_NAMES, 400): ("file_names", "The files of the zip are not named as this path requires."),
    (ResultCode.ZIP_COUNT, 400): ("file_count", "The zip does not have as many files as this path requires."),
    (ResultCode.RESTRICTED, 401): ("key_required", "This path requires a valid key."),
    (ResultCode.RESTRICTED, 403): (
        "forbidden", "The key has no scope for this path, or the page or the host name of the request is not allowed."
    ),
    (ResultCode.RESTRICTED, 406): ("switched_off", "This path is switched off in the settings of the device."),
    (ResultCode.EXPIRED, 406): ("expired", "The expiry date in the settings of the device has passed."),
}  # fmt: skip
"""What an endpoint that is not documented says beside a code and a status: a word for programs and a line for people."""

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

    @contextmanager
    def inflated(self, environ: MutableMapping[str, Any]) -> Iterator[None]:
        """Replaces a compressed body by what it was made from, for the time inside. Raises Fault INF-01: damaged (400), larger
        than a body may be (413), another coding than gzip and deflate (415); INF-08 (503) when other bodies fill the memory.
        """
        coding = environ.get("HTTP_CONTENT_ENCODING", "identity").strip().lower()
        if coding in {"identity", ""}:
            yield
            return
        if coding not in CODINGS:
            raise Fault(ResultCode.INVALID_BODY, f"Content-Encoding {coding[:40]!r}", status=415)
        content = environ["wsgi.input"].read()
        # RFC 1950
        zlib_header = content[:1] and content[0] & 0x0F == 8 and int.from_bytes(content[:2], "big") % 31 == 0
        bits = RAW_DEFLATE if coding == "deflate" and not zlib_header else CODINGS[coding]
        body = environ[EMPTY_BODY]()
        try:
            for chunk in _inflated(content, bits) if content else ():
                body.append(chunk)
                if body.too_large:
                    raise Fault(ResultCode.INVALID_BODY, "more than a body may have, inflated", status=413)
                if body.overloaded:
                    raise Fault(ResultCode.NOT_READY, "other bodies fill the memory", status=503, retry_after=1)
            environ["wsgi.input"], environ["CONTENT_LENGTH"] = body.getfile(), str(len(body))
            yield
        finally:
            body.close()

    def explained(self, fault: Fault, path: str) -> Fault:
        """The fault with what an endpoint that is not documented says beside its code: a Refusal, where there is something to
        say. For a documented one a plain Fault.
        """
        if path in DOCUMENTED:
            return Fault(fault.code, fault.detail, status=fault.status, retry_after=fault.retry_after)
        reason, text = REASONS.get((fault.code, fault.status), ("", ""))
        if not reason or isinstance(fault, Refusal):
            return fault
        text = text.format(max_body=self.max_body, megapixels=self.max_pixels / 1e6)
        return Refusal(
            fault.code, reason, text, status=fault.status, retry_after=fault.retry_after, detail=fault.detail
        )

    def photo(self, environ: Mapping[str, Any]) -> EncodedPicture:
        """The posted picture: the body, or the first file of a multipart form. Raises Fault INF-01, INF-03, INF-04."""
        content, content_type = self.body(environ), environ.get("CONTENT_TYPE", "")
        is_form = parse_options_header(content_type)[0] == "multipart/form-data"
        return self.picture(
            first_file(content, content_type) if is_form and not content.startswith(PICTURES) else content
        )

    def form(self, environ: Mapping[str, Any], *names: str, optional: str = "") -> list[bytes]:
        """The named parts of a multipart body, and then the `optional` one, empty without. Raises Fault INF-01, INF-03."""
        return parts(self.body(environ), environ.get("CONTENT_TYPE", ""), names, optional)

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

    def pictures(
        self, content: bytes, count: int = FRAMES, suffixes: Collection[str] = SUFFIXES
    ) -> Iterator[EncodedPicture]:
        """The pictures 1 to `count` of a posted zip, each inflated when it is asked for. Raises Fault INF-04, 22, 23, 24."""
        return map(self.picture, numbered_pictures(content, self.max_body, count, suffixes))


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


def parts(content: bytes, content_type: str, names: Iterable[str], optional: str = "") -> list[bytes]:
    """The named parts of a multipart/form-data body, in the order of `names`, and then the `optional` one if it has a name.

    Raises Fault INF-01 when the body does not parse, INF-03 when a part is missing or empty.
    """
    found: dict[str, bytes] = {}
    for head, part in _segments(content, content_type):
        found[head.name] = found.get(head.name) or part  # of parts with the same name the first that is not empty
    missing = [name for name in names if not found.get(name)]
    if missing:
        named = ", ".join(missing)
        text = f"These parts of the form are missing or empty: {named}."
        raise Refusal(ResultCode.NO_IMAGE, "no_picture", text, detail=f"no part {named}")
    return [found[name] for name in names] + ([found.get(optional, b"")] if optional else [])


def first_file(content: bytes, content_type: str) -> bytes:
    """The first part of a form that has a file name or is a picture, and is not empty. Raises Fault INF-01, INF-03."""
    files = (
        part for head, part in _segments(content, content_type) if part and (head.filename or part.startswith(PICTURES))
    )
    found = next(files, None)
    if found is None:
        raise Fault(ResultCode.NO_IMAGE, "no file in the form")
    return found


def _segments(content: bytes, content_type: str) -> list[tuple[MultipartSegment, bytes]]:
    """The parts of a multipart/form-data body. Raises Fault INF-01."""
    kind, options = parse_options_header(content_type)
    if kind != "multipart/form-data" or not options.get("boundary"):
        raise Fault(ResultCode.INVALID_BODY, f"not multipart/form-data: {content_type[:80]!r}")
    try:
        return list(_parsed(content, options["boundary"]))
    except (MultipartError, ValueError) as error:
        raise Fault(ResultCode.INVALID_BODY, str(error)) from error


def _parsed(content: bytes, boundary: str) -> Iterator[tuple[MultipartSegment, bytes]]:
    with PushMultipartParser(
        boundary,
        content_length=len(content),
        max_segment_count=MOST_PARTS,
        header_charset="latin-1",  # any bytes are Latin-1: a file name that is not UTF-8 does not refuse the form
    ) as parser:
        for event in parser.parse(content):
            if isinstance(event, MultipartSegment):
                head, chunks = event, list[bytes]()
            elif event:
                chunks.append(bytes(event))
            else:
                yield head, b"".join(chunks)
        list(parser.parse(b""))


def _inflated(content: bytes, bits: int) -> Iterator[bytes]:
    """What a compressed body was made from, in pieces. Raises Fault INF-01 when it is damaged, cut off, or followed by more."""
    inflater = zlib.decompressobj(bits)
    try:
        while not inflater.eof:
            chunk = inflater.decompress(content, CHUNK)
            content = inflater.unconsumed_tail
            if not (chunk or content or inflater.eof):
                raise Fault(ResultCode.INVALID_BODY, "the compressed body is cut off")
            yield chunk
    except zlib.error as error:
        raise Fault(ResultCode.INVALID_BODY, str(error)) from error
    if inflater.unused_data:
        raise Fault(ResultCode.INVALID_BODY, "the compressed body has something behind its end")


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


CREDENTIAL = {
    "anyOf": [
        {"type": "null"},
        {
            "type": "object",
            "properties": {
                "format": {"enum": [*FORMATS]}, "facility": {"type": "integer"}, "card": {"type": "integer"},
            },
            "required": ["format", "facility", "card"],
            "additionalProperties": False,
        },
        {
            "type": "object",
            "properties": {"format": {"const": RAW}, "bits": {"type": "string", "pattern": f"^[01]{{1,{MOST_BITS}}}$"}},
            "required": ["format", "bits"],
            "additionalProperties": False,
        },
    ]
}  # fmt: skip
"""The JSON schema of a credential, as `Credential.read` takes it."""


def _credential(document: object) -> Credential | None:
    return None if document is None else Credential.read(document)


class PostedFields(BaseModel):
    """A JSON body: no fields but these, and no other types."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")


class PersonFields(PostedFields):
    """The fields of a person that can be changed; the gallery checks their content (gallery/people.py)."""

    name: str
    groups: Annotated[tuple[str, ...], Field(strict=False)] = ()
    valid_from: date | None = None
    valid_until: date | None = None
    credential: Annotated[Credential | None, PlainValidator(_credential), WithJsonSchema(CREDENTIAL)] = None


class ChangedFields(PersonFields):
    """Fields of a person to be changed; those that are not given stay as they are."""

    name: str = ""


class NewPerson(PersonFields):
    """A person to be added."""

    id: str


class PinFields(PostedFields):
    """A PIN to be set, and the one for duress; gallery/pin.py checks them."""

    pin: str = Field(repr=False)
    duress: str | None = Field(default=None, repr=False)


Body = TypeVar("Body", bound=PostedFields)


def read_json(content: bytes, kind: type[Body]) -> Body:
    """A JSON body, whatever its Content-Type. Raises Refusal INF-01 `invalid_body`, whose text names the field."""
    if len(content) > LONGEST:
        raise Refusal(ResultCode.INVALID_BODY, "invalid_body", f"body: more than {LONGEST} bytes")
    try:
        return kind.model_validate_json(content.removeprefix(BOM_UTF8))  # RFC 8259, 8.1: a mark may be ignored
    except ValidationError as error:
        mistake = error.errors(include_url=False)[0]
        field = ".".join(str(part) for part in mistake["loc"])[:LONGEST_ECHO]
        reason = "there is no such field" if mistake["type"] == "extra_forbidden" else wrong_value(mistake)
        raise Refusal(ResultCode.INVALID_BODY, "invalid_body", f"{field or 'body'}: {reason}") from None
