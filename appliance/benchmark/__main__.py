"""`scripts/bench`: speed, start and memory of a device of its own, on this machine, which should have nothing else to do."""

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import appliance_models
from rich.console import Console
from rich.progress import track

from appliance.benchmark import camera
from appliance.benchmark.alone import Alone
from appliance.benchmark.camera import resident_megabytes, without_camera
from appliance.benchmark.load import MIXED, Load, clients, throughput
from appliance.benchmark.material import Material
from appliance.evaluation.device import Device
from appliance.evaluation.own_device import OwnDevice, own_device
from appliance.evaluation.report import Finding, as_json, print_table
from appliance.vision.store import ModelStore

PORTRAIT = appliance_models.FOLDER / "portrait.jpg"

STARTS, ROUNDS = 3, 5
"""How often a start and a ratio are measured; the median counts."""

REQUESTS_A_ROUND = 60
"""Of each kind, so that server and models are measured within the same seconds."""

MOST_FACES_RATIO, MOST_SIMILARITY_RATIO = 1.35, 1.5
MOST_SECONDS_TO_READY = 3.0
MOST_IDLE_MEGABYTES = 220.0
MOST_GROWTH_MEGABYTES = 40.0
"""Twice what 1,500 requests took; a request that is kept until Python collects circles takes three times as much."""
LEAST_SPEEDUP = 1.5
CLIENTS = 4


@dataclass(frozen=True, slots=True)
class Bench:
    """A running device, what is posted to it, and what the same costs without it."""

    device: OwnDevice
    folder: Path
    alone: Alone

    def ratios(self) -> list[Finding]:
        """Server-side time over the sum of decoding and model runs, for /faces and /similarity/v2."""
        return [
            *self._ratio("faces", self.alone.faces, MOST_FACES_RATIO),
            *self._ratio("similarity", self.alone.similarity, MOST_SIMILARITY_RATIO),
        ]

    def speedup(self) -> list[Finding]:
        """Throughput of four clients over that of one."""
        one, four, errors = [], [], 0
        for _ in track(range(ROUNDS), "clients", console=Console(stderr=True)):
            single = clients(self.device.url, self.folder, "faces", REQUESTS_A_ROUND)
            several = clients(self.device.url, self.folder, "faces", REQUESTS_A_ROUND, CLIENTS)
            one.append(throughput(single))
            four.append(throughput(several))
            errors += _errors([*single, *several])
        speedup = median(b / a for a, b in zip(one, four, strict=True))
        return [
            Finding("throughput", "/faces, one client", median(one), "1/s"),
            Finding("throughput", f"/faces, {CLIENTS} clients", median(four), "1/s"),
            Finding("throughput", f"{CLIENTS} clients over one", speedup, at_least=LEAST_SPEEDUP),
            Finding("throughput", "errors", errors, at_most=0),
        ]

    def memory(self, idle: float, requests: int) -> list[Finding]:
        """Resident memory before anything was asked, and after `requests` mixed requests from two clients."""
        loads = clients(self.device.url, self.folder, MIXED, requests // 2, 2)
        after = resident_megabytes(self.device.process_id)
        return [
            Finding("memory", "idle", idle, "MB", at_most=MOST_IDLE_MEGABYTES),
            Finding("memory", f"after {2 * (requests // 2)} mixed requests", after, "MB"),
            Finding("memory", "growth", after - idle, "MB", at_most=MOST_GROWTH_MEGABYTES),
            Finding("memory", "errors", _errors(loads), at_most=0),
        ]

    def _ratio(self, kind: str, alone: Callable[[], float], wanted: float) -> list[Finding]:
        served, needed, errors = [], [], 0
        for _ in track(range(ROUNDS), kind, console=Console(stderr=True)):
            (load,) = clients(self.device.url, self.folder, kind, REQUESTS_A_ROUND)
            served.append(median(load.milliseconds))
            needed.append(alone())
            errors += load.errors
        ratio = median(a / b for a, b in zip(served, needed, strict=True))
        return [
            Finding(kind, "server time", median(served), "ms"),
            Finding(kind, "decoding and model runs alone", median(needed), "ms"),
            Finding(kind, "ratio", ratio, at_most=wanted),
            Finding(kind, "errors", errors, at_most=0),
        ]


def start_times(config: Path) -> list[float]:
    """Seconds from the process's start to its first answer that needs the models."""
    seconds = []
    for _ in track(range(STARTS), "starts", console=Console(stderr=True)):
        with own_device("--config", str(config)) as device:
            seconds.append(device.seconds_to_ready)
    return seconds


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit status: 0 when every bound is kept, 1 when one is missed."""
    options = _parser().parse_args(arguments)
    with tempfile.TemporaryDirectory() as name:
        findings = [*posted(Path(name), options), *filmed(Path(name), options)]
    print_table(findings, Console())
    if options.json is not None:
        options.json.write_text(json.dumps(as_json(findings), indent=1, allow_nan=False) + "\n", encoding="utf-8")
    return 0 if all(finding.passed for finding in findings) else 1


def posted(folder: Path, options: argparse.Namespace) -> list[Finding]:
    """Start, speed and memory of a device that answers posted pictures."""
    busy = os.getloadavg()[0]
    config = without_camera(folder)
    ready = median(start_times(config))
    findings = [
        Finding("start", "load of the machine before (idle: 0)", busy),
        Finding("start", "to the first answer", ready, "s", at_most=MOST_SECONDS_TO_READY),
    ]
    with own_device("--config", str(config)) as device, Device(device.url) as client:
        idle = resident_megabytes(device.process_id)
        material = Material.made_from(options.portrait.read_bytes(), client)
        material.write(folder)
        files = [model["file"] for model in client.version().expect("INF-00")["models"]]
        bench = Bench(device, folder, Alone.of(material, ModelStore.open(appliance_models.FOLDER), files))
        return [*findings, *bench.ratios(), *bench.speedup(), *bench.memory(idle, options.requests)]


def filmed(folder: Path, options: argparse.Namespace) -> list[Finding]:
    """The camera's path of a device before a film of the same picture."""
    camera.film(folder, Material.read(folder).picture)
    return [
        *camera.ages(folder),
        *camera.loop_cost(folder),
        *camera.watched(folder),
        *camera.memory(folder, options.frames),
    ]


def _errors(loads: Sequence[Load]) -> int:
    return sum(load.errors for load in loads)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="scripts/bench", description=__doc__)
    parser.add_argument("--requests", type=int, default=5000, help="mixed requests before memory is looked at again")
    parser.add_argument("--frames", type=int, default=20_000, help="frames before memory is looked at again")
    parser.add_argument(
        "--portrait", type=Path, default=PORTRAIT, help="a picture with one face (default: the bundled one)"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there, too")
    return parser


if __name__ == "__main__":
    sys.exit(main())
