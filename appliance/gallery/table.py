"""People as a CSV table (RFC 4180): read row by row, and written. It has no biometrics."""

import csv
import io
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime

from appliance.faults import ReportedError
from appliance.gallery.credential import Credential, CredentialError
from appliance.gallery.people import InvalidPersonError, Known, Person, new_reference, validate

COLUMNS = ("id", "name", "groups", "valid_from", "valid_until", "credential", "photos")
"""What a table may have; `id` and `name` it must have."""

TEMPLATES = "templates"
"""The number of templates, which is written and is not read."""

SEPARATORS = (",", ";", "\t")
"""Between cells: Excel writes what the locale of the computer has."""

_LIST = re.compile(r"\s*[;|]\s*")
"""Between the groups, or the photos, of one cell."""

_FORMULA = re.compile("'*[=+\\-@\t\r\n＝＋－＠]")  # noqa: RUF001 - full-width forms count, too
"""How a cell begins that a spreadsheet would run as a formula (OWASP, CSV Injection); such cells are written with an apostrophe
before them.
"""


class TableError(ReportedError):
    """It is not a table of people; the text is one line that says why."""


@dataclass(frozen=True, slots=True)
class PersonRow:
    """A person in a table, and the file names of their photos. Rows are numbered as a spreadsheet does: the header is row 1."""

    number: int
    person: Person
    photos: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class InvalidRow:
    """A row that describes no person; `text` names the column."""

    number: int
    id: str
    text: str


def read_people(content: bytes, most: int | None = None) -> list[PersonRow | InvalidRow]:
    """The rows of a table in UTF-8, with commas, semicolons or tabs between its cells; empty ones are left out. Raises
    TableError, also for more than `most` rows.
    """
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise TableError("the table is not UTF-8 text: save it as CSV UTF-8") from error
    head = text.partition("\n")[0]
    rows = csv.reader(io.StringIO(text, newline=""), delimiter=max(SEPARATORS, key=head.count), strict=True)
    try:
        names = [name.strip().lower() for name in next(rows, [])]
        _check_header(names)
        found: list[PersonRow | InvalidRow] = []
        seen: set[str] = set()
        for number, cells in enumerate(rows, 2):
            if any(cell.strip() for cell in cells):
                found.append(_row(number, names, cells, seen))
            if most is not None and len(found) > most:
                raise TableError(f"the table has more than {most} rows: send it in parts")
    except csv.Error as error:
        raise TableError(f"the table cannot be read: {error}") from error
    return found


def _check_header(names: Sequence[str]) -> None:
    for name in names:
        if name not in {*COLUMNS, TEMPLATES}:
            raise TableError(f"the table has a column {name[:40]!r}; its first row names some of {', '.join(COLUMNS)}")
    missing = [name for name in COLUMNS[:2] if name not in names]
    if missing or len(set(names)) < len(names):
        raise TableError(f"the first row of the table names each column once, and {' and '.join(missing or names)}")


def _row(number: int, names: Sequence[str], cells: Sequence[str], seen: set[str]) -> PersonRow | InvalidRow:
    values = dict.fromkeys(COLUMNS, "") | dict(zip(names, map(_plain, cells), strict=False))
    identity = values["id"]
    try:
        if len(cells) > len(names):
            raise InvalidPersonError(f"there are {len(cells)} cells, and {len(names)} columns")
        if identity in seen:
            raise InvalidPersonError("id: another row has it, too")
        person = Person(
            identity,
            values["name"],
            _listed(values["groups"]),
            _day("valid_from", values["valid_from"]),
            _day("valid_until", values["valid_until"]),
            new_reference(),
            datetime.now(UTC).replace(microsecond=0),
            _credential(values["credential"]),
        )
        validate(person)
    except InvalidPersonError as error:
        return InvalidRow(number, identity[:64], str(error))
    seen.add(identity)
    return PersonRow(number, person, _listed(values["photos"]))


def _listed(cell: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(filter(None, _LIST.split(cell))))


def _day(column: str, cell: str) -> date | None:
    try:
        return date.fromisoformat(cell) if cell else None
    except ValueError:
        raise InvalidPersonError(f"{column}: write a day as 2026-12-31") from None


def _credential(cell: str) -> Credential | None:
    try:
        return Credential.parse(cell) if cell else None
    except CredentialError as error:
        raise InvalidPersonError(f"credential: {error}") from None


def people_table(people: Iterable[Known]) -> Iterator[bytes]:
    """A table of people, which `read_people` reads: without their photos, with the number of their templates."""
    columns = (*COLUMNS[:-1], TEMPLATES)
    values = (
        (each.id, each.name, ";".join(each.groups), each.valid_from, each.valid_until, each.credential, len(templates))
        for each, templates in ((known.person, known.templates) for known in people)
    )
    return table(columns, (["" if value is None else value for value in row] for row in values))


def table(columns: Sequence[str], rows: Iterable[Sequence[object]], piece: int = 64 * 1024) -> Iterator[bytes]:
    """A table in UTF-8, with the mark by which Excel knows it, in pieces of some `piece` characters. No cell is a formula."""
    buffer = io.StringIO()
    writer = csv.writer(buffer)
    yield b"\xef\xbb\xbf"
    writer.writerow(columns)
    for cells in rows:
        writer.writerow([f"'{cell}" if _FORMULA.match(str(cell)) else str(cell) for cell in cells])
        if buffer.tell() >= piece:
            yield _taken(buffer)
    yield _taken(buffer)


def _taken(buffer: io.StringIO) -> bytes:
    text = buffer.getvalue()
    buffer.seek(0)
    buffer.truncate()
    return text.encode()


def _plain(cell: str) -> str:
    """A cell as it was before `table` made it harmless, without the blanks around it."""
    cell = cell.strip()
    return cell[1:] if cell.startswith("'") and _FORMULA.match(cell) else cell
