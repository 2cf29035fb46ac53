"""What root does to the state is done as its owner; a file is replaced as a whole or not at all."""

import os
import stat
from pathlib import Path

import pytest

from appliance import state

NOBODY = 65534

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="takes on another user's rights: needs root")


def fail_after(_written):
    raise OSError("no more")


def identities():
    return os.geteuid(), os.getegid(), os.getgroups(), os.getuid()


@needs_root
def test_root_takes_on_the_owner_s_rights_and_gives_them_back(tmp_path):
    os.chown(tmp_path, NOBODY, NOBODY)
    before = identities()
    with state.as_owner(tmp_path):
        assert identities() == (NOBODY, NOBODY, [NOBODY], 0)
    with pytest.raises(PermissionError), state.as_owner(tmp_path):
        Path("/etc/shadow").read_bytes()
    assert identities() == before


@needs_root
def test_nothing_changes_where_there_is_no_folder_yet(tmp_path):
    before = identities()
    with state.as_owner(tmp_path / "nowhere"):
        assert identities() == before


def test_a_file_is_replaced_when_its_last_piece_is_there(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"old")
    with state.replacing(path, 0o600) as file:
        file.write(b"one ")
        assert path.read_bytes() == b"old"
        file.write(b"two")
    assert (path.read_bytes(), stat.S_IMODE(path.stat().st_mode)) == (b"one two", 0o600)
    assert [each.name for each in tmp_path.iterdir()] == ["file"]


def test_an_error_on_the_way_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"old")
    with pytest.raises(OSError, match="no more"), state.replacing(path, 0o600) as file:
        fail_after(file.write(b"half"))
    assert path.read_bytes() == b"old"
    assert [each.name for each in tmp_path.iterdir()] == ["file"]
