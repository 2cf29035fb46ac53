"""`appliance passes`, and a pass in `appliance policy explain`."""

import json

import pytest

from appliance.cli.main import main
from appliance.imaging import barcode
from appliance.imaging.codec import EncodedPicture


@pytest.fixture
def said(place, capsys, monkeypatch):
    """What a command prints, without the start of a process each time."""
    for name, value in place.environment.items():
        monkeypatch.setenv(name, value)

    def run(*arguments, status=0):
        assert main([*map(str, arguments)]) == status
        return capsys.readouterr()

    return run


def test_a_pass_is_issued_listed_explained_and_revoked(said, tmp_path):
    code = tmp_path / "vera.png"
    identity = said("passes", "add", "--name", "Vera Rubin", "--hours", 8, "--single-use", "--code", code).out.strip()
    (text,) = barcode.read(EncodedPicture(code.read_bytes(), 10**7).frame(1.0).pixels)
    assert text.startswith("FAP1.")
    assert "Vera Rubin" in said("passes", "list").out
    (listed,) = json.loads(said("passes", "list", "--json").out)["passes"]
    assert (listed["id"], listed["single_use"]) == (identity, True)

    explain = ("policy", "explain", "--pass", identity, "--clock", "synchronised", "--faces", "0")
    assert "granted: every rule passed" in said(*explain).out
    assert said("passes", "revoke", identity).err == f"{identity} is revoked\n"
    assert "denied by pass: pass_revoked" in said(*explain).out
    assert "revoked" in said("passes", "list").out
    assert "there is no pass" in said("passes", "revoke", "nobody", status=1).err
    assert "there is no pass" in said("policy", "explain", "--pass", "nobody", status=1).err


def test_nothing_is_issued_without_a_new_file_for_the_code(said, tmp_path):
    (tmp_path / "there.svg").touch()
    for file in (tmp_path / "there.svg", tmp_path / "nowhere" / "x.svg"):
        said("passes", "add", "--name", "Vera", "--hours", 1, "--code", file, status=1)
    picture = tmp_path / "v.jpg"
    with pytest.raises(SystemExit, match="2"):
        said("passes", "add", "--name", "Vera", "--hours", 1, "--code", picture)
    with pytest.raises(SystemExit, match="2"):
        said("fleet", "invite", "--code", picture)
    assert not picture.exists()
    assert said("passes", "list").out == "no passes\n"
    said("passes", "add", "--name", "Vera", "--until", "2020-01-01T00:00", "--code", tmp_path / "x.svg", status=1)
    assert not (tmp_path / "x.svg").exists()
