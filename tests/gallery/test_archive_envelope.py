"""An archive's envelope: what goes in comes out, and nothing that somebody has touched."""

import io
import struct

import pytest
from examples import PARSER
from hypothesis import given
from hypothesis import strategies as st

from appliance.gallery import backup
from appliance.gallery.backup import CHUNK, MAGIC, ArchiveError, Cost, Opened

PASSPHRASE = "correct horse battery"
CHEAP = Cost(1, 1, 1)
HEADER = len(MAGIC) + 36
TAG = 16


def sealed(content, passphrase=PASSPHRASE, cost=CHEAP):
    return b"".join(backup.sealed([content], passphrase, cost))


def opened(archive, passphrase=PASSPHRASE):
    return b"".join(Opened(io.BytesIO(archive), passphrase).content())


def refusal(archive, passphrase=PASSPHRASE):
    with pytest.raises(ArchiveError) as caught:
        opened(archive, passphrase)
    return str(caught.value)


THREE = sealed(b"a" * CHUNK + b"b" * CHUNK + b"c" * 10)
PARTS = [
    THREE[:HEADER],
    *(THREE[HEADER + k * (CHUNK + TAG) : HEADER + (k + 1) * (CHUNK + TAG)] for k in range(3)),
]


@given(st.lists(st.binary(max_size=300), max_size=8), st.text(min_size=12, max_size=40))
@PARSER
def test_what_goes_in_comes_out(pieces, passphrase):
    archive = b"".join(backup.sealed(pieces, passphrase, CHEAP))
    content = b"".join(pieces)
    assert opened(archive, passphrase) == content
    assert len(content) < 8 or content not in archive


@pytest.mark.parametrize("size", [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK, 3 * CHUNK + 5])
@pytest.mark.parametrize("piece", [1000, CHUNK, 10 * CHUNK])
def test_whatever_the_sizes(size, piece):
    content = bytes(range(256)) * (size // 256 + 1)
    content = content[:size]
    pieces = [content[at : at + piece] for at in range(0, size, piece)]
    archive = b"".join(backup.sealed(pieces, PASSPHRASE, CHEAP))
    assert opened(archive) == content
    assert len(archive) == HEADER + size + TAG * max(1, -(-size // CHUNK))


def test_a_shipped_archive_costs_what_its_header_says():
    archive = sealed(b"content", cost=backup.SHIPPED_COST)
    assert archive[len(MAGIC) : len(MAGIC) + 4] == bytes([1, 16, 8, 2])
    assert opened(archive) == b"content"


def test_no_two_archives_are_alike():
    assert sealed(b"content") != sealed(b"content")


SMALL = sealed(b"some content")


@given(st.integers(0, len(SMALL) - 1), st.integers(1, 255))
@PARSER
def test_any_altered_byte_is_noticed(place, change):
    altered = bytearray(SMALL)
    altered[place] ^= change
    with pytest.raises(ArchiveError):
        opened(bytes(altered))


@given(st.integers(HEADER, len(THREE) - 1), st.integers(0, 7))
@PARSER
def test_any_altered_bit_of_a_long_one_is_noticed(place, bit):
    altered = bytearray(THREE)
    altered[place] ^= 1 << bit
    assert "damaged or cut off" in refusal(bytes(altered))


@given(st.integers(0, len(SMALL) - 1) | st.integers(0, len(THREE) - 1))
@PARSER
def test_any_truncation_is_noticed(size):
    for archive in (SMALL, THREE):
        with pytest.raises(ArchiveError):
            opened(archive[: min(size, len(archive) - 1)])


@pytest.mark.parametrize(
    "parts",
    [
        [0, 1, 2],  # the last is gone
        [0, 1, 3],
        [0, 2, 1, 3],
        [0, 1, 1, 2, 3],
        [0, 1, 2, 3, 3],
        [0, 3],
        [0],
    ],
)
def test_parts_in_another_order_and_lost_or_doubled_ones_are_noticed(parts):
    assert "cut off" in refusal(b"".join(PARTS[part] for part in parts))


def test_a_part_of_another_archive_is_noticed():
    other = sealed(b"a" * CHUNK + b"b" * CHUNK + b"c" * 10)
    assert "damaged" in refusal(PARTS[0] + other[HEADER : HEADER + CHUNK + TAG] + PARTS[2] + PARTS[3])


@given(st.binary(min_size=1, max_size=100))
@PARSER
def test_what_follows_is_noticed(more):
    with pytest.raises(ArchiveError):
        opened(SMALL + more)


@given(st.text(max_size=40).filter(lambda text: text != PASSPHRASE))
@PARSER
def test_another_passphrase_opens_nothing(passphrase):
    assert "passphrase is wrong" in refusal(SMALL, passphrase)


@given(st.binary(max_size=200))
@PARSER
def test_anything_else_is_no_archive(content):
    assert refusal(content) == "this is not an archive of an appliance"
    with pytest.raises(ArchiveError):
        opened(MAGIC + content)


@pytest.mark.parametrize("said", [(0, 8, 2), (19, 8, 1), (255, 255, 255), (16, 9, 1), (16, 8, 17), (16, 0, 1)])
def test_a_header_that_asks_for_too_much_is_refused_at_once(said):
    header = struct.pack(">BBBB", 1, *said)
    assert "header is damaged" in refusal(MAGIC + header + bytes(32) + bytes(100))


def test_a_later_version_says_so():
    assert "version 2" in refusal(MAGIC + b"\x02" + SMALL[len(MAGIC) + 1 :])


@pytest.mark.parametrize("passphrase", ["", "short", "eleven char"])
def test_a_short_passphrase_seals_nothing(passphrase):
    with pytest.raises(ArchiveError, match="at least 12 characters"):
        sealed(b"content", passphrase)


def test_accents_may_be_put_together_either_way():
    composed, apart = "schl\u00fcssel genug", "schlu\u0308ssel genug"
    assert opened(sealed(b"content", composed), apart) == b"content"


def test_it_can_be_read_twice_and_stands_anywhere_in_a_file():
    file = io.BytesIO(b"before" + THREE)
    file.seek(6)
    twice = Opened(file, PASSPHRASE)
    assert next(twice.content()) == b"a" * CHUNK
    assert b"".join(twice.content()) == b"".join(twice.content()) == b"a" * CHUNK + b"b" * CHUNK + b"c" * 10
