"""The options of the lab's commands, as `appliance` registers them; what runs is imported when a command runs."""

import argparse
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from appliance.cli.options import Add, positive

QUESTIONS = ("verification", "identification", "detection", "landmarks", "pose", "liveness", "robustness", "all")

PARTS = ("stages", "endpoints", "scaling", "start", "memory", "camera", "gallery", "all")


def evaluate(add: Add) -> None:
    """`appliance evaluate`."""

    def run(options: argparse.Namespace, settings: Any) -> int:
        from lab.evaluate.command import main

        return main(options, settings)

    command = add("evaluate", run, "Measure accuracy on labelled pictures.")
    command.add_argument(
        "question",
        metavar="QUESTION",
        choices=QUESTIONS,
        help=f"{', '.join(QUESTIONS[:-1])}; all: each that DATA has a folder for",
    )
    command.add_argument(
        "data", type=Path, metavar="DATA", help="folder of labelled pictures; the README has the layouts"
    )
    command.add_argument("--workers", type=positive, metavar="N", help="requests at a time (default: one an engine)")
    command.add_argument("--judge", action="store_true", help="compare the figures with this project's own bounds")
    _options(
        command,
        {
            "--device": ("URL", str, "ask the device at http://HOST:PORT instead of this process"),
            "--key": ("KEY", str, "API key of that device"),
            "--json": ("FILE", Path, "write the figures there, too"),
            "--report": ("DIR", Path, "write a page with plots and mistakes there"),
            "--answers": ("FILE", Path, "keep each answer there, and ask nothing twice: continues after a stop"),
            "--strangers": ("FOLDER", Path, "identification: people who are never enrolled, too"),
        },
    )
    more = "identification: pictures to enrol each person with (default: 1)"
    command.add_argument("--templates", type=positive, default=1, metavar="N", help=more)


def bench(add: Add) -> None:
    """`appliance bench`."""

    def run(options: argparse.Namespace, settings: Any) -> int:
        from lab.bench.command import main

        return main(options, settings)

    command = add("bench", run, "Measure speed, start and memory here.")
    command.add_argument("part", nargs="?", choices=PARTS, help="what to measure (default: all)")
    command.add_argument("--quick", action="store_true", help="little of everything, without a verdict")
    beside = "beside the peers that scripts/peers makes; alone, only that"
    command.add_argument("--compare", action="store_true", help=beside)
    _options(
        command,
        {
            "--against": ("COMMIT", str, "beside the program of that commit, built anew; alone, only that"),
            "--peers": ("FOLDER", Path, "where they are (default: .peers of this clone)"),
            "--pictures": ("FOLDER", Path, "more pictures, for --compare"),
            "--requests": ("N", positive, "between two readings of memory (default 5000)"),
            "--frames": ("N", positive, "the same, of the camera (default 20000)"),
            "--json": ("FILE", Path, "write a record of the machine and all figures"),
        },
    )


def statistics(add: Add) -> None:
    """`appliance statistics`."""

    def run(options: argparse.Namespace, settings: Any) -> int:
        from lab.statistics import main

        return main(options, settings)

    command = add("statistics", run, "Write the bundled statistics of new models, for `appliance calibrate`.")
    command.add_argument("kind", choices=("similarity", "liveness"), help="of the embedders, or of the liveness models")
    folders = (
        "similarity: photos as `appliance calibrate similarity` takes them; liveness: sequences.csv and its folders"
    )
    command.add_argument("folders", type=Path, nargs="+", metavar="FOLDER", help=folders)


def _options(command: argparse.ArgumentParser, options: Mapping[str, tuple[str, Callable[[str], object], str]]) -> None:
    """Adds options by their metavar, type and help."""
    for name, (metavar, kind, text) in options.items():
        command.add_argument(name, metavar=metavar, type=kind, help=text)
