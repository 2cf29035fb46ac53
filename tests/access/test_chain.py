"""One line of the record: read as it was written, and not when a single bit of it is another."""

import hashlib
import json
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.access import log
from appliance.access.log import START, DamagedLineError

NOON = datetime(2026, 11, 26, 12, 0, 0, 123_456, tzinfo=timezone(timedelta(hours=1)))

parts = st.text(max_size=10) | st.integers()
facts = st.dictionaries(
    st.text(max_size=8), st.none() | st.booleans() | parts | st.lists(parts, max_size=4).map(tuple), max_size=5
)
LINE, HASH = log.encoded(7, NOON, "decision", {"result": "granted", "frames": (1, 2)}, "ab" * 32)


@given(
    st.integers(1, 10**12), st.datetimes(timezones=st.just(UTC)), st.from_regex(log.ENTRY_KIND, fullmatch=True), facts
)
def test_what_is_written_is_read(sequence, time, kind, some):
    line, digest = log.encoded(sequence, time, kind, some, START)
    assert line.endswith(b"\n")
    assert line.count(b"\n") == 1
    entry = log.decoded(line[:-1])
    assert (entry.sequence, entry.kind, entry.facts, entry.previous, entry.hash) == (
        sequence,
        kind,
        some,
        START,
        digest,
    )
    assert timedelta(0) <= time - entry.time < timedelta(milliseconds=1)


def test_the_line_is_json_and_its_hash_covers_the_rest():
    found = json.loads(LINE)
    assert found.pop("hash") == HASH
    assert found == {
        "facts": {"frames": [1, 2], "result": "granted"},
        "kind": "decision",
        "previous": "ab" * 32,
        "sequence": 7,
        "time": "2026-11-26T11:00:00.123Z",
    }
    body = json.dumps(found, sort_keys=True, separators=(",", ":")).encode()
    assert hashlib.sha256(body).hexdigest() == HASH


@given(st.integers(0, len(LINE) - 2), st.integers(1, 255))
def test_any_single_byte_that_is_another_is_found(position, change):
    line = bytearray(LINE[:-1])
    line[position] ^= change
    with pytest.raises(DamagedLineError):
        log.decoded(bytes(line))


@given(st.integers(0, len(LINE) - 2), st.integers(1, 20))
def test_what_is_missing_is_found(position, count):
    with pytest.raises(DamagedLineError):
        log.decoded(LINE[:position] + LINE[min(position + count, len(LINE) - 1) : -1])


@given(st.binary(max_size=200))
def test_what_is_no_line_is_refused(content):
    with pytest.raises(DamagedLineError):
        log.decoded(content)


@pytest.mark.parametrize(
    "body",
    [
        b"{}",
        b'{"facts":{},"kind":"x","previous":"","sequence":"1","time":"2026-11-26T11:00:00.123Z"}',
        b'{"facts":{},"kind":"x","previous":"","sequence":true,"time":"2026-11-26T11:00:00.123Z"}',
        b'{"facts":[],"kind":"x","previous":"","sequence":1,"time":"2026-11-26T11:00:00.123Z"}',
        b'{"facts":{"a":[[1]]},"kind":"x","previous":"","sequence":1,"time":"2026-11-26T11:00:00.123Z"}',
        b'{"facts":{"a":0.5},"kind":"x","previous":"","sequence":1,"time":"2026-11-26T11:00:00.123Z"}',
        b'{"facts":{"a":' + b"[" * 100_000 + b"]" * 100_000 + b'},"kind":"x"}',
        b'{"facts":{},"kind":"X","previous":"","sequence":1,"time":"2026-11-26T11:00:00.123Z"}',
        b'{"facts":{},"kind":"x","previous":"","sequence":1,"time":"2026-11-26T11:00:00.123"}',
        b'{"facts":{},"kind":"x","previous":"","sequence":1,"time":"2026-11-26T11:00:00.123Z","more":1}',
        b'{"facts": {},"kind":"x","previous":"","sequence":1,"time":"2026-11-26T11:00:00.123Z"}',
    ],
)
def test_another_s_line_with_a_true_hash_is_refused_all_the_same(body):
    digest = hashlib.sha256(body).hexdigest().encode()
    line = body[:-1] + b',"hash":"' + digest + b'"}'
    with pytest.raises(DamagedLineError):
        log.decoded(line)


@pytest.mark.parametrize("fact", [0.9, b"template", ["a"], (0.5,), {"a": 1}, (("a",),)])
def test_scores_and_templates_have_no_place(fact):
    with pytest.raises(ValueError, match=r"liveness: .* has no place in the record"):
        log.encoded(1, NOON, "decision", {"liveness": fact}, START)


@pytest.mark.parametrize("kind", ["", "Decision", "a-b", "x" * 33, "1"])
def test_a_kind_is_a_small_word(kind):
    with pytest.raises(ValueError, match="is no kind of entry"):
        log.encoded(1, NOON, kind, {}, START)
