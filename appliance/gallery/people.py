"""The vocabulary of the gallery: people, templates, what leaves and enters a gallery, and its errors."""

import re
import secrets
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date, datetime
from enum import StrEnum
from typing import Annotated

from pydantic import AwareDatetime, Field, PlainSerializer, PlainValidator

from appliance.face.types import Embedding
from appliance.faults import ReportedError
from appliance.gallery.credential import Credential

PERSON_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}")
"""A person's id in other systems, such as a staff number; safe in a path, a log line and a file name."""

GROUP = re.compile(r"[A-Za-z0-9._-]{1,32}")

LONGEST_NAME = 100
"""Characters of a display name."""

MOST_GROUPS = 16

REFERENCE_BYTES = 8

_Credential = Annotated[Credential, PlainValidator(Credential.read), PlainSerializer(Credential.document)]

Reference = Annotated[str, Field(pattern="^[0-9a-f]{16}$")]

_JOINERS = dict.fromkeys((0x200C, 0x200D))


class Source(StrEnum):
    """Where a template came from."""

    PHOTO = "photo"
    CAMERA = "camera"
    DECISION = "decision"
    """The camera, after a sure decision at the door (`gallery.refresh`); the others are enrolled by hand."""


@dataclass(frozen=True, slots=True)
class Person:
    """An enrolled person. `id` comes from other systems. `reference` (16 hexadecimal digits) is random and stands for the
    person in logs, which cannot be traced to them once they are erased. `valid_from` and `valid_until` are the first and the
    last day on which they may pass, in the device's local time. `credential` is what an access panel knows them by.
    """

    id: str
    name: str
    groups: tuple[str, ...]
    valid_from: date | None
    valid_until: date | None
    reference: Reference
    created: AwareDatetime
    credential: _Credential | None = None


@dataclass(frozen=True, slots=True)
class Template:
    """The description of a template: its number (unique on this device), the sha256 of the embedder that made it, the quality
    (0..1) of its picture, whether that picture is kept, and the sha256 of the strong embedder whose embedding it has as well,
    None without one.
    """

    number: int
    model: str
    quality: float
    source: Source
    created: datetime
    pictured: bool
    strong: str | None = None


FIT_DAYS = 8
"""Days whose mean stands for how templates fit at first, and of which the latest is a running mean."""

FIT_DROP = 0.1
"""By how much the cosine must have fallen for the templates to fit worse (docs/measured.md)."""


@dataclass(frozen=True, slots=True)
class TemplateFit:
    """How well a person's templates fit at the door: the mean cosine of the first FIT_DAYS days with a granted decision, a
    running mean of the latest ones, the number of days and the last of them. It begins anew with each template that is enrolled
    by hand, the newest of which is `template`.
    """

    template: int
    days: int
    first: float
    latest: float
    day: date

    @property
    def worse(self) -> bool:
        """Whether the templates fit worse than at first, so that new pictures should be enrolled."""
        return self.days >= 2 * FIT_DAYS and self.first - self.latest >= FIT_DROP

    def after(self, day: date, cosine: float) -> "TemplateFit":
        days = self.days + 1
        latest = self.latest + (cosine - self.latest) / min(days, FIT_DAYS)
        return TemplateFit(self.template, days, latest if days <= FIT_DAYS else self.first, latest, day)


@dataclass(frozen=True, slots=True)
class Known:
    """A person and their templates, oldest first, and how these fit, None before the first granted decision."""

    person: Person
    templates: tuple[Template, ...]
    fit: TemplateFit | None = field(default=None, compare=False)
    """Not compared, because it changes with every day, and nothing depends on it."""

    @property
    def by_hand(self) -> tuple[Template, ...]:
        return tuple(each for each in self.templates if each.source is not Source.DECISION)


LastPassage = tuple[str, datetime]
"""The direction and the time of a person's last passage."""


@dataclass(frozen=True, slots=True)
class Erasure:
    """The reference of an erased person, the number of erased templates, the time (UTC), and whether no trace is left in the
    database's files. It is not `complete` while another program still reads the log (WAL); the gallery empties the log as
    soon as it can.
    """

    reference: str
    templates: int
    time: datetime
    complete: bool


@dataclass(frozen=True, slots=True)
class TemplateExport:
    """A template with its embedding (512, or 640 with that of the strong embedder, not rotated) and its picture, if that is
    kept.
    """

    template: Template
    embedding: Embedding
    picture: bytes | None


@dataclass(frozen=True, slots=True)
class PersonExport:
    """A person and their templates in clear, oldest first."""

    person: Person
    templates: tuple[TemplateExport, ...]


class OnConflict(StrEnum):
    """What an import does with a person whose id is already in the gallery."""

    REFUSE = "refuse"
    SKIP = "skip"
    REPLACE = "replace"


@dataclass(frozen=True, slots=True)
class ImportResult:
    """The ids of the people who were added, replaced and skipped."""

    added: tuple[str, ...]
    replaced: tuple[str, ...]
    skipped: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class RenewalResult:
    """The number of templates that were embedded again, and the ids of the people with templates that were not, because no
    picture of them is kept: those of another embedder are no longer compared (`left`), those without an embedding of the
    strong one by the fast one alone (`fast`).
    """

    renewed: int
    left: tuple[str, ...]
    fast: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Expired:
    """People, and templates (person and number) of the people who stay, whose retention period has ended."""

    people: tuple[Person, ...]
    templates: tuple[tuple[Person, int], ...]


class GalleryError(ReportedError):
    """The gallery cannot do what was asked. The text is one line that says why and what to do."""


class NoSuchPersonError(GalleryError):
    """No person has this id."""


class NoSuchTemplateError(GalleryError):
    """The person has no template with this number."""


class PersonExistsError(GalleryError):
    """A person with this id already exists."""


class ChangedElsewhereError(GalleryError):
    """Another device of the fleet has changed this person at the same time; the gallery has its change."""


class InvalidPersonError(GalleryError):
    """A person's description is invalid. The text names the field."""


class TooManyError(GalleryError):
    """The person or the gallery already holds the most templates allowed."""


class OtherEmbedderError(GalleryError):
    """The templates were made by another embedder than the loaded one, so their cosines would mean nothing."""


class RollbackError(GalleryError):
    """An older copy of a file is in use. Everything works, but erased people or removed entries may be back or missing."""


class GalleryRolledBackError(RollbackError):
    """The gallery is older than the record of decisions knows it."""


class RecordRolledBackError(RollbackError):
    """The record of decisions is older than the gallery knows it, or lost."""


class GalleryUnavailableError(GalleryError):
    """The gallery cannot be read or written, now or at all."""


class NoKeyError(GalleryUnavailableError):
    """The site key is missing, or it is not the one that sealed this gallery."""


class GalleryDamagedError(GalleryUnavailableError):
    """The database is damaged. What is readable is served; nothing is written."""


class StorageFullError(GalleryUnavailableError):
    """The disk is full. Reads continue."""


class ReadOnlyError(GalleryUnavailableError):
    """The gallery's folder cannot be written. Reads continue."""


def new_reference() -> str:
    """Returns a random reference for a new person."""
    return secrets.token_hex(REFERENCE_BYTES)


def validate(person: Person) -> None:
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


def matching(people: Iterable[Known], query: str) -> list[Known]:
    """The people whose id, name or groups contain `query`, in either case."""
    words = query.casefold()
    return [
        known
        for known in people
        if words in "\n".join((known.person.id, known.person.name, *known.person.groups)).casefold()
    ]


def _printable(name: str) -> bool:
    """Persian, Sinhala and other names contain joiners, which Python does not count as printable."""
    return name.translate(_JOINERS).isprintable()
