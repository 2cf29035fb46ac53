"""The device's own engine beside other installable ones: same pictures, in turns, one core each, each a child process."""

import json
import os
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import TypeAdapter

from appliance.calibration.rates import Reals
from lab.bench.material import CANVAS, FACE_HEIGHT, pictures_of
from lab.bench.parts import Bench
from lab.bench.protocol import STEPS
from lab.device import ProgramFailedError
from lab.pictures import upright
from lab.report import Finding, tracked

FOLDER = Path(__file__).resolve().parents[4] / ".peers"  # where scripts/peers makes them, beside the sources of a clone
TIME_LIMIT = 600.0  # seconds for the answers about all pictures; ten times what the slowest takes here
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")  # the usual pools
TIMES = 5  # looks at a picture in a row, of which the median counts
TIMED = (*STEPS, "all")

# The time that a peer of this kind should take at least, as a multiple of ours, for a face at 1280 x 720. dlib's HOG is
# compared as the `face_recognition` package runs it by default: upsampled once, which finds faces of about our default size.
LEAST_TIMES_OURS = {"dlib-upsampled": 8.0, "onnxruntime": 1.0}

PORTRAITS = "portraits, 1280x720"
COMMANDS = TypeAdapter(dict[str, dict[Literal["command"], list[str]]])


@dataclass(frozen=True, slots=True)
class Entry:
    """A peer that can be started: what kind it is, and its command line."""

    kind: str
    command: tuple[str, ...]
    folder: Path


OURS = Entry("appliance", (sys.executable, "-m", "lab.bench.entrant"), Path.cwd())


@dataclass(frozen=True, slots=True)
class Seen:
    """The answers of a peer: its name, faces found in all pictures, and milliseconds of each picture by step (N x TIMED)."""

    name: str
    faces: int
    milliseconds: Reals


def entries(folder: Path = FOLDER) -> list[Entry]:
    """The peers of a folder: of each folder in it those that its peer.toml names, `NAME.command = [PROGRAM, ARGUMENT, …]`,
    where a path is relative to the folder. Raises ProgramFailedError when there is none, or a file is not like that.
    """
    found = []
    for file in sorted(folder.glob("*/peer.toml")):
        try:
            for kind, written in COMMANDS.validate_python(tomllib.loads(file.read_text("utf-8"))).items():
                program, *arguments = written["command"]
                absolute = str(file.parent / program) if "/" in program else program
                found.append(Entry(kind, (absolute, *arguments), file.parent))
        except (OSError, ValueError, KeyError) as error:
            raise ProgramFailedError(f"{file}: {error}; delete the folder and run scripts/peers again") from error
    if not found:
        raise ProgramFailedError(f"{folder} has no peers: scripts/peers makes them")
    return found


def ask(entry: Entry, pictures: Sequence[Path], times: int = TIMES) -> Seen:
    """Starts a peer on one core and lets it look at each picture, a file of raw RGB bytes named NAME.WIDTH.HEIGHT, once and
    then `times` in a row: the first look at a size builds what later ones find ready. Raises ProgramFailedError.
    """
    questions = ""
    for count in (1, times):
        for picture in pictures:
            _, width, height = picture.name.split(".")
            question = {"file": str(picture), "width": int(width), "height": int(height), "times": count}
            questions += json.dumps(question) + "\n"
    try:
        done = subprocess.run(
            entry.command, input=questions, capture_output=True, check=False, text=True, errors="replace",
            cwd=entry.folder, env={**os.environ, **ONE_THREAD}, timeout=TIME_LIMIT, preexec_fn=_on_one_core,
        )  # fmt: skip
        name, *answers = map(json.loads, done.stdout.splitlines())
        looks = [
            [[np.nan if look[step] is None else look[step] for step in TIMED] for look in answer["milliseconds"]]
            for answer in answers[len(pictures) :]
        ]
        milliseconds = np.median(np.array(looks, np.float64).reshape(len(pictures), times, len(TIMED)), axis=1)
        return Seen(name["name"], sum(answer["faces"] for answer in answers[len(pictures) :]), milliseconds)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ProgramFailedError(f"{entry.kind}: {error}") from error
    except (ValueError, KeyError, TypeError) as error:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise ProgramFailedError(f"{entry.kind}: ended with status {done.returncode}: {last}") from error


def measure(bench: Bench, peers: Sequence[Entry]) -> Iterator[Finding]:
    """All peers on the bundled portraits, and on the user's own pictures. Raises OSError, ProgramFailedError."""
    sets = {PORTRAITS: [subject.on(CANVAS, FACE_HEIGHT) for subject in bench.subjects]}
    if bench.pictures is not None:
        files = pictures_of(bench.pictures, bench.extent.pictures)
        sets[f"{len(files)} pictures"] = [file.read_bytes() for file in files]
    for title, pictures in sets.items():
        raw = [_raw(bench.folder, number, picture) for number, picture in enumerate(pictures)]
        rounds = [[ask(entry, raw) for entry in (OURS, *peers)] for _ in tracked(range(bench.extent.rounds), title)]
        every = [list(seen) for seen in zip(*rounds, strict=True)]
        for entry, seen in zip((OURS, *peers), every, strict=True):
            yield from compared(title, seen, every[0], LEAST_TIMES_OURS.get(entry.kind) if title == PORTRAITS else None)


def compared(title: str, rounds: Sequence[Seen], ours: Sequence[Seen], least: float | None = None) -> Iterator[Finding]:
    """Milliseconds a picture of a peer by step, NaN where it has no such step; their sum over ours in the steps that it has,
    compared round by round; and the faces that it found in all pictures.
    """
    taken, own = (np.array([seen.milliseconds for seen in each]) for each in (rounds, ours))
    steps = np.median(taken, axis=0).mean(axis=0)
    lacking = np.nansum(own[:, :, np.isnan(steps)], axis=(1, 2))
    times = float(np.median(taken[:, :, -1].sum(axis=1) / (own[:, :, -1].sum(axis=1) - lacking)))
    question = f"{rounds[-1].name}: {title}"
    yield from (Finding(question, step, float(each), "ms") for step, each in zip(TIMED, steps, strict=True))
    yield Finding(question, "all, over ours", times, "x", at_least=-np.inf if least is None else least)
    yield Finding(question, "faces found", rounds[-1].faces)


def _raw(folder: Path, number: int, picture: bytes) -> Path:
    """The picture as a file of its upright RGB bytes."""
    image = upright(picture)
    path = folder / f"{number}.{image.width}.{image.height}"
    np.asarray(image, np.uint8).tofile(path)
    return path


def _on_one_core() -> None:
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
