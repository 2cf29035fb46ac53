"""The book: the database's tables, each entry sealed for its place. Nothing here is a transaction of its own."""

from collections.abc import Iterator
from datetime import datetime

from appliance.gallery import records, storage_errors
from appliance.gallery.database import Database
from appliance.gallery.people import NoKeyError, Person
from appliance.gallery.records import Sheet
from appliance.gallery.rotation import Rotation, new_seed
from appliance.gallery.sealing import BrokenSealError, Seal

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
