"""What is known of a person as JSON, whole and in clear, and back again with care: it comes from elsewhere."""

import base64
from datetime import date, datetime
from typing import Any

import numpy as np

from appliance.face.types import Embedding
from appliance.gallery import records
from appliance.gallery.dossier import Copied, Dossier
from appliance.gallery.people import InvalidPersonError, Person, Source, Template, check
from appliance.gallery.rotation import DIMENSIONS

_DIGEST_BYTES, _REFERENCE_BYTES = 32, 8


class MalformedError(Exception):
    """It does not say what is known of a person."""


def record(dossier: Dossier) -> dict[str, Any]:
    """A person and their templates, embeddings and pictures in base64."""
    return {
        "person": records.described(dossier.person),
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


def _day(text: str | None) -> date | None:
    return None if text is None else date.fromisoformat(text)


def _time(text: str) -> datetime:
    found = datetime.fromisoformat(text)
    if found.tzinfo is None:
        raise ValueError("without its zone")
    return found


def _text(content: bytes) -> str:
    return base64.b64encode(content).decode("ascii")


def _bytes(text: str) -> bytes:
    return base64.b64decode(text, validate=True)
