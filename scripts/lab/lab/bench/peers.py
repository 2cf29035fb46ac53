"""The device's own engine beside other installable ones: same pictures, same run, one core each, each a child process."""

import json
import os
import subprocess
import sys
import tempfile
import threading
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from statistics import mean, median
from typing import IO, Any

import numpy as np
from pydantic import BaseModel, ConfigDict, ValidationError
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Column, Table

from lab.bench.bench import Bench, Measured
from lab.bench.material import CANVAS, FACE_HEIGHT, pictures_of
from lab.bench.protocol import STEPS
from lab.pictures import upright
from lab.report import Finding, tracked

FOLDER = Path(__file__).resolve().parents[4] / ".peers"
"""Where scripts/peers makes them, beside the sources of a clone."""

TIME_LIMIT = 120.0
"""Seconds within which a peer is up, or has answered; a thousand times what the slowest takes here."""

PATIENCE = 2.0
"""Seconds that a peer may take to end after an invalid answer, or none."""

ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
"""Environment variables that limit the usual thread pools to one."""

TIMES = 5
"""Looks at a picture in a row, so that what another peer left in the caches does not count alone."""

LEAST_TIMES_OURS = {"dlib-upsampled": 8.0, "onnxruntime": 1.0}
"""The time that a peer of this kind should take at least, as a multiple of ours, for a face at 1280 x 720. dlib's HOG is
compared as the `face_recognition` package runs it by default: upsampled once, which finds faces of about our default size.
"""

PORTRAITS = "portraits, 1280x720"


class PeerFailedError(Exception):
    """A peer did not start, or did not answer; carries the end of its log."""


class _Written(BaseModel):
    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")

    command: list[str]


@dataclass(frozen=True, slots=True)
class Entry:
    """A peer that can be started: what kind it is, and its command line."""

    kind: str
    command: tuple[str, ...]
    folder: Path


OURS = Entry("appliance", (sys.executable, "-m", "lab.bench.entrant"), Path.cwd())


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

    def median(self, step: str) -> float | None:
        """Of a step, None where the peer has no such step."""
        known = [value for look in self.milliseconds if (value := look[step]) is not None]
        return median(known) if known else None


@dataclass(frozen=True, slots=True)
class Row:
    """A peer on a set of pictures: milliseconds a picture by step (None where it has no such step), its time as a multiple of
    ours (of ours without a step that it does not have), and the faces found in all pictures.
    """

    pictures: str
    kind: str
    name: str
    milliseconds: dict[str, float | None]
    times_ours: float
    faces: int

    def cells(self) -> list[str]:
        """As text: name, steps, all, times ours, faces."""
        steps = (self.milliseconds[step] for step in (*STEPS, "all"))
        times = ["none" if value is None else f"{value:.1f}" for value in steps]
        return [self.name, *times, f"{self.times_ours:.2f}", str(self.faces)]


class Peer:
    """A peer that runs, limited to one core; ends with its `with`."""

    def __init__(self, entry: Entry, process: "subprocess.Popen[str]", log: IO[str]) -> None:
        self.kind, self._process, self._log = entry.kind, process, log
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
        last = (self._log.read().strip().splitlines() or ["no message"])[-1]
        return f"{self.kind}: ended with status {status}: {last}"


@dataclass(slots=True)
class Score:
    """A peer's answers to each picture of a set, round by round."""

    peer: Peer
    rounds: list[list[Seen]] = field(default_factory=list)

    def taken(self, number: int, without: Sequence[str] = ()) -> float:
        """Milliseconds of all steps on all pictures in a round, except of the steps `without`."""
        return sum(
            (seen.median("all") or 0.0) - sum(seen.median(step) or 0.0 for step in without)
            for seen in self.rounds[number]
        )

    def step(self, step: str) -> float | None:
        """Milliseconds of a step a picture: the mean over the pictures of the medians over the rounds."""
        by_picture = zip(*([seen.median(step) for seen in each] for each in self.rounds), strict=True)
        times = [[value for value in values if value is not None] for values in by_picture]
        return mean(median(values) for values in times) if all(times) else None

    def row(self, title: str, ours: "Score") -> Row:
        """Compared with ours round by round, in the steps that the peer has."""
        milliseconds = {step: self.step(step) for step in (*STEPS, "all")}
        lacking = [step for step in STEPS if milliseconds[step] is None]
        times = median(self.taken(number) / ours.taken(number, lacking) for number in range(len(ours.rounds)))
        faces = sum(seen.faces for seen in self.rounds[-1])
        return Row(title, self.peer.kind, self.peer.name, milliseconds, times, faces)


def entries(folder: Path = FOLDER) -> list[Entry]:
    """The peers of a folder: of each folder in it those that its peer.toml names, `NAME.command = [PROGRAM, ARGUMENT, …]`,
    where a path is relative to the folder. Raises PeerFailedError when there is none, or a file is not like that.
    """
    found = []
    for file in sorted(folder.glob("*/peer.toml")):
        try:
            kinds = tomllib.loads(file.read_text("utf-8"))
            commands = {kind: _Written.model_validate(value).command for kind, value in kinds.items()}
        except (OSError, ValueError, ValidationError) as error:
            raise PeerFailedError(f"{file}: {error}; delete the folder and run scripts/peers again") from error
        for kind, (program, *arguments) in commands.items():
            absolute = str(file.parent / program) if "/" in program else program
            found.append(Entry(kind, (absolute, *arguments), file.parent))
    if not found:
        raise PeerFailedError(f"{folder} has no peers: scripts/peers makes them")
    return found


@contextmanager
def running(entry: Entry) -> Iterator[Peer]:
    """Starts a peer on one core, waits until it is up, ends it. Raises PeerFailedError."""
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as log:
        try:
            process = subprocess.Popen(
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
                with suppress(BrokenPipeError):  # a question that a peer did not read any more
                    process.stdin.close()


def measure(bench: Bench, peers: Sequence[Entry]) -> tuple[Measured, list[Row]]:
    """All peers on the bundled portraits, and on the user's own pictures. Raises OSError, PeerFailedError."""
    sets = {PORTRAITS: [subject.on(CANVAS, FACE_HEIGHT) for subject in bench.subjects]}
    if bench.pictures is not None:
        files = pictures_of(bench.pictures, bench.extent.pictures)
        sets[f"{len(files)} pictures"] = [file.read_bytes() for file in files]
    with ExitStack() as stack:
        scores = [stack.enter_context(running(entry)) for entry in (OURS, *peers)]
        rows = [row for title, pictures in sets.items() for row in _rows(bench, title, scores, pictures)]
    judged = [row for row in rows if row.kind in LEAST_TIMES_OURS and row.pictures == PORTRAITS]
    findings = [
        Finding("times ours, all steps", row.name, row.times_ours, at_least=LEAST_TIMES_OURS[row.kind])
        for row in judged
    ]
    return Measured(findings), rows


def print_rows(rows: Sequence[Row], console: Console) -> None:
    """A table a set of pictures, a line a peer."""
    for title in dict.fromkeys(row.pictures for row in rows):
        numbers = (Column(name, justify="right", width=6) for name in (*STEPS, "all", "x ours", "faces"))
        title_column = Column(f"{title}: ms", width=34)
        table = Table(title_column, *numbers, box=SIMPLE_HEAD, padding=(0, 1, 0, 0), show_edge=False)
        for row in rows:
            if row.pictures == title:
                table.add_row(*row.cells())
        console.print(table)
        console.print()


def _rows(bench: Bench, title: str, peers: Sequence[Peer], pictures: Sequence[bytes]) -> list[Row]:
    raw = [_raw(bench.folder / f"{number}.rgb", picture) for number, picture in enumerate(pictures)]
    for peer in peers:
        for picture in raw:
            peer.look(picture, 1)  # the first look at a size builds what later ones find ready
    scores = [Score(peer) for peer in peers]
    for _ in tracked(range(bench.extent.rounds), title):
        for score in scores:
            score.rounds.append([])
        for picture in raw:
            for score in scores:
                score.rounds[-1].append(score.peer.look(picture, TIMES))
    return [score.row(title, scores[0]) for score in scores]


def _raw(file: Path, picture: bytes) -> RawPicture:
    """The picture as a file of its upright RGB bytes."""
    image = upright(picture)
    np.asarray(image, np.uint8).tofile(file)
    return RawPicture(file, image.width, image.height)
