"""People as a table: what is written is read again, nothing in it is a formula, and each mistake is named."""

import csv
import io
from datetime import UTC, date, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.gallery.credential import Credential
from appliance.gallery.people import InvalidPersonError, Known, Person, new_reference, validate
from appliance.gallery.table import InvalidRow, PersonRow, TableError, people_table, read_people, table

NAMES = st.one_of(
    st.text(min_size=1, max_size=20),
    st.sampled_from(["=1+1", "'=1+1", "''@x", "-3", "@SUM(A1)", "＋1", 'a "b", c;d', "'quoted'", "Ada\tL"]),  # noqa: RUF001
)


def valid(person: Person) -> bool:
    try:
        validate(person)
    except InvalidPersonError:
        return False
    return person.name == person.name.strip()


people = st.builds(
    Person,
    st.from_regex("[A-Za-z0-9][A-Za-z0-9._@-]{0,9}", fullmatch=True),
    NAMES,
    st.lists(st.from_regex("[a-z-]{1,8}", fullmatch=True), max_size=3, unique=True).map(tuple),
    st.none() | st.dates(date(2000, 1, 1), date(2049, 1, 1)),
    st.none() | st.dates(date(2050, 1, 1), date(2099, 1, 1)),
    st.just(new_reference()),
    st.just(datetime.now(UTC)),
    st.sampled_from([None, Credential.parse("26:17:4711"), Credential.parse("raw:0101")]),
).filter(valid)


def fields(person: Person) -> tuple[object, ...]:
    return (person.id, person.name, person.groups, person.valid_from, person.valid_until, person.credential)


@given(st.lists(people, max_size=4, unique_by=lambda person: person.id))
def test_what_is_written_is_read_again_and_is_no_formula(found: list[Person]) -> None:
    content = b"".join(people_table(Known(person, ()) for person in found))
    for row in csv.reader(io.StringIO(content.decode("utf-8-sig"), newline="")):
        assert not any(cell.startswith(("=", "+", "-", "@", "\t", "\r")) for cell in row)
    rows = read_people(content)
    assert [row.number for row in rows] == list(range(2, len(found) + 2))
    assert [fields(row.person) for row in rows if isinstance(row, PersonRow)] == list(map(fields, found))


@given(st.lists(st.text(max_size=10), min_size=1, max_size=3))
def test_no_cell_of_any_table_is_a_formula(cells: list[str]) -> None:
    content = b"".join(table(["x"], [cells]))
    (_, *rows) = csv.reader(io.StringIO(content.decode("utf-8-sig"), newline=""))
    assert not any(cell[:1] in set("=+-@\t\r\n＝＋－＠") - {""} for row in rows for cell in row)  # noqa: RUF001


@given(st.binary(max_size=200) | st.text(max_size=200).map(lambda text: f"id,name\n{text}".encode()))
def test_anything_is_a_table_or_is_refused(content: bytes) -> None:
    try:
        rows = read_people(content)
    except TableError:
        rows = []
    assert all(isinstance(row, PersonRow | InvalidRow) for row in rows)


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_a_table_as_a_spreadsheet_saves_it(separator: str) -> None:
    lines = [
        ["\ufeffName", "ID", "Groups", "Photos"],
        ["Ada", "a", '"staff; night|x"', '"a 1.jpg; a2.JPG"'],
        ["", "", "", ""],
        ["Eve", "e", "", ""],
    ]
    rows = read_people("\r\n".join(separator.join(line) for line in lines).encode())
    first, second = rows
    assert isinstance(first, PersonRow)
    assert (first.number, first.person.groups, first.photos) == (2, ("staff", "night", "x"), ("a 1.jpg", "a2.JPG"))
    assert second.number == 4


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ("", "first row"),
        ("id,nmae\n", "'nmae'"),
        ("id\n", "name"),
        ("id,name,id\n", "each column once"),
        ('id,name\n"a,b', "cannot be read"),
        ("id,name\n\xff", "not UTF-8"),
        ("id,name\na,A\nb,B\nc,C\n", "more than 2 rows"),
    ],
)
def test_what_is_no_table_is_refused(content: str, complaint: str) -> None:
    with pytest.raises(TableError, match=complaint):
        read_people(content.encode("latin-1"), 2)


@pytest.mark.parametrize(
    ("row", "complaint"),
    [
        ("../x,A", "id: "),
        ("x,", "name: "),
        ("x,A,a b", "groups: "),
        ("x,A,,soon", "valid_from: write a day"),
        ("x,A,,2027-01-02,2027-01-01", "valid_until: "),
        ("x,A,,,,26:1", "credential: write"),
        ("x,A,,,,,a.jpg,b.jpg", "8 cells"),
    ],
)
def test_a_mistake_in_a_row_names_its_column(row: str, complaint: str) -> None:
    head = "id,name,groups,valid_from,valid_until,credential,photos"
    twice, (found,) = read_people(f"{head}\ny,Y\ny,Z".encode()), read_people(f"{head}\n{row}".encode())
    assert isinstance(found, InvalidRow)
    assert found.text.startswith(complaint) or complaint in found.text
    assert isinstance(twice[1], InvalidRow)
