"""This build beside the program of another commit: the same requests in turns, on one core, as ratios."""

import io
import json
import os
import subprocess
import tarfile
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, nullcontext
from pathlib import Path
from statistics import median

import numpy as np
import psutil

from appliance.calibration.rates import Reals
from lab.bench.material import FPS, film
from lab.bench.parts import Bench, decide, listener, wait_for
from lab.bench.peers import FOLDER
from lab.device import OK, THIS, Build, Device, OwnDevice, ProgramFailedError, resident_megabytes
from lab.report import Finding, tracked

ROOT = FOLDER.parent  # the clone
PERSON = "against"  # the id of the person of the portrait, who is enrolled in both galleries
SEED, RESAMPLES = 13, 2_000  # its bounds at 2.5 and 97.5 % rest on fifty resamples each (Efron, Tibshirani 1993, 14.3)
SETTLE_SECONDS = 2.0
Samples = Mapping[str, tuple[list[float], list[float]]]  # by path: what the other build took, and what this one did


def built(commit: str) -> Build:
    """Unpacks the files of a commit beside the peers, and makes its environment by its own scripts; what is there already is
    kept. Raises ProgramFailedError.
    """
    git = ("git", "-C", str(ROOT))
    name = _output(*git, "rev-parse", "--short=12", "--verify", f"{commit}^{{commit}}").decode().strip()
    folder = FOLDER / f"commit-{name}"
    if not (folder / "setup.cfg").is_file():
        with tarfile.open(fileobj=io.BytesIO(_output(*git, "archive", "--format=tar", name))) as archive:
            archive.extractall(folder, filter="data")
    _output(str(folder / "scripts" / "environment"), ".venv")
    return Build(folder / ".venv" / "bin" / "python", folder)


def measure(bench: Bench, commit: str, other: Build) -> Iterator[Finding]:
    """How much faster and smaller this build is: the median of the other one over that of this one, with bootstrap bounds."""
    film(bench.folder, bench.material.picture)
    samples: Samples = defaultdict(lambda: ([], []))
    for _ in tracked(range(bench.extent.rounds), f"against {commit}"):
        _posted(bench, (other, THIS), samples)
        for side, build in enumerate((other, THIS)):
            _live(bench, build, side, samples)
    yield from (ratio(f"{commit} over this build", path, *taken) for path, taken in samples.items())


def ratio(question: str, path: str, other: Sequence[float], this: Sequence[float]) -> Finding:
    """Median over median, with the bounds of pairs drawn anew (percentile bootstrap); without bounds from fewer than three."""

    def medians(before: Reals, now: Reals, axis: int = -1) -> Reals:
        return np.asarray(np.median(before, axis) / np.median(now, axis))

    interval, random = None, np.random.default_rng(SEED)
    if len(this) >= 3:
        from scipy import stats  # here, because it takes a while

        drawn = stats.bootstrap(
            (other, this), medians, paired=True, n_resamples=RESAMPLES, method="percentile", random_state=random
        )
        interval = (float(drawn.confidence_interval.low), float(drawn.confidence_interval.high))
    before, now = median(other), median(this)
    return Finding(question, f"{path}: {before:.4g} → {now:.4g}", before / now, "x", interval)


def _posted(bench: Bench, builds: Sequence[Build], samples: Samples) -> None:
    """Idle memory of both without a camera; then posted pictures, one to each in turn."""
    questions = bench.material.questions()
    with ExitStack() as stack:
        clients, devices = [], []
        for side, build in enumerate(builds):
            device = stack.enter_context(bench.device(build=build))
            samples["idle memory, MB"][side].append(resident_megabytes(device.process_id))
            _pin(device)
            devices.append(device)
            clients.append(stack.enter_context(Device(device.url)))
            _enrol(clients[-1], bench.material.picture)
        for kind in ("faces", "alignedfaces", "identify", "liveness"):
            path, body, content_type = questions[kind]
            for number in range(bench.extent.requests // 3):
                for side, (client, device) in enumerate(zip(clients, devices, strict=True)):
                    begun = _processor_ms(device)
                    taken = client.timed("POST", path, body, content_type)
                    if number:  # the first one builds what later ones find ready
                        samples[f"POST {path}, ms"][side].append(taken)
                        samples[f"POST {path}, processor ms"][side].append(_processor_ms(device) - begun)


def _live(bench: Bench, build: Build, side: int, samples: Samples) -> None:
    """A camera without requests; then questions about its frames, at most one a frame."""
    with bench.device(film=True, build=build) as device, Device(device.url) as client:
        _pin(device)
        _enrol(client, bench.material.picture)
        wait_for(client, 2 * FPS)
        time.sleep(SETTLE_SECONDS)
        process = psutil.Process(device.process_id)
        percent = process.cpu_percent(bench.extent.processor_seconds)
        samples[f"idle camera at {FPS}/s, % of a core"][side].append(percent)
        for title, also in (("GET /faces, ms", nullcontext()), ("GET /faces, face followed, ms", listener(device.url))):
            with also:
                for _ in range(bench.extent.requests // 3):
                    time.sleep(1 / FPS)
                    samples[title][side].append(client.timed("GET", "/faces"))
        for _ in range(bench.extent.requests // 6):
            at_door, work = decide(client)
            samples["POST /access/decide, door, ms"][side].append(at_door)
            samples["POST /access/decide, work, ms"][side].append(work)


def _enrol(client: Device, picture: bytes) -> None:
    """Raises UnexpectedAnswerError."""
    client.ask("POST", "/people", json.dumps({"id": PERSON, "name": PERSON}).encode(), "application/json").expect(OK)
    client.ask("POST", f"/people/{PERSON}/templates", picture).expect(OK)


def _pin(device: OwnDevice) -> None:
    """Holds all threads of a device to one core, the same for each; by now it has as many engines as there are cores."""
    for task in Path(f"/proc/{device.process_id}/task").iterdir():
        os.sched_setaffinity(int(task.name), {max(os.sched_getaffinity(0))})


def _processor_ms(device: OwnDevice) -> float:
    """Milliseconds that the threads of a device have run (proc_pid_schedstat(5)), which other work delays least."""
    tasks = Path(f"/proc/{device.process_id}/task").iterdir()
    return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks) / 1e6


def _output(*command: str) -> bytes:
    """What a command prints. Raises ProgramFailedError."""
    try:
        return subprocess.run(command, capture_output=True, check=True).stdout
    except OSError as error:
        raise ProgramFailedError(f"{command[0]}: {error.strerror}") from error
    except subprocess.CalledProcessError as error:
        last = (error.stderr.decode(errors="replace").strip().splitlines() or ["no message"])[-1]
        raise ProgramFailedError(f"{Path(command[0]).name}: {last}") from error
