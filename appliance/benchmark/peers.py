"""Peers as child processes: which there are, and how they are asked."""

import json
import os
import subprocess
import sys
import tempfile
import threading
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from pydantic import BaseModel, ConfigDict, ValidationError

FOLDER = Path(__file__).resolve().parents[2] / ".peers"
"""Where scripts/peers makes them, beside the sources of a clone."""

TIME_LIMIT = 120.0
"""Seconds within which a peer is up, or has answered; a thousand times what the slowest takes here."""

PATIENCE = 2.0
"""Seconds that a peer may take to end after it said something strange, or nothing."""

ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
"""Environment variables that hold the usual pools of threads to one."""


class PeerFailedError(Exception):
    """A peer did not come up, or did not answer; carries the end of what it complained of."""


class _Written(BaseModel):
    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")

    command: list[str]


@dataclass(frozen=True, slots=True)
class Entry:
    """A peer that can be started: what kind it is, and its command line."""

    kind: str
    command: tuple[str, ...]
    folder: Path


@dataclass(frozen=True, slots=True)
class RawPicture:
    """A picture as a file of raw RGB bytes, and its size in pixels."""

    file: Path
    width: int
    height: int


@dataclass(frozen=True, slots=True)
class Seen:
    """A peer's answer: faces found, and milliseconds by step (and "all") of each of its looks at the picture."""

    faces: int
    milliseconds: list[dict[str, float | None]]


OURS = Entry("appliance", (sys.executable, "-m", "appliance.benchmark.entrant"), Path.cwd())


def entries(folder: Path = FOLDER) -> list[Entry]:
    """The peers of a folder: of each folder in it those that its peer.toml names, `NAME.command = [PROGRAM, ARGUMENT, …]`,
    where a path is relative to the folder. Raises PeerFailedError when there is none, or a file is not like that.
    """
    found = [entry for file in sorted(folder.glob("*/peer.toml")) for entry in _written(file)]
    if not found:
        raise PeerFailedError(f"{folder} has no peers: scripts/peers makes them")
    return found


class Peer:
    """A peer that runs, held to one core; ends with its `with`."""

    def __init__(self, entry: Entry, process: subprocess.Popen[str], log: IO[str]) -> None:
        self.kind = entry.kind
        self._process = process
        self._log = log
        self.name = str(self._read()["name"])

    def look(self, picture: RawPicture, times: int) -> Seen:
        """Lets it look at a picture so often. Raises PeerFailedError."""
        question = {"file": str(picture.file), "width": picture.width, "height": picture.height, "times": times}
        assert self._process.stdin is not None
        try:
            print(json.dumps(question), file=self._process.stdin, flush=True)
        except BrokenPipeError as error:
            raise PeerFailedError(self._complaint()) from error
        return Seen(**self._read())

    def _read(self) -> Mapping[str, Any]:
        assert self._process.stdout is not None
        limit = threading.Timer(TIME_LIMIT, self._process.kill)
        limit.start()
        line = self._process.stdout.readline()
        limit.cancel()
        limit.join()
        try:
            message: Mapping[str, Any] = json.loads(line)
        except ValueError as error:
            raise PeerFailedError(self._complaint()) from error
        return message

    def _complaint(self) -> str:
        try:
            status = self._process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            status = self._process.wait()
        self._log.seek(0)
        last = (self._log.read().strip().splitlines() or ["it said nothing"])[-1]
        return f"{self.kind}: ended with status {status}: {last}"


@contextmanager
def running(entry: Entry) -> Iterator[Peer]:
    """Starts a peer on one core, waits until it is up, ends it. Raises PeerFailedError."""
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as log:
        try:
            process = subprocess.Popen(  # noqa: S603 (what scripts/peers wrote)
                entry.command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                cwd=entry.folder,
                env={**os.environ, **ONE_THREAD},
            )
        except OSError as error:
            raise PeerFailedError(f"{entry.kind}: {entry.command[0]}: {error.strerror}") from error
        with process:
            os.sched_setaffinity(process.pid, {max(os.sched_getaffinity(0))})
            try:
                yield Peer(entry, process, log)
            finally:
                process.kill()
                assert process.stdin is not None
                with suppress(BrokenPipeError):  # a question that a peer did not live to read
                    process.stdin.close()


def _written(file: Path) -> Sequence[Entry]:
    try:
        kinds = {name: _Written.model_validate(value) for name, value in tomllib.loads(file.read_text("utf-8")).items()}
    except (OSError, ValueError, ValidationError) as error:
        raise PeerFailedError(f"{file}: {error}; delete the folder and run scripts/peers again") from error
    return [Entry(kind, _resolved(file.parent, written.command), file.parent) for kind, written in kinds.items()]


def _resolved(folder: Path, command: Sequence[str]) -> tuple[str, ...]:
    """The command line with the program's path made absolute when it is one within the folder."""
    program, *arguments = command
    return (str(folder / program) if "/" in program else program, *arguments)
