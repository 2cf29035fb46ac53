"""The formats of rows and of archive lines: a person as JSON, a template as numbers and a vector, a passage as JSON."""

import base64
import struct
from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

import numpy as np
from pydantic import AwareDatetime, BaseModel, Field, PlainSerializer, PlainValidator, TypeAdapter, ValidationError

from appliance.face.embedding import FAST, parts
from appliance.face.types import Embedding
from appliance.gallery.credential import CredentialError
from appliance.gallery.people import (
    InvalidPersonError,
    LastPassage,
    Person,
    PersonExport,
    Source,
    Template,
    TemplateExport,
    TemplateFit,
    validate,
)
from appliance.gallery.search import DIMENSIONS
from appliance.gallery.vault import Rotated

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

_HEAD = struct.Struct("<32s f B q")
"""A template's model (sha256), quality, source and creation time (microseconds since 1970), before its float32 vector, which
the sha256 of the strong embedder follows if the vector has its part. Programs that do not know that part read the rest.
"""

_SOURCES = (Source.PHOTO, Source.CAMERA, Source.DECISION)
"""In the order of their stored numbers; new ones are appended."""

_BLOCK = 256
"""Bytes. A person's row is padded with blanks to a multiple of this, so that its length says little about the content."""

PERSON = TypeAdapter(Person)
"""A person's row."""

PASSAGE = TypeAdapter(LastPassage)
"""The row of a passage."""

FIT = TypeAdapter(TemplateFit)
"""The row of a fit."""


class MalformedError(Exception):
    """An archive line does not describe a person."""


def pack_person(person: Person) -> bytes:
    """Returns a person as padded JSON."""
    content = PERSON.dump_json(person)
    return content.ljust(-(-len(content) // _BLOCK) * _BLOCK)


def pack_template(template: Template, vector: Rotated) -> bytes:
    """Returns a template, without its number, and its rotated vector (see Rotation) as bytes."""
    return template_head(template) + vector.astype("<f4").tobytes() + bytes.fromhex(template.strong or "")


def template_head(template: Template) -> bytes:
    """Returns what describes a template on any device, without its strong embedder."""
    created = (template.created - _EPOCH) // timedelta(microseconds=1)
    return _HEAD.pack(bytes.fromhex(template.model), template.quality, _SOURCES.index(template.source), created)


def unpack_template(content: bytes, number: int, *, pictured: bool) -> tuple[Template, Rotated]:
    """Returns the template of a row; its vector is a view of `content`."""
    model, quality, source, microseconds = _HEAD.unpack_from(content)
    created = _EPOCH + timedelta(microseconds=microseconds)
    strong = content[_HEAD.size + 4 * DIMENSIONS :].hex() or None
    vector = np.frombuffer(content, "<f4", DIMENSIONS if strong else FAST, _HEAD.size)
    return Template(number, model.hex(), quality, _SOURCES[source], created, pictured, strong), vector


def _decoded(text: str) -> bytes:
    return base64.b64decode(text, validate=True)


def _encoded(content: bytes) -> str:
    return base64.b64encode(content).decode("ascii")


_Base64 = Annotated[bytes, PlainValidator(_decoded), PlainSerializer(_encoded)]


_Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


class _ArchivedTemplate(BaseModel):
    """`strong` and `strong_embedding` are ignored by older programs, and missing in their archives."""

    model: _Sha256
    quality: Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
    source: Source
    created: AwareDatetime
    embedding: _Base64
    picture: _Base64 | None
    strong: _Sha256 | None = None
    strong_embedding: _Base64 = b""


class _ArchivedPerson(BaseModel):
    person: Person
    templates: tuple[_ArchivedTemplate, ...]


def pack_export(export: PersonExport) -> dict[str, Any]:
    """Returns a person and their templates as an archive line, embeddings and pictures in base64."""
    templates = []
    for each in export.templates:
        fast, strong = (each.embedding[part].astype("<f4").tobytes() for part in (slice(FAST), slice(FAST, None)))
        facts = {**asdict(each.template), "embedding": fast, "strong_embedding": strong, "picture": each.picture}
        templates.append(_ArchivedTemplate.model_construct(**facts))
    return _ArchivedPerson.model_construct(person=export.person, templates=tuple(templates)).model_dump(mode="json")


def unpack_export(table: dict[str, Any]) -> PersonExport:
    """Returns the person of an archive line. Template numbers are 0, because each gallery assigns its own. Raises
    MalformedError.
    """
    try:
        archived = _ArchivedPerson.model_validate(table)
        export = PersonExport(archived.person, tuple(map(_export, archived.templates)))
        validate(export.person)
    except ValidationError as error:
        raise MalformedError(_reason(error.errors()[0])) from error
    except InvalidPersonError as error:
        raise MalformedError(str(error)) from error
    except (ValueError, TypeError) as error:
        raise MalformedError("a value has the wrong type") from error
    return export


def unit_vector(embedding: Embedding, strong: str | None) -> Embedding:
    """Returns the embedding. Raises ValueError unless it has 512 numbers, or 640 with a `strong` embedder, and each network's
    part has unit length, because any other vector would be nearest to everyone or to no one.
    """
    size = DIMENSIONS if strong else FAST
    if embedding.shape != (size,) or not all(abs(float(np.linalg.norm(part)) - 1) < 1e-3 for part in parts(embedding)):
        raise ValueError(f"an embedding has {size} numbers and unit length")
    return embedding


def _export(archived: _ArchivedTemplate) -> TemplateExport:
    pictured = archived.picture is not None
    described = (archived.model, archived.quality, archived.source, archived.created, pictured, archived.strong)
    embedding = np.frombuffer(archived.embedding + archived.strong_embedding, "<f4").astype(np.float32)
    return TemplateExport(Template(0, *described), unit_vector(embedding, archived.strong), archived.picture)


def _reason(mistake: Mapping[str, Any]) -> str:
    if mistake["type"] == "missing":
        return f"{mistake['loc'][-1]!r} is missing"
    error = mistake.get("ctx", {}).get("error")
    return f"credential: {error}" if isinstance(error, CredentialError) else "a value has the wrong type"
