"""A device of our own for the time of a measurement: a child process on a free port of this machine."""

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from typing import IO

from appliance.evaluation.device import NOT_READY, Answer, Device
from appliance.evaluation.pictures import blank

HOST = "127.0.0.1"

START_LIMIT = 60.0
"""Seconds until a device must answer; twenty times what the bench asks for, so a slow board is still measured."""

STOP_LIMIT = 10.0
"""Seconds until a device must be gone after SIGTERM; twice what it promises."""

POLL = 0.02
"""Seconds between two looks at a starting device."""


class DeviceFailedError(Exception):
    """The device did not start, or did not stop; carries the end of its log."""


@dataclass(frozen=True, slots=True)
class OwnDevice:
    """Where the device is, its process, the seconds from its start to its first answer that is not INF-08, and its log."""

    url: str
    process_id: int
    seconds_to_ready: float
    log: Path


@contextmanager
def own_device(*options: str) -> Iterator[OwnDevice]:
    """Starts `appliance serve` with these options and a state of its own, waits until it is ready, stops it by SIGTERM.

    Raises DeviceFailedError.
    """
    port = free_port()
    command = [sys.executable, "-m", "appliance", "serve", "--host", HOST, "--port", str(port), *options]
    with tempfile.TemporaryDirectory() as folder, (Path(folder) / "log").open("w+b") as log:
        started = time.monotonic()
        environment = {**os.environ, "STATE_DIRECTORY": folder}
        process = subprocess.Popen(  # noqa: S603 (our own command line)
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment
        )
        try:
            url = f"http://{HOST}:{port}"
            _wait_until_ready(url, process, log, started + START_LIMIT)
            yield OwnDevice(url, process.pid, time.monotonic() - started, Path(folder) / "log")
        finally:
            _stop(process, log)


def free_port() -> int:
    """A TCP port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def _wait_until_ready(url: str, process: subprocess.Popen[bytes], log: IO[bytes], deadline: float) -> None:
    with Device(url) as device:
        while time.monotonic() < deadline:
            if process.poll() is not None:
                raise DeviceFailedError(f"ended with status {process.returncode}:\n{_tail(log)}")
            try:
                if all(answer.code not in ("", NOT_READY) for answer in _signs_of_life(device)):
                    return
            except (OSError, HTTPException):
                pass  # it does not listen yet
            time.sleep(POLL)
    raise DeviceFailedError(f"not ready after {START_LIMIT:.0f} s:\n{_tail(log)}")


def _signs_of_life(device: Device) -> Iterator[Answer]:
    """The version, and a picture without a face: an answer to it needs the models."""
    yield device.version()
    yield device.ask_once("POST", "/faces", blank(64, 64))


def _stop(process: subprocess.Popen[bytes], log: IO[bytes]) -> None:
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(STOP_LIMIT)
    except subprocess.TimeoutExpired as error:
        process.kill()
        process.wait()
        raise DeviceFailedError(f"still alive {STOP_LIMIT:.0f} s after SIGTERM:\n{_tail(log)}") from error


def _tail(log: IO[bytes]) -> str:
    log.seek(0)
    return log.read()[-2000:].decode(errors="replace")
