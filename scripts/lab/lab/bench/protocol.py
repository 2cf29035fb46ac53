"""The protocol of a peer: a line of JSON with a picture comes in, a line with times goes out.

This file needs numpy alone, because it also runs in environments without the rest of the program. A peer first says its name:
{"name": "…"}. Each question is {"file", "width", "height", "times"}: raw RGB bytes, and how often to look at them in a row;
each answer is {"faces": N, "milliseconds": [{"detect", "align", "embed", "all"}, …]}, where null means that the peer has no
such step. Times are processor time, which other work on the machine delays least; on its one core it is the time that passes.
"""

import json
import os
import sys
import time
from collections.abc import Callable, Mapping
from typing import IO, Any

import numpy as np
import numpy.typing as npt

STEPS = ("detect", "align", "embed")  # finding the faces, cutting them out upright by their points, embedding them
Look = Callable[[npt.NDArray[np.uint8]], tuple[int, Mapping[str, float | None]]]
"""Looks at RGB pixels (height x width x 3): how many faces it found, and the seconds of each step; of "all" only where that is
not the time of the look (because a step ran twice, to be timed by itself)."""


class Laps:
    """The seconds of consecutive steps."""

    def __init__(self) -> None:
        self.seconds: dict[str, float | None] = dict.fromkeys(STEPS)
        self._since = time.process_time()

    def lap(self, step: str) -> None:
        """Ends the step."""
        now = time.process_time()
        self.seconds[step], self._since = now - self._since, now


def serve(name: str, look: Look) -> None:
    """Answers until standard input ends. What libraries print goes to standard error from here on."""
    with os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8") as out:
        os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
        _say(out, {"name": name})
        for line in sys.stdin:
            _say(out, _answer(json.loads(line), look))


def _answer(question: Mapping[str, Any], look: Look) -> dict[str, Any]:
    pixels = np.fromfile(question["file"], np.uint8).reshape(question["height"], question["width"], 3)
    faces, milliseconds = 0, []
    for _ in range(question["times"]):
        begun = time.process_time()
        faces, seconds = look(pixels)
        every = {"all": time.process_time() - begun, **seconds}
        milliseconds.append({step: None if taken is None else 1e3 * taken for step, taken in every.items()})
    return {"faces": faces, "milliseconds": milliseconds}


def _say(out: IO[str], message: Mapping[str, Any]) -> None:
    print(json.dumps(message), file=out, flush=True)
