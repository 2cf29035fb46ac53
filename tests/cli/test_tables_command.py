"""`appliance people import --csv`, `people export --csv` and `decisions export`: a dry run first, nothing half done."""

import csv
import io
import json
import os
import re
import signal
import subprocess
import zipfile

import pytest
from PIL import Image

from appliance.access.log import DECISION, RECORD_FILE, Record
from appliance.cli.main import main

HEAD = "id,name,groups,photos\n"


def rows_of(text):
    return list(csv.DictReader(io.StringIO(text, newline="")))


def states(text):
    return [(row["row"], row["id"], row["reason"] or row["result"]) for row in rows_of(text)]


@pytest.fixture
def photos(place, portrait, hopper):
    """A folder of photos."""
    folder = place.folder / "photos"
    (folder / "more").mkdir(parents=True)
    (folder / "ada.jpg").write_bytes(portrait)
    (folder / "more" / "grace.jpg").write_bytes(hopper)
    return folder


def test_a_folder_is_imported_after_a_dry_run_without_refusals(place, photos):
    table = place.folder / "people.csv"
    table.write_text(f"{HEAD}ada,Ada,staff,ada.jpg\neve,Eve,,ada.jpg\ngrace,Grace,,GRACE.jpg\n", "utf-8")

    refused = place.run("import", "photos", "--csv", "people.csv")
    assert refused.returncode == 1
    expected = [("2", "ada", "added"), ("3", "eve", "duplicate"), ("4", "grace", "added")]
    supposed = [(row, identity, state.replace("added", "would be added")) for row, identity, state in expected]
    assert states(refused.stdout) == supposed
    assert "2 would be added, 1 refused" in refused.stderr
    assert "--partial imports the others" in refused.stderr
    assert place.people() == ([], 0)

    dry = place.run("import", "photos", "--csv", "people.csv", "--dry-run", "--partial")
    assert (dry.returncode, states(dry.stdout)) == (1, supposed)
    assert "nothing was imported" in dry.stderr
    assert place.people() == ([], 0)

    done = place.run("import", "photos", "--csv", "people.csv", "--partial")
    assert (done.returncode, states(done.stdout)) == (1, expected)
    assert "2 added, 1 refused" in done.stderr
    assert place.people() == (["ada", "grace"], 2)
    again = place.run("import", "photos", "--csv", "people.csv")
    assert [state for *_, state in states(again.stdout)] == ["unchanged", "duplicate", "unchanged"]


def test_an_import_that_is_killed_goes_on_where_it_was(place, photos, portrait, hopper):
    """The first row of the result is printed when it is imported; the process is killed there."""
    with zipfile.ZipFile(place.folder / "photos.zip", "w") as archive:
        archive.writestr("../../a.jpg", portrait)
        archive.writestr("g.jpg", hopper)
    others = "".join(f"n{number},N,,\n" for number in range(200))
    (place.folder / "people.csv").write_text(f"{HEAD}ada,Ada,,a.jpg;a.jpg\n{others}grace,Grace,,g.jpg\n", "utf-8")
    line = place.line("import", "photos.zip", "--csv", "people.csv")
    with subprocess.Popen(line, stdout=subprocess.PIPE, env=place.environment, cwd=place.folder) as killed:
        assert killed.stdout is not None
        while b"ada" not in killed.stdout.readline():
            pass
        os.kill(killed.pid, signal.SIGKILL)
    ids, templates = place.people()
    assert "ada" in ids
    assert templates == 1 + ("grace" in ids)

    done = place.run("import", "photos.zip", "--csv", "people.csv")
    assert done.returncode == 0, done.stderr
    assert states(done.stdout)[0] == ("2", "ada", "unchanged")
    assert place.people()[1] == 2
    assert len(place.people()[0]) == 202


def test_people_are_exported_as_a_table(place):
    place.says("add", "ada", "--name", "=Ada", "--groups", "staff,night")
    place.says("add", "eve", "--name", "Eve")
    place.says("export", "people.csv", "--csv")
    content = (place.folder / "people.csv").read_bytes()
    assert content.startswith(b"\xef\xbb\xbfid,name,")
    assert (place.folder / "people.csv").stat().st_mode & 0o777 == 0o600
    assert [row["name"] for row in rows_of(content.decode("utf-8-sig"))] == ["'=Ada", "Eve"]
    assert [row["id"] for row in rows_of(place.says("export", "-", "--csv", "--query", "STAFF"))] == ["ada"]
    assert [row["id"] for row in rows_of(place.says("export", "-", "eve", "--csv"))] == ["eve"]
    assert [row["result"] for row in rows_of(place.says("import", "--csv", "people.csv"))] == ["unchanged"] * 2


def test_a_table_that_is_none_and_options_of_the_other_import_are_reported(place):
    place.begin("ada")
    (place.folder / "people.csv").write_text("id,nmae\n", "utf-8")
    done = place.run("import", "--csv", "people.csv")
    assert (done.returncode, "nmae" in done.stderr) == (1, True)
    assert place.run("import").returncode == 2
    assert place.run("import", "archive", "--dry-run").returncode == 2
    (place.folder / "people.csv").write_text("id,name\n", "utf-8")
    assert place.run("import", "nothing.zip", "--csv", "people.csv").returncode == 1
    done = place.run("import", "config.toml", "--csv", "people.csv")
    assert (done.returncode, done.stderr) == (1, "config.toml is neither a zip nor a folder of photos\n")
    with zipfile.ZipFile(place.folder / "photos.zip", "w") as archive:
        archive.writestr("a.jpg", b"")
    for arguments, told in (
        (["photos.zip"], "photos.zip is not an archive of an appliance; a table with photos needs --csv TABLE\n"),
        (["people.csv", "--csv", "photos.zip"], "--csv photos.zip is a zip: import photos.zip --csv TABLE\n"),
    ):
        done = place.run("import", *arguments)
        assert (done.returncode, done.stdout, done.stderr) == (1, "", told)


@pytest.mark.parametrize("known", [True, False])
def test_decisions_are_exported(place, monkeypatch, capsys, known):
    for name, value in place.environment.items():
        monkeypatch.setenv(name, value)
    reference = "0123456789abcdef"
    if known:
        place.says("add", "ada", "--name", "Ada")
        with place.gallery() as gallery:
            reference = gallery.person("ada").person.reference
    record = Record(place.state / RECORD_FILE)
    for result, reason in (("granted", "granted"), ("denied", "unknown")):
        record.append(DECISION, {"result": result, "reason": reason, "direction": "in", "person": reference})

    assert main(["decisions", "export", "-", "--result", "granted", "--from", "2020-01-01"]) == 0
    (row,) = rows_of(capsys.readouterr().out)
    assert (row["reason"], row["person"]) == ("granted", "ada" if known else "")
    file = place.folder / "decisions.csv"
    assert main(["decisions", "export", str(file), "--until", "2020-01-01T08:00"]) == 0
    assert rows_of(file.read_text("utf-8-sig")) == []
    assert "no decision matches" in capsys.readouterr().err
    assert main(["decisions", "export", "-", "--person", "nobody"]) == 0
    told = capsys.readouterr()
    assert (rows_of(told.out), told.err) == (
        [],
        "no decision matches; people who were erased have no id there any more\n",
    )
    assert main(["decisions", "export", "-", "--reason", "grnted"]) == 1
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.startswith("reason: 'grnted' is none of granted, demonstration, ")
    assert main(["decisions", "list", "--json"]) == 0
    assert len([json.loads(line) for line in capsys.readouterr().out.splitlines()]) == 2


@pytest.mark.parametrize(
    "command",
    [
        ["decisions", "export"],
        ["people", "export", "--csv"],
        ["people", "export", "--passphrase-file", "passphrase"],
        ["people", "backup", "--passphrase-file", "passphrase"],
        ["passes", "add", "--name", "Eve", "--hours", "1", "--code"],
        ["detect", "photos/ada.jpg", "--picture"],
    ],
    ids=" ".join,
)
def test_no_command_makes_the_folder_of_a_file_that_is_named(place, photos, monkeypatch, capsys, command):
    place.begin("ada")
    for name, value in place.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(place.folder)
    assert main([*command, "nowhere/x.svg"]) == 1
    told = capsys.readouterr()
    assert told.err.startswith("nowhere")
    assert told.err.count("\n") == 1
    assert not (place.folder / "nowhere").exists()


def test_a_photo_of_two_people_names_their_faces_and_a_refusal_the_option(place, photos, portrait):
    with Image.open(io.BytesIO(portrait)) as one:
        two = Image.new("RGB", (2 * one.width, one.height))
        two.paste(one, (0, 0))
        two.paste(one, (one.width, 0))
    two.save(photos / "two.png")
    place.says("add", "ada", "--name", "Ada")
    done = place.run("enrol", "ada", "photos/two.png")
    points = re.findall(r"--face \d+,\d+", done.stderr)
    assert (done.returncode, len(points)) == (1, 2)
    place.says("enrol", "ada", "photos/two.png", *points[0].split())

    (place.folder / "people.csv").write_text(f"{HEAD}eve,Eve,,two.png\n", "utf-8")
    (row,) = rows_of(place.run("import", "photos", "--csv", "people.csv").stdout)
    assert all(point in row["text"] for point in points)
    assert "appliance people enrol eve" in row["text"]

    place.says("add", "eve", "--name", "Eve")
    told = place.run("enrol", "eve", "photos/ada.jpg").stderr
    assert "ada: this enrolled person looks the same" in told
    assert "--allow-duplicate" in told
    told = place.run("enrol", "ada", "photos/more/grace.jpg").stderr
    assert "--allow-mismatch" in told
