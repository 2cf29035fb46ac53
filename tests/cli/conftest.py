"""Fixtures: the program as a process of its own, photos on disk, and devices cared for from their command lines."""

import os
import subprocess
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from forked import finished
from places import Place

QUICK = "[engine]\n" + "".join(f'{role} = "float16"\n' for role in ("detector", "embedder", "liveness"))
"""Without the choice by measurement a command starts in half the time."""


@pytest.fixture(scope="session")
def quick(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A configuration that starts quickly."""
    path = tmp_path_factory.mktemp("config") / "quick.toml"
    path.write_text(QUICK, "utf-8")
    return path


@pytest.fixture(scope="session")
def environment() -> dict[str, str]:
    """That of a shell in which nobody has set up Python otherwise."""
    return {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}


@pytest.fixture(scope="session")
def run(environment: dict[str, str]) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs a command of the program to its end."""

    def ended(*arguments: object, folder: Path | None = None) -> subprocess.CompletedProcess[str]:
        return finished(arguments, cwd=folder, env=environment)

    return ended


@pytest.fixture(scope="session")
def photos(tmp_path_factory: pytest.TempPathFactory, portrait: bytes, hopper: bytes) -> Path:
    """A folder of photos: two that are well, one that is cut, one that is none; and four frames, loose and zipped."""
    folder = tmp_path_factory.mktemp("photos")
    files = {"portrait.jpg": portrait, "hopper.jpg": hopper, "cut.jpg": hopper[:9000], "text.jpg": b"no photo"}
    frames = folder / "frames"
    frames.mkdir()
    for name, content in files.items():
        (folder / name).write_bytes(content)
    with zipfile.ZipFile(folder / "frames.zip", "w") as archive:
        for number in (1, 2, 3, 4):
            (frames / f"{number}.jpg").write_bytes(hopper)
            archive.writestr(f"{number}.jpg", hopper)
    return folder


@pytest.fixture
def place(tmp_path):
    """A device where nobody is known yet."""
    (tmp_path / "device").mkdir()
    return Place(tmp_path / "device")


@pytest.fixture
def elsewhere(tmp_path):
    """Another device."""
    (tmp_path / "elsewhere").mkdir()
    return Place(tmp_path / "elsewhere")
