"""The rows of a gallery, each sealed for its place, as they are read and written; and the same contents in memory."""

from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from appliance.face.embedding import FAST
from appliance.gallery import database as storage
from appliance.gallery import records
from appliance.gallery.counter import ChangeCounter
from appliance.gallery.database import Database
from appliance.gallery.people import (
    Known,
    LastPassage,
    NoKeyError,
    NoSuchPersonError,
    NoSuchTemplateError,
    Person,
    Template,
    TemplateFit,
)
from appliance.gallery.pin import StoredPin
from appliance.gallery.search import MOST, Columns, Index
from appliance.gallery.shares import SHARE, Share
from appliance.gallery.vault import BrokenSealError, Rotated, Rotation, Seal, new_seed, rotation_of

_CHECK = b"the key of this gallery"

OF_A_PERSON = ("passages", "pins", "fits")
"""Tables with at most one row of each person."""

T = TypeVar("T")

_BY_OWNER = (*OF_A_PERSON, "shares")
"""Tables whose rows are sealed for their owner alone."""

_ONE_OF = {
    "people": "a person",
    "templates": "a template",
    "passages": "a passage",
    "pins": "a PIN",
    "fits": "a fit",
    "shares": "a share",
}


@dataclass(frozen=True, slots=True)
class GallerySnapshot:
    """People by id and by reference, last passages and PINs by reference, what the fleet knows of people by their keys in it,
    and an index of the templates that can be compared: those of one embedder, rotated by `rotation`, with the embeddings of one
    strong embedder. A published snapshot never changes.
    """

    rotation: Rotation
    people: dict[str, Known]
    references: dict[str, Known]
    passages: dict[str, LastPassage]
    pins: dict[str, StoredPin]
    shares: dict[str, Share]
    index: Index

    @property
    def embedder(self) -> str | None:
        """The sha256 of the embedder that made the newest template, None without templates. Older templates may be left from
        another embedder.
        """
        return self.embedders[0]

    @property
    def embedders(self) -> tuple[str | None, str | None]:
        """The same, and that of the strong embedder by the newest template that has an embedding of one."""
        newest = [known.templates for known in self.people.values() if known.templates]
        first = max((templates[-1] for templates in newest), key=_number, default=None)
        strong = [template for templates in newest for template in templates if template.strong]
        second = max(strong, key=_number, default=None)
        return first.model if first else None, second.strong if second else None

    @property
    def templates(self) -> int:
        return sum(len(known.templates) for known in self.people.values())

    def known(self, identity: str) -> Known:
        """Returns the person with an id. Raises NoSuchPersonError."""
        try:
            return self.people[identity]
        except KeyError:
            raise NoSuchPersonError(f"there is no person with the id {identity[:64]!r}") from None


class Repository:
    """Reads sealed rows. A row whose seal is broken is left out and added to the database's losses. Raises the subclasses of
    GalleryUnavailableError.
    """

    def __init__(self, database: Database, seal: Seal) -> None:
        self._database, self._seal = database, seal

    def initialised(self) -> bool:
        return self._database.row("SELECT 1 FROM facts") is not None

    def initialise(self) -> None:
        """Writes the check of the key and a rotation, within a transaction, unless the database holds anything."""
        if not self.initialised() and self._database.row("SELECT 1 FROM people") is None:
            self.touch()
            self._write_fact("rotation", new_seed())

    def touch(self) -> None:
        """Writes a row without changing its content."""
        self._write_fact("check", _CHECK)

    def check_key(self) -> None:
        """Raises NoKeyError if another key sealed the database."""
        if not self.initialised():
            raise storage.lost("the check of the key")
        try:
            self._fact("check")
        except BrokenSealError as error:
            raise NoKeyError(
                f"the site key is not the one that sealed this gallery: put that one back, or {storage.RESTORE}"
            ) from error

    def counter(self) -> ChangeCounter:
        """Returns the counter of changes; one that is missing or cannot be opened counts as 0."""
        try:
            return ChangeCounter.unpack(self._fact("counter"))
        except BrokenSealError:
            return ChangeCounter()

    def vector(self, number: int, reference: str) -> Rotated:
        """Returns the vector of a template. Raises GalleryDamagedError if it is missing or cannot be opened."""
        found = self._database.row("SELECT sealed FROM templates WHERE number = ?", number)
        if found is None:
            raise storage.lost(f"template {number}")
        content = self._seal.open(found[0], "templates", number, reference)
        return records.unpack_template(content, number, pictured=False)[1]

    def picture(self, number: int, reference: str) -> bytes | None:
        """Returns the picture of a template, None if it was not kept. Raises BrokenSealError, too."""
        found = self._database.row("SELECT sealed FROM pictures WHERE number = ?", number)
        return None if found is None else self._seal.open(found[0], "pictures", number, reference)

    def snapshot(self) -> GallerySnapshot:
        people = {
            number: records.PERSON.validate_json(content) for number, _, content in self._rows("people", "tag", _text)
        }
        references = {number: person.reference for number, person in people.items()}
        templates: dict[str, list[Template]] = {reference: [] for reference in references.values()}
        pictured = {number for (number,) in self._database.rows("pictures")}
        # vectors move into columns MOST at a time, so that few are in memory twice
        waiting: dict[tuple[str, str | None], list[tuple[str, Rotated]]] = defaultdict(list)
        parts: dict[tuple[str, str | None], list[Columns]] = defaultdict(list)
        for number, reference, content in self._rows("templates", "person", references.__getitem__):
            template, vector = records.unpack_template(content, number, pictured=number in pictured)
            templates[reference].append(template)
            embedders = template.model, template.strong
            waiting[embedders].append((reference, vector))
            if len(waiting[embedders]) == MOST:
                parts[embedders].append(Columns.of(waiting.pop(embedders)))

        def of_people(table: str, read: Callable[[bytes], T]) -> dict[str, T]:
            rows = self._rows(table, "number", references.__getitem__)
            return {reference: read(content) for _, reference, content in rows}

        fits = of_people("fits", records.FIT.validate_json)
        everyone = [
            Known(person, tuple(sorted(templates[person.reference], key=_number)), fits.get(person.reference))
            for person in people.values()
        ]
        snapshot = GallerySnapshot(
            rotation_of(self._fact("rotation")),
            {known.person.id: known for known in everyone},
            {known.person.reference: known for known in everyone},
            of_people("passages", records.PASSAGE.validate_json),
            of_people("pins", StoredPin.unpack),
            {key: SHARE.validate_json(content) for _, key, content in self._rows("shares", "key", str)},
            Index(),
        )
        for embedders, rows in waiting.items():
            parts[embedders].append(Columns.of(rows))
        model, strong = snapshot.embedders
        for (_, other), columns in parts.items():
            if other not in {None, strong}:
                for each in columns:
                    each.forget_strong()
        return replace(snapshot, index=Index(tuple(each for key in parts if key[0] == model for each in parts[key])))

    def _rows(self, table: str, owner_column: str, owner_of: Callable[[Any], str]) -> Iterator[tuple[int, str, bytes]]:
        """Yields the number, the owner and the content of each row of a table. A row is sealed for its number and its owner,
        one of _BY_OWNER for its owner alone.
        """
        for number, column, sealed in self._database.rows(table, owner_column, "sealed"):
            try:
                owner = owner_of(column)
                place = (owner,) if table in _BY_OWNER else (number, owner)
                content = self._seal.open(sealed, table, *place)
            except (BrokenSealError, KeyError):
                self._database.losses.append(f"the seal of {_ONE_OF[table]} is broken")
            else:
                yield number, owner, content

    def _fact(self, name: str) -> bytes:
        found = self._database.row("SELECT sealed FROM facts WHERE name = ?", name)
        return self._seal.open(found[0] if found else b"", "facts", name)

    def _write_fact(self, name: str, content: bytes) -> None:
        self._database.run("INSERT OR REPLACE INTO facts VALUES (?, ?)", name, self._seal.close(content, "facts", name))


class Transaction(Repository):
    """Writes sealed rows and changes `contents`, a copy of the snapshot, in step with them. Not thread-safe. Methods raise
    before they have written anything.
    """

    def __init__(self, database: Database, seal: Seal, before: GallerySnapshot) -> None:
        super().__init__(database, seal)
        self.contents = replace(
            before,
            people=dict(before.people),
            references=dict(before.references),
            passages=dict(before.passages),
            pins=dict(before.pins),
            shares=dict(before.shares),
        )
        self._index, self._embedders = before.index, before.embedders
        self.reread = False
        """Whether `result` reads the rows, because most of them change."""
        self.accepted = False
        """Whether it ends a rollback: the gallery and the record of decisions are what they should be."""

    @property
    def embedder(self) -> str | None:
        """The embedder of the gallery's templates, without looking at all of them where there were some before."""
        return self._embedders[0] or self.contents.embedder

    @property
    def comparable(self) -> int:
        """The number of templates that are compared."""
        return sum(part.size for part in self._index.parts)

    def write_counter(self, counter: ChangeCounter) -> None:
        self._write_fact("counter", counter.pack())

    def result(self) -> GallerySnapshot:
        """Returns what the gallery holds once the transaction is committed."""
        pairs = zip(self._embedders, self.contents.embedders, strict=True)
        if self.reread or any(before and after != before for before, after in pairs):
            return self.snapshot()
        return replace(self.contents, index=self._index)

    def add_person(self, person: Person) -> Known:
        number, tag = self._next("people"), self._seal.tag(person.id)
        sealed = self._seal.close(records.pack_person(person), "people", number, _text(tag))
        self._database.run("INSERT INTO people VALUES (?, ?, ?)", number, tag, sealed)
        return self._put(Known(person, ()))

    def write_person(self, person: Person) -> Known:
        """Replaces the description of the person with the same id."""
        known = self.contents.known(person.id)
        number = self._row_of(known)
        sealed = self._seal.close(records.pack_person(person), "people", number, _text(self._seal.tag(person.id)))
        self._database.run("UPDATE people SET sealed = ? WHERE number = ?", sealed, number)
        return self._put(replace(known, person=person))

    def erase_person(self, identity: str) -> Known:
        """Erases a person with their templates, pictures and passage, and returns them."""
        known = self.contents.known(identity)
        reference = known.person.reference
        self._database.run("DELETE FROM people WHERE number = ?", self._row_of(known))
        del self.contents.people[identity], self.contents.references[reference]
        self.contents.passages.pop(reference, None)
        self.contents.pins.pop(reference, None)
        if not self.reread:
            self._index = self._index.without(reference)
        return known

    def erase_everyone(self) -> None:
        for table in (*OF_A_PERSON, "pictures", "templates", "people"):
            self._database.run(f"DELETE FROM {table}")  # noqa: S608 - constants
        contents = self.contents
        for memory in (contents.people, contents.references, contents.passages, contents.pins):
            memory.clear()
        self.reread = True

    def add_template(self, identity: str, template: Template, vector: Rotated, picture: bytes | None) -> Template:
        """Adds a template under a number that was never used before, and returns it with that."""
        known = self.contents.known(identity)
        reference, number = known.person.reference, self._next("templates")
        template = replace(template, number=number, pictured=picture is not None)
        sealed = self._seal.close(records.pack_template(template, vector), "templates", number, reference)
        self._database.run("INSERT INTO templates VALUES (?, ?, ?)", number, self._row_of(known), sealed)
        if picture is not None:
            sealed = self._seal.close(picture, "pictures", number, reference)
            self._database.run("INSERT INTO pictures VALUES (?, ?)", number, sealed)
        self._put(replace(known, templates=(*known.templates, template)))
        if not self.reread:
            self._index = self._index.adding(reference, vector)
        return template

    def erase_template(self, identity: str, number: int) -> Known:
        """Erases a template and its picture, and returns the person. Raises NoSuchTemplateError."""
        known = self.contents.known(identity)
        reference = known.person.reference
        kept = tuple(template for template in known.templates if template.number != number)
        if kept == known.templates:
            raise NoSuchTemplateError(f"this person has no template {number}")
        self._database.run("DELETE FROM templates WHERE number = ?", number)
        if not self.reread:
            self._index = self._index.without(reference)
            for template in kept:
                if template.model == self._embedders[0]:
                    vector = self.vector(template.number, reference)
                    comparable = vector if template.strong in {None, self._embedders[1]} else vector[:FAST]
                    self._index = self._index.adding(reference, comparable)
        return self._put(replace(known, templates=kept))

    def write_passage(self, reference: str, passage: LastPassage | None) -> None:
        """Replaces the last passage of a person; None erases it. Raises NoSuchPersonError."""
        content = None if passage is None else records.PASSAGE.dump_json(passage)
        self._write_of("passages", self.contents.passages, reference, passage, content)

    def write_pin(self, reference: str, pin: StoredPin | None) -> None:
        """Replaces the PIN of a person; None erases it. Raises NoSuchPersonError."""
        self._write_of("pins", self.contents.pins, reference, pin, None if pin is None else pin.pack())

    def write_share(self, key: str, share: Share) -> None:
        """Replaces what the fleet knows of the person with this key."""
        sealed = self._seal.close(SHARE.dump_json(share), "shares", key)
        self._database.run("INSERT OR REPLACE INTO shares (key, sealed) VALUES (?, ?)", key, sealed)
        self.contents.shares[key] = share

    def bury(self, reference: str) -> None:
        """Has the fleet erase the person with this reference, if it knows them."""
        for key, share in self.contents.shares.items():
            if reference in {share.reference, share.sent}:
                self.write_share(key, share.buried(reference))
                break

    def write_fit(self, reference: str, fit: TemplateFit) -> None:
        """Replaces how the templates of a person fit. Raises NoSuchPersonError."""
        self._write_of("fits", {}, reference, fit, records.FIT.dump_json(fit))
        self._put(replace(self.contents.references[reference], fit=fit))

    def _write_of(
        self, table: str, memory: dict[str, T], reference: str, value: T | None, content: bytes | None
    ) -> None:
        """Writes a row of a table of OF_A_PERSON, and its `value` to `memory`."""
        known = self.contents.references.get(reference)
        if known is None:
            raise NoSuchPersonError("the person has been erased")
        number = self._row_of(known)
        if value is None or content is None:
            self._database.run(f"DELETE FROM {table} WHERE number = ?", number)  # noqa: S608 - constants
            memory.pop(reference, None)
        else:
            sealed = self._seal.close(content, table, reference)
            self._database.run(f"INSERT OR REPLACE INTO {table} VALUES (?, ?)", number, sealed)  # noqa: S608
            memory[reference] = value

    def rotate(self) -> None:
        before, seed = self.contents.rotation, new_seed()
        after = rotation_of(seed)
        self._write_fact("rotation", seed)
        for known in self.contents.people.values():
            for template in known.templates:
                number, reference = template.number, known.person.reference
                content = records.pack_template(template, before.exchange(self.vector(number, reference), after))
                sealed = self._seal.close(content, "templates", number, reference)
                self._database.run("UPDATE templates SET sealed = ? WHERE number = ?", sealed, number)
        self.reread = True

    def _put(self, known: Known) -> Known:
        self.contents.people[known.person.id] = self.contents.references[known.person.reference] = known
        return known

    def _row_of(self, known: Known) -> int:
        """Returns the number of a person's row. Raises GalleryDamagedError if it is missing."""
        found = self._database.row("SELECT number FROM people WHERE tag = ?", self._seal.tag(known.person.id))
        if found is None:
            raise storage.lost(f"person {known.person.reference}")
        return int(found[0])

    def _next(self, table: str) -> int:
        """Returns AUTOINCREMENT's next number, which the seal needs before the row exists (sqlite.org/autoinc.html)."""
        found = self._database.row("SELECT seq FROM sqlite_sequence WHERE name = ?", table)
        return 1 + (int(found[0]) if found else 0)


def _number(template: Template) -> int:
    return template.number


def _text(tag: object) -> str:
    """Returns a tag as part of a place; an altered row may hold a value of any type."""
    return tag.hex() if isinstance(tag, bytes) else repr(tag)
