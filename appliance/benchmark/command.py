"""`appliance bench`: speed, start and memory of a device of its own, on a machine which should have nothing else to do."""

import argparse
import json
import math
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

from rich.console import Console

from appliance.benchmark import camera, contest, endpoints, gallery, memory, scaling, stages, start
from appliance.benchmark.bench import PORTRAIT, Bench
from appliance.benchmark.board import Board
from appliance.benchmark.contest import Row
from appliance.benchmark.extent import FULL, QUICK, Extent
from appliance.benchmark.figures import Measured, joined
from appliance.benchmark.load import LoadFailedError
from appliance.benchmark.outcome import Outcome
from appliance.benchmark.peers import FOLDER, PeerFailedError, entries
from appliance.config import EngineSection
from appliance.evaluation.asked import UnexpectedAnswerError
from appliance.evaluation.own_device import DeviceFailedError
from appliance.evaluation.report import Finding, print_table
from appliance.vision.manifest import ModelError

EXTRA = ("jinja2", "matplotlib")
"""What `--report` needs beyond the program: the extra `report`."""


def _camera(bench: Bench) -> Measured:
    camera.film(bench.folder, bench.material.picture)
    return Measured(camera.Cameras(bench.folder, bench.engine, bench.extent).measure())


PARTS: Mapping[str, Callable[[Bench], Measured]] = {
    "stages": stages.measure,
    "endpoints": endpoints.measure,
    "scaling": scaling.measure,
    "start": start.measure,
    "memory": memory.measure,
    "camera": _camera,
    "gallery": gallery.measure,
}


def run(options: argparse.Namespace, engine: EngineSection) -> int:
    """The exit status: 0 when every bound is kept, 1 when one is missed or something could not be measured."""
    missing = [name for name in EXTRA if options.report is not None and find_spec(name) is None]
    if missing:
        return _failed(f"--report: {' and '.join(missing)} missing: pip install 'face-appliance[report]'")
    board = Board.here()
    if board.warning:
        print(board.warning, file=sys.stderr)
    try:
        outcome = _measured(options, engine, board)
        _write(options, outcome)
    except OSError as error:
        return _failed(f"{error.filename or 'system'}: {error.strerror or error}")
    except (DeviceFailedError, LoadFailedError, ModelError, PeerFailedError, UnexpectedAnswerError) as error:
        return _failed(str(error))
    return 0 if all(finding.passed for finding in outcome.findings) else 1


def parts_of(options: argparse.Namespace) -> list[str]:
    """The parts that are asked for: all of them, unless one is named or there is only to compare."""
    if options.part in PARTS:
        return [options.part]
    return [] if options.part is None and options.compare else list(PARTS)


def extent_of(options: argparse.Namespace) -> Extent:
    """How much to measure."""
    extent = QUICK if options.quick else FULL
    given = {"mixed": options.requests, "frames": options.frames}
    return replace(extent, **{name: value for name, value in given.items() if value is not None})


def unjudged(finding: Finding) -> Finding:
    """The finding without its bound, unless it counts errors: so little was measured that a bound says nothing."""
    return finding if finding.measure == "errors" else replace(finding, at_least=-math.inf, at_most=math.inf)


def _measured(options: argparse.Namespace, engine: EngineSection, board: Board) -> Outcome:
    """Everything that is asked for; each part is shown when it is done."""
    peers = entries(options.peers or FOLDER) if options.compare else []
    judged = unjudged if options.quick else (lambda finding: finding)
    parts: list[Measured] = []
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as name:
        extent = extent_of(options)
        bench = Bench.prepared(Path(name), engine, options.portrait or PORTRAIT, extent, options.pictures)
        parts.extend(_shown(PARTS[part](bench), judged) for part in parts_of(options))
        if peers:
            compared, rows = contest.measure(bench, peers)
            contest.print_rows(rows, Console())
            parts.append(_shown(compared, judged))
    every = joined(parts)
    return Outcome(board, bench.version, every.findings, every.curves, rows)


def _shown(measured: Measured, judged: Callable[[Finding], Finding]) -> Measured:
    """What was measured, judged, and on the terminal."""
    shown = replace(measured, findings=[judged(finding) for finding in measured.findings])
    print_table(shown.findings, Console())
    return shown


def _write(options: argparse.Namespace, outcome: Outcome) -> None:
    """The record and the page, where they are wanted. Raises OSError."""
    if options.json is not None:
        options.json.write_text(json.dumps(outcome.record(), indent=1, allow_nan=False) + "\n", encoding="utf-8")
    if options.report is not None:
        from appliance.benchmark.page import write_page  # here, because it needs the extra

        print(write_page(outcome, options.report))


def _failed(complaint: str) -> int:
    print(f"bench: {complaint}", file=sys.stderr)
    return 1
