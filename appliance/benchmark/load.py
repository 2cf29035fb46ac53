"""The load generator: one client in a process of its own, which posts a bounded number of requests and reports.

`python -m appliance.benchmark.load URL FOLDER KIND REQUESTS` prints an empty line when it is up, begins at a line on its
standard input, and prints one JSON object.
"""

import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from http.client import HTTPException
from itertools import cycle, islice
from pathlib import Path
from urllib.parse import urlsplit

from appliance.benchmark.material import MIX, Material, as_expected
from appliance.evaluation.device import Answer, Device
from appliance.evaluation.own_device import HOST

MIXED = "mixed"
"""The kind that stands for a round of all kinds."""

TIME_LIMIT = 1800.0
"""Seconds after which clients that are not done are ended."""


class LoadFailedError(Exception):
    """A client did not come to its end."""


@dataclass(frozen=True, slots=True)
class Load:
    """What one client saw: when it began and ended (seconds of the system's monotonic clock); of each answer the server's own
    `total` time and the time from the request to its last byte, both in milliseconds; and how many answers were not what
    they should be.
    """

    began: float
    ended: float
    milliseconds: list[float]
    seen: list[float]
    errors: int


def clients(url: str, folder: Path, kind: str, requests: int, count: int = 1) -> list[Load]:
    """`count` clients, each a process, begin together when all are up, and post `requests` requests each.

    Raises LoadFailedError.
    """
    command = [sys.executable, "-m", "appliance.benchmark.load", url, str(folder), kind, str(requests)]
    running = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)  # noqa: S603 (ourselves)
        for _ in range(count)
    ]
    limit = threading.Timer(TIME_LIMIT, _kill, [running])
    limit.start()
    try:
        outputs = _together(running)
        for process in running:
            process.wait()
    except BrokenPipeError as error:
        raise LoadFailedError("a client ended before it began") from error
    finally:
        limit.cancel()
        limit.join()
        _end(running)
    if any(process.returncode for process in running):
        raise LoadFailedError(f"clients ended with {[process.returncode for process in running]}")
    return [Load(**json.loads(output)) for output in outputs]


def throughput(loads: Sequence[Load]) -> float:
    """Answers a second of clients that ran together."""
    seconds = max(load.ended for load in loads) - min(load.began for load in loads)
    return sum(len(load.milliseconds) for load in loads) / seconds


def post(url: str, material: Material, kind: str, requests: int) -> Load:
    """Posts one request after the other. Raises ValueError for another host than ours."""
    if urlsplit(url).hostname != HOST:
        raise ValueError(f"load goes to {HOST} alone, not to {url}")
    questions = material.questions()
    milliseconds: list[float] = []
    seen: list[float] = []
    errors = 0
    with Device(url) as device:
        began = time.monotonic()
        for each in islice(_kinds(kind), requests):
            path, body, content_type = questions[each]
            asked = time.perf_counter()
            try:
                answer = device.ask_once("POST", path, body, content_type)
            except (OSError, HTTPException):
                errors += 1
                continue
            seen.append(1e3 * (time.perf_counter() - asked))
            errors += not as_expected(each, answer)
            milliseconds.append(server_time(answer))
        return Load(began, time.monotonic(), milliseconds, seen, errors)


def server_time(answer: Answer, stage: str = "total") -> float:
    """A stage of Server-Timing (W3C Server Timing) in milliseconds, 0 without one."""
    for metric in answer.headers.get("server-timing", "").split(","):
        name, _, duration = metric.strip().partition(";dur=")
        if name == stage:
            return float(duration)
    return 0.0


def _together(running: Sequence[subprocess.Popen[bytes]]) -> list[bytes]:
    """What each prints when it is told to begin; they are told when all are up."""
    pipes = [(process.stdin, process.stdout) for process in running]
    for _, output in pipes:
        assert output is not None
        output.readline()
    for told, _ in pipes:
        assert told is not None
        told.write(b"\n")
        told.flush()
    return [output.read() for _, output in pipes if output is not None]


def _kill(running: Sequence[subprocess.Popen[bytes]]) -> None:
    for process in running:
        process.kill()


def _end(running: Sequence[subprocess.Popen[bytes]]) -> None:
    _kill(running)
    for process in running:
        process.wait()
        for pipe in (process.stdin, process.stdout):
            assert pipe is not None
            with suppress(BrokenPipeError):  # what a client did not live to read
                pipe.close()


def _kinds(kind: str) -> Iterator[str]:
    return cycle(MIX if kind == MIXED else (kind,))


def main(arguments: Sequence[str]) -> None:
    """URL FOLDER KIND REQUESTS."""
    url, folder, kind, requests = arguments
    material = Material.read(Path(folder))
    print(flush=True)
    sys.stdin.readline()
    print(json.dumps(asdict(post(url, material, kind, int(requests)))))


if __name__ == "__main__":
    main(sys.argv[1:])
