"""People carried away and brought back: all of it or nothing, whatever happens on the way."""

import itertools
import random
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from people_of_nowhere import MODEL, face
from places import CHEAP, PASSPHRASE

from appliance.gallery import backup as archive
from appliance.gallery import backup as envelope
from appliance.gallery import vault
from appliance.gallery.people import Person, PersonExport, Source, Template, TemplateExport, new_reference

sys.path.append(str(Path(__file__).parents[1] / "gallery"))
from disks import ram_disk

WITH = ("--passphrase-file", "passphrase")

KILLS, KILLS_AT_NIGHT = 3, 12


def said(place):
    """All that is said of everybody, without the numbers of their templates, which each gallery gives anew."""
    with place.gallery() as gallery:
        return [
            (known.person, [(t.model, t.quality, t.source, t.created) for t in known.templates])
            for known in gallery.people()
        ]


def files(place):
    return sorted(each.name for each in place.state.iterdir())


def test_a_backup_brings_everyone_back_as_they_were(place):
    place.begin("ada", "bob", templates=2)
    before = said(place)
    place.says("backup", "people.backup", *WITH)
    assert (place.folder / "people.backup").stat().st_mode & 0o777 == 0o600
    place.says("erase", "ada", "--yes")
    place.says("add", "eve", "--name", "Eve")
    place.says("restore", "people.backup", *WITH)
    assert said(place) == before
    assert files(place) == ["decisions.db", "decisions.db-journal", "gallery.db"]


def test_another_device_knows_them_under_its_own_key_and_rotation(place, elsewhere):
    place.begin("ada", "bob")
    elsewhere.begin("carl")
    place.says("export", elsewhere.folder / "two", *WITH)
    assert elsewhere.says("import", "two", *WITH) == "added: ada bob\n"
    with place.gallery() as here, elsewhere.gallery() as there:
        (best,) = there.ranking(face(1), 1)
        assert there.named(best.reference).person.id == "bob"
        assert best.cosine == pytest.approx(1, abs=1e-5)
        one, other = (each.snapshot.rotation.matrices[0] for each in (here, there))
    assert not np.allclose(one, other)
    assert vault.read_site_key(place.key_file) != vault.read_site_key(elsewhere.key_file)
    assert elsewhere.people() == (["ada", "bob", "carl"], 3)


def test_who_is_there_already_is_refused_left_or_replaced(place, elsewhere):
    place.begin("ada", "bob", templates=2)
    elsewhere.begin("bob")
    place.says("export", elsewhere.folder / "two", "bob", "ada", *WITH)
    before = said(elsewhere)
    refused = elsewhere.run("import", "two", *WITH)
    assert (refused.returncode, refused.stderr.count("\n")) == (1, 1)
    assert "already a person with the id bob" in refused.stderr
    assert said(elsewhere) == before
    assert elsewhere.says("import", "two", "--skip", *WITH) == "added: ada\nunchanged: bob\n"
    assert elsewhere.people() == (["ada", "bob"], 3)
    assert elsewhere.says("import", "two", "--replace", *WITH) == "replaced: ada bob\n"
    assert elsewhere.people() == (["ada", "bob"], 4)


def test_an_older_copy_of_the_gallery_is_named_until_it_is_accepted(place):
    place.begin("ada", "bob")
    place.says("change", "ada", "--name", "Ada")
    older = place.database.read_bytes()
    place.says("erase", "bob", "--yes")
    place.database.write_bytes(older)
    listed = place.run("list")
    assert (listed.returncode, listed.stdout.count("\n")) == (1, 2)
    assert "the gallery is an older copy" in listed.stderr
    accepted = place.run("accept")
    assert (accepted.returncode, accepted.stderr.startswith("2 people with 2 templates: accepted; ")) == (0, True)
    (left,) = place.run("list").stderr.splitlines()  # what is true of them anyway
    assert left.startswith("recognised by the fast embedder alone, ")
    assert place.run("accept").stderr == "2 people with 2 templates: accepted; nothing was behind\n"


def test_a_lost_gallery_is_not_replaced_by_an_empty_one_unless_that_is_accepted(place):
    place.begin("ada")
    place.says("change", "ada", "--name", "Ada")
    for file in place.state.glob("gallery.db*"):
        file.unlink()
    done = place.run("add", "eve", "--name", "Eve")
    assert (done.returncode, "put it back" in done.stderr, place.database.exists()) == (1, True, False)
    assert place.run("accept").returncode == 0
    place.says("add", "eve", "--name", "Eve")
    assert place.run("list").stderr == ""


def test_an_import_warns_of_people_who_look_like_others(place, elsewhere, portrait, hopper):
    for device, people in ((place, {"ada": portrait}), (elsewhere, {"eve": portrait, "grace": hopper})):
        for identity, photo in people.items():
            (device.folder / f"{identity}.jpg").write_bytes(photo)
            device.begin(identity, templates=0)
            device.says("enrol", identity, f"{identity}.jpg")
    elsewhere.says("export", place.folder / "two", *WITH)
    done = place.run("import", "two", *WITH)
    assert (done.returncode, done.stdout, done.stderr) == (0, "added: eve grace\n", "eve: duplicate of ada\n")
    again = place.run("import", "two", "--replace", *WITH)
    assert again.stderr == "eve: duplicate of ada\n"


def test_an_import_of_an_unknown_embedder_says_that_it_looked_for_no_duplicates(place, elsewhere):
    elsewhere.begin("ada")
    elsewhere.says("export", place.folder / "one", *WITH)
    done = place.run("import", "one", *WITH)
    assert (done.returncode, "duplicates were not looked for" in done.stderr) == (0, True)


def test_no_more_templates_are_imported_than_a_person_may_have(place, elsewhere):
    elsewhere.begin("ada", "bob", templates=3)
    elsewhere.says("export", place.folder / "two", *WITH)
    place.config.write_text("[gallery]\nmost_templates = 2\n", "utf-8")
    done = place.run("import", "two", *WITH)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1)
    assert "ada has 3 templates, and gallery.most_templates allows 2" in done.stderr
    assert place.people() == ([], 0)


def test_an_export_is_no_backup(place):
    place.begin("ada", "bob")
    place.says("export", "one", "ada", *WITH)
    done = place.run("restore", "one", *WITH)
    assert (done.returncode, "1 person with 1 template, not a backup" in done.stderr) == (1, True)
    assert place.people() == (["ada", "bob"], 2)
    unknown = place.run("export", "other", "nobody", *WITH)
    assert (unknown.returncode, (place.folder / "other").exists()) == (1, False)


@pytest.mark.parametrize("spoilt", ["bit", "end", "passphrase"])
@pytest.mark.parametrize("act", ["restore", "import"])
def test_what_is_not_whole_changes_nothing(place, act, spoilt):
    place.begin("ada", "bob")
    place.says("backup", "people.backup", *WITH)
    place.says("erase", "bob", "--yes")
    path = place.folder / "people.backup"
    content = bytearray(path.read_bytes())
    if spoilt == "bit":
        content[-100] ^= 1
    path.write_bytes(content[:-1] if spoilt == "end" else content)
    if spoilt == "passphrase":
        place.passphrase.write_text("quite another passphrase")
    before = place.database.read_bytes()
    done = place.run(act, "people.backup", *WITH)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1)
    assert place.database.read_bytes() == before
    assert files(place) == ["decisions.db", "decisions.db-journal", "gallery.db"]


@pytest.mark.parametrize("damage", ["pages", "key"])
def test_a_backup_cures_a_gallery_that_is_of_no_use_any_more(place, damage):
    place.begin("ada", "bob", templates=3)
    before = said(place)
    place.says("backup", "people.backup", *WITH)
    with place.database.open("r+b") as file:
        if damage == "pages":
            file.seek(3 * 8192)
            file.write(bytes(place.database.stat().st_size - 3 * 8192))
        else:
            place.key_file.unlink()
    assert place.run("add", "eve", "--name", "Eve").returncode == 1
    done = place.run("restore", "people.backup", *WITH)
    assert done.returncode == 0
    assert str(place.key_file) in done.stderr
    assert said(place) == before


def test_a_backup_of_a_damaged_gallery_has_the_rest_and_says_so(place):
    place.begin(*(f"p{number}" for number in range(30)), templates=2)
    size = place.database.stat().st_size
    with place.database.open("r+b") as file:
        file.seek(size - 3 * 8192)
        file.write(bytes(8192))
    done = place.run("backup", "people.backup", *WITH)
    assert done.returncode == 1
    assert "holds what can still be read" in done.stderr
    with (place.folder / "people.backup").open("rb") as file:
        label, people = archive.unpacked(envelope.Opened(file, PASSPHRASE).content())
        assert label.whole
        assert 0 < archive.counted(people).people <= 30


@pytest.fixture(scope="module")
def big(tmp_path_factory):
    """A backup of five hundred templates."""
    now, path = datetime.now(UTC), tmp_path_factory.mktemp("big") / "big"
    people = (
        PersonExport(
            Person(f"new{number}", "New", (), None, None, new_reference(), now),
            tuple(
                TemplateExport(Template(0, MODEL, 0.75, Source.PHOTO, now, False), face(5 * number + each), None)
                for each in range(5)
            ),
        )
        for number in range(100)
    )
    pieces = envelope.sealed(archive.packed(archive.Label(True, now, "0", MODEL), people), PASSPHRASE, CHEAP)
    path.write_bytes(b"".join(pieces))
    return path


@pytest.mark.timeout(300)
def test_killed_at_any_moment_it_is_all_or_nothing(place, big, thorough):
    place.begin("old", templates=5)
    old, new = (["old"], 5), (sorted(f"new{number}" for number in range(100)), 500)
    begin = time.monotonic()
    assert place.process("restore", big, *WITH).returncode == 0
    whole = time.monotonic() - begin
    assert place.people() == new
    dice, seen = random.Random(7), []
    for _ in range(KILLS_AT_NIGHT if thorough else KILLS):
        for known in place.people()[0]:
            if known == "old":
                break
        else:
            with place.gallery() as gallery:
                gallery.replace(())
            place.begin("old", templates=5)
        process = subprocess.Popen(
            place.line("restore", big, *WITH),
            env=place.environment,
            cwd=place.folder,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        time.sleep(whole * (0.4 + 0.6 * dice.random()))  # before that it is Python that starts
        process.send_signal(signal.SIGKILL)
        process.wait()
        found = place.people()
        assert found in (old, new)
        if process.returncode == 0:
            assert found == new
        seen.append(found == new)
    assert place.process("restore", big, *WITH).returncode == 0
    assert place.people() == new
    assert files(place) == ["decisions.db", "decisions.db-journal", "gallery.db"]


def test_a_full_disk_changes_nothing_and_says_so(place, big):
    with ram_disk(place.state, "1m"):
        place.begin("old", templates=5)
        before = said(place)
        done = place.run("restore", big, *WITH)
        assert (done.returncode, "is full: make room" in done.stderr, done.stderr.count("\n")) == (1, True, 1)
        assert said(place) == before
        assert files(place) == ["gallery.db"]


def test_an_archive_that_finds_no_room_is_not_there(place, tmp_path):
    place.begin(*map(str, range(40)), templates=5)
    with ram_disk(tmp_path / "stick", "256k") as stick:
        (stick / "people.backup").write_bytes(b"the last one")
        done = place.run("backup", stick / "people.backup", *WITH)
        assert (done.returncode, "No space left on device" in done.stderr) == (1, True)
        assert [(each.name, each.read_bytes()) for each in stick.iterdir()] == [("people.backup", b"the last one")]


def test_people_are_streamed_and_not_gathered(place, big):
    """Five hundred templates are no reason to hold five hundred in memory at once."""
    with big.open("rb") as file:
        people = archive.unpacked(envelope.Opened(file, PASSPHRASE).content())[1]
        first = list(itertools.islice(people, 2))
        assert file.tell() < big.stat().st_size / 2
    assert len(first) == 2


def test_a_gallery_that_was_lost_leaves_its_last_backup_alone(place):
    place.begin("ada")
    backup = place.folder / "last.backup"
    place.says("backup", backup, "--passphrase-file", place.passphrase)
    before = backup.read_bytes()
    for file in place.state.glob("gallery.db*"):
        file.unlink()

    for act in (("backup", backup, "--passphrase-file", place.passphrase), ("list",), ("show", "ada")):
        done = place.run(*act)
        assert (done.returncode, "there is no gallery" in done.stderr) == (1, True)

    assert backup.read_bytes() == before
    assert not place.database.exists()
    place.says("restore", backup, "--passphrase-file", place.passphrase)
    assert "ada" in place.says("list")
