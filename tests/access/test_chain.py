"""One entry of the record: read as it was written, and not at all when anything in its row has changed."""

import hashlib
import json
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.access.log import START, RecordDamagedError, _canonical, _made, _read
from appliance.access.token import stamp

NOON = datetime(2026, 11, 26, 12, 0, 0, 123_456, tzinfo=timezone(timedelta(hours=1)))

parts = st.text(max_size=10) | st.integers()
facts = st.dictionaries(
    st.text(max_size=8), st.none() | st.booleans() | parts | st.lists(parts, max_size=4).map(tuple), max_size=5
)
ENTRY = _made(7, NOON, "decision", {"result": "granted", "frames": (1, 2)}, "ab" * 32)


def row(entry):
    return (entry.sequence, stamp(entry.time), entry.kind, _canonical(entry.facts), entry.hash)


@given(
    st.integers(1, 10**12),
    st.datetimes(timezones=st.just(UTC)),
    st.from_regex("[a-z][a-z_]{0,31}", fullmatch=True),
    facts,
)
def test_what_is_written_is_read(sequence, time, kind, some):
    entry = _made(sequence, time, kind, some, START)
    assert _read(row(entry), START) == entry
    assert (entry.sequence, entry.kind, entry.facts, entry.previous) == (sequence, kind, some, START)
    assert timedelta(0) <= time - entry.time < timedelta(milliseconds=1)


def test_the_hash_is_that_of_json_anyone_can_make():
    body = {
        "facts": {"frames": [1, 2], "result": "granted"},
        "kind": "decision",
        "previous": "ab" * 32,
        "sequence": 7,
        "time": "2026-11-26T11:00:00.123Z",
    }
    assert hashlib.sha256(json.dumps(body, sort_keys=True, separators=(",", ":")).encode()).hexdigest() == ENTRY.hash


@given(st.integers(1, 4), st.data())
def test_a_row_with_one_other_character_is_damaged(column, data):
    values = list(row(ENTRY))
    at = data.draw(st.integers(0, len(values[column]) - 1))
    other = data.draw(st.characters().filter(lambda character: character != values[column][at]))
    values[column] = values[column][:at] + other + values[column][at + 1 :]
    with pytest.raises(RecordDamagedError, match="entry 7: "):
        _read(tuple(values), ENTRY.previous)


@pytest.mark.parametrize("sequence", [8, "7", None, 7.5])
def test_a_row_in_another_place_is_damaged(sequence):
    with pytest.raises(RecordDamagedError):
        _read((sequence, *row(ENTRY)[1:]), ENTRY.previous)


def test_a_row_that_follows_another_entry_is_damaged():
    with pytest.raises(RecordDamagedError, match="entry 7: its hash is another one"):
        _read(row(ENTRY), "cd" * 32)


@pytest.mark.parametrize("column", range(1, 5))
@pytest.mark.parametrize("value", [None, b"\xff", 1, 0.5, "", "{}", "[]", "[" * 100_000, '{"a":{}}', '{"a":NaN}'])
def test_a_row_of_anything_is_damaged(column, value):
    values = list(row(ENTRY))
    values[column] = value
    with pytest.raises(RecordDamagedError):
        _read(tuple(values), ENTRY.previous)


@pytest.mark.parametrize("text", ['{"frames": [1,2],"result":"granted"}', '{"result":"granted","frames":[1,2]}'])
def test_the_same_facts_in_another_spelling_are_damaged(text):
    with pytest.raises(RecordDamagedError, match="another one"):
        _read((*row(ENTRY)[:3], text, ENTRY.hash), ENTRY.previous)


@pytest.mark.parametrize("fact", [0.9, b"template", ["a"], (0.5,), {"a": 1}, (("a",),)])
def test_scores_and_templates_may_not_be_recorded(fact):
    with pytest.raises(ValueError, match=r"liveness: .* may not be recorded"):
        _made(1, NOON, "decision", {"liveness": fact}, START)


@pytest.mark.parametrize("kind", ["", "Decision", "a-b", "x" * 33, "1"])
def test_a_kind_is_a_small_word(kind):
    with pytest.raises(ValueError, match="is not a kind of entry"):
        _made(1, NOON, kind, {}, START)
