"""`appliance bench`: speed, start and memory of a device of its own, on a machine that should have nothing else to do."""

import argparse
import os
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from appliance import __version__
from appliance.config import Config
from appliance.vision.manifest import ModelError
from lab.bench import against, parts, peers
from lab.bench.bench import QUICK, Bench, Extent
from lab.bench.board import board, warning
from lab.device import ProgramFailedError, UnexpectedAnswerError
from lab.report import Finding, print_table, unjudged, write_json

PARTS: Mapping[str, Callable[[Bench], Iterator[Finding]]] = {
    part.__name__: part
    for part in (
        parts.stages, parts.endpoints, parts.scaling, parts.start, parts.memory, parts.camera, parts.gallery
    )
}  # fmt: skip

FAILURES = (ModelError, ProgramFailedError, UnexpectedAnswerError)
"""What ends the bench, reported in one line."""


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
        return _failed(f"{error.filename or 'system'}: {error.strerror or error}")
    except FAILURES as error:
        return _failed(str(error))
    return 0 if all(finding.passed for finding in findings) else 1


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


def _failed(complaint: str) -> int:
    print(f"bench: {complaint}", file=sys.stderr)
    return 1
