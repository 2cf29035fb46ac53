"""Whether the record is whole: whatever is altered, missing or out of place is found."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.access import log
from appliance.access.log import Record, RecordError, segments
from appliance.access.verify_log import Anchor, verify

ENTRIES, A_DAY = 12, 3


@pytest.fixture
def written(tmp_path):
    """A record of four days with three entries each."""
    moment = datetime(2026, 11, 26, 12, tzinfo=UTC)
    now = [moment]
    record = Record(tmp_path / "decisions", lambda: now[0])
    for number in range(ENTRIES):
        now[0] = moment + timedelta(days=number // A_DAY)
        record.append("decision", {"number": number})
    return tmp_path / "decisions"


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    """The same, to be altered and put back by many."""
    folder = tmp_path_factory.mktemp("kept")
    record = Record(folder, lambda: datetime(2026, 11, 26, tzinfo=UTC))
    for number in range(5):
        record.append("decision", {"number": number, "person": None})
    (segment,) = segments(folder)
    return segment, segment.path.read_bytes()


def end_of(folder):
    (entry,) = log.newest_entries(folder, 1)
    return Anchor(entry.sequence, entry.hash)


def lines(segment):
    return segment.path.read_bytes().splitlines(keepends=True)


def test_one_that_is_whole_is_sound_and_so_is_none(written, tmp_path):
    verdict = verify(written, end_of(written))
    assert (verdict.sound, verdict.entries, verdict.first, verdict.last) == (True, ENTRIES, 1, ENTRIES)
    assert verdict.hash == end_of(written).hash
    assert verify(tmp_path / "nothing").sound
    assert not (tmp_path / "nothing").exists()


@given(st.data())
def test_any_single_altered_byte_is_found(kept, data):
    segment, content = kept
    position = data.draw(st.integers(0, len(content) - 1))
    altered = bytearray(content)
    altered[position] ^= data.draw(st.integers(1, 255))
    segment.path.write_bytes(altered)
    try:
        assert not verify(segment.folder).sound
    finally:
        segment.path.write_bytes(content)


def test_every_byte_of_it_is_looked_at(kept):
    segment, content = kept
    for position in range(len(content)):
        altered = bytearray(content)
        altered[position] ^= 1
        segment.path.write_bytes(altered)
        assert not verify(segment.folder).sound, position
    segment.path.write_bytes(content)
    assert verify(segment.folder).sound


@pytest.mark.parametrize(
    ("lost", "problem"),
    [
        ((1, 0), "line 1: 4 missing before it"),
        ((1, 1), "line 2: 5 missing before it"),
        ((1, 2), "line 1: 6 missing before it"),
    ],
)
def test_a_missing_line_is_found(written, lost, problem):
    number, line = lost
    segment = segments(written)[number]
    segment.path.write_bytes(b"".join(text for at, text in enumerate(lines(segment)) if at != line))
    assert verify(written).problem.endswith(problem)


def test_a_line_is_told_by_its_place_and_file(written):
    segment = segments(written)[2]
    segment.path.write_bytes(segment.path.read_bytes().replace(b'"number":7', b'"number":0'))
    verdict = verify(written)
    assert verdict.problem == f"{segment.path.name}, line 2: its hash is another one"
    assert (verdict.entries, verdict.last) == (7, 7)


def test_lines_in_another_order_are_found(written):
    segment = segments(written)[1]
    one, two, three = lines(segment)
    for order in ((two, one, three), (one, three, two), (three, two, one), (one, one, two, three)):
        segment.path.write_bytes(b"".join(order))
        assert not verify(written).sound


def test_files_that_changed_places_are_found(written):
    one, two = segments(written)[1:3]
    first, second = one.path.read_bytes(), two.path.read_bytes()
    one.path.write_bytes(second)
    two.path.write_bytes(first)
    assert "4 to 6 missing before it" in verify(written).problem


def test_a_file_that_is_missing_in_the_middle_is_found(written):
    segments(written)[2].path.unlink()
    assert verify(written).problem.endswith("line 1: 7 to 9 missing before it")


def test_a_file_that_is_missing_at_the_beginning_is_found(written):
    for segment in segments(written)[:2]:
        segment.path.unlink()
    assert verify(written).problem == "1 to 6 missing at the beginning, and had not expired"


def test_more_than_what_expired_may_not_be_missing(written):
    Record(written, lambda: datetime(2026, 11, 29, 13, tzinfo=UTC)).expire(2)
    assert verify(written).first == 4
    assert verify(written).sound
    segments(written)[0].path.unlink()
    assert verify(written).problem == "4 to 6 missing at the beginning, and had not expired"


def test_an_end_that_was_cut_off_is_found_by_an_anchor_alone(written):
    anchor = end_of(written)
    last = segments(written)[-1]
    last.path.write_bytes(b"".join(lines(last)[:-1]))
    assert verify(written).sound
    assert verify(written, anchor).problem == "12 missing at the end, by the anchor"
    last.path.unlink()
    assert verify(written).sound
    assert not verify(written, anchor).sound


def test_all_of_it_gone_is_found_by_an_anchor(written):
    anchor = end_of(written)
    for segment in segments(written):
        segment.path.unlink()
    assert verify(written).sound
    assert verify(written, anchor).problem == "1 to 12 missing at the end, by the anchor"


def test_a_record_that_was_written_anew_is_found_by_an_anchor(written, tmp_path):
    anchor = end_of(written)
    forged = Record(tmp_path / "forged", lambda: datetime(2026, 11, 26, tzinfo=UTC))
    for number in range(ENTRIES):
        forged.append("decision", {"number": -number})
    assert verify(tmp_path / "forged").sound
    assert verify(tmp_path / "forged", anchor).problem.endswith("line 12: it is another one than the anchor's")


@pytest.mark.parametrize("sequence", range(1, ENTRIES + 1))
def test_an_anchor_may_be_any_entry_s(written, sequence):
    entry = log.newest_entries(written, ENTRIES)[-sequence]
    assert verify(written, Anchor(sequence, entry.hash)).sound
    assert not verify(written, Anchor(sequence, "0" * 64)).sound


def test_an_altered_line_with_a_new_hash_breaks_the_chain(written):
    segment = segments(written)[1]
    first, second, third = lines(segment)
    entry = log.decoded(second[:-1])
    forged, _ = log.encoded(entry.sequence, entry.time, entry.kind, {"number": 99}, entry.previous)
    segment.path.write_bytes(first + forged + third)
    assert verify(written).problem.endswith("line 3: it does not follow the entry before it")


def test_a_file_under_another_name_is_found(written):
    segment = segments(written)[-1]
    segment.path.rename(segment.folder / segment.path.name.replace("2026", "2027"))
    assert verify(written).problem.endswith("line 1: it is in a file of another name")


@pytest.mark.parametrize("content", [b"", b"{"])
def test_a_torn_file_is_found(written, content):
    segment = segments(written)[-1]
    segment.path.write_bytes(content)
    assert verify(written).problem.endswith("its last line is torn")


def test_it_may_be_verified_while_it_is_added_to(written):
    record = Record(written, lambda: datetime(2026, 11, 29, 13, tzinfo=UTC))
    for number in range(20):
        record.append("decision", {"number": number})
        assert verify(written).entries == ENTRIES + number + 1


def test_what_cannot_be_read_is_told(written):
    segment = segments(written)[1]
    segment.path.unlink()
    segment.path.mkdir()
    with pytest.raises(RecordError, match="Is a directory"):
        verify(written)


@pytest.mark.parametrize(
    "text", ["", "1", "1:", ":" + "0" * 64, "0:" + "0" * 64, "1:" + "0" * 63, "1:" + "G" * 64, "-1:" + "0" * 64]
)
def test_what_is_no_anchor_is_refused(text):
    with pytest.raises(ValueError, match="an anchor is SEQUENCE:HASH"):
        Anchor.of(text)


def test_an_anchor_is_read():
    assert Anchor.of("12:" + "ab" * 32) == Anchor(12, "ab" * 32)
