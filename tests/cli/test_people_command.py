"""`appliance people`: each act, as it is typed."""

import hashlib
import json
import re
from datetime import UTC, datetime
from pathlib import Path

import appliance_models
import pytest
from bodies import group, jpeg, opened
from people_of_nowhere import face

from appliance.access.invitations import Invitations, NoSuchInvitationError
from appliance.access.log import RECORD_FILE, Record
from appliance.face.embedding import weighted
from appliance.gallery.people import Source
from appliance.gallery.vault import read_site_key


def test_a_person_is_added_shown_changed_and_erased(place):
    assert "there is no gallery" in place.run("list").stderr
    place.says("add", "7-a", "--name", "Ada Lovelace", "--groups", "staff,night", "--valid-until", "2099-12-31")
    place.says("change", "7-a", "--credential", "26:17:4711")
    assert place.says("list").split() == [
        "7-a",
        "Ada",
        "Lovelace",
        "0",
        "templates",
        "staff,night",
        "until",
        "2099-12-31",
    ]
    place.says("change", "7-a", "--groups", "", "--valid-until", "never", "--valid-from", "2026-01-01")
    (person,) = json.loads(place.says("list", "--json"))["people"]
    created = person.pop("created")
    assert created.endswith("Z")
    assert person == {
        "id": "7-a",
        "name": "Ada Lovelace",
        "groups": [],
        "valid_from": "2026-01-01",
        "valid_until": None,
        "credential": {"format": "26", "facility": 17, "card": 4711},
        "templates": [],
        "fit": None,
    }
    assert json.loads(place.says("show", "7-a", "--json")) == {"person": {**person, "created": created}}
    assert "from 2026-01-01" in place.says("show", "7-a")
    assert "credential 26:17:4711" in place.says("show", "7-a")
    place.says("change", "7-a", "--credential", "none")
    assert json.loads(place.says("show", "7-a", "--json"))["person"]["credential"] is None
    receipt = json.loads(place.says("erase", "7-a", "--yes"))
    assert (receipt["id"], receipt["templates"], receipt["complete"]) == ("7-a", 0, True)
    assert place.says("list") == "no people\n"


def test_an_invitation_is_a_link_to_the_page_of_the_device(place):
    place.says("add", "ada", "--name", "Ada")
    first, link = (
        place.says("invite", "ada", "--url", url).strip() for url in ("http://x:80", "https://door.example/a/")
    )
    assert re.fullmatch(r"http://x:80/enrol/[\w-]{43}", first)
    assert re.fullmatch(r"https://door\.example/a/enrol/[\w-]{43}", link)
    book = Invitations(place.state, lambda: read_site_key(place.key_file))
    assert book.find(link.rpartition("/")[2]).expires > datetime.now(UTC)
    with pytest.raises(NoSuchInvitationError):
        book.find(first.rpartition("/")[2])
    assert "no person with the id" in place.run("invite", "eve", "--url", "http://x").stderr
    with pytest.raises(SystemExit, match="2"):
        place.run("invite", "ada", "--url", "door.example")


def test_a_command_of_the_shell_goes_by_the_named_configuration(place):
    place.config.write_text(f'[gallery]\nkey_file = "{place.folder}/my.key"\n', "utf-8")
    done = place.process("add", "ada", "--name", "Ada")
    assert (done.returncode, done.stdout) == (0, "")
    assert "appliance people enrol ada PHOTO" in done.stderr
    assert (place.folder / "my.key").exists()
    assert not place.key_file.exists()
    place.config.write_text("[gallery]\nkey = 7\n", "utf-8")
    assert place.process("list").returncode == 78


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["show", "nobody"], "there is no person with the id"),
        (["change", "nobody", "--name", "X"], "there is no person with the id"),
        (["erase", "ada", "nobody", "--yes"], "there is no person with the id"),
        (["enrol", "nobody", "x.jpg"], "there is no person with the id"),
        (["forget", "ada", "99"], "no template 99"),
        (["add", "ada", "--name", "X"], "there is already a person with the id ada"),
        (["add", "../x", "--name", "X"], "id: "),
        (["add", "x", "--name", " "], "name: "),
        (["erase", "ada"], "--yes confirms it"),
        (["erase", "--all"], "--yes confirms it"),
        (["backup", "nowhere/x", "--passphrase-file", "passphrase"], "nowhere: no such folder"),
        (["restore", "nothing", "--passphrase-file", "passphrase"], "nothing: No such file"),
        (["restore", "config.toml", "--passphrase-file", "passphrase"], "not an archive of an appliance"),
        (["backup", "x", "--passphrase-file", "nothing"], "nothing: No such file"),
        (["backup", "x"], "no terminal to ask for the passphrase"),
    ],
)
def test_an_impossible_change_is_reported_in_one_line_and_changes_nothing(place, arguments, complaint):
    place.begin("ada")
    done = place.run(*arguments)
    assert (done.returncode, done.stdout) == (1, "")
    assert complaint in done.stderr
    assert done.stderr.count("\n") == 1
    assert place.people() == (["ada"], 1)


@pytest.mark.parametrize(
    "arguments",
    [[], ["erase"], ["erase", "x", "--all"], ["add", "x"], ["add", "x", "--name", "X", "--valid-from", "soon"]],
)
def test_wrong_usage_is_2(place, arguments):
    try:
        status = place.run(*arguments).returncode
    except SystemExit as ended:
        status = ended.code
    assert status == 2


def test_photos_are_enrolled_by_the_same_rules_as_over_http(place, portrait, hopper):
    (place.folder / "portrait.jpg").write_bytes(portrait)
    (place.folder / "hopper.jpg").write_bytes(hopper)
    (place.folder / "text.jpg").write_bytes(b"no photo")
    place.begin("ada", templates=0)
    done = place.run("enrol", "ada", "portrait.jpg", "text.jpg", "hopper.jpg", "nothing.jpg")
    assert done.returncode == 1
    assert done.stdout.startswith("portrait.jpg: template 1, quality ")
    complaints = done.stderr.splitlines()
    assert [line.partition(":")[0] for line in complaints] == ["text.jpg", "hopper.jpg", "nothing.jpg"]
    assert "is it another person?" in complaints[1]
    place.says("add", "eve", "--name", "Eve")
    refused = place.run("enrol", "eve", "portrait.jpg")
    assert (refused.returncode, "looks the same" in refused.stderr) == (1, True)
    assert "duplicate of ada" in place.says("enrol", "eve", "portrait.jpg", "--allow-duplicate")
    assert place.people() == (["ada", "eve"], 2)
    place.says("forget", "eve", "2")
    assert place.people() == (["ada", "eve"], 1)


def test_of_several_people_in_a_photo_a_point_says_who_is_meant(place, portrait, hopper):
    (place.folder / "both.jpg").write_bytes(jpeg(group([opened(portrait), opened(hopper)], [512, 500])))
    place.begin("ada", templates=0)
    refused = place.run("enrol", "ada", "both.jpg")
    assert (refused.returncode, "say which one is meant" in refused.stderr) == (1, True)
    assert place.says("enrol", "ada", "both.jpg", "--face", "224,118").startswith("both.jpg: template 1, quality ")
    with pytest.raises(SystemExit):
        place.run("enrol", "ada", "both.jpg", "--face", "left")


def other_models(folder: Path) -> Path:
    """The shipped models with another embedder: the same network in a file that is a byte longer."""
    folder.mkdir()
    for path in filter(Path.is_file, appliance_models.FOLDER.iterdir()):
        (folder / path.name).symlink_to(path)
    manifest, file = folder / "manifest.toml", folder / "embedder_float16.tflite"
    text, before = manifest.read_text("utf-8"), file.read_bytes()
    for path in (manifest, file):
        path.unlink()
    file.write_bytes(before + b"\0")
    digests = [hashlib.sha256(content).hexdigest() for content in (before, before + b"\0")]
    assert digests[0] in text
    manifest.write_text(text.replace(*digests), "utf-8")
    return folder


def test_kept_pictures_are_embedded_again_when_the_embedder_changes(place, portrait, hopper):
    """The templates are those that enrolling the same photos with the other embedder gives."""
    engine = '[engine]\nmodels = "{}"\ndetector = "float16"\nliveness = "float16"\n[gallery]\npictures = {}\n'

    def configure(models, pictures="true"):
        place.config.write_text(engine.format(models, pictures), "utf-8")

    (place.folder / "portrait.jpg").write_bytes(portrait)
    (place.folder / "hopper.jpg").write_bytes(hopper)
    place.begin("ada", "grace", "eve", templates=0)
    configure(appliance_models.FOLDER)
    place.says("enrol", "ada", "portrait.jpg")
    place.says("enrol", "grace", "hopper.jpg")
    before = json.loads(place.says("list", "--json"))["people"]

    configure(other_models(place.folder / "models"))
    refused = place.run("enrol", "eve", "portrait.jpg", "--allow-duplicate")
    assert (refused.returncode, "`appliance people renew`" in refused.stderr) == (1, True)
    done = place.run("renew")
    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr.startswith(
        "2 templates embedded again by embedder_float16.tflite + strong_embedder_float16.tflite"
    )
    assert done.stderr.endswith(": restart the device\n")
    after = json.loads(place.says("list", "--json"))["people"]
    assert [[each["number"] for each in person["templates"]] for person in after] == [[3], [], [4]]
    for old, new in zip(before, after, strict=True):
        assert [each | {"number": 0} for each in old["templates"]] == [
            each | {"number": 0} for each in new["templates"]
        ]

    place.says("enrol", "eve", "portrait.jpg", "--allow-duplicate")
    with place.gallery() as gallery:
        ada, eve, grace = (weighted(export.templates[0].embedding) for export in gallery.export())
        assert gallery.embedder() == gallery.person("eve").templates[0].model
    assert ada @ eve > 0.9999
    assert ada @ grace < 0.3
    assert place.run("renew").stderr.endswith(": nothing is left to renew\n")


def test_people_without_kept_pictures_are_named_when_the_embedder_changes(place, portrait):
    (place.folder / "portrait.jpg").write_bytes(portrait)
    place.begin("ada", templates=0)
    place.says("enrol", "ada", "portrait.jpg")
    models = other_models(place.folder / "models")
    place.config.write_text(
        place.config.read_text("utf-8").replace("[engine]", f'[engine]\nmodels = "{models}"'), "utf-8"
    )
    before = place.says("show", "ada")
    done = place.run("renew")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("0 templates embedded again")
    assert done.stderr.endswith("enrol these people again: ada\n")
    assert place.says("show", "ada") == before


def test_a_rotation_keeps_all_identities(place):
    place.begin("ada", "bob")
    before = place.database.read_bytes()
    place.says("rotate")
    with place.gallery() as gallery:
        (best,) = gallery.ranking(face(1), 1)
        assert gallery.named(best.reference).person.id == "bob"
        assert best.cosine == pytest.approx(1, abs=1e-5)
    assert place.database.read_bytes() != before


def test_everyone_is_erased_with_a_receipt_each_that_is_recorded(place):
    place.begin("ada", "bob", templates=2)
    with place.gallery() as gallery:
        references = {known.person.id: known.person.reference for known in gallery.people()}
    receipts = [json.loads(line) for line in place.says("erase", "--all", "--yes").splitlines()]
    assert {each["id"]: each["reference"] for each in receipts} == references
    assert all(each["templates"] == 2 and each["complete"] and "Backups" in each["copies"] for each in receipts)
    entries = [entry.document() for entry in reversed(Record(place.state / RECORD_FILE).newest(9))]
    assert [(each["kind"], each["facts"]["person"]) for each in entries] == [
        ("erased", reference) for reference in references.values()
    ]
    assert [each["record"] for each in receipts] == [
        {"sequence": each["sequence"], "hash": each["hash"]} for each in entries
    ]
    assert place.people() == ([], 0)
    assert not list(place.state.glob("*-wal"))


def test_a_gallery_that_another_process_has_open_can_be_changed(place):
    place.begin("ada")
    with place.gallery() as running:
        place.says("add", "bob", "--name", "Bob")
        running.refresh()
        assert [known.person.id for known in running.people()] == ["ada", "bob"]
        running.enrol("bob", face(5), "ab" * 32, 0.5, Source.CAMERA)
        assert "1 template" in place.says("list").splitlines()[1]
        assert json.loads(place.says("erase", "bob", "--yes"))["complete"]


def test_a_pin_is_set_from_a_file_and_removed_and_never_shown(place):
    place.says("add", "ada", "--name", "Ada")
    file = place.folder / "pin"
    file.write_text("47110815\n47110816\n", "ascii")
    assert place.run("pin", "ada", "--pin-file", file).stderr == "ada has a PIN now\n"
    assert place.says("show", "ada").splitlines()[-1] == "PIN set"
    assert "4711" not in place.says("show", "ada", "--json")
    assert place.run("pin", "ada", "--remove").stderr == "ada has no PIN now\n"
    assert "PIN" not in place.says("show", "ada")
    for content, complaint in (
        ("1234", "pin: at least 3"),
        ("4711\n1", "duress: 4 to 8 digits"),
        ("", "pin: 4 to 8 digits"),
    ):
        file.write_text(content, "ascii")
        done = place.run("pin", "ada", "--pin-file", file)
        assert (done.returncode, done.stdout) == (1, "")
        assert complaint in done.stderr
    assert "no terminal to ask for the PIN" in place.run("pin", "ada").stderr
