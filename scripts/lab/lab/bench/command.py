"""`appliance bench`: speed, start and memory of a device of its own, on a machine that should have nothing else to do."""

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from rich.console import Console

from appliance import __version__
from appliance.config import Config
from appliance.vision.manifest import ModelError
from lab.bench import against, camera, gallery, peers, posted
from lab.bench.against import BuildFailedError
from lab.bench.bench import QUICK, Bench, Extent
from lab.bench.board import board, warning
from lab.bench.load import LoadFailedError
from lab.bench.peers import PeerFailedError
from lab.device import DeviceFailedError, UnexpectedAnswerError
from lab.report import Finding, print_table, unjudged

PARTS: Mapping[str, Callable[[Bench], Iterator[Finding]]] = {
    "stages": posted.stages,
    "endpoints": posted.endpoints,
    "scaling": posted.scaling,
    "start": posted.start,
    "memory": posted.memory,
    "camera": camera.measure,
    "gallery": gallery.measure,
}


FAILURES = (
    BuildFailedError, DeviceFailedError, LoadFailedError, ModelError, PeerFailedError, UnexpectedAnswerError,
)  # fmt: skip
"""What ends the bench, reported in one line."""


def main(options: argparse.Namespace, settings: Config) -> int:
    """The exit status: 0 when every bound is kept, 1 when one is missed or could not be measured."""
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # the engines are the parallelism
    here = board()
    if warned := warning(here["load_before"]):
        print(warned, file=sys.stderr)
    try:
        record = _measured(options, settings, here)
        if options.json is not None:
            options.json.write_text(
                json.dumps(
                    {**record, "findings": [each.as_json() for each in record["findings"]]}, indent=1, allow_nan=False
                )
                + "\n",
                "utf-8",
            )
    except OSError as error:
        return _failed(f"{error.filename or 'system'}: {error.strerror or error}")
    except FAILURES as error:
        return _failed(str(error))
    return 0 if all(finding.passed for finding in record["findings"]) else 1


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


def _measured(options: argparse.Namespace, settings: Config, here: Mapping[str, Any]) -> dict[str, Any]:
    """The record of the machine, the program and all that the options name; each part is printed when it is done."""
    entries = peers.entries(options.peers or peers.FOLDER) if options.compare else []
    other = against.built(options.against) if options.against else None
    findings: list[Finding] = []
    rows: list[peers.Row] = []

    def show(part: Iterator[Finding]) -> None:
        shown = judged(list(part), quick=options.quick)
        print_table(shown)
        findings.extend(shown)

    with tempfile.TemporaryDirectory() as name:
        bench = Bench.prepared(Path(name), settings.engine, extent_of(options), options.pictures)
        for part in parts_of(options):
            show(PARTS[part](bench))
        if other is not None:
            show(against.measure(bench, options.against, other))
        if entries:
            rows = peers.measure(bench, entries)
            peers.print_rows(rows, Console())
            show(peers.findings(rows))
    machine = {"program": __version__, "board": here, **{key: bench.version[key] for key in ("runtime", "models")}}
    return {**machine, "findings": findings, "peers": [asdict(row) for row in rows]}


def _failed(complaint: str) -> int:
    print(f"bench: {complaint}", file=sys.stderr)
    return 1
