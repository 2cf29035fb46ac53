"""Fixtures of the lab: quick devices, and the commands as processes of their own."""

import io
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import pytest
from lab.device import OwnDevice, own_device

from appliance.cli.main import main

QUICK = dict.fromkeys(("detector", "embedder", "liveness"), "float16")
"""Without the choice by measurement a device starts in half the time."""


@pytest.fixture(scope="session")
def quick(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A configuration that starts quickly."""
    path = tmp_path_factory.mktemp("config") / "quick.toml"
    path.write_text("[engine]\n" + "".join(f'{role} = "{precision}"\n' for role, precision in QUICK.items()), "utf-8")
    return path


@pytest.fixture(scope="session")
def own() -> Iterator[OwnDevice]:
    """A device of the lab's own."""
    with own_device({"engine": {**QUICK, "engines": 1}}) as device:
        yield device


@pytest.fixture(scope="session")
def environment() -> dict[str, str]:
    """That of a shell without settings for Python."""
    return {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}


@pytest.fixture(scope="session")
def run(environment: dict[str, str]) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs a command of the program to its end."""

    def finished(*arguments: object) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "appliance", *map(str, arguments)]
        return subprocess.run(command, capture_output=True, text=True, timeout=250, env=environment, check=False)

    return finished


@pytest.fixture(scope="session")
def run_here() -> Callable[..., subprocess.CompletedProcess[str]]:
    """The same in this process, which has imported what a command needs."""

    def finished(*arguments: object) -> subprocess.CompletedProcess[str]:
        words, out, err = list(map(str, arguments)), io.StringIO(), io.StringIO()
        with redirect_stdout(out), redirect_stderr(err):
            status = main(words)
        return subprocess.CompletedProcess(words, status, out.getvalue(), err.getvalue())

    return finished
