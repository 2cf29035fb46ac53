"""Seals: whatever is altered, moved, or sealed under another key does not open."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.gallery.vault import BrokenSealError, Seal, SiteKey

SEAL = Seal(SiteKey(bytes(32)))

places = st.lists(st.one_of(st.text(), st.integers()), min_size=1, max_size=4).map(tuple)


@given(st.binary(max_size=3000), places)
def test_what_is_sealed_opens_in_its_place(content, place):
    assert SEAL.open(SEAL.close(content, *place), *place) == content


@given(st.binary(max_size=100), places, places)
def test_it_opens_in_no_other_place(content, place, other):
    sealed = SEAL.close(content, *place)
    if place != other:
        with pytest.raises(BrokenSealError):
            SEAL.open(sealed, *other)


@given(st.binary(min_size=1, max_size=100), st.data())
def test_no_bit_can_be_altered(content, data):
    sealed = bytearray(SEAL.close(content, "a"))
    bit = data.draw(st.integers(0, len(sealed) * 8 - 1))
    sealed[bit // 8] ^= 1 << bit % 8
    with pytest.raises(BrokenSealError):
        SEAL.open(bytes(sealed), "a")


@pytest.mark.parametrize("rubbish", [b"", b"\0" * 11, b"\0" * 12, b"\0" * 28, None, "text", 5])
def test_rubbish_does_not_open(rubbish):
    with pytest.raises(BrokenSealError):
        SEAL.open(rubbish, "a")


def test_another_key_opens_nothing():
    with pytest.raises(BrokenSealError):
        Seal(SiteKey(b"\1" * 32)).open(SEAL.close(b"secret", "a"), "a")


def test_the_same_is_never_sealed_alike():
    assert len({SEAL.close(b"secret", "a") for _ in range(100)}) == 100


def test_a_tag_is_the_same_for_a_name_and_a_key_alone():
    assert SEAL.tag("jo") == SEAL.tag("jo")
    assert len({SEAL.tag("jo"), SEAL.tag("Jo"), Seal(SiteKey(b"\1" * 32)).tag("jo")}) == 3
