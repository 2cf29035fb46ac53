"""The book: the database's tables, each entry sealed for its place. Nothing here is a transaction of its own."""

import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Self

from appliance.gallery import database as storage_errors
from appliance.gallery import records
from appliance.gallery.database import Database, DeletedError
from appliance.gallery.people import (
    GalleryDamagedError,
    GalleryError,
    GalleryUnavailableError,
    Known,
    NoKeyError,
    NoSuchPersonError,
    Person,
    Template,
)
from appliance.gallery.records import Sheet
from appliance.gallery.search import Index
from appliance.gallery.vault import BrokenSealError, Rotated, Rotation, Seal, SiteKey, new_seed

_CHECK = b"the key of this gallery"

_PEOPLE = "SELECT number, tag, sealed FROM people WHERE number > ? AND number < ? ORDER BY number"
_TEMPLATES = "SELECT number, person, sealed FROM templates WHERE number > ? AND number < ? ORDER BY number"
_PICTURED = "SELECT number FROM pictures WHERE number > ? AND number < ? ORDER BY number"
_PASSAGES = "SELECT number, sealed FROM passages WHERE number > ? AND number < ? ORDER BY number"


class Book:
    """People, templates, pictures and passages, sealed. What cannot be opened is left out and noted in the database's losses.
    Raises the classes of GalleryUnavailableError.
    """

    def __init__(self, database: Database, seal: Seal) -> None:
        self._database, self._seal = database, seal

    def begin(self) -> None:
        """Writes what a new database needs: the check of its key, and a rotation. Within a transaction."""
        if self._database.row("SELECT 1 FROM facts") is None and self._database.row("SELECT 1 FROM people") is None:
            self._write_fact("check", _CHECK)
            self.write_rotation(new_seed())

    def begun(self) -> bool:
        """Whether it has what a database needs."""
        return self._database.row("SELECT 1 FROM facts") is not None

    def touch(self) -> None:
        """Writes something that changes nothing."""
        self._write_fact("check", _CHECK)

    def check_key(self) -> None:
        """Raises NoKeyError when it was sealed with another key."""
        if not self.begun():
            raise storage_errors.lost("the check of the key")
        try:
            self._fact("check")
        except BrokenSealError as error:
            raise NoKeyError(
                "the site key is not the one that this gallery was sealed with: put that one back, "
                f"or {storage_errors.RESTORE}"
            ) from error

    def rotation(self) -> Rotation:
        """The rotation by which the templates are turned."""
        return Rotation(self._fact("rotation"))

    def write_rotation(self, seed: bytes) -> None:
        """Takes another rotation; the templates are the caller's business."""
        self._write_fact("rotation", seed)

    def people(self) -> Iterator[tuple[int, Person]]:
        """Their numbers and themselves."""
        for number, tag, sealed in self._database.rows(_PEOPLE):
            try:
                yield number, records.person(self._seal.open(sealed, "people", number, _hex(tag)))
            except BrokenSealError:
                self._note("a person")

    def sheets(self, references: dict[int, str]) -> Iterator[tuple[int, str, Sheet]]:
        """The templates of people (number -> reference): their numbers, whose they are, and themselves."""
        for number, person, sealed in self._database.rows(_TEMPLATES):
            try:
                reference = references[person]
                yield number, reference, records.sheet(self._seal.open(sealed, "templates", number, reference))
            except (BrokenSealError, KeyError):
                self._note("a template")

    def pictured(self) -> frozenset[int]:
        """The numbers of the templates whose picture is kept."""
        return frozenset(number for (number,) in self._database.rows(_PICTURED))

    def passages(self, references: dict[int, str]) -> Iterator[tuple[str, tuple[str, datetime]]]:
        """Who passed last in which direction, and when."""
        for number, sealed in self._database.rows(_PASSAGES):
            try:
                reference = references[number]
                yield reference, records.passage(self._seal.open(sealed, "passages", reference))
            except (BrokenSealError, KeyError):
                self._note("a passage")

    def sheet(self, number: int, reference: str) -> Sheet:
        """One template. Raises GalleryDamagedError when it is not there, or cannot be opened."""
        found = self._database.row("SELECT sealed FROM templates WHERE number = ?", number)
        if found is None:
            raise storage_errors.lost(f"template {number}")
        return records.sheet(self._seal.open(found[0], "templates", number, reference))

    def picture(self, number: int, reference: str) -> bytes | None:
        """The picture of a template. Raises BrokenSealError, too."""
        found = self._database.row("SELECT sealed FROM pictures WHERE number = ?", number)
        return None if found is None else self._seal.open(found[0], "pictures", number, reference)

    def number(self, identity: str) -> int | None:
        """The number of the person with this id."""
        found = self._database.row("SELECT number FROM people WHERE tag = ?", self._seal.tag(identity))
        return None if found is None else int(found[0])

    def add_person(self, person: Person) -> int:
        """Enters a person; their number."""
        number = self._next("people")
        tag = self._seal.tag(person.id)
        sealed = self._seal.close(records.packed_person(person), "people", number, _hex(tag))
        self._database.run("INSERT INTO people VALUES (?, ?, ?)", number, tag, sealed)
        return number

    def write_person(self, number: int, person: Person) -> None:
        """What is said of a person from now on; their id stays."""
        sealed = self._seal.close(records.packed_person(person), "people", number, _hex(self._seal.tag(person.id)))
        self._database.run("UPDATE people SET sealed = ? WHERE number = ?", sealed, number)

    def erase_person(self, number: int) -> None:
        """Erases a person, and with them templates, pictures and the passage."""
        self._database.run("DELETE FROM people WHERE number = ?", number)

    def add_sheet(self, person: int, reference: str, sheet: Sheet, picture: bytes | None) -> int:
        """Enters a template, and its picture; its number, which nothing had before."""
        number = self._next("templates")
        sealed = self._seal.close(records.packed_sheet(sheet), "templates", number, reference)
        self._database.run("INSERT INTO templates VALUES (?, ?, ?)", number, person, sealed)
        if picture is not None:
            sealed = self._seal.close(picture, "pictures", number, reference)
            self._database.run("INSERT INTO pictures VALUES (?, ?)", number, sealed)
        return number

    def write_sheet(self, number: int, reference: str, sheet: Sheet) -> None:
        """Another content of a template."""
        sealed = self._seal.close(records.packed_sheet(sheet), "templates", number, reference)
        self._database.run("UPDATE templates SET sealed = ? WHERE number = ?", sealed, number)

    def erase_sheet(self, number: int) -> None:
        """Erases a template, and its picture."""
        self._database.run("DELETE FROM templates WHERE number = ?", number)

    def erase_everybody(self) -> None:
        """Erases all people, templates, pictures and passages."""
        self._database.run("DELETE FROM passages")
        self._database.run("DELETE FROM pictures")
        self._database.run("DELETE FROM templates")
        self._database.run("DELETE FROM people")

    def write_passage(self, person: int, reference: str, direction: str, time: datetime) -> None:
        """The last passage of a person from now on."""
        sealed = self._seal.close(records.packed_passage(direction, time), "passages", reference)
        self._database.run("INSERT OR REPLACE INTO passages VALUES (?, ?)", person, sealed)

    def erase_passage(self, person: int) -> None:
        """Whoever passed has never passed from now on."""
        self._database.run("DELETE FROM passages WHERE number = ?", person)

    def _fact(self, name: str) -> bytes:
        found = self._database.row("SELECT sealed FROM facts WHERE name = ?", name)
        return self._seal.open(found[0] if found else b"", "facts", name)

    def _write_fact(self, name: str, content: bytes) -> None:
        self._database.run("INSERT OR REPLACE INTO facts VALUES (?, ?)", name, self._seal.close(content, "facts", name))

    def _next(self, table: str) -> int:
        """AUTOINCREMENT's next number, which the seal needs before the row is there (sqlite.org/autoinc.html)."""
        found = self._database.row("SELECT seq FROM sqlite_sequence WHERE name = ?", table)
        return 1 + (int(found[0]) if found else 0)

    def _note(self, what: str) -> None:
        self._database.losses.append(f"the seal of {what} is broken")


def _hex(tag: object) -> str:
    """A tag as part of a place; whoever altered one may have put anything there."""
    return tag.hex() if isinstance(tag, bytes) else repr(tag)


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


class Draft:
    """The book to write in, and what the gallery holds once that is done. Not thread-safe."""

    def __init__(self, book: Book, before: Snapshot) -> None:
        self.book, self.rotation = book, before.rotation
        self.people, self.references = dict(before.people), dict(before.references)
        self.passages = dict(before.passages)
        self._index, self._embedder, self._whole = before.index, before.embedder, False

    def known(self, identity: str) -> Known:
        """The person with this id. Raises NoSuchPersonError."""
        return known(self.people, identity)

    def embedder(self) -> str | None:
        """The sha256 of the embedder that made the newest template; None when there are none."""
        return embedder(self.people.values())

    def templates(self) -> int:
        """How many there are."""
        return count(self.people.values())

    def put(self, known: Known) -> None:
        """A person, as they are from now on; of their templates, none is new, and none is gone."""
        self.people[known.person.id] = self.references[known.person.reference] = known

    def put_with(self, known: Known, vector: Rotated) -> None:
        """A person whose last template is new, and its vector."""
        self.put(known)
        self._index = self._index.adding(known.person.reference, vector)

    def put_without(self, known: Known) -> None:
        """A person some of whose templates are gone."""
        self.put(known)
        self._index = self._index.without(known.person.reference)
        for template in known.templates:
            if template.model == self._embedder:
                vector = self.book.sheet(template.number, known.person.reference).vector
                self._index = self._index.adding(known.person.reference, vector)

    def drop(self, known: Known) -> None:
        """A person is gone, and with them all that is theirs."""
        del self.people[known.person.id], self.references[known.person.reference]
        self.passages.pop(known.person.reference, None)
        self._index = self._index.without(known.person.reference)

    def drop_everybody(self) -> None:
        """Nobody is there any more."""
        for table in (self.people, self.references, self.passages):
            table.clear()
        self.read_whole()

    def read_whole(self) -> None:
        """So much changes that the index is made anew from the book."""
        self._whole = True

    def done(self) -> Snapshot:
        """What the gallery holds; within the transaction, at its end."""
        if self._whole or (self._embedder and self.embedder() != self._embedder):
            return Snapshot.of(self.book)
        return Snapshot(self.rotation, self.people, self.references, self.passages, self._index)


EMPTYING_PATIENCE_MS = 1000
"""How long an erasure waits for another program that reads."""


class Storage:
    """The database and what it holds, kept the same. Thread-safe. Raises the classes of GalleryUnavailableError."""

    def __init__(self, path: Path, key: SiteKey) -> None:
        self._path, self._seal = path, Seal(key)
        self._lock = threading.RLock()
        self._trouble: GalleryUnavailableError | None = None
        self._damage: GalleryDamagedError | None = None
        self._emptied, self._stale, self.version = True, False, 0
        self._open()

    @property
    def snapshot(self) -> Snapshot:
        """What the gallery holds now."""
        return self._snapshot

    def problem(self) -> GalleryUnavailableError | None:
        """What is wrong with the storage; None when all is well."""
        return self._trouble or self._damage

    @contextmanager
    def change(self) -> Iterator[Draft]:
        """A transaction: what was written in it is on the disk when it is left, or nothing is, when something is raised."""
        with self._lock:
            if self._damage:
                raise self._damage
            try:
                with self._database.transaction():
                    self._follow()
                    if self._damage:
                        raise self._damage
                    draft = Draft(self._book, self._snapshot)
                    yield draft
                    snapshot = draft.done()
            except GalleryUnavailableError as error:
                self._note(error)
                raise
            self._trouble = None
            self._take(snapshot)
            self._settle()

    @contextmanager
    def reading(self) -> Iterator[tuple[Book, Rotation]]:
        """The book and its rotation, to read something that is not in memory; nobody changes them meanwhile."""
        with self._lock, self._database.view():
            self._follow()
            yield self._book, self._snapshot.rotation

    def empty_log(self, patience_ms: int = EMPTYING_PATIENCE_MS) -> bool:
        """Takes what was erased out of the log, too; false when that has to wait for another program, see `refresh`."""
        with self._lock:
            try:
                self._emptied = self._database.empty_log(patience_ms)
            except GalleryUnavailableError as error:
                self._trouble, self._emptied = error, False
            return self._emptied

    def refresh(self) -> None:
        """Takes over what other programs have changed, finishes what had to wait, and looks whether a trouble is over. What is
        wrong is told by `problem`.
        """
        with self._lock:
            try:
                if self._database.moved():
                    self._open_again()
                with self._database.view():
                    self._follow()
                if not self._damage:
                    self._try_to_write()
            except GalleryUnavailableError as error:
                self._note(error)
            if not self._emptied:
                self.empty_log(patience_ms=0)

    def close(self) -> None:
        """Closes the database; nothing can be changed from then on."""
        with self._lock:
            self._database.close()

    def _open(self) -> None:
        """Nothing is different when it raises."""
        database = Database.open(self._path)
        try:
            book = Book(database, self._seal)
            if not database.unwritable and not book.begun():
                with database.transaction():
                    book.begin()
            book.check_key()
            database.examine()
            with database.view():
                snapshot = Snapshot.of(book)
        except GalleryError:
            database.close()
            raise
        self._database, self._book, self._snapshot = database, book, snapshot
        self.version += 1
        self._damage = self._found_damage()
        self._trouble = database.unwritable
        if not database.unwritable:
            self.empty_log()

    def _open_again(self) -> None:
        """Another file has the database's name: it was restored, say."""
        if not self._path.exists():
            raise storage_errors.deleted(self._path)
        before, book, known = self._database, self._book, self._snapshot
        self._open()
        if (
            known.people and not self._snapshot.people
        ):  # made anew by somebody: what is in memory may be all that is left
            self._database.close()
            self._database, self._book, self._snapshot = before, book, known
            raise storage_errors.deleted(self._path)
        before.close()

    def _follow(self) -> None:
        if self._database.changed() or self._stale:
            self._load()
            self._stale = False

    def _note(self, error: GalleryUnavailableError) -> None:
        """What is in memory stays when the file turns out to be damaged; else it may not be what is on the disk."""
        if isinstance(error, GalleryDamagedError) and not isinstance(error, DeletedError):
            self._damage = error
        else:
            self._trouble, self._stale = error, True

    def _load(self) -> None:
        self._take(Snapshot.of(self._book))
        self._damage = self._found_damage()

    def _found_damage(self) -> GalleryDamagedError | None:
        losses = self._database.losses
        kept = f"{len(self._snapshot.people)} people and {self._snapshot.templates} templates are still there"
        return storage_errors.damaged(self._path, f"{_counted(losses)}; {kept}") if losses else None

    def _take(self, snapshot: Snapshot) -> None:
        self.version += snapshot.people != self._snapshot.people
        self._snapshot = snapshot

    def _settle(self) -> None:
        """What is in the file does not depend on the log; when it cannot be, it is safe in the log all the same."""
        try:
            self._database.settle()
        except GalleryUnavailableError as error:
            self._trouble = error

    def _try_to_write(self) -> None:
        """Whether what can be read can be written, too; something is written only after a trouble."""
        if self._trouble is None:
            storage_errors.check_not_read_only(self._path)
            return
        storage_errors.check_writable(self._path)
        if self._database.unwritable:
            self._database.close()  # first: connections of a process share what they know of the log
            self._open()
            return
        with self._database.transaction():
            self._book.touch()
        self._trouble = None


def _counted(losses: list[str]) -> str:
    """The reasons, each once, with how often."""
    counts = {reason: losses.count(reason) for reason in losses}
    return ", ".join(f"{reason} ({count})" if count > 1 else reason for reason, count in counts.items())
