"""`scripts/evaluate`: measures a running device and says whether it is good enough."""

import argparse
import json
import math
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from http.client import HTTPException
from pathlib import Path

from rich.console import Console

from appliance.evaluation import detection, landmarks, liveness, robustness, verification
from appliance.evaluation.detection import CommandFailedError
from appliance.evaluation.device import Device, UnexpectedAnswerError
from appliance.evaluation.own_device import own_device
from appliance.evaluation.report import Finding, as_json, print_table

PROJECT = Path(__file__).resolve().parents[2]

DATA = PROJECT.parent / "shared" / "data"

PORTRAIT = PROJECT / "models" / "portrait.jpg"
"""The bundled portrait; the odd-files question pastes and turns it."""

Measurement = Callable[[Device, Path, int], list[Finding]]

QUESTIONS: Mapping[str, Measurement] = {
    "verification": verification.measure,
    "detection": lambda _, data, __: detection.measure(data),
    "landmarks": landmarks.measure,
    "liveness": liveness.measure,
    "robustness": lambda device, data, workers: robustness.measure(device, data, PORTRAIT.read_bytes(), workers),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit status: 0 when every bound is kept, 1 when one is missed."""
    options = _parser().parse_args(arguments)
    names = list(QUESTIONS) if options.question == "all" else [options.question]
    findings: list[Finding] = []
    with ExitStack() as stack:
        url = options.device or stack.enter_context(own_device()).url
        device = stack.enter_context(Device(url))
        version = device.version().expect("INF-00")
        for name in names:
            findings += _answered(name, device, options.data / name, options.workers)
    print_table(findings, Console())
    if options.json is not None:
        record = {"device": version, "findings": as_json(findings)}
        options.json.write_text(json.dumps(record, indent=1, allow_nan=False) + "\n", encoding="utf-8")
    return 0 if all(finding.passed for finding in findings) else 1


def _answered(name: str, device: Device, data: Path, workers: int) -> list[Finding]:
    """The findings on a question; where the device leaves it open, that is the finding, and the next question follows."""
    try:
        return QUESTIONS[name](device, data, workers)
    except (OSError, HTTPException, UnexpectedAnswerError, CommandFailedError) as error:
        print(f"{name}: {type(error).__name__}: {error}", file=sys.stderr)
        return [Finding(name, f"not measured: {type(error).__name__}", math.nan, at_least=0)]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="scripts/evaluate", description=__doc__)
    parser.add_argument("question", nargs="?", default="all", choices=[*QUESTIONS, "all"])
    parser.add_argument(
        "--data", type=Path, default=DATA, help="folder with one folder of labelled pictures a question"
    )
    parser.add_argument(
        "--device", metavar="URL", help="http://HOST:PORT of a running device; without it one is started"
    )
    parser.add_argument("--workers", type=int, default=2, help="requests at a time")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there, too")
    return parser


if __name__ == "__main__":
    sys.exit(main())
