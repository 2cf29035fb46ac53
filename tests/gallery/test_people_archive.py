"""People as an archive has them: what goes in comes out, and what is not whole or not well-formed is refused."""

import base64
import dataclasses
import json
from datetime import UTC, date, datetime

import numpy as np
import pytest
from examples import PARSER
from hypothesis import given
from hypothesis import strategies as st

from appliance.gallery import backup, records
from appliance.gallery.backup import ArchiveError, Count, Label
from appliance.gallery.credential import FORMATS, Credential, encode
from appliance.gallery.people import GROUP, PERSON_ID, Person, PersonExport, Source, Template, TemplateExport
from appliance.gallery.records import MalformedError

LABEL = Label(True, datetime(2026, 11, 26, 8, tzinfo=UTC), "0.1.0", "ab" * 32)


def embedding(seed):
    found = np.random.default_rng(seed).standard_normal(512)
    return (found / np.linalg.norm(found)).astype(np.float32)


times = st.datetimes(timezones=st.just(UTC))
days = st.none() | st.dates(date(2000, 1, 1), date(2100, 1, 1))
numbers = {
    name: st.tuples(*(st.integers(0, 2**size - 1) for size in sizes)).map(
        lambda pair, name=name: Credential(name, encode(name, *pair))
    )
    for name, sizes in FORMATS.items()
}
credentials = st.one_of(*numbers.values()) | st.text("01", min_size=1, max_size=128).map(
    lambda bits: Credential("raw", bits)
)
people = st.builds(
    Person,
    id=st.from_regex(PERSON_ID, fullmatch=True),
    name=st.text(min_size=1, max_size=20).filter(lambda name: name.isprintable() and name.strip()),
    groups=st.lists(st.from_regex(GROUP, fullmatch=True), max_size=3, unique=True).map(tuple),
    valid_from=days,
    valid_until=days,
    reference=st.binary(min_size=8, max_size=8).map(bytes.hex),
    created=times,
    credential=st.none() | credentials,
).filter(lambda person: not (person.valid_from and person.valid_until and person.valid_from > person.valid_until))


@st.composite
def copied(draw):
    picture = draw(st.none() | st.binary(max_size=50))
    model = draw(st.binary(min_size=32, max_size=32)).hex()
    template = Template(
        0, model, draw(st.floats(0, 1)), draw(st.sampled_from(Source)), draw(times), picture is not None
    )
    return TemplateExport(template, embedding(draw(st.integers(0, 2**32))), picture)


exports = st.builds(PersonExport, people, st.lists(copied(), max_size=3).map(tuple))

ADA = PersonExport(
    Person("ada", "Ada Lovelace", ("staff",), date(2026, 1, 1), None, "0123456789abcdef", LABEL.made),
    (TemplateExport(Template(0, "ab" * 32, 0.875, Source.PHOTO, LABEL.made, True), embedding(1), b"pixels"),),
)


def packed(*exports, label=LABEL):
    return b"".join(backup.packed(label, exports))


def equal(one, other):
    """Dossiers without their embeddings, which are compared by themselves."""
    assert one.person == other.person
    assert [(copy.template, copy.picture) for copy in one.templates] == [
        (copy.template, copy.picture) for copy in other.templates
    ]
    for a, b in zip(one.templates, other.templates, strict=True):
        assert np.array_equal(a.embedding, b.embedding)
    return True


@given(st.lists(exports, max_size=4), st.integers(1, 5000))
@PARSER
def test_what_goes_in_comes_out(wanted, size):
    content = packed(*wanted)
    pieces = [content[at : at + size] for at in range(0, len(content), size)]
    label, found = backup.unpacked(iter(pieces))
    assert label == LABEL
    assert all(equal(one, other) for one, other in zip(wanted, found, strict=True))


def test_the_label_is_there_before_anyone_is_read():
    label = dataclasses.replace(LABEL, whole=False, embedder=None)
    pieces = iter([packed(ADA, label=label)])
    found, people = backup.unpacked(pieces)
    assert (found, backup.counted(people)) == (label, Count(1, 1))


@given(st.integers(0, 10_000))
@PARSER
def test_what_is_cut_off_is_refused(size):
    content = packed(ADA, ADA)
    with pytest.raises(ArchiveError):
        list(backup.unpacked([content[: size % len(content)]])[1])


@pytest.mark.parametrize("order", [[0, 2], [0, 1, 1, 2], [0, 2, 1], [0, 1, 2, 2], [1, 2], [2], [0, 1]])
def test_lines_that_are_lost_doubled_or_moved_are_refused(order):
    lines = packed(ADA).splitlines(keepends=True)
    with pytest.raises(ArchiveError):
        list(backup.unpacked([b"".join(lines[number] for number in order)])[1])


@given(st.binary(max_size=200))
@PARSER
def test_anything_else_is_refused(content):
    with pytest.raises(ArchiveError):
        list(backup.unpacked([content])[1])


def test_an_endless_line_is_not_waited_for():
    read = []

    def endless():
        while True:
            read.append(1)
            yield bytes(2**20)

    with pytest.raises(ArchiveError):
        backup.unpacked(endless())
    assert len(read) <= backup.LONGEST_LINE // 2**20 + 1


def test_a_later_format_says_so():
    content = packed(ADA).replace(b'"format":1', b'"format":2', 1)
    with pytest.raises(ArchiveError, match="format 2: update this program"):
        backup.unpacked([content])


not_unit = base64.b64encode((2 * embedding(1)).tobytes()).decode()


@pytest.mark.parametrize(
    ("place", "value", "complaint"),
    [
        (("person", "id"), "../ada", "id: "),
        (("person", "id"), 7, "type"),
        (("person", "name"), "", "name: "),
        (("person", "groups"), [1], "type"),
        (("person", "valid_until"), "2025-01-01", "valid_until: "),
        (("person", "valid_until"), "soon", "type"),
        (("person", "reference"), "0123", "type"),
        (("person", "created"), "2026-01-01T00:00:00", "type"),
        (("templates", 0, "model"), "ab", "type"),
        (("templates", 0, "quality"), 1.5, "type"),
        (("templates", 0, "quality"), float("nan"), "type"),
        (("templates", 0, "source"), "dream", "type"),
        (("templates", 0, "embedding"), "AAAA", "type"),
        (("templates", 0, "embedding"), not_unit, "type"),
        (("templates", 0, "picture"), "#", "type"),
        (("templates",), None, "type"),
    ],
)
def test_a_value_that_cannot_be_is_refused_without_being_shown(place, value, complaint):
    table = json.loads(json.dumps(records.pack_export(ADA)))
    inner = table
    for step in place[:-1]:
        inner = inner[step]
    inner[place[-1]] = value
    with pytest.raises(MalformedError, match=complaint) as caught:
        records.unpack_export(table)
    assert "Lovelace" not in str(caught.value)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


@given(st.data())
@PARSER
def test_whatever_stands_in_a_record_is_a_person_or_malformed(data):
    table = json.loads(json.dumps(records.pack_export(ADA)))
    place = data.draw(st.sampled_from(["person", "templates"]))
    target = table[place] if place == "person" else table[place][0]
    target[data.draw(st.sampled_from(sorted(target)))] = data.draw(json_values)
    try:
        found = records.unpack_export(table)
    except MalformedError:
        return
    assert isinstance(found, PersonExport)
