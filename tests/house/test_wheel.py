"""What is distributed is whole: the wheel has every module, model and licence, the source distribution the whole repository."""

import configparser
import importlib.metadata
import importlib.util
import json
import re
import shutil
import subprocess
import sys
import tarfile
import urllib.request
import zipfile
from pathlib import Path

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
def built(root, tmp_path_factory):
    """A wheel built from a copy of the sources."""
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
    (wheel,) = (folder / "out").glob("*.whl")
    return wheel


@pytest.fixture(scope="module")
def wheel(built):
    """The files in it by their names."""
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


@pytest.mark.nightly
@pytest.mark.timeout(900)
def test_installed_in_an_empty_environment_the_wheel_serves(built, tmp_path, portrait):
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "empty"], check=True)
    install = ["-m", "pip", "install", "-q", "--disable-pip-version-check", "--prefer-binary", built]
    subprocess.run([tmp_path / "empty" / "bin" / "python", *install], check=True, timeout=600)
    process = subprocess.Popen(
        [tmp_path / "empty" / "bin" / "appliance", "serve", "--port", "0"],
        stderr=subprocess.PIPE,
        text=True,
        cwd=tmp_path,
        env={"PATH": "/usr/bin:/bin", "HOME": str(tmp_path)},
    )
    try:
        line = next(line for line in process.stderr if "listening on" in line)
        next(line for line in process.stderr if "ready: " in line)  # the models are loaded
        address = re.search(r"http://\S+(?=,)", line)[0]
        with urllib.request.urlopen(f"{address}/faces", portrait, timeout=60) as answer:
            assert json.load(answer)["count"] == 1
    finally:
        process.terminate()
        process.communicate(timeout=20)
    assert process.returncode == 0


def test_the_source_distribution_has_the_whole_repository(root, tmp_path):
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=root, capture_output=True, text=True, check=True)
    names = {name for name in listed.stdout.split("\0") if name and (root / name).exists()}
    for name in names:
        (tmp_path / "clone" / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(root / name, tmp_path / "clone" / name, follow_symlinks=False)
    command = "import sys; from setuptools import build_meta; build_meta.build_sdist(sys.argv[1])"
    done = subprocess.run(
        [sys.executable, "-c", command, tmp_path],
        cwd=tmp_path / "clone",
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    (archive,) = tmp_path.glob("*.tar.gz")
    with tarfile.open(archive) as files:
        modes = {str(Path(*Path(each.name).parts[1:])): each.mode for each in files if not each.isdir()}
    assert names - set(modes) == set()
    generated = {name for name in set(modes) - names if not name.startswith("face_appliance.egg-info/")}
    assert generated == {"PKG-INFO"}
    assert modes["scripts/install"] & 0o111
