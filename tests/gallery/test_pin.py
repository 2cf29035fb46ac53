"""PINs: which ones can be set, what is kept of them, and that they leave the gallery with their person only."""

import sqlite3
from itertools import pairwise

import pytest
from examples import PARSER
from hypothesis import given
from hypothesis import strategies as st
from strangers import somebody

from appliance.gallery import backup
from appliance.gallery.gallery import Gallery
from appliance.gallery.people import NoSuchPersonError, OnConflict
from appliance.gallery.pin import NO_PIN, InvalidPinError, PinMatch, StoredPin, check_new


def test_a_pin_and_the_one_for_duress_are_reported_from_all_others():
    stored = StoredPin.of("4711", "4712")
    assert [stored.match(typed) for typed in ("4711", "4712", "4713", "47110", "471", "")] == [
        PinMatch.ORDINARY,
        PinMatch.DURESS,
        *[PinMatch.NONE] * 4,
    ]
    assert StoredPin.of("4711").match("4712") is PinMatch.NONE
    assert NO_PIN.match("4711") is PinMatch.NONE
    assert StoredPin.unpack(stored.pack()) == stored
    assert StoredPin.of("4711").digest != StoredPin.of("4711").digest
    assert len(StoredPin.of("4711").pack()) == len(StoredPin.of("47110815", "081547110"[:8]).pack())
    assert repr(stored) == "StoredPin()"


@given(st.text("0123456789", max_size=10) | st.text(max_size=6))
@PARSER
def test_only_digits_that_are_not_easily_guessed_can_be_set(text):
    digits = text.isascii() and text.isdigit() and 4 <= len(text) <= 8
    steps = {ord(after) - ord(before) for before, after in pairwise(text)}
    good = digits and len(set(text)) >= 3 and steps not in ({1}, {-1})
    if good:
        check_new("pin", text)
    else:
        with pytest.raises(InvalidPinError, match=r"^pin: "):
            check_new("pin", text)


@pytest.mark.parametrize("popular", ["1234", "1111", "0000", "1212", "7777", "4321", "123456", "87654321"])
def test_popular_ones_are_refused(popular):
    with pytest.raises(InvalidPinError, match=r"^pin: at least 3 different digits"):
        StoredPin.of(popular)
    with pytest.raises(InvalidPinError, match=r"^duress: at least 3 different digits"):
        StoredPin.of("4711", popular)


def test_the_two_pins_differ():
    with pytest.raises(InvalidPinError, match=r"^duress: it is the same"):
        StoredPin.of("4711", "4711")


def test_a_pin_is_kept_sealed_until_it_is_removed_or_the_person_erased(path, key, gallery):
    ada, bo = (gallery.add(somebody(name)).person for name in ("ada", "bo"))
    first, second = StoredPin.of("4711"), StoredPin.of("0815")
    gallery.set_pin("ada", first)
    gallery.set_pin("bo", second)
    assert (gallery.pin(ada.reference), gallery.pin(bo.reference)) == (first, second)
    gallery.close()
    everything = b"".join(file.read_bytes() for file in path.parent.iterdir())
    assert first.salt not in everything
    assert first.digest not in everything

    again = Gallery(path, key)
    assert again.pin(ada.reference) == first
    again.set_pin("bo", None)
    assert again.pin(bo.reference) is None
    again.erase("ada")
    assert again.pin(ada.reference) is None
    with pytest.raises(NoSuchPersonError):
        again.set_pin("ada", first)
    again.close()
    with sqlite3.connect(path) as database:
        assert database.execute("SELECT count(*) FROM pins").fetchone() == (0,)
    database.close()


def test_a_pin_that_was_exchanged_for_another_person_s_is_damage(path, key, gallery):
    for name in ("ada", "bo"):
        gallery.add(somebody(name))
        gallery.set_pin(name, StoredPin.of("4711"))
    gallery.close()
    with sqlite3.connect(path) as database:
        _, (other,) = database.execute("SELECT sealed FROM pins ORDER BY number").fetchall()
        database.execute("UPDATE pins SET sealed = ? WHERE number = 1", (other,))
    database.close()
    again = Gallery(path, key)
    assert "a PIN is broken" in str(again.problem())
    again.close()


def test_a_pin_is_in_no_archive_and_stays_with_a_person_who_is_restored(gallery):
    person, stored = gallery.add(somebody("ada")).person, StoredPin.of("4711")
    gallery.set_pin("ada", stored)
    exports = list(gallery.export())
    lines = b"".join(backup.packed(backup.Label(True, person.created, "0", None), iter(exports)))
    assert b"pin" not in lines.lower()
    assert gallery.replace(exports) == 1
    assert gallery.pin(person.reference) == stored
    gallery.merge(exports, OnConflict.REPLACE)
    assert gallery.pin(gallery.person("ada").person.reference) == stored
    gallery.replace([])
    assert gallery.snapshot.pins == {}


def test_a_gallery_of_the_version_before_gets_its_table(path, key, gallery):
    person = gallery.add(somebody("ada")).person
    gallery.close()
    with sqlite3.connect(path) as database:
        for table in ("pins", "shares", "fits"):
            database.execute(f"DROP TABLE {table}")
        database.execute("PRAGMA user_version = 1")
    database.close()
    again = Gallery(path, key)
    again.set_pin("ada", stored := StoredPin.of("4711"))
    assert again.pin(person.reference) == stored
    again.close()
