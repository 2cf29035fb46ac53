"""A database that was damaged, altered, moved away or sealed with another key."""

import os
import random
import shutil
import sqlite3
from contextlib import closing

import pytest
from strangers import MODEL, enrolled, face, somebody

from appliance.gallery.gallery import Gallery
from appliance.gallery.people import (
    GalleryDamagedError,
    GalleryError,
    GalleryUnavailableError,
    NoKeyError,
    Source,
)
from appliance.gallery.records import pack_export
from appliance.gallery.vault import SiteKey


@pytest.fixture(scope="module")
def forty(tmp_path_factory):
    """The folder of a gallery, closed, of forty people with a template and a picture each."""
    folder = tmp_path_factory.mktemp("forty") / "state"
    gallery = Gallery(folder / "gallery.db", SiteKey(bytes(range(32))), keep_pictures=True)
    for number in range(40):
        enrolled(gallery, f"p{number:02}", number, picture=bytes([number]) * 3000)
    gallery.close()
    return folder


@pytest.fixture
def full(forty, path):
    """A copy of it."""
    shutil.copytree(forty, path.parent)
    return path


def raw(path, statement, *values):
    connection = sqlite3.connect(path)
    with connection:
        connection.execute(statement, values)
    connection.close()


def overwrite(path, offset, content):
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(content)


def found(gallery):
    """The numbers of those who are recognised; nobody is taken for another."""
    recognised = set()
    for number in range(40):
        for candidate in gallery.ranking(face(number), 1):
            if candidate.cosine > 0.999:
                assert gallery.named(candidate.reference).person.id == f"p{number:02}"
                recognised.add(number)
    return recognised


def assert_unharmed(gallery):
    assert gallery.problem() is None
    assert len(gallery.people()) == 40
    assert found(gallery) == set(range(40))


def assert_damaged(gallery):
    """It says so in one line, what to do, and nothing is written."""
    assert isinstance(gallery.problem(), GalleryDamagedError)
    assert "appliance people restore FILE" in str(gallery.problem())
    assert "\n" not in str(gallery.problem())
    for act in (
        lambda: gallery.add(somebody("new")),
        lambda: gallery.erase(gallery.people()[0].person.id),
        lambda: gallery.rotate(),
        lambda: gallery.replace([]),
    ):
        with pytest.raises(GalleryDamagedError):
            act()
    gallery.refresh()
    assert isinstance(gallery.problem(), GalleryDamagedError)


def page_of(path, table, place):
    """The offset and the size of one of a table's pages."""
    connection = sqlite3.connect(path)
    (size,) = connection.execute("PRAGMA page_size").fetchone()
    pages = connection.execute("SELECT pageno FROM dbstat WHERE name = ? AND pagetype = 'leaf'", [table]).fetchall()
    connection.close()
    assert len(pages) > 2
    return (pages[int(place * len(pages))][0] - 1) * size, size


@pytest.mark.parametrize("place", [0, 0.5, 0.999], ids=["first", "middle", "last"])
@pytest.mark.parametrize("rubbish", [b"\0", b"\xff", b"\x5a"])
def test_a_damaged_page_costs_no_more_than_what_was_on_it(full, key, place, rubbish):
    try:
        offset, size = page_of(full, "templates", place)
    except sqlite3.OperationalError:
        pytest.skip("this SQLite cannot tell pages (SQLITE_ENABLE_DBSTAT_VTAB)")
    overwrite(full, offset, rubbish * size)
    gallery = Gallery(full, key)
    assert_damaged(gallery)
    assert len(gallery.people()) == 40
    assert 37 <= len(found(gallery)) < 40
    assert sum(len(export.templates) for export in gallery.export()) == len(found(gallery))
    gallery.close()


@pytest.mark.parametrize("seed", range(12))
def test_bytes_anywhere_in_the_middle_are_noticed_or_did_not_matter(full, key, seed):
    size = full.stat().st_size
    offset = 8192 + (size - 8192 - 64) * seed // 12
    overwrite(full, offset, random.Random(seed).randbytes(64))
    try:
        gallery = Gallery(full, key, keep_pictures=True)
    except GalleryUnavailableError:
        return
    if gallery.problem() is None:
        assert_unharmed(gallery)
    else:
        assert_damaged(gallery)
        found(gallery)
    gallery.close()


@pytest.mark.parametrize("content", [b"", b"\0" * 100, b"not a database at all" * 50])
def test_a_header_that_is_overwritten_or_a_file_that_is_empty_is_reported(full, key, content):
    if content:
        overwrite(full, 0, content)
    else:
        os.truncate(full, 0)
    before = full.read_bytes()
    with pytest.raises(GalleryDamagedError, match="appliance people restore FILE"):
        Gallery(full, key)
    assert full.read_bytes() == before


def test_a_file_that_was_cut_is_reported(full, key):
    os.truncate(full, full.stat().st_size // 2)
    try:
        gallery = Gallery(full, key)
    except GalleryDamagedError:
        return
    assert_damaged(gallery)
    found(gallery)
    gallery.close()


@pytest.mark.parametrize("rubbish", [b"\0", b"\xff", b"W"])
@pytest.mark.parametrize("start", [0, 40], ids=["header", "frames"])
def test_rubbish_in_the_log_loses_nothing_that_was_confirmed(tmp_path, path, key, rubbish, start):
    gallery = Gallery(path, key)
    for number in range(40):
        enrolled(gallery, f"p{number:02}", number)
    crashed = tmp_path / "crashed"
    shutil.copytree(path.parent, crashed)  # as it is on the disk while it is open
    gallery.close()
    log = crashed / "gallery.db-wal"
    assert log.stat().st_size > 4096
    overwrite(log, start, rubbish * (log.stat().st_size - start))
    again = Gallery(crashed / "gallery.db", key)
    assert_unharmed(again)
    again.close()


def test_another_key_opens_nothing_and_changes_nothing(full):
    before = full.read_bytes()
    with pytest.raises(NoKeyError, match="not the one"):
        Gallery(full, SiteKey(b"another key, of thirty-two bytes"))
    assert full.read_bytes() == before


def test_a_template_that_was_moved_to_another_person_is_not_taken_for_theirs(full, key):
    raw(full, "UPDATE templates SET person = 2 WHERE number = 1")
    gallery = Gallery(full, key)
    assert_damaged(gallery)
    assert found(gallery) == set(range(1, 40))
    assert [len(known.templates) for known in gallery.people()[:3]] == [0, 1, 1]
    gallery.close()


def test_nor_when_it_comes_with_the_picture_of_the_other(full, key):
    raw(full, "UPDATE pictures SET sealed = (SELECT sealed FROM pictures WHERE number = 2) WHERE number = 1")
    gallery = Gallery(full, key)
    with pytest.raises(GalleryDamagedError):
        list(gallery.pictures(gallery.person("p00").person.reference))
    gallery.close()


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE templates SET sealed = (SELECT sealed FROM templates WHERE number = 2) WHERE number = 1",
        "UPDATE people SET sealed = (SELECT sealed FROM people WHERE number = 2) WHERE number = 1",
        "UPDATE people SET tag = x'00' WHERE number = 1",
        "UPDATE people SET tag = 'text' WHERE number = 1",
        "UPDATE people SET tag = 5 WHERE number = 1",
        "UPDATE templates SET sealed = 5 WHERE number = 1",
        "UPDATE templates SET sealed = 'text' WHERE number = 1",
        "UPDATE templates SET person = 999 WHERE number = 1",
        "UPDATE templates SET number = 999 WHERE number = 1",
        "DELETE FROM people WHERE number = 1",
    ],
)
def test_rows_that_were_altered_by_hand_are_reported_and_left_out(full, key, statement):
    raw(full, statement)
    gallery = Gallery(full, key)
    assert_damaged(gallery)
    assert found(gallery) == set(range(1, 40))
    gallery.close()


def test_facts_that_were_erased_are_reported(full, key):
    raw(full, "DELETE FROM facts")
    with pytest.raises(GalleryDamagedError, match="appliance people restore FILE"):
        Gallery(full, key)


@pytest.mark.parametrize("seed", range(8))
def test_a_flipped_bit_is_reported_or_harmless(path, key, seed):
    """Nothing but the gallery's own errors is raised; every other bit is one of the header's."""
    with closing(Gallery(path, key, keep_pictures=True)) as gallery:
        for number in range(4):
            enrolled(gallery, f"p{number}", number, 10 + number, picture=bytes([number]) * 1000)
        before = [pack_export(each) for each in gallery.export()]
    content, dice = path.read_bytes(), random.Random(seed)
    for flip in range(6):
        place = dice.randrange(100 if flip % 2 else len(content))
        altered = bytearray(content)
        altered[place] ^= 1 << dice.randrange(8)
        path.write_bytes(altered)
        try:
            with closing(Gallery(path, key)) as gallery:
                found = [pack_export(each) for each in gallery.export()]
                gallery.refresh()
                assert gallery.problem() or found == before, f"byte {place}"
        except GalleryError:
            continue


def test_a_picture_that_is_damaged_is_reported_and_left_out(full, key):
    raw(full, "UPDATE pictures SET sealed = zeroblob(3000) WHERE number = 1")
    with closing(Gallery(full, key)) as gallery:
        assert gallery.problem() is None  # pictures are only read when they are asked for
        first, second, *_ = gallery.export()
        assert (first.templates[0].picture, second.templates[0].picture) == (None, bytes([1]) * 3000)
        assert_damaged(gallery)


def test_rows_that_are_altered_at_work_are_reported(full, key):
    gallery = Gallery(full, key)
    raw(full, "UPDATE templates SET person = 2 WHERE number = 1")
    gallery.refresh()
    assert_damaged(gallery)
    assert found(gallery) == set(range(1, 40))
    gallery.close()


def test_a_file_that_was_deleted_at_work_is_reported_and_can_be_put_back(full, key):
    gallery = Gallery(full, key)
    elsewhere = full.with_name("elsewhere")
    full.rename(elsewhere)
    for act in (lambda: gallery.erase("p00"), lambda: gallery.enrol("p00", face(1), MODEL, 0.5, Source.PHOTO)):
        with pytest.raises(GalleryDamagedError, match="put it back"):
            act()
    gallery.refresh()
    assert "deleted, moved or renamed" in str(gallery.problem())
    assert found(gallery) == set(range(40))
    elsewhere.rename(full)
    gallery.refresh()
    assert_unharmed(gallery)
    assert gallery.erase("p00").complete
    gallery.close()


def test_another_file_in_its_place_is_taken_over(full, key, tmp_path):
    gallery = Gallery(full, key)
    other = Gallery(tmp_path / "gallery.db", key)
    enrolled(other, "p39", 39)
    other.close()
    for suffix in ("-wal", "-shm"):
        full.with_name(full.name + suffix).unlink(missing_ok=True)
    (tmp_path / "gallery.db").rename(full)
    gallery.refresh()
    assert gallery.problem() is None
    assert [known.person.id for known in gallery.people()] == ["p39"]
    assert found(gallery) == {39}
    gallery.erase("p39")
    gallery.close()


def test_one_of_another_site_in_its_place_is_not(full, key, tmp_path):
    gallery = Gallery(full, key)
    Gallery(tmp_path / "gallery.db", SiteKey(b"\1" * 32)).close()
    (tmp_path / "gallery.db").rename(full)
    gallery.refresh()
    assert isinstance(gallery.problem(), NoKeyError)
    assert found(gallery) == set(range(40))
    gallery.close()


def test_a_gallery_of_a_newer_version_is_left_alone(full, key):
    raw(full, "PRAGMA user_version = 99")
    with pytest.raises(GalleryUnavailableError, match="newer version"):
        Gallery(full, key)


def test_an_empty_gallery_does_not_take_the_place_of_one_that_was_lost(path, key):
    with closing(Gallery(path, key)) as gallery:
        enrolled(gallery, "a", 1)
        for file in path.parent.iterdir():
            file.unlink()
        Gallery(path, key).close()  # another program makes one
        gallery.refresh()
        assert isinstance(gallery.problem(), GalleryDamagedError)
        assert [known.person.id for known in gallery.people()] == ["a"]
        with pytest.raises(GalleryDamagedError):
            gallery.add(somebody("b"))
