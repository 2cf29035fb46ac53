"""Whether the record is whole: whatever is altered, missing or out of place is found."""

import shutil
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.access.log import Entry, Record, RecordError
from appliance.access.token import Anchor

ENTRIES, A_DAY = 12, 3


@pytest.fixture
def path(tmp_path):
    """A record of four days with three entries each."""
    moment = datetime(2026, 11, 26, 12, tzinfo=UTC)
    now = [moment]
    record = Record(tmp_path / "decisions.db", lambda: now[0])
    for number in range(ENTRIES):
        now[0] = moment + timedelta(days=number // A_DAY)
        record.append("decision", {"number": number})
    return tmp_path / "decisions.db"


class Kept(NamedTuple):
    """A record, its bytes and its entries, newest first."""

    path: Path
    content: bytes
    entries: tuple[Entry, ...]

    def __repr__(self):
        return f"Kept({self.path})"


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    """A small one, to be altered and put back by many, with its bytes and its entries."""
    path = tmp_path_factory.mktemp("kept") / "decisions.db"
    record = Record(path, lambda: datetime(2026, 11, 26, tzinfo=UTC))
    for number in range(5):
        record.append("decision", {"number": number, "person": None})
    return Kept(path, path.read_bytes(), record.newest(9))


def verify(path, anchor=None):
    return Record(path).verify(anchor)


def end_of(path):
    (entry,) = Record(path).newest(1)
    return entry.anchor


def attack(path, *statements):
    """Changes the database as someone with the right to write to it could."""
    connection = sqlite3.connect(path)
    for trigger in ("entries_stay_as_they_are", "entries_go_when_expired"):
        connection.execute(f"DROP TRIGGER {trigger}")
    for statement in statements:
        connection.execute(statement)
    connection.commit()
    connection.close()


def test_one_that_is_whole_is_sound_and_so_is_none(path, tmp_path):
    verdict = verify(path, end_of(path))
    assert (verdict.sound, verdict.entries, verdict.first, verdict.last) == (True, ENTRIES, 1, ENTRIES)
    assert verdict.hash == end_of(path).hash
    assert verify(tmp_path / "nothing").sound
    assert not (tmp_path / "nothing").exists()


@given(st.integers(0, 2**20), st.integers(1, 255))
def test_after_any_change_of_the_file_it_is_found_or_nothing_of_the_entries_changed(kept, position, change):
    path, content, entries = kept
    altered = bytearray(content)
    altered[position % len(content)] ^= change
    path.write_bytes(altered)
    try:
        sound = verify(path, entries[0].anchor).sound
        assert not sound or Record(path).newest(9) == entries
    except RecordError:
        pass  # not even a database any more
    finally:
        path.write_bytes(content)


def test_every_byte_of_every_entry_is_looked_at(kept):
    path, content, _ = kept
    begin = content.index(b"2026-11-26T")
    for position in range(begin, len(content)):
        if content[position : position + 1].isalnum():
            path.write_bytes(content[:position] + bytes([content[position] ^ 1]) + content[position + 1 :])
            assert not verify(path).sound, position
    path.write_bytes(content)
    assert verify(path).sound


@pytest.mark.parametrize("end", [0.3, 0.6, 0.9])
def test_a_file_that_was_cut_off_is_found(path, end):
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * end)])
    assert Record(path).problem()
    with suppress(RecordError):
        assert not verify(path).sound


@pytest.mark.parametrize(
    ("lost", "problem"),
    [
        ("= 5", "entry 6: entry 5 is missing before it"),
        ("BETWEEN 7 AND 9", "entry 10: entries 7 to 9 are missing before it"),
        ("< 7", "entry 7: entries 1 to 6 are missing before it, without having expired"),
    ],
)
def test_missing_entries_are_found(path, lost, problem):
    attack(path, f"DELETE FROM entries WHERE sequence {lost}")
    assert verify(path).problem == problem


def test_the_first_that_is_wrong_is_named_and_those_before_it_counted(path):
    attack(path, "UPDATE entries SET facts = replace(facts, '7', '0') WHERE sequence = 8")
    verdict = verify(path)
    assert verdict.problem == "entry 8: its hash is another one"
    assert (verdict.entries, verdict.last) == (7, 7)


def test_entries_that_changed_places_are_found(path):
    swap = "UPDATE entries SET sequence = {} WHERE sequence = {}"
    attack(path, swap.format(99, 4), swap.format(4, 5), swap.format(5, 99))
    assert verify(path).problem == "entry 4: its hash is another one"


def test_the_table_is_added_to_and_not_changed(path):
    connection = sqlite3.connect(path)
    for statement in (
        "UPDATE entries SET kind = 'x'",
        "DELETE FROM entries",
        "DELETE FROM entries WHERE sequence = 12",
    ):
        with pytest.raises(sqlite3.IntegrityError, match="an entry"):
            connection.execute(statement)
    connection.close()
    assert verify(path).sound


def test_more_than_what_expired_may_not_be_missing(path):
    Record(path, lambda: datetime(2026, 11, 29, 13, tzinfo=UTC)).expire(2)
    assert verify(path).first == 4
    assert verify(path).sound
    attack(path, "DELETE FROM entries WHERE sequence < 7")
    assert verify(path).problem == "entry 7: entries 4 to 6 are missing before it, without having expired"


def test_what_has_expired_cannot_be_exchanged(path):
    Record(path, lambda: datetime(2026, 11, 29, 13, tzinfo=UTC)).expire(2)
    attack(path, "UPDATE entries SET facts = replace(facts, '\"until\"', '\"until\" ') WHERE kind = 'expired'")
    assert verify(path).problem == "entry 13: its hash is another one"


def test_an_end_that_was_cut_off_is_found_by_an_anchor_alone(path):
    anchor = end_of(path)
    attack(path, "DELETE FROM entries WHERE sequence = 12")
    assert verify(path).sound
    assert verify(path, anchor).problem == "entry 12 is missing at the end, by the anchor"


def test_all_of_it_gone_is_found_by_an_anchor(path):
    anchor = end_of(path)
    path.unlink()
    assert verify(path).sound
    assert verify(path, anchor).problem == "entries 1 to 12 are missing at the end, by the anchor"


def test_a_record_that_was_written_anew_is_found_by_an_anchor(path, tmp_path):
    anchor = end_of(path)
    forged = Record(tmp_path / "forged", lambda: datetime(2026, 11, 26, tzinfo=UTC))
    for number in range(ENTRIES):
        forged.append("decision", {"number": -number})
    assert forged.verify().sound
    assert forged.verify(anchor).problem == "entry 12: it is not the one of the anchor"


@pytest.mark.parametrize("sequence", range(1, ENTRIES + 1))
def test_an_anchor_may_be_any_entry_s(path, sequence):
    entry = Record(path).newest(ENTRIES)[-sequence]
    assert verify(path, entry.anchor).sound
    assert not verify(path, Anchor(sequence, "0" * 64)).sound


def test_it_may_be_verified_while_it_is_added_to(path):
    record = Record(path, lambda: datetime(2026, 11, 29, 13, tzinfo=UTC))
    for number in range(20):
        record.append("decision", {"number": number})
        assert verify(path).entries == ENTRIES + number + 1


def test_entries_are_added_while_it_is_verified(path):
    record = Record(path, lambda: datetime(2026, 11, 29, 13, tzinfo=UTC))
    with ThreadPoolExecutor(1) as threads:
        adding = [threads.submit(record.append, "decision", {"number": number}) for number in range(100)]
        while not adding[-1].done():
            assert verify(path).sound
        assert all(each.result() for each in adding)
    assert verify(path).entries == ENTRIES + 100


def test_a_copy_of_the_file_is_enough(path, tmp_path):
    shutil.copy(path, tmp_path / "copy")
    path.unlink()
    assert verify(tmp_path / "copy").entries == ENTRIES


def test_what_cannot_be_read_is_reported(path):
    path.unlink()
    path.mkdir()
    with pytest.raises(RecordError, match="unable to open"):
        verify(path)


@pytest.mark.parametrize(
    "text", ["", "1", "1:", ":" + "0" * 64, "0:" + "0" * 64, "1:" + "0" * 63, "1:" + "G" * 64, "-1:" + "0" * 64]
)
def test_what_is_no_anchor_is_refused(text):
    with pytest.raises(ValueError, match="an anchor is SEQUENCE:HASH"):
        Anchor.of(text)


def test_an_anchor_is_read():
    assert Anchor.of("12:" + "ab" * 32) == Anchor(12, "ab" * 32)
