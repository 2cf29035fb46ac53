"""What is inside a seal: a person as JSON, a template as a few numbers and its vector, a passage as JSON."""

import json
import struct
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

import numpy as np

from appliance.gallery.people import Person, Source, Template
from appliance.gallery.rotation import DIMENSIONS, Rotated

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
