"""A gallery in the place of one that is of no use any more."""

import pytest
from strangers import enrolled, face, somebody

from appliance.gallery.gallery import Gallery, rebuild
from appliance.gallery.people import GalleryDamagedError, GalleryError, InvalidPersonError, NoKeyError, PersonExport
from appliance.gallery.vault import SiteKey


@pytest.fixture
def people(tmp_path, key):
    """Two people, on their way."""
    with_two = Gallery(tmp_path / "elsewhere.db", key)
    enrolled(with_two, "ada", 1, 2)
    enrolled(with_two, "bob", 3)
    exports = tuple(with_two.export())
    with_two.close()
    return exports


def ids(gallery):
    return [known.person.id for known in gallery.people()]


def files(path):
    return sorted(each.name for each in path.parent.iterdir())


@pytest.fixture
def damaged(path, key):
    """A running gallery whose file is spoilt."""
    running = Gallery(path, key)
    enrolled(running, "old", *range(10, 15))
    running.close()
    content = bytearray(path.read_bytes())
    content[2 * 8192 :] = bytes(len(content) - 2 * 8192)
    path.write_bytes(content)
    running = Gallery(path, key)
    assert isinstance(running.problem(), GalleryDamagedError)
    yield running
    running.close()


def test_it_takes_the_place_of_a_damaged_one_and_a_running_device_notices(damaged, path, key, people):
    with pytest.raises(GalleryDamagedError):
        damaged.replace(people)
    assert rebuild(path, key, people) == 2
    damaged.refresh()
    assert (ids(damaged), damaged.problem(), damaged.templates) == (["ada", "bob"], None, 3)
    damaged.add(somebody("eve"))
    (found,) = damaged.ranking(face(3), 1)
    assert damaged.named(found.reference).person.id == "bob"
    again = Gallery(path, key)
    assert ids(again) == ["ada", "bob", "eve"]
    again.close()


def test_it_takes_the_place_of_one_whose_key_is_lost(path, key, people):
    with_lost_key = Gallery(path, SiteKey(b"lost" * 8))
    enrolled(with_lost_key, "old", 9)
    with pytest.raises(NoKeyError):
        Gallery(path, key)
    rebuild(path, key, people)
    with_lost_key.close()
    found = Gallery(path, key)
    assert ids(found) == ["ada", "bob"]
    found.close()
    assert files(path) == ["gallery.db"]


def test_what_goes_wrong_on_the_way_changes_nothing(path, key, people):
    before = Gallery(path, SiteKey(b"lost" * 8))
    enrolled(before, "old", 9)
    before.close()
    content = path.read_bytes()

    def broken():
        yield people[0]
        yield PersonExport(somebody("../x"), ())

    with pytest.raises(InvalidPersonError):
        rebuild(path, key, broken())
    assert (path.read_bytes(), files(path)) == (content, ["gallery.db"])


def test_what_another_attempt_has_left_is_no_hindrance(path, key, people):
    path.parent.mkdir()
    for name in (".gallery.db.restored", ".gallery.db.restored-wal"):
        path.with_name(name).write_bytes(b"half")
    rebuild(path, key, people)
    assert files(path) == ["gallery.db"]


def test_where_nothing_can_be_written_is_reported(path, key, people):
    path.parent.write_bytes(b"not a folder")
    with pytest.raises(GalleryError):
        rebuild(path, key, people)
