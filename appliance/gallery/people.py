"""The vocabulary of the gallery: people, their templates, and what can go wrong."""

import re
import secrets
from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum
from typing import NamedTuple

from appliance.face.types import Embedding

PERSON_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}")
"""What a person may be called by other systems: a staff number, say; harmless in a path, a log and a file's name."""

GROUP = re.compile(r"[A-Za-z0-9._-]{1,32}")

LONGEST_NAME = 100
"""Characters of a display name."""

MOST_GROUPS = 16

_REFERENCE_BYTES = 8

_JOINERS = dict.fromkeys((0x200C, 0x200D))


class Source(StrEnum):
    """Where a template came from."""

    PHOTO = "photo"
    CAMERA = "camera"


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody who is known: `id` is theirs in other systems, `reference` (16 hexadecimal digits) the random one that stands
    for them in logs, so that those forget who it was when the person is erased. `valid_from` and `valid_until` are the first
    and the last day on which they may pass, in the device's local time.
    """

    id: str
    name: str
    groups: tuple[str, ...]
    valid_from: date | None
    valid_until: date | None
    reference: str
    created: datetime


@dataclass(frozen=True, slots=True)
class Template:
    """What is said of a template: its number (unique on this device), the sha256 of the embedder that made it, the quality
    (0..1) of its picture, and whether that picture is kept, too.
    """

    number: int
    model: str
    quality: float
    source: Source
    created: datetime
    pictured: bool


@dataclass(frozen=True, slots=True)
class Known:
    """A person and their templates, oldest first."""

    person: Person
    templates: tuple[Template, ...]


class GalleryError(Exception):
    """The gallery cannot do what was asked; the text is one line that says why and what to do."""


class NoSuchPersonError(GalleryError):
    """There is nobody with this id."""


class NoSuchTemplateError(GalleryError):
    """The person has no template with this number."""


class PersonExistsError(GalleryError):
    """There is somebody with this id already."""


class InvalidPersonError(GalleryError):
    """What is said of a person cannot be kept: the text names the field."""


class TooManyError(GalleryError):
    """The person, or the gallery, holds as many templates as it may."""


class OtherEmbedderError(GalleryError):
    """The templates were made by another embedder than the one that works now: their cosines would mean nothing."""


class GalleryUnavailableError(GalleryError):
    """The gallery cannot be read or written just now, or at all."""


class NoKeyError(GalleryUnavailableError):
    """There is no site key, or it is not the one that this gallery was sealed with."""


class GalleryDamagedError(GalleryUnavailableError):
    """The database is damaged: what can be read is read, nothing is written."""


class StorageFullError(GalleryUnavailableError):
    """The disk is full: reads go on."""


class ReadOnlyError(GalleryUnavailableError):
    """The gallery's folder cannot be written: reads go on."""


def new_reference() -> str:
    """A reference for a new person."""
    return secrets.token_hex(_REFERENCE_BYTES)


def check(person: Person) -> None:
    """Raises InvalidPersonError, whose text names the field."""
    if not PERSON_ID.fullmatch(person.id):
        raise InvalidPersonError("id: 1 to 64 letters, digits, '.', '_', '@' and '-', a letter or a digit first")
    if not (person.name.strip() and len(person.name) <= LONGEST_NAME and _printable(person.name)):
        raise InvalidPersonError(f"name: 1 to {LONGEST_NAME} printable characters")
    if len(person.groups) > MOST_GROUPS or len(set(person.groups)) < len(person.groups):
        raise InvalidPersonError(f"groups: at most {MOST_GROUPS}, each once")
    for group in person.groups:
        if not GROUP.fullmatch(group):
            raise InvalidPersonError("groups: each has 1 to 32 letters, digits, '.', '_' and '-'")
    if person.valid_from and person.valid_until and person.valid_from > person.valid_until:
        raise InvalidPersonError("valid_until: it is before valid_from")


def _printable(name: str) -> bool:
    """Persian, Sinhala and other names have the joiners in them, which Python does not take for printable."""
    return name.translate(_JOINERS).isprintable()


@dataclass(frozen=True, slots=True)
class Erasure:
    """Whose data were erased (a reference leads to nobody any more), how many templates, when (UTC), and whether nothing of
    them is left in the database's files. It is not `complete` while another program reads from the log (WAL); the gallery
    empties that as soon as it can.
    """

    reference: str
    templates: int
    time: datetime
    complete: bool


class Copied(NamedTuple):
    """A template with its embedding (512, unit length, not turned) and its picture, when that is kept."""

    template: Template
    embedding: Embedding
    picture: bytes | None


class Dossier(NamedTuple):
    """A person and their templates, oldest first."""

    person: Person
    templates: tuple[Copied, ...]


class OnConflict(StrEnum):
    """What is done about somebody whose id is there already."""

    REFUSE = "refuse"
    SKIP = "skip"
    REPLACE = "replace"


@dataclass(frozen=True, slots=True)
class Merged:
    """The ids of those who are new, who took another's place, and who were left out."""

    added: tuple[str, ...]
    replaced: tuple[str, ...]
    skipped: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Renewed:
    """How many templates were made anew from their pictures, and which were not, having none: they are kept, but not
    compared any more.
    """

    made: int
    left: tuple[int, ...]
