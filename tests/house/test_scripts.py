"""The shell scripts are sound, and `install` says in one line what it cannot do."""

import os
import pty
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pip
import pytest


def shell_scripts(root):
    files = [
        *(root / "scripts").iterdir(),
        *(root / "scripts").glob("*.d/*"),
        *(root / "systemd" / "kiosk").iterdir(),
        root / ".ci" / "run",
    ]
    return [file for file in files if file.is_file() and file.read_bytes().startswith(b"#!/bin/sh\n")]


def installing(root, *arguments):
    return subprocess.run(
        ["sh", root / "scripts" / "install", *arguments], capture_output=True, text=True, timeout=60, check=False
    )


@pytest.mark.skipif(shutil.which("shellcheck") is None, reason="needs shellcheck: sudo apt install shellcheck")
def test_shellcheck_has_nothing_to_say(root):
    scripts = shell_scripts(root)
    assert len(scripts) > 8
    done = subprocess.run(
        ["shellcheck", "--severity=warning", *scripts], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stdout) == (0, "")


@pytest.mark.parametrize(
    "arguments", [["--help"], ["--from"], ["--purge"], ["--download"], ["wheels"], ["--tls", "--purge"]]
)
def test_wrong_usage_shows_the_right_one(root, arguments):
    done = installing(root, *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.splitlines()[0].startswith("scripts/install ")


@pytest.mark.parametrize(
    ("kind", "complaint"),
    [
        (["armv7l", "3.11"], "the architecture is aarch64 or x86_64, not armv7l"),
        (["aarch64", "3.12"], "the Python is 3.11 or 3.13, not 3.12"),
    ],
)
def test_wheels_for_another_kind_of_machine_are_refused_at_once(root, tmp_path, kind, complaint):
    done = installing(root, "--download", str(tmp_path / "wheels"), *kind)
    assert (done.returncode, done.stdout, done.stderr) == (1, "", f"install: {complaint}\n")
    assert not (tmp_path / "wheels").exists()


def test_an_unknown_peer_is_reported(root):
    done = subprocess.run(
        ["sh", root / "scripts" / "peers", "nobody"], capture_output=True, text=True, timeout=60, check=False
    )
    complaint = "peers: there is no nobody; there are: dlib mediapipe onnxruntime tflite human\n"
    assert (done.returncode, done.stdout, done.stderr) == (1, "", complaint)


@pytest.mark.parametrize("terminal", [True, False])
def test_the_first_start_shows_its_progress_in_a_terminal(root, tmp_path, terminal):
    shutil.copytree(root / "scripts", tmp_path / "scripts", ignore=shutil.ignore_patterns("*.d", "__pycache__"))
    for name in ("setup.cfg", "pyproject.toml"):
        shutil.copy(root / name, tmp_path / name)
    (tmp_path / "wheels").mkdir()
    # an environment without pip of its own, for which pip would be unpacked for four seconds
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / ".venv"], check=True, timeout=60)
    (tmp_path / "packages").mkdir()
    (tmp_path / "packages" / "pip").symlink_to(Path(pip.__file__).parent)
    settings = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(tmp_path / "wheels"), "PIP_CONFIG_FILE": os.devnull}
    settings["PYTHONPATH"] = str(tmp_path / "packages")
    reading, writing = pty.openpty()
    with (tmp_path / "log").open("wb") as log:
        done = subprocess.run(
            ["sh", tmp_path / "scripts" / "environment", ".venv"],
            stdout=subprocess.DEVNULL,
            stderr=writing if terminal else log,
            env={**os.environ, **settings, "PYTHON": sys.executable},
            timeout=100,
            check=False,
        )
    os.set_blocking(reading, False)
    shown = os.read(reading, 100_000).decode() if terminal else (tmp_path / "log").read_text()
    os.close(reading)
    os.close(writing)
    assert done.returncode, "there is nothing to install from"
    assert shown.startswith("setting up .venv: takes a minute or two, once")
    assert ("Obtaining file:" in shown) is terminal


def test_the_python_in_install_makes_a_site_key_and_names_the_device(root, tmp_path):
    snippets = re.findall(
        r"-c '([^']*\nfrom appliance[^']*)' \$(\w+)", (root / "scripts" / "install").read_text("utf-8")
    )
    printed = {}
    for program, argument in snippets:
        place = tmp_path / argument
        if argument == "state":
            place.mkdir()
        done = subprocess.run(
            [sys.executable, "-c", program, place], capture_output=True, text=True, timeout=60, check=True
        )
        printed[argument] = done.stdout
    assert re.fullmatch(r"[0-9a-f]{64}\n?", (tmp_path / "site_key").read_text("ascii"))
    assert re.fullmatch(r"face-appliance-[0-9a-f]{6}\.local\n", printed["state"])
