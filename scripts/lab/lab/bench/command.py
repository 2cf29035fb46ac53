"""`appliance bench`: speed, start and memory of a device of its own, on a machine that should have nothing else to do."""

import argparse
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil

from appliance import __version__, identity
from appliance.config import Config
from appliance.vision.manifest import ModelError
from lab.bench import against, parts, peers
from lab.bench.parts import QUICK, Bench, Extent
from lab.device import ProgramFailedError, UnexpectedAnswerError
from lab.report import Finding, print_table, unjudged, write_json

PARTS: Mapping[str, Callable[[Bench], Iterator[Finding]]] = {
    part.__name__: part
    for part in (
        parts.stages, parts.endpoints, parts.scaling, parts.start, parts.memory, parts.camera, parts.gallery
    )
}  # fmt: skip
FAILURES = (ModelError, ProgramFailedError, UnexpectedAnswerError)  # end the bench, reported in one line
BUSY = 0.5  # load over a minute above which another program is at work, and figures are doubtful


def main(options: argparse.Namespace, settings: Config) -> int:
    """The exit status: 0 when every bound is kept, 1 when one is missed or could not be measured."""
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # the engines are the parallelism
    here, findings = board(), list[Finding]()
    if warned := warning(here["load_before"]):
        print(warned, file=sys.stderr)
    try:
        facts = _measured(options, settings, findings)
        record = {"program": __version__, "board": here, **{key: facts[key] for key in ("runtime", "models")}}
        write_json(options.json, {**record, "findings": [each.as_json() for each in findings]})
    except OSError as error:
        print(f"bench: {error.filename or 'system'}: {error.strerror or error}", file=sys.stderr)
        return 1
    except FAILURES as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    return 0 if all(finding.passed for finding in findings) else 1


def warning(load: float) -> str:
    """A line for the readers of the figures; empty on a machine that has nothing else to do."""
    return f"this machine is busy (load {load:.2f}): the figures are doubtful" if load > BUSY else ""


def parts_of(options: argparse.Namespace) -> list[str]:
    """The parts to measure: all of them, unless one is named or only --compare or --against is given."""
    if options.part in PARTS:
        return [options.part]
    return [] if options.part is None and (options.compare or options.against) else list(PARTS)


def extent_of(options: argparse.Namespace) -> Extent:
    """How much to measure."""
    extent = QUICK if options.quick else Extent()
    given = {"mixed": options.requests, "frames": options.frames}
    return replace(extent, **{name: value for name, value in given.items() if value is not None})


def judged(findings: Sequence[Finding], *, quick: bool) -> list[Finding]:
    """The findings; of a quick run without their bounds, which would say nothing, unless they count errors."""
    return [each if not quick or each.measure == "errors" else unjudged([each])[0] for each in findings]


def board() -> dict[str, Any]:
    """The facts about this machine, now, that make two records comparable; an unknown text is empty.

    `memory_mb` is in units of 10^6 bytes; `throttled` the firmware's answer on a Raspberry Pi, 0x0 if it never slowed down;
    `date` UTC, to the minute; `load_before` the load over the last minute (getloadavg(3)), 0 when idle.
    """
    throttled = ""
    if vcgencmd := shutil.which("vcgencmd"):
        throttled = subprocess.run([vcgencmd, "get_throttled"], capture_output=True, text=True, check=False).stdout
    sensors = psutil.sensors_temperatures().values()
    return {
        "board": identity.board(),
        "processor": processor(_text("/proc/cpuinfo")),
        "cores": len(os.sched_getaffinity(0)),
        "memory_mb": round(psutil.virtual_memory().total / 1e6),
        "architecture": platform.machine(),
        "system": platform.freedesktop_os_release().get("PRETTY_NAME", platform.system()),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "governor": _text("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"),
        "temperatures_c": [sensor.current for each in sensors for sensor in each],
        "throttled": throttled.strip().removeprefix("throttled="),
        "date": time.strftime("%Y-%m-%d %H:%MZ", time.gmtime()),
        "load_before": round(psutil.getloadavg()[0], 2),
    }


def processor(cpuinfo: str) -> str:
    """The model's name (proc(5)); on ARM the kernel gives numbers alone: the part's."""
    facts = dict(re.findall(r"^([^:\n]+?)\s*: (.*)$", cpuinfo, re.MULTILINE))
    parts = " ".join(facts.get(key, "") for key in ("CPU implementer", "CPU part"))
    return str(facts.get("model name") or parts).strip()


def _text(file: str) -> str:
    with suppress(OSError):
        return Path(file).read_text("utf-8", "replace").strip()
    return ""


def _measured(options: argparse.Namespace, settings: Config, findings: list[Finding]) -> Mapping[str, Any]:
    """The device's facts; all that the options name is added to `findings`, and each part is printed when it is done."""
    entries = peers.entries(options.peers or peers.FOLDER) if options.compare else []
    other = against.built(options.against) if options.against else None
    with tempfile.TemporaryDirectory() as name:
        bench = Bench.prepared(Path(name), settings.engine, extent_of(options), options.pictures)
        measures = [PARTS[part](bench) for part in parts_of(options)]
        measures += [against.measure(bench, options.against, other)] if other is not None else []
        for measure in [*measures, peers.measure(bench, entries)] if entries else measures:
            found = judged(list(measure), quick=options.quick)
            print_table(found)
            findings += found
    return bench.version
