"""A state folder that another clone uses: the log says so at the start."""

import logging
import sys
from pathlib import Path

import pytest
from devices import Child

from appliance import state

CONFIG = '[camera]\ndriver = "none"\n[engine]\nengines = 1\n'


def logged(caplog: pytest.LogCaptureFixture) -> list[tuple[str, str]]:
    found = [(record.levelname, record.getMessage()) for record in caplog.records]
    caplog.clear()
    return found


def test_the_folder_of_another_clone(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    first, second = tmp_path / "first" / ".venv", tmp_path / "second" / ".venv"
    folder = tmp_path / "state"
    with state.occupied(folder, first):
        pass
    with state.occupied(folder, first):
        assert logged(caplog) == []
        with state.occupied(folder, second):
            ((level, text),) = logged(caplog)
            assert level == "WARNING"
            assert text.startswith(f"{folder} is in use by another device, of {tmp_path}/first: ")
    with state.occupied(folder, second):
        text = f"{folder} has keys, people and settings that {tmp_path}/first used last"
        assert logged(caplog) == [("INFO", text)]
    with state.occupied(folder, second):
        assert logged(caplog) == []


def test_another_version_beside_the_one_before_is_no_other_clone(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    for version in ("0.1.0+aa", "0.2.0+bb"):
        with state.occupied(tmp_path, Path("/opt/face-appliance") / version):
            assert logged(caplog) == []


def test_a_folder_that_cannot_be_made_is_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "file").touch()
    with state.occupied(tmp_path / "file" / "state", Path("/x/.venv")):
        assert logged(caplog) == [("WARNING", f"{tmp_path}/file/state: Not a directory")]


def test_a_device_says_so_at_its_start(tmp_path: Path) -> None:
    folder = tmp_path / "state"
    folder.mkdir()
    (folder / state.IN_USE).write_text("/srv/other/clone/.venv\n")
    with Child(tmp_path, CONFIG) as child:
        child.logged(r"has keys, people and settings that /srv/other/clone used last")
        assert (folder / state.IN_USE).read_text() == f"{sys.prefix}\n"
        assert child.terminate() == 0


def test_a_damaged_mark_is_replaced(tmp_path: Path) -> None:
    (tmp_path / state.IN_USE).write_bytes(b"/srv/\xff/.venv\n")
    with state.occupied(tmp_path, Path("/srv/other/.venv")):
        assert (tmp_path / state.IN_USE).read_text() == "/srv/other/.venv\n"
