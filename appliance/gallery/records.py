"""The formats of rows and of archive lines: a person as JSON, a template as numbers and a vector, a passage as JSON."""

import base64
import json
import struct
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import numpy as np

from appliance.face.types import Embedding
from appliance.gallery.credential import Credential, CredentialError
from appliance.gallery.people import (
    REFERENCE_BYTES,
    InvalidPersonError,
    LastPassage,
    Person,
    PersonExport,
    Source,
    Template,
    TemplateExport,
    validate,
)
from appliance.gallery.search import DIMENSIONS
from appliance.gallery.vault import Rotated

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

_HEAD = struct.Struct("<32s f B q")
"""A template's model (sha256), quality, source and creation time (microseconds since 1970), before its float32 vector."""

_SOURCES = (Source.PHOTO, Source.CAMERA)
"""In the order of their stored numbers; new ones are appended."""

_BLOCK = 256
"""Bytes. A person's row is padded with blanks to a multiple of this, so that its length says little about the content."""

_DIGEST_BYTES = 32


class MalformedError(Exception):
    """An archive line does not describe a person."""


@dataclass(frozen=True, slots=True)
class StoredTemplate:
    """A template as a row holds it: its description, and its rotated vector (see Rotation)."""

    model: str
    quality: float
    source: Source
    created: datetime
    vector: Rotated

    def described(self, number: int, *, pictured: bool) -> Template:
        """Returns the description without the vector."""
        return Template(number, self.model, self.quality, self.source, self.created, pictured)


def pack_person(person: Person) -> bytes:
    """Returns a person as padded JSON."""
    content = json.dumps(_person_fields(person), ensure_ascii=False).encode()
    return content.ljust(-(-len(content) // _BLOCK) * _BLOCK)


def unpack_person(content: bytes) -> Person:
    """Returns the person of a row. An opened seal guarantees that it is well-formed."""
    return _person(json.loads(content))


def pack_template(stored: StoredTemplate) -> bytes:
    """Returns a template as bytes."""
    created = (stored.created - _EPOCH) // timedelta(microseconds=1)
    head = _HEAD.pack(bytes.fromhex(stored.model), stored.quality, _SOURCES.index(stored.source), created)
    return head + stored.vector.astype("<f4").tobytes()


def unpack_template(content: bytes) -> StoredTemplate:
    """Returns the template of a row; its vector is a view of `content`."""
    model, quality, source, created = _HEAD.unpack_from(content)
    vector = np.frombuffer(content, "<f4", DIMENSIONS, _HEAD.size)
    return StoredTemplate(model.hex(), quality, _SOURCES[source], _EPOCH + timedelta(microseconds=created), vector)


def pack_passage(passage: LastPassage) -> bytes:
    """Returns a passage as JSON."""
    direction, time = passage
    return json.dumps([direction, time.isoformat()]).encode()


def unpack_passage(content: bytes) -> LastPassage:
    """Returns the passage of a row."""
    direction, time = json.loads(content)
    return direction, datetime.fromisoformat(time)


def pack_export(export: PersonExport) -> dict[str, Any]:
    """Returns a person and their templates as an archive line, embeddings and pictures in base64."""
    return {"person": _person_fields(export.person), "templates": [_template_fields(each) for each in export.templates]}


def unpack_export(table: dict[str, Any]) -> PersonExport:
    """Returns the person of an archive line. Template numbers are 0, because each gallery assigns its own. Raises
    MalformedError.
    """
    try:
        person = _person(table["person"])
        person = replace(person, reference=_hex(person.reference, REFERENCE_BYTES), created=_zoned(person.created))
        export = PersonExport(person, tuple(map(_template, table["templates"])))
        validate(person)
    except KeyError as error:
        raise MalformedError(f"{error} is missing") from error
    except InvalidPersonError as error:
        raise MalformedError(str(error)) from error
    except CredentialError as error:
        raise MalformedError(f"credential: {error}") from error
    except (ValueError, TypeError, AttributeError, OverflowError) as error:
        raise MalformedError("a value has the wrong type") from error
    return export


def unit_vector(embedding: Embedding) -> Embedding:
    """Returns the embedding. Raises ValueError unless it has 512 numbers and unit length, because any other vector would be
    nearest to everyone or to no one.
    """
    if embedding.shape != (DIMENSIONS,) or not abs(float(np.linalg.norm(embedding)) - 1) < 1e-3:
        raise ValueError(f"an embedding has {DIMENSIONS} numbers and unit length")
    return embedding


def _person_fields(person: Person) -> dict[str, Any]:
    return {
        "id": person.id,
        "name": person.name,
        "groups": person.groups,
        "valid_from": person.valid_from and person.valid_from.isoformat(),
        "valid_until": person.valid_until and person.valid_until.isoformat(),
        "reference": person.reference,
        "created": person.created.isoformat(),
        "credential": person.credential and person.credential.document(),
    }


def _person(fields: dict[str, Any]) -> Person:
    return Person(
        id=fields["id"],
        name=fields["name"],
        groups=tuple(fields["groups"]),
        valid_from=_day(fields["valid_from"]),
        valid_until=_day(fields["valid_until"]),
        reference=fields["reference"],
        created=datetime.fromisoformat(fields["created"]),
        credential=Credential.read(found) if (found := fields.get("credential")) is not None else None,
    )


def _template_fields(export: TemplateExport) -> dict[str, Any]:
    template = export.template
    return {
        "model": template.model,
        "quality": template.quality,
        "source": template.source,
        "created": template.created.isoformat(),
        "embedding": _base64(export.embedding.astype("<f4").tobytes()),
        "picture": None if export.picture is None else _base64(export.picture),
    }


def _template(fields: dict[str, Any]) -> TemplateExport:
    picture = None if fields["picture"] is None else _bytes(fields["picture"])
    if not 0 <= fields["quality"] <= 1:
        raise ValueError("a quality outside 0..1")
    template = Template(
        number=0,
        model=_hex(fields["model"], _DIGEST_BYTES),
        quality=float(fields["quality"]),
        source=Source(fields["source"]),
        created=_zoned(datetime.fromisoformat(fields["created"])),
        pictured=picture is not None,
    )
    embedding = np.frombuffer(_bytes(fields["embedding"]), "<f4").astype(np.float32)
    return TemplateExport(template, unit_vector(embedding), picture)


def _hex(text: str, count: int) -> str:
    content = bytes.fromhex(text)
    if len(content) != count:
        raise ValueError(f"not {count} bytes")
    return content.hex()


def _zoned(time: datetime) -> datetime:
    if time.tzinfo is None:
        raise ValueError("no time zone")
    return time


def _day(text: str | None) -> date | None:
    return None if text is None else date.fromisoformat(text)


def _base64(content: bytes) -> str:
    return base64.b64encode(content).decode("ascii")


def _bytes(text: str) -> bytes:
    return base64.b64decode(text, validate=True)
