"""Full, read-only and broken disks: it is told, what is known is still known, and nothing is lost in silence."""

import shutil
import sqlite3
from collections import deque
from contextlib import closing
from itertools import count

import pytest
from disks import breaking_disk, ram_disk, remount
from strangers import MODEL, enrolled, face, somebody

from appliance.gallery.gallery import Gallery
from appliance.gallery.people import GalleryUnavailableError, ReadOnlyError, Source, StorageFullError


def filled(gallery):
    """Enrols until nobody fits; the ids of those who were told to be there, by face."""
    known = {}
    for number in range(2000):
        try:
            gallery.add(somebody(f"p{number}"))
            gallery.enrol(f"p{number}", face(number), MODEL, 0.5, Source.PHOTO, bytes(5000))
        except StorageFullError:
            return known
        known[number] = f"p{number}"
    raise AssertionError("there was room for everybody")


def filled_at_last(gallery):
    """Adds people until it raises."""
    for number in range(1000):
        gallery.add(somebody(f"last{number}", "x" * 100))


def assert_known(gallery, known):
    for number, identity in known.items():
        best = gallery.ranking(face(number))[0]
        assert gallery.named(best.reference).person.id == identity
        assert best.cosine > 0.999


def test_a_full_disk_is_reported_and_everyone_stays_known(tmp_path, key):
    with ram_disk(tmp_path / "disk", "2M") as disk:
        ballast = disk / "ballast"
        ballast.write_bytes(bytes(1 << 20))
        with closing(Gallery(disk / "gallery.db", key, keep_pictures=True)) as gallery:
            known = filled(gallery)
            assert len(known) > 5
            assert isinstance(gallery.problem(), StorageFullError)
            assert "make room" in str(gallery.problem())
            assert_known(gallery, known)
            gallery.refresh()
            assert_known(gallery, known)
            with pytest.raises(StorageFullError):
                filled_at_last(gallery)

            with closing(Gallery(disk / "gallery.db", key)) as beside:
                assert_known(beside, known)

            ballast.unlink()
            gallery.refresh()
            assert gallery.problem() is None
            enrolled(gallery, "one-more", 10**6)
            assert gallery.erase("p0").complete
        with closing(Gallery(disk / "gallery.db", key)) as again:
            del known[0]
            assert_known(again, known | {10**6: "one-more"})
            assert again.problem() is None


def fill(disk):
    with (disk / "ballast").open("wb", buffering=0) as ballast, pytest.raises(OSError, match="No space"):
        deque(ballast.write(bytes(4096)) for _ in count())


def test_a_gallery_is_opened_on_a_full_disk(tmp_path, key):
    with ram_disk(tmp_path / "disk", "2M") as disk:
        with closing(Gallery(disk / "gallery.db", key)) as gallery:
            enrolled(gallery, "a", 1)
        fill(disk)
        with closing(Gallery(disk / "gallery.db", key)) as again:
            assert_known(again, {1: "a"})
            with pytest.raises(StorageFullError):
                filled_at_last(again)
            assert_known(again, {1: "a"})


def test_no_gallery_is_made_on_a_full_disk(tmp_path, key):
    with ram_disk(tmp_path / "disk", "64k") as disk:
        (disk / "ballast").write_bytes(bytes(61440))
        with pytest.raises(StorageFullError, match="make room"):
            Gallery(disk / "gallery.db", key)


@pytest.mark.parametrize("closed", [True, False], ids=["closed", "killed"])
def test_a_read_only_disk_is_reported_and_everyone_stays_known(tmp_path, key, closed):
    with ram_disk(tmp_path / "disk", "4M") as disk:
        with closing(Gallery(disk / "gallery.db", key)) as gallery:
            enrolled(gallery, "a", 1)
            for file in disk.iterdir():  # with its log, as a power cut leaves it
                shutil.copy(file, disk / f"cut{file.name[7:]}")
        remount(disk, "ro")
        with closing(Gallery(disk / ("gallery.db" if closed else "cut.db"), key)) as gallery:
            assert isinstance(gallery.problem(), ReadOnlyError)
            assert_known(gallery, {1: "a"})
            with pytest.raises(ReadOnlyError, match="remount it"):
                gallery.add(somebody("b"))
            with pytest.raises(ReadOnlyError):
                gallery.erase("a")
            gallery.refresh()
            assert isinstance(gallery.problem(), ReadOnlyError)

            remount(disk, "rw")
            gallery.refresh()
            assert gallery.problem() is None
            enrolled(gallery, "b", 2)
            assert_known(gallery, {1: "a", 2: "b"})


def test_a_gallery_that_could_not_be_opened_again_for_writing_is_opened_later(tmp_path, key):
    with ram_disk(tmp_path / "disk", "4M") as disk:
        with closing(Gallery(disk / "gallery.db", key)) as gallery:
            enrolled(gallery, "a", 1)
        remount(disk, "ro")
        with closing(Gallery(disk / "gallery.db", key)) as gallery:
            assert isinstance(gallery.problem(), ReadOnlyError)
            remount(disk, "rw")
            with closing(sqlite3.connect(disk / "gallery.db", isolation_level=None)) as other:
                other.execute("PRAGMA locking_mode = EXCLUSIVE")
                other.execute("BEGIN EXCLUSIVE")
                gallery.refresh()
                assert "another program" in str(gallery.problem())
                assert_known(gallery, {1: "a"})
            gallery.refresh()
            assert gallery.problem() is None
            enrolled(gallery, "b", 2)
            assert_known(gallery, {1: "a", 2: "b"})


def test_no_gallery_is_made_on_a_read_only_disk(tmp_path, key):
    with ram_disk(tmp_path / "disk", "4M") as disk:
        remount(disk, "ro")
        with pytest.raises(ReadOnlyError, match="cannot be written"):
            Gallery(disk / "gallery.db", key)


def test_a_disk_that_breaks_at_work_becomes_read_only(tmp_path, key):
    with (
        breaking_disk(tmp_path / "disk") as (disk, break_it),
        closing(Gallery(disk / "gallery.db", key)) as gallery,
    ):
        enrolled(gallery, "a", 1)
        break_it()
        with pytest.raises(GalleryUnavailableError):
            gallery.erase("a")
        gallery.refresh()
        assert isinstance(gallery.problem(), ReadOnlyError)
        assert_known(gallery, {1: "a"})
        with closing(Gallery(disk / "gallery.db", key)) as beside:
            assert isinstance(beside.problem(), ReadOnlyError)
            assert_known(beside, {1: "a"})
