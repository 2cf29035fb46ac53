"""What is installed is whole: every module, every model, every licence."""

import configparser
import importlib.metadata
import importlib.util
import shutil
import subprocess
import sys
import zipfile

import pytest

SOURCES = ("appliance", "models", "setup.cfg", "pyproject.toml", "README.md", "LICENSE", "NOTICE")

NO_TOOLING = (
    "No matching distribution found for setuptools",
    "Could not find a version",
    "Connection",
    "Temporary failure",
)


def has_tooling():
    """Whether setuptools here can build a wheel by itself (since 70.1) or with the wheel package."""
    version = tuple(int(part) for part in importlib.metadata.version("setuptools").split(".")[:2])
    return version >= (70, 1) or importlib.util.find_spec("wheel") is not None


@pytest.fixture(scope="module")
def wheel(root, tmp_path_factory):
    """The names in a wheel built from a copy of the sources."""
    folder = tmp_path_factory.mktemp("wheel")
    for name in SOURCES:
        source = root / name
        copy = shutil.copytree if source.is_dir() else shutil.copy
        copy(source, folder / name)
    isolation = ["--no-build-isolation"] if has_tooling() else []
    command = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--disable-pip-version-check", *isolation]
    command += ["--wheel-dir", str(folder / "out"), str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=110, check=False)
    if done.returncode and any(sign in done.stderr for sign in NO_TOOLING):
        pytest.skip("no tooling here to build a wheel, and no network to fetch it")
    assert done.returncode == 0, done.stderr
    (built,) = (folder / "out").glob("*.whl")
    with zipfile.ZipFile(built) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def files_below(folder, pattern="*"):
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob(pattern)
        if path.is_file() and "__pycache__" not in path.parts
    }


def test_every_package_is_listed(root):
    settings = configparser.ConfigParser()
    settings.read(root / "setup.cfg", "utf-8")
    listed = set(settings["options"]["packages"].split())
    folders = {path.parent for path in (root / "appliance").rglob("__init__.py")}
    assert listed == {".".join(folder.relative_to(root).parts) for folder in folders} | {"appliance_models"}


def test_the_wheel_has_every_file_of_the_program(wheel, root):
    program = {name: content for name, content in wheel.items() if name.startswith("appliance/")}
    assert program == {f"appliance/{name}": content for name, content in files_below(root / "appliance").items()}


def test_the_wheel_has_every_file_of_the_models(wheel, root):
    models = {name: content for name, content in wheel.items() if name.startswith("appliance_models/")}
    assert models == {f"appliance_models/{name}": content for name, content in files_below(root / "models").items()}
    assert {"appliance_models/manifest.toml", "appliance_models/portrait.jpg"} <= set(models)


def test_the_wheel_has_the_command_and_the_licence(wheel):
    (entry_points,) = (content for name, content in wheel.items() if name.endswith("entry_points.txt"))
    assert b"appliance = appliance.cli.main:main" in entry_points
    assert any(name.endswith(("licenses/LICENSE", "dist-info/LICENSE")) for name in wheel)


def test_the_wheel_has_nothing_else(wheel):
    assert {name.split("/")[0] for name in wheel if ".dist-info/" not in name} == {"appliance", "appliance_models"}
