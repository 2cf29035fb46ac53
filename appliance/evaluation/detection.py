"""Where are faces? WIDER FACE pictures, through the command line of this tree.

AP needs what the HTTP answer does not have: each face's score, and the detector's own rectangle (the contract's box is that
rectangle squared, which no labelled rectangle is).
"""

import csv
import json
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import track

from appliance.evaluation.measures import DetectedPicture, average_precision
from appliance.evaluation.report import Finding

QUESTION = "detection"

LEAST_AP = {"easy": 0.87, "medium": 0.85, "hard": 0.70}
"""The settings of WIDER FACE and the AP wanted; YuNet's published figures at full size are .884, .866 and .750."""

MINSIZE, DETECTCOUNT = 8, 1000
"""Smaller than the smallest face that counts (10 px), and more faces than any picture has."""


class CommandFailedError(Exception):
    """The command line did not answer for every picture."""


def measure(data: Path) -> list[Finding]:
    """`data` holds labels.csv (image, x, y, w, h, easy, medium, hard) and images/. Raises CommandFailedError."""
    labels = read_labels(data / "labels.csv")
    names = sorted(labels)
    found = dict(zip(names, detect([data / "images" / name for name in names]), strict=True))
    return [
        Finding(
            QUESTION,
            f"AP {setting}",
            average_precision([_picture(found[name], labels[name], setting) for name in names]),
            at_least=wanted,
        )
        for setting, wanted in LEAST_AP.items()
    ]


def read_labels(path: Path) -> dict[str, list[dict[str, str]]]:
    """The rows of each picture."""
    labels: dict[str, list[dict[str, str]]] = defaultdict(list)
    with path.open(newline="", encoding="utf-8") as lines:
        for row in csv.DictReader(lines):
            labels[row["image"]].append(row)
    return dict(labels)


def detect(pictures: Sequence[Path]) -> list[list[dict[str, Any]]]:
    """The faces of each picture as `appliance detect --json` prints them. Raises CommandFailedError.

    A picture that cannot be read has none.
    """
    command = [sys.executable, "-m", "appliance", "detect", *map(str, pictures)]
    command += ["--json", "--minsize", str(MINSIZE), "--detectcount", str(DETECTCOUNT)]
    with tempfile.TemporaryFile() as log:
        with subprocess.Popen(  # noqa: S603 (our own command line)
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log, text=True
        ) as process:
            lines = list(track(_lines(process), "detecting", total=len(pictures), console=Console(stderr=True)))
        log.seek(0)
        complaint = log.read().decode(errors="replace")
    answers = [json.loads(line) for line in lines]
    if [answer.get("file") for answer in answers] != [str(path) for path in pictures]:
        raise CommandFailedError(f"{len(answers)} answers for {len(pictures)} pictures: {complaint}")
    return [answer.get("faces", []) for answer in answers]


def _lines(process: subprocess.Popen[str]) -> Iterator[str]:
    if process.stdout is not None:
        yield from process.stdout


def _picture(faces: list[dict[str, Any]], labels: list[dict[str, str]], setting: str) -> DetectedPicture:
    boxes = [[face["bounding_box"][key] for key in ("x", "y", "width", "height")] for face in faces]
    labelled = [[float(row[key]) for key in ("x", "y", "w", "h")] for row in labels]
    return DetectedPicture(
        np.array(boxes, dtype=np.float64).reshape(-1, 4),
        np.array([face["score"] for face in faces], dtype=np.float64),
        np.array(labelled, dtype=np.float64).reshape(-1, 4),
        np.array([row[setting] == "1" for row in labels]),
    )
