"""Where the passphrase of an archive comes from."""

import os
import pty
import subprocess
import time

import pytest
from places import PASSPHRASE

from appliance.cli import archives
from appliance.gallery.backup import ArchiveError


@pytest.fixture(autouse=True)
def _no_credentials(monkeypatch):
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)


def test_a_file_s_first_line_then_systemd_s_credential(tmp_path, monkeypatch):
    file = tmp_path / "passphrase"
    file.write_text(f"{PASSPHRASE}\nmore\n", "utf-8")
    assert archives.new_passphrase(file) == archives.passphrase(file) == PASSPHRASE
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    (tmp_path / archives.CREDENTIAL).write_text("that of the credential", "utf-8")
    assert archives.new_passphrase(None) == "that of the credential"
    assert archives.new_passphrase(file) == PASSPHRASE


@pytest.mark.parametrize("content", [b"", b"\n", b"short\n", b"eleven char"])
def test_a_new_one_that_is_empty_or_short_is_refused(tmp_path, content):
    file = tmp_path / "passphrase"
    file.write_bytes(content)
    with pytest.raises(ArchiveError, match="at least 12 characters"):
        archives.new_passphrase(file)


def test_what_is_no_text_is_refused(tmp_path):
    file = tmp_path / "passphrase"
    file.write_bytes(b"\xff" * 20)
    with pytest.raises(ArchiveError, match="UTF-8") as caught:
        archives.passphrase(file)
    assert "\\xff" not in str(caught.value)


def typed(place, answers, *arguments):
    """A command at a terminal where somebody types; its status, and all that is seen there."""
    mine, theirs = pty.openpty()
    process = subprocess.Popen(
        place.line(*arguments),
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env=place.environment,
        cwd=place.folder,
        start_new_session=True,
    )
    os.close(theirs)
    seen = b""
    for question, answer in answers:
        end = time.monotonic() + 30
        while question.encode() not in seen and time.monotonic() < end:
            seen += os.read(mine, 1000)
        time.sleep(0.1)  # it asks first, and then stops echoing
        os.write(mine, f"{answer}\n".encode())
    status = process.wait(30)
    while True:
        try:
            seen += os.read(mine, 1000)
        except OSError:  # nobody writes there any more
            break
    os.close(mine)
    return status, seen.decode()


def test_it_is_asked_for_twice_and_never_shown(place):
    place.begin("ada")
    twice = [("Passphrase of the new archive: ", PASSPHRASE), ("Repeat the passphrase: ", PASSPHRASE)]
    status, seen = typed(place, twice, "backup", "people.backup")
    assert (status, PASSPHRASE in seen) == (0, False)
    place.says("erase", "ada", "--yes")
    status, seen = typed(place, [("Passphrase of the archive: ", PASSPHRASE)], "restore", "people.backup")
    assert (status, PASSPHRASE in seen) == (0, False)
    assert place.people() == (["ada"], 1)
    differently = [twice[0], ("Repeat the passphrase: ", "something else")]
    status, seen = typed(place, differently, "backup", "other")
    assert (status, "the two passphrases differ" in seen, (place.folder / "other").exists()) == (1, True, False)


def test_erasing_asks_for_confirmation(place):
    place.begin("ada")
    question = "Erase 1 people with all their templates? [y/N] "
    assert typed(place, [(question, "")], "erase", "ada")[0] == 1
    assert place.people() == (["ada"], 1)
    status, seen = typed(place, [(question, "y")], "erase", "ada")
    assert (status, '"complete": true' in seen) == (0, True)
    assert place.people() == ([], 0)
