"""What is known of a person, whole and in clear, on its way out of a gallery or into one."""

from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from appliance.face.types import Embedding
from appliance.gallery.people import Person, Template


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
