"""The options of the lab's commands, as `appliance` registers them; what runs is imported when a command runs."""

import argparse
from importlib import import_module
from pathlib import Path
from typing import Any

from appliance.cli.options import Add, Run, positive

QUESTIONS = ("verification", "identification", "detection", "landmarks", "pose", "liveness", "robustness", "all")
PARTS = ("stages", "endpoints", "scaling", "start", "memory", "camera", "gallery", "all")


def evaluate(add: Add) -> None:
    """`appliance evaluate`."""
    command = add("evaluate", _running("lab.evaluate.command"), "Measure accuracy on labelled pictures.")
    questions = f"{', '.join(QUESTIONS[:-1])}; all: each that DATA has a folder for"
    command.value("question", "QUESTION", questions, choices=QUESTIONS)
    command.value("data", "DATA", "folder of labelled pictures; docs/measured.md has the layouts", Path)
    command.value("--workers", "N", "requests at a time (default: one an engine)", positive)
    command.flag("--judge", "compare the figures with this project's own bounds")
    command.value("--device", "URL", "ask the device at http://HOST:PORT instead of this process")
    command.value("--key", "KEY", "API key of that device")
    command.value("--json", "FILE", "write the figures there, too", Path)
    command.value("--report", "DIR", "write a page with the figures and the worst mistakes there", Path)
    command.value("--answers", "FILE", "keep each answer there, and ask nothing twice: continues after a stop", Path)
    command.value("--strangers", "FOLDER", "identification: people who are never enrolled, too", Path)
    fresh = "identification: also by thresholds that were found on other people (of both folders, in five folds)"
    command.flag("--held-out", fresh)
    more = "identification: pictures to enrol each person with (default: 1)"
    command.value("--templates", "N", more, positive, default=1)


def bench(add: Add) -> None:
    """`appliance bench`."""
    command = add("bench", _running("lab.bench.command"), "Measure speed, start and memory here.")
    command.add_argument("part", nargs="?", choices=PARTS, help="what to measure (default: all)")
    command.flag("--quick", "little of everything, without a verdict")
    command.flag("--compare", "beside the peers that scripts/peers makes; alone, only that")
    command.value("--against", "COMMIT", "beside the program of that commit, built anew; alone, only that")
    command.value("--peers", "FOLDER", "where they are (default: .peers of this clone)", Path)
    command.value("--pictures", "FOLDER", "more pictures, for --compare", Path)
    command.value("--requests", "N", "between two readings of memory (default 5000)", positive)
    command.value("--frames", "N", "the same, of the camera (default 20000)", positive)
    command.value("--json", "FILE", "write a record of the machine and all figures", Path)


def statistics(add: Add) -> None:
    """`appliance statistics`."""
    text = "Write the bundled statistics of new models, for `appliance calibrate`."
    command = add("statistics", _running("lab.statistics"), text)
    kinds = "of the embedders, of the liveness models, or the answers for `appliance selftest`"
    command.add_argument("kind", choices=("similarity", "liveness", "selftest"), help=kinds)
    folders = (
        "similarity: photos as `appliance calibrate similarity` takes them; liveness: sequences.csv and its folders; "
        "selftest: the models"
    )
    command.value("folders", "FOLDER", folders, Path, nargs="+")


def _running(module: str) -> Run:
    """Runs the `main` of a module."""

    def run(options: argparse.Namespace, settings: Any) -> int:
        return int(import_module(module).main(options, settings))

    return run
