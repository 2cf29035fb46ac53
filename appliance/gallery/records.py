"""What is inside a seal: a person as JSON, a template as a few numbers and its vector, a passage as JSON."""

import base64
import json
import struct
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

import numpy as np

from appliance.face.types import Embedding
from appliance.gallery.people import Copied, Dossier, InvalidPersonError, Person, Source, Template, check
from appliance.gallery.vault import DIMENSIONS, Rotated

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

_HEAD = struct.Struct("<32s f B q")
"""A template's model (sha256), quality, source and time of making (microseconds since 1970), before its float32 vector."""

_SOURCES = (Source.PHOTO, Source.CAMERA)
"""By the number that is kept; new ones come last."""

_BLOCK = 256
"""Bytes to whose multiple a person's record is filled up with blanks, so that its length tells little."""


@dataclass(frozen=True, slots=True)
class Sheet:
    """A template as it is kept: what is said of it, and its vector, turned (see rotation)."""

    model: str
    quality: float
    source: Source
    created: datetime
    vector: Rotated

    def template(self, number: int, *, pictured: bool) -> Template:
        """What is said of it."""
        return Template(number, self.model, self.quality, self.source, self.created, pictured)


def described(person: Person) -> dict[str, Any]:
    """What is said of a person, for JSON."""
    return {
        "id": person.id,
        "name": person.name,
        "groups": person.groups,
        "valid_from": person.valid_from and person.valid_from.isoformat(),
        "valid_until": person.valid_until and person.valid_until.isoformat(),
        "reference": person.reference,
        "created": person.created.isoformat(),
    }


def packed_person(person: Person) -> bytes:
    """A person as JSON."""
    content = json.dumps(described(person), ensure_ascii=False).encode()
    return content.ljust(-(-len(content) // _BLOCK) * _BLOCK)


def person(content: bytes) -> Person:
    """The person of a record; what was sealed is well-formed."""
    record: dict[str, Any] = json.loads(content)
    return Person(
        id=record["id"],
        name=record["name"],
        groups=tuple(record["groups"]),
        valid_from=_day(record["valid_from"]),
        valid_until=_day(record["valid_until"]),
        reference=record["reference"],
        created=datetime.fromisoformat(record["created"]),
    )


def packed_sheet(sheet: Sheet) -> bytes:
    """A template as bytes."""
    created = (sheet.created - _EPOCH) // timedelta(microseconds=1)
    head = _HEAD.pack(bytes.fromhex(sheet.model), sheet.quality, _SOURCES.index(sheet.source), created)
    return head + sheet.vector.astype("<f4").tobytes()


def sheet(content: bytes) -> Sheet:
    """The template of some bytes; its vector is a view into them."""
    model, quality, source, created = _HEAD.unpack_from(content)
    vector = np.frombuffer(content, "<f4", DIMENSIONS, _HEAD.size)
    return Sheet(model.hex(), quality, _SOURCES[source], _EPOCH + timedelta(microseconds=created), vector)


def packed_passage(direction: str, time: datetime) -> bytes:
    """A passage as JSON."""
    return json.dumps([direction, time.isoformat()]).encode()


def passage(content: bytes) -> tuple[str, datetime]:
    """Its direction and its time."""
    direction, time = json.loads(content)
    return direction, datetime.fromisoformat(time)


def _day(text: str | None) -> date | None:
    return None if text is None else date.fromisoformat(text)


_DIGEST_BYTES, _REFERENCE_BYTES = 32, 8


class MalformedError(Exception):
    """It does not say what is known of a person."""


def record(dossier: Dossier) -> dict[str, Any]:
    """A person and their templates, embeddings and pictures in base64."""
    return {
        "person": described(dossier.person),
        "templates": [_copy_record(copy) for copy in dossier.templates],
    }


def dossier(table: dict[str, Any]) -> Dossier:
    """The person of a record; the templates have the number 0, for each gallery gives its own. Raises MalformedError."""
    try:
        found = Dossier(_person(table["person"]), tuple(map(_copied, table["templates"])))
        check(found.person)
    except KeyError as error:
        raise MalformedError(f"there is no {error}") from error
    except InvalidPersonError as error:
        raise MalformedError(str(error)) from error
    except (ValueError, TypeError, AttributeError, OverflowError) as error:
        raise MalformedError("a value is not of its kind") from error
    return found


def _copy_record(copy: Copied) -> dict[str, Any]:
    template = copy.template
    return {
        "model": template.model,
        "quality": template.quality,
        "source": template.source,
        "created": template.created.isoformat(),
        "embedding": _text(copy.embedding.astype("<f4").tobytes()),
        "picture": None if copy.picture is None else _text(copy.picture),
    }


def _person(said: dict[str, Any]) -> Person:
    return Person(
        id=said["id"],
        name=said["name"],
        groups=tuple(said["groups"]),
        valid_from=_day(said["valid_from"]),
        valid_until=_day(said["valid_until"]),
        reference=_digits(said["reference"], _REFERENCE_BYTES),
        created=_time(said["created"]),
    )


def _copied(said: dict[str, Any]) -> Copied:
    picture = None if said["picture"] is None else _bytes(said["picture"])
    template = Template(
        number=0,
        model=_digits(said["model"], _DIGEST_BYTES),
        quality=_share(said["quality"]),
        source=Source(said["source"]),
        created=_time(said["created"]),
        pictured=picture is not None,
    )
    return Copied(template, _embedding(_bytes(said["embedding"])), picture)


def _embedding(content: bytes) -> Embedding:
    found = np.frombuffer(content, "<f4").astype(np.float32)
    if found.shape != (DIMENSIONS,) or not abs(float(np.linalg.norm(found)) - 1) < 1e-3:
        raise ValueError("not a unit vector")
    return found


def _share(number: float) -> float:
    if not 0 <= number <= 1:
        raise ValueError("not from 0 to 1")
    return float(number)


def _digits(text: str, count: int) -> str:
    content = bytes.fromhex(text)
    if len(content) != count:
        raise ValueError("of another length")
    return content.hex()


def _time(text: str) -> datetime:
    found = datetime.fromisoformat(text)
    if found.tzinfo is None:
        raise ValueError("without its zone")
    return found


def _text(content: bytes) -> str:
    return base64.b64encode(content).decode("ascii")


def _bytes(text: str) -> bytes:
    return base64.b64decode(text, validate=True)
