"""What `appliance evaluate` can be told."""

import argparse
from collections.abc import Callable
from pathlib import Path


def add_evaluate(evaluate: argparse.ArgumentParser, positive: Callable[[str], int]) -> None:
    """Of `appliance evaluate`; `positive` reads a whole number from 1."""
    evaluate.add_argument(
        "question",
        metavar="QUESTION",
        choices=("verification", "identification", "detection", "landmarks", "pose", "liveness", "robustness", "all"),
        help="verification, identification, detection, landmarks, pose, liveness, robustness; "
        "all: each that DATA has a folder for",
    )
    evaluate.add_argument(
        "data", type=Path, metavar="DATA", help="folder of labelled pictures; the README has the layouts"
    )
    evaluate.add_argument("--device", metavar="URL", help="ask the device at http://HOST:PORT instead of this process")
    evaluate.add_argument("--key", help="API key of that device")
    evaluate.add_argument("--workers", type=positive, metavar="N", help="questions at a time (default: one an engine)")
    evaluate.add_argument("--json", type=Path, metavar="FILE", help="write the figures there, too")
    evaluate.add_argument("--report", type=Path, metavar="DIR", help="write a page with plots and mistakes there")
    evaluate.add_argument(
        "--answers",
        type=Path,
        metavar="FILE",
        help="keep each answer there, and ask nothing twice: goes on after a stop",
    )
    evaluate.add_argument(
        "--strangers", type=Path, metavar="FOLDER", help="identification: people who are never enrolled, too"
    )
    evaluate.add_argument(
        "--templates",
        type=positive,
        default=1,
        metavar="N",
        help="identification: pictures to enrol each with (default: 1)",
    )
    evaluate.add_argument("--judge", action="store_true", help="hold the figures against this project's own bounds")
