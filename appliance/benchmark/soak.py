"""`scripts/soak`: a device of its own under mixed load, clients that leave, drip, knock and guess. All on this machine."""

import argparse
import json
import os
import random
import re
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPException
from itertools import cycle
from pathlib import Path
from statistics import median, quantiles

import appliance_models
from rich.console import Console
from rich.progress import track

from appliance import keys
from appliance.benchmark import camera, nuisance
from appliance.benchmark.camera import resident_megabytes
from appliance.benchmark.material import CANVAS, MIX, Material, as_expected
from appliance.benchmark.nuisance import Target
from appliance.benchmark.tally import Tally
from appliance.evaluation.device import Device
from appliance.evaluation.own_device import HOST, OwnDevice, free_port, own_device
from appliance.evaluation.report import Finding, as_json, print_table
from appliance.keys import Scope

MINUTES = 10.0

WARM_SHARE = 0.2
"""Of the time, before memory, threads and files are looked at for the first time: buffers have grown to their size by then."""

ROUNDS, REQUESTS = 6, 100
"""Of normal requests without and with dripping connections, in turn, so that both meet the same noise."""

DROPPED = 1000
"""Connections opened and dropped in a row."""

MOST_RATIO = 3.0
MOST_GROWTH_MEGABYTES = 10.0

SETTLE_SECONDS = 40.0
"""Longest wait, when the load has ended, for connections and streams that were left: the server notices within 10 s."""

MIXED_CLIENTS = 2

NUISANCES = (
    nuisance.leave, nuisance.leave, nuisance.leave_a_stream, nuisance.knock, nuisance.guess, nuisance.use_the_key,
)  # fmt: skip
"""A client each."""

LIVE_PATHS = ("/faces", "/alignedfaces", "/camera/frame.jpg", "/healthz", "/metrics", "/version")

ERROR = re.compile(rb"^(?:ERROR|CRITICAL)|^Traceback", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Held:
    """What the device's process holds: megabytes of memory, threads, open files."""

    megabytes: float
    threads: int
    files: int

    @classmethod
    def by(cls, process_id: int) -> "Held":
        """Raises OSError when the process is gone."""
        folder = Path(f"/proc/{process_id}")
        tasks, files = (len(list((folder / name).iterdir())) for name in ("task", "fd"))
        return cls(resident_megabytes(process_id), tasks, files)


@dataclass(frozen=True, slots=True)
class Soak:
    """A running device, and what is asked of it."""

    device: OwnDevice
    material: Material
    target: Target

    def slow_clients(self) -> list[Finding]:
        """The time of normal requests while a hundred connections drip, over that while none does."""
        alone: list[float] = []
        beside: list[float] = []
        with Device(self.device.url) as client:
            self._timed(client)
            for _ in track(range(ROUNDS), "dripping", console=Console(stderr=True)):
                alone += self._timed(client)
                with nuisance.dripping(self.target.port):
                    time.sleep(nuisance.DRIP_SECONDS)
                    beside += self._timed(client)
        title = f"beside {nuisance.DRIPPING} that drip"
        return [
            Finding("slow clients", "/faces, median", median(alone), "ms"),
            Finding("slow clients", f"the same, {title}", median(beside), "ms"),
            Finding("slow clients", "99th percentile", _p99(alone), "ms"),
            Finding("slow clients", f"the same, {title}", _p99(beside), "ms"),
            Finding("slow clients", "ratio of these two", _p99(beside) / _p99(alone), at_most=MOST_RATIO),
        ]

    def dropped(self) -> list[Finding]:
        """A thousand connections that are opened and dropped in a row; then everything is as it was."""
        before, tally, chance = self._settled(None), Tally(), random.Random(0)
        for _ in range(DROPPED // 10):
            nuisance.knock(self.target, chance, tally)
        after = self._settled(before)
        with Device(self.device.url) as client:
            answered = client.ask_once("POST", "/faces", self.material.picture).status == 200
        return [
            Finding("dropped", "connections", tally.meant["opened and dropped"], at_least=DROPPED),
            Finding("dropped", "answers afterwards", answered, at_least=1),
            Finding("dropped", "growth of open files", after.files - before.files, at_most=0),
            Finding("dropped", "growth of threads", after.threads - before.threads, at_most=0),
        ]

    def mixed(self, minutes: float) -> list[Finding]:
        """Everything at once."""
        tally = Tally()
        with self._loaded(tally):
            time.sleep(60 * minutes * WARM_SHARE)
        before = self._settled(None)
        with self._loaded(tally):
            time.sleep(60 * minutes * (1 - WARM_SHARE))
        after = self._settled(before)
        question = f"mixed load, {minutes:g} min"
        return [
            *(Finding(question, what, times) for what, times in sorted(tally.meant.items())),
            *(Finding(question, what, times, at_most=0) for what, times in sorted(tally.wrong.items())),
            Finding(question, "unexpected answers", tally.wrong.total(), at_most=0),
            Finding(question, "memory", after.megabytes, "MB"),
            Finding(question, "growth", after.megabytes - before.megabytes, "MB", at_most=MOST_GROWTH_MEGABYTES),
            Finding(question, "threads", after.threads),
            Finding(question, "growth", after.threads - before.threads, at_most=0),
            Finding(question, "open files", after.files),
            Finding(question, "growth", after.files - before.files, at_most=0),
        ]

    @contextmanager
    def _loaded(self, tally: Tally) -> Iterator[None]:
        over = threading.Event()
        threads = [
            *(threading.Thread(target=self._ask, args=(tally, over, number)) for number in range(MIXED_CLIENTS)),
            *(
                threading.Thread(target=nuisance.acting, args=(client, self.target, number, tally, over))
                for number, client in enumerate(NUISANCES)
            ),
        ]
        with nuisance.dripping(self.target.port):
            for thread in threads:
                thread.start()
            try:
                yield
            finally:
                over.set()
                for thread in threads:
                    thread.join()

    def _ask(self, tally: Tally, over: threading.Event, number: int) -> None:
        """A client that does what it should: every kind of posted request, and the camera's."""
        questions = self.material.questions()
        chance = random.Random(number)
        with Device(self.device.url) as client:
            for kind in cycle(MIX):
                if over.wait(nuisance.PAUSE_SECONDS * chance.random()):
                    return
                try:
                    path, body, content_type = questions[kind]
                    answer = client.ask_once("POST", path, body, content_type)
                    tally.add("posted requests", wrong=not as_expected(kind, answer))
                    looked = client.ask_once("GET", chance.choice(LIVE_PATHS))
                    tally.add("questions about the camera", wrong=looked.status != 200)
                except (OSError, HTTPException) as error:
                    tally.add(f"no answer: {type(error).__name__}", wrong=True)

    def _timed(self, client: Device) -> list[float]:
        """Milliseconds of normal requests, as their client sees them."""
        milliseconds = []
        for _ in range(REQUESTS):
            begun = time.perf_counter()
            client.ask_once("POST", "/faces", self.material.picture).expect("INF-00")
            milliseconds.append(1e3 * (time.perf_counter() - begun))
        return milliseconds

    def _settled(self, before: Held | None) -> Held:
        """What the device holds when what was left has been noticed: at the latest after SETTLE_SECONDS."""
        deadline = time.monotonic() + SETTLE_SECONDS
        while time.monotonic() < deadline:
            held = Held.by(self.device.process_id)
            if before is not None and (held.files, held.threads) <= (before.files, before.threads):
                break
            time.sleep(1)
        return Held.by(self.device.process_id)


@contextmanager
def soaked(folder: Path) -> Iterator[Soak]:
    """A device before a film, with a key, and a port for strangers."""
    front_port, token = free_port(), keys.add(folder / "state" / keys.FILE, "soak", [Scope.RECOGNISE])
    portrait = (appliance_models.FOLDER / "portrait.jpg").read_bytes()
    with own_device("--config", str(camera.without_camera(folder))) as plain, Device(plain.url) as client:
        material = Material.made_from(portrait, client)
    camera.film(folder, material.picture)
    width, height = CANVAS
    path = folder / "soak.toml"
    path.write_text(
        f'[camera]\ndriver = "replay"\nsource = "{folder / "film"}"\nwidth = {width}\nheight = {height}\n'
        f'[server]\nfront_port = {front_port}\n[state]\nfolder = "{folder / "state"}"\n',
        encoding="utf-8",
    )
    with own_device("--config", str(path)) as device:
        requests = tuple(_posted(*question) for question in material.questions().values())
        yield Soak(device, material, Target(int(device.url.rpartition(":")[2]), front_port, token, requests))


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit status: 0 when every bound is kept, 1 when one is missed."""
    options = _parser().parse_args(arguments)
    busy = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as name, soaked(Path(name)) as soak:
        findings = [*soak.slow_clients(), *soak.dropped(), *soak.mixed(options.minutes)]
        log = soak.device.log.read_bytes()
    findings.append(Finding("log", "errors in it", len(ERROR.findall(log)), at_most=0))
    findings.append(Finding("log", "load of the machine before (idle: 0)", busy))
    if options.log is not None:
        options.log.write_bytes(log)
    print_table(findings, Console())
    if options.json is not None:
        options.json.write_text(json.dumps(as_json(findings), indent=1, allow_nan=False) + "\n", encoding="utf-8")
    return 0 if all(finding.passed for finding in findings) else 1


def _posted(path: str, body: bytes, content_type: str) -> bytes:
    head = (
        f"POST {path} HTTP/1.1\r\nHost: {HOST}\r\nContent-Type: {content_type}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def _p99(milliseconds: Sequence[float]) -> float:
    return quantiles(milliseconds, n=100)[98]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="scripts/soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=MINUTES, help="of mixed load (default 10)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there, too")
    parser.add_argument("--log", type=Path, metavar="FILE", help="keep the device's log there")
    return parser


if __name__ == "__main__":
    sys.exit(main())
