"""What the gallery holds at one moment, in memory, where every question is answered from."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Self

from appliance.gallery.book import Book
from appliance.gallery.matching import Index
from appliance.gallery.people import Known, NoSuchPersonError, Template
from appliance.gallery.rotation import Rotated, Rotation

Passages = Mapping[str, tuple[str, datetime]]
"""Reference -> direction and time of the last passage."""

BATCH = 4096
"""Vectors that are read before they move into the index, so that few are in memory twice: 8 MB."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """People by id and by reference, and the index of the templates that can be compared: those of one embedder, turned by
    `rotation`. It never changes.
    """

    rotation: Rotation
    people: Mapping[str, Known]
    references: Mapping[str, Known]
    passages: Passages
    index: Index

    @classmethod
    def of(cls, book: Book) -> Self:
        """What the book says now. Raises the classes of GalleryUnavailableError."""
        numbers = dict(book.people())
        references = {number: person.reference for number, person in numbers.items()}
        templates: dict[str, list[Template]] = {reference: [] for reference in references.values()}
        gathered, pictured = _Gathered(), book.pictured()
        for number, reference, sheet in book.sheets(references):
            templates[reference].append(sheet.template(number, pictured=number in pictured))
            gathered.take(sheet.model, reference, sheet.vector)
        everybody = [Known(person, _ordered(templates[person.reference])) for person in numbers.values()]
        return cls(
            book.rotation(),
            {known.person.id: known for known in everybody},
            {known.person.reference: known for known in everybody},
            dict(book.passages(references)),
            gathered.index(embedder(everybody)),
        )

    @property
    def embedder(self) -> str | None:
        """The sha256 of the embedder whose templates are compared; None when there are none."""
        return embedder(self.people.values())

    @property
    def templates(self) -> int:
        """How many there are, compared or not."""
        return count(self.people.values())


def known(people: Mapping[str, Known], identity: str) -> Known:
    """One of people by id. Raises NoSuchPersonError."""
    try:
        return people[identity]
    except KeyError:
        raise NoSuchPersonError(f"there is nobody with the id {identity[:64]!r}") from None


def embedder(people: Iterable[Known]) -> str | None:
    """That of the newest template: it is the one that works now, and older ones are left from another."""
    newest = max((known.templates[-1] for known in people if known.templates), key=_number, default=None)
    return newest.model if newest else None


def count(people: Iterable[Known]) -> int:
    """The templates of people."""
    return sum(len(known.templates) for known in people)


class _Gathered:
    """Vectors on their way into an index, by the embedder that made them."""

    def __init__(self) -> None:
        self._waiting: dict[str, list[tuple[str, Rotated]]] = {}
        self._indices: dict[str, Index] = {}

    def take(self, model: str, reference: str, vector: Rotated) -> None:
        """One vector of a person."""
        waiting = self._waiting.setdefault(model, [])
        waiting.append((reference, vector))
        if len(waiting) == BATCH:
            self._move(model)

    def index(self, model: str | None) -> Index:
        """Those of one embedder."""
        if model is None:
            return Index()
        self._move(model)
        return self._indices[model]

    def _move(self, model: str) -> None:
        parts = Index.build(self._waiting.pop(model, [])).parts
        self._indices[model] = Index((*self._indices.get(model, Index()).parts, *parts))


def _number(template: Template) -> int:
    return template.number


def _ordered(templates: list[Template]) -> tuple[Template, ...]:
    """Oldest first; behind a damaged page they are read from the last one on."""
    return tuple(sorted(templates, key=_number))
