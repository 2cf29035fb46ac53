"""An older copy of the gallery or of the record of decisions is noticed, whatever the name or the file that went back."""

import os
import shutil
import sqlite3
from contextlib import closing, contextmanager
from datetime import UTC, datetime

import pytest
from strangers import MODEL, enrolled, face, somebody

from appliance.access.log import RECORD_FILE, Record
from appliance.gallery.gallery import Gallery, rebuild
from appliance.gallery.people import (
    GalleryDamagedError,
    GalleryRolledBackError,
    RecordRolledBackError,
    Source,
)
from appliance.gallery.vault import SiteKey


@pytest.fixture
def record(path):
    """The record of decisions, beside the gallery."""
    return Record(path.parent / RECORD_FILE)


@pytest.fixture
def reopened(path, key, record):
    """Opens the gallery anew; within, it is open."""

    @contextmanager
    def opened(**how):
        with closing(Gallery(path, key, record=record, **how)) as gallery:
            yield gallery

    return opened


@pytest.fixture
def copies(path, tmp_path, reopened):
    """A gallery of two people and its record, and a folder with copies from before the second one was erased."""
    with reopened() as gallery:
        for number, identity in enumerate(("ada", "bob")):
            enrolled(gallery, identity, number)
        assert gallery.rollback() is None
    shutil.copytree(path.parent, tmp_path / "copies")
    with reopened() as gallery:
        gallery.erase("bob")
        assert gallery.rollback() is None
    return tmp_path / "copies"


def ids(gallery):
    return [known.person.id for known in gallery.people()]


def test_nothing_is_behind_in_daily_use(reopened, record):
    for number in range(3):
        with reopened() as gallery:
            assert (gallery.rollback(), gallery.problem()) == (None, None)
            reference = enrolled(gallery, f"p{number}", number)
            gallery.note_passage(reference, "in", datetime.now(UTC))
            gallery.enrol(f"p{number}", face(9), MODEL, 0.5, Source.PHOTO)
            record.append("decision", {"reason": "not_live"})
            gallery.rotate()
            gallery.refresh()
            assert gallery.rollback() is None
    with reopened() as one, reopened() as other:
        one.add(somebody("one"))
        other.add(somebody("other"))
        one.refresh()
        assert (one.rollback(), other.rollback()) == (None, None)


class BusyRecord(Record):
    """A record beside which another process changes the gallery just before the counter is read."""

    def __init__(self, path):
        super().__init__(path)
        self.meanwhile = list

    def counter(self):
        self.meanwhile()
        return super().counter()


def test_what_another_process_adds_during_the_comparison_is_no_rollback(path, key, reopened):
    record = BusyRecord(path.parent / RECORD_FILE)
    with reopened() as other, closing(Gallery(path, key, record=record)) as gallery:
        names = iter(range(100))
        record.meanwhile = lambda: other.add(somebody(f"p{next(names)}"))
        for number in range(3):
            other.add(somebody(f"q{number}"))
            gallery.refresh()
            assert gallery.rollback() is None
        with closing(Gallery(path, key, record=record)) as opened:
            assert opened.rollback() is None


def test_an_older_gallery_is_noticed_until_it_is_accepted(path, copies, reopened):
    shutil.copy(copies / path.name, path)
    with reopened() as gallery:
        assert isinstance(gallery.rollback(), GalleryRolledBackError)
        assert "the gallery is an older copy" in str(gallery.rollback())
        assert (ids(gallery), gallery.problem()) == (["ada", "bob"], None)
        for number in range(3):
            gallery.add(somebody(f"more{number}"))
        assert isinstance(gallery.rollback(), GalleryRolledBackError)
    with reopened() as gallery:
        assert isinstance(gallery.rollback(), GalleryRolledBackError)
        with reopened() as beside:
            beside.accept()
            assert beside.rollback() is None
        gallery.refresh()
        assert gallery.rollback() is None
        gallery.erase("bob")
    shutil.copy(copies / path.name, path)
    with reopened() as gallery:
        assert isinstance(gallery.rollback(), GalleryRolledBackError)


def test_an_older_gallery_that_takes_its_place_at_work_is_noticed(path, copies, reopened):
    with reopened() as gallery:
        shutil.copy(copies / path.name, path.with_name("older"))
        for suffix in ("-wal", "-shm"):
            path.with_name(path.name + suffix).unlink(missing_ok=True)
        path.with_name("older").rename(path)
        gallery.refresh()
        assert isinstance(gallery.rollback(), GalleryRolledBackError)


@pytest.mark.parametrize("how", ["older", "lost", "unreadable", "another site's"])
def test_an_older_or_lost_record_is_noticed_and_the_gallery_works(path, copies, reopened, record, how):
    file = path.with_name(RECORD_FILE)
    with reopened() as gallery:
        gallery.add(somebody("eve"))  # from here on the gallery knows that the record has seen bob's erasure
    if how == "older":
        shutil.copy(copies / RECORD_FILE, file)
    elif how == "lost":
        file.unlink()
    elif how == "unreadable":
        file.write_bytes(b"not a database" * 1000)
    else:
        with closing(sqlite3.connect(file)) as database, database:
            database.execute("UPDATE counter SET sealed = zeroblob(40)")
    with reopened() as gallery:
        assert isinstance(gallery.rollback(), RecordRolledBackError)
        assert (ids(gallery), gallery.problem()) == (["ada", "eve"], None)
        gallery.add(somebody("fay"))
        assert isinstance(gallery.rollback(), RecordRolledBackError)
        gallery.accept()
        assert gallery.rollback() is None
    with reopened() as gallery:
        assert gallery.rollback() is None


def test_a_record_that_cannot_be_read_now_is_not_a_lost_one(path, copies, reopened):
    file = path.with_name(RECORD_FILE)
    with reopened() as gallery:
        gallery.add(somebody("eve"))  # from here on the gallery knows that the record has seen bob's erasure

    @contextmanager
    def unreadable():
        aside = file.rename(file.with_name("aside"))
        file.mkdir()
        yield
        file.rmdir()
        aside.rename(file)

    with unreadable(), reopened() as gallery:
        assert gallery.rollback() is None
        gallery.add(somebody("fay"))
        gallery.refresh()
        assert gallery.rollback() is None
    shutil.copytree(path.parent, path.parent.with_name("then"))
    with reopened() as gallery:
        assert gallery.rollback() is None
        gallery.erase("fay")
        assert gallery.rollback() is None
    shutil.copy(path.parent.with_name("then") / path.name, path)
    with unreadable(), reopened() as gallery:
        assert gallery.rollback() is None
        aside = file.with_name("aside")
        file.rmdir()
        aside.rename(file)
        gallery.refresh()
        assert isinstance(gallery.rollback(), GalleryRolledBackError)
        file.rename(aside)
        file.mkdir()
        gallery.refresh()
        assert isinstance(gallery.rollback(), GalleryRolledBackError)


def test_a_crash_between_the_two_is_no_rollback(path, key, reopened):
    with reopened() as gallery:
        enrolled(gallery, "ada", 1)
    for number in range(3):
        with closing(Gallery(path, key)) as gallery:  # the record learns nothing of it
            gallery.add(somebody(f"p{number}"))
        with reopened() as gallery:
            assert gallery.rollback() is None
            gallery.add(somebody(f"q{number}"))
            assert gallery.rollback() is None


def test_a_lost_counter_of_the_gallery_is_noticed(path, copies, reopened):
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("DELETE FROM facts WHERE name = 'counter'")
    with reopened() as gallery:
        assert isinstance(gallery.rollback(), GalleryRolledBackError)
        assert (ids(gallery), gallery.problem()) == (["ada"], None)


def test_a_missing_gallery_is_not_taken_for_a_new_one(path, copies, reopened):
    elsewhere = path.rename(path.with_name("callery.db"))
    with pytest.raises(GalleryDamagedError, match=r"deleted, moved or renamed: put it back"), reopened():
        raise AssertionError("an empty one was made")
    assert not path.exists()
    elsewhere.rename(path)
    with reopened() as gallery:
        assert (ids(gallery), gallery.rollback()) == (["ada"], None)
    path.unlink()
    with reopened(fresh=True) as gallery:
        assert isinstance(gallery.rollback(), GalleryRolledBackError)
        gallery.accept()
    with reopened() as gallery:
        assert (ids(gallery), gallery.rollback()) == ([], None)
        enrolled(gallery, "new", 1)
        assert gallery.rollback() is None


def test_restoring_is_no_rollback(path, key, copies, reopened, record):
    with reopened() as gallery:
        exports = list(gallery.export())
        gallery.replace(exports)
        assert gallery.rollback() is None
    shutil.copy(copies / path.name, path)
    with reopened() as gallery:
        assert gallery.rollback()
        gallery.replace(exports)
        assert gallery.rollback() is None
    path.write_bytes(b"")
    rebuild(path, key, exports, record)
    with reopened() as gallery:
        assert (ids(gallery), gallery.rollback()) == (["ada"], None)


def test_a_failed_rebuild_leaves_the_record_as_it_was(path, key, copies, record):
    def broken():
        yield from ()
        raise GalleryDamagedError("on the way")

    before = record.counter()
    with pytest.raises(GalleryDamagedError, match="on the way"):
        rebuild(path, key, broken(), record)
    assert record.counter() == before


def test_the_counter_of_another_site_means_nothing(path, copies, record, tmp_path):
    other = SiteKey(b"\1" * 32)
    with closing(Gallery(tmp_path / "other.db", other, record=record)) as gallery:
        gallery.add(somebody("ada"))
        assert gallery.rollback() is None


@pytest.mark.parametrize("name", ["gallery.db", "gallery.db-wal", RECORD_FILE])
def test_a_flipped_bit_of_a_name_is_reported_or_harmless(path, key, reopened, tmp_path, name):
    with reopened() as gallery:
        for number, identity in enumerate(("ada", "bob")):
            enrolled(gallery, identity, number)
        cut = shutil.copytree(path.parent, tmp_path / "cut")  # with the log, as a power cut leaves it
    for bit in range(0, 8 * len(name), 3):
        flipped = bytearray(name.encode())
        flipped[bit // 8] ^= 1 << bit % 8
        if flipped[bit // 8] == ord("/"):
            continue
        now = shutil.copytree(cut, tmp_path / f"now{bit}")
        (now / name).rename(now / os.fsdecode(bytes(flipped)))
        try:
            with closing(Gallery(now / path.name, key, record=Record(now / RECORD_FILE))) as gallery:
                assert (ids(gallery), name) != (["ada", "bob"], "gallery.db")
                assert isinstance(gallery.rollback(), RecordRolledBackError) or name == "gallery.db-wal"
        except GalleryDamagedError:
            assert name == "gallery.db"
