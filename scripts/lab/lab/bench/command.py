"""`appliance bench`: speed, start and memory of a device of its own, on a machine that should have nothing else to do."""

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import groupby
from pathlib import Path
from typing import Any

from rich.console import Console

from appliance import __version__
from appliance.config import Config, EngineSection
from appliance.vision.manifest import ModelError
from lab.bench import against, camera, endpoints, gallery, peers, resources, scaling, stages
from lab.bench.against import BuildFailedError
from lab.bench.bench import PORTRAIT, QUICK, Bench, Curve, Extent, Measured
from lab.bench.board import board, warning
from lab.bench.load import LoadFailedError
from lab.bench.peers import PeerFailedError, Row
from lab.bench.protocol import STEPS
from lab.device import DeviceFailedError, UnexpectedAnswerError
from lab.report import Finding, as_json, print_table, unjudged

PARTS: Mapping[str, Callable[[Bench], Measured]] = {
    "stages": stages.measure,
    "endpoints": endpoints.measure,
    "scaling": scaling.measure,
    "start": resources.start,
    "memory": resources.memory,
    "camera": camera.measure,
    "gallery": gallery.measure,
}


@dataclass(frozen=True, slots=True)
class Outcome:
    """The machine, the body of the device's `/version`, and all figures."""

    machine: Mapping[str, Any]
    version: Mapping[str, Any]
    findings: Sequence[Finding]
    curves: Sequence[Curve]
    rows: Sequence[Row]

    def record(self) -> dict[str, Any]:
        """All of it as plain JSON: no infinities, no NaN."""
        return {
            "program": __version__,
            "board": self.machine,
            "runtime": self.version["runtime"],
            "models": self.version["models"],
            "findings": as_json(self.findings),
            "curves": [asdict(curve) for curve in self.curves],
            "peers": [asdict(row) for row in self.rows],
        }

    def write_page(self, folder: Path) -> Path:
        """Writes index.html into `folder`; its path. Raises OSError."""
        from lab.page import Page, Section
        from lab.plots import lines

        runtime = "{name} {version}".format(**self.version["runtime"])
        heat = ", ".join(map(str, self.machine["temperatures_c"]))
        facts = {**self.machine, "temperatures_c": heat, "program": __version__, "runtime": runtime}
        models = {model["name"]: f"{model['file']} ({model['precision']})" for model in self.version["models"]}
        headings = ("ms a picture, one core each", *STEPS, "all", "x ours", "faces")
        tables = {
            f"Beside others: {title}": (headings, [row.cells() for row in rows])
            for title, rows in groupby(self.rows, lambda row: row.pictures)
        }
        page = Page(
            "Speed and memory of this device", warning(self.machine["load_before"]), {**facts, **models}, tables
        )
        plots = [lines((c.title, c.x, c.y), c.lines, xlim=(0, None), ylim=(0, None)) for c in self.curves]
        return page.write(folder, self.findings, [Section("curves", plots=plots)] if plots else [])


def main(options: argparse.Namespace, settings: Config) -> int:
    """The exit status: 0 when every bound is kept, 1 when one is missed or could not be measured."""
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # the engines are the parallelism
    here = board()
    if warned := warning(here["load_before"]):
        print(warned, file=sys.stderr)
    try:
        outcome = _measured(options, settings.engine, here)
        if options.json is not None:
            options.json.write_text(json.dumps(outcome.record(), indent=1, allow_nan=False) + "\n", encoding="utf-8")
        if options.report is not None:
            print(outcome.write_page(options.report))
    except OSError as error:
        return _failed(f"{error.filename or 'system'}: {error.strerror or error}")
    except (
        BuildFailedError,
        DeviceFailedError,
        LoadFailedError,
        ModelError,
        PeerFailedError,
        UnexpectedAnswerError,
    ) as error:
        return _failed(str(error))
    return 0 if all(finding.passed for finding in outcome.findings) else 1


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
    if not quick:
        return list(findings)
    return [
        each for finding in findings for each in ([finding] if finding.measure == "errors" else unjudged([finding]))
    ]


def _measured(options: argparse.Namespace, engine: EngineSection, here: Mapping[str, Any]) -> Outcome:
    """All that the options name; each part is printed when it is done."""
    entries = peers.entries(options.peers or peers.FOLDER) if options.compare else []
    other = against.built(options.against) if options.against else None
    findings: list[Finding] = []
    curves: list[Curve] = []
    rows: list[Row] = []

    def show(part: Measured) -> None:
        shown = judged(part.findings, quick=options.quick)
        print_table(shown, Console())
        findings.extend(shown)
        curves.extend(part.curves)

    with tempfile.TemporaryDirectory() as name:
        extent, portrait = extent_of(options), options.portrait or PORTRAIT
        bench = Bench.prepared(Path(name), engine, portrait, extent, options.pictures)
        for part in parts_of(options):
            show(PARTS[part](bench))
        if other is not None:
            show(against.measure(bench, options.against, other))
        if entries:
            compared, rows = peers.measure(bench, entries)
            peers.print_rows(rows, Console())
            show(compared)
    return Outcome(here, bench.version, findings, curves, rows)


def _failed(complaint: str) -> int:
    print(f"bench: {complaint}", file=sys.stderr)
    return 1
