"""What the gallery holds at one moment, in memory, where every question is answered from."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Self

from appliance.gallery.book import Book
from appliance.gallery.index import Index
from appliance.gallery.people import Known, NoSuchPersonError, Template
from appliance.gallery.rotation import Rotated, Rotation

Passages = Mapping[str, tuple[str, datetime]]
"""Reference -> direction and time of the last passage."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """People by id and by reference, the vectors of their templates (turned by `rotation`) by number, and the index of those
    that can be compared: made with `embedder` (sha256), that of the newest template. It never changes.
    """

    rotation: Rotation
    people: Mapping[str, Known]
    references: Mapping[str, Known]
    vectors: Mapping[int, Rotated]
    passages: Passages
    embedder: str | None
    index: Index

    @classmethod
    def of(cls, book: Book) -> Self:
        """What the book says now. Raises the classes of GalleryUnavailableError."""
        numbers, people = {}, {}
        for number, person in book.people():
            numbers[number], people[person.reference] = person.reference, person
        templates: dict[str, list[Template]] = {reference: [] for reference in people}
        vectors, pictured = {}, book.pictured()
        for number, reference, sheet in book.sheets(numbers):
            templates[reference].append(sheet.template(number, pictured=number in pictured))
            vectors[number] = sheet.vector
        draft = Draft(book, book.rotation(), vectors, dict(book.passages(numbers)))
        for reference, person in people.items():
            draft.put(Known(person, tuple(sorted(templates[reference], key=lambda each: each.number))))
        return cls.made(draft, None)

    @classmethod
    def made(cls, draft: "Draft", before: Self | None) -> Self:
        """What a draft says when it is done; `before` is what it began with."""
        embedder = draft.embedder()
        rows = [
            (known.person.reference, draft.vectors[template.number])
            for known in draft.people.values()
            for template in known.templates
            if template.model == embedder
        ]
        same = before and before.rotation is draft.rotation and before.vectors.keys() == draft.vectors.keys()
        index = before.index if before and same else Index.build(rows)
        return cls(draft.rotation, draft.people, draft.references, draft.vectors, draft.passages, embedder, index)


class Draft:
    """A transaction that is going on: the book to write in, and what the gallery holds once it is done. Not thread-safe."""

    def __init__(self, book: Book, rotation: Rotation, vectors: Mapping[int, Rotated], passages: Passages) -> None:
        self.book, self.rotation = book, rotation
        self.vectors, self.passages = dict(vectors), dict(passages)
        self.people: dict[str, Known] = {}
        self.references: dict[str, Known] = {}

    @classmethod
    def after(cls, snapshot: Snapshot, book: Book) -> Self:
        """Begins with what the gallery holds now."""
        draft = cls(book, snapshot.rotation, snapshot.vectors, snapshot.passages)
        draft.people, draft.references = dict(snapshot.people), dict(snapshot.references)
        return draft

    def known(self, identity: str) -> Known:
        """Raises NoSuchPersonError."""
        return known(self.people, identity)

    def embedder(self) -> str | None:
        """The sha256 of the embedder that made the newest template; None when there are none."""
        newest = max(
            (each for known in self.people.values() for each in known.templates[-1:]),
            key=lambda template: template.number,
            default=None,
        )
        return newest.model if newest else None

    def put(self, known: Known) -> None:
        """A person, as they are from now on."""
        self.people[known.person.id] = self.references[known.person.reference] = known

    def drop(self, known: Known) -> None:
        """A person is gone, and with them all that is theirs."""
        del self.people[known.person.id], self.references[known.person.reference]
        self.passages.pop(known.person.reference, None)
        for template in known.templates:
            del self.vectors[template.number]

    def clear(self) -> None:
        """Everybody is gone."""
        for table in (self.people, self.references, self.vectors, self.passages):
            table.clear()


def known(people: Mapping[str, Known], identity: str) -> Known:
    """One of people by id. Raises NoSuchPersonError."""
    try:
        return people[identity]
    except KeyError:
        raise NoSuchPersonError(f"there is nobody with the id {identity[:64]!r}") from None
