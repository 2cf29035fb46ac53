"""The load generator: one client in a process of its own, which posts a bounded number of requests and reports.

`python -m appliance.benchmark.load URL FOLDER KIND REQUESTS START` prints one JSON object.
"""

import json
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
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

HEAD_START = 1.5
"""Seconds that the clients get to come up before all of them begin at once."""

TIME_LIMIT = 1800.0
"""Seconds after which a client that is not done is ended."""


class LoadFailedError(Exception):
    """A client did not come to its end."""


@dataclass(frozen=True, slots=True)
class Load:
    """What one client saw: when it began and ended (seconds of the system's monotonic clock), the server's own `total` time of
    each answer in milliseconds, and how many answers were not what they should be.
    """

    began: float
    ended: float
    milliseconds: list[float]
    errors: int


def clients(url: str, folder: Path, kind: str, requests: int, count: int = 1) -> list[Load]:
    """`count` clients, each a process, begin together and post `requests` requests each. Raises LoadFailedError."""
    start = str(time.monotonic() + HEAD_START)
    command = [sys.executable, "-m", "appliance.benchmark.load", url, str(folder), kind, str(requests), start]
    running = [
        subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)  # noqa: S603 (ourselves)
        for _ in range(count)
    ]
    try:
        outputs = [process.communicate(timeout=TIME_LIMIT)[0] for process in running]
    except subprocess.TimeoutExpired as error:
        raise LoadFailedError(f"a client was not done after {TIME_LIMIT:.0f} s") from error
    finally:
        for process in running:
            process.kill()
            process.wait()
    if any(process.returncode for process in running):
        raise LoadFailedError(f"clients ended with {[process.returncode for process in running]}")
    return [Load(**json.loads(output)) for output in outputs]


def throughput(loads: Sequence[Load]) -> float:
    """Answers a second of clients that ran together."""
    seconds = max(load.ended for load in loads) - min(load.began for load in loads)
    return sum(len(load.milliseconds) for load in loads) / seconds


def post(url: str, material: Material, kind: str, requests: int, start: float) -> Load:
    """Posts one request after the other from `start` (monotonic seconds) on. Raises ValueError for another host than ours."""
    if urlsplit(url).hostname != HOST:
        raise ValueError(f"load goes to {HOST} alone, not to {url}")
    questions = material.questions()
    milliseconds: list[float] = []
    errors = 0
    with Device(url) as device:
        time.sleep(max(0.0, start - time.monotonic()))
        began = time.monotonic()
        for each in islice(_kinds(kind), requests):
            path, body, content_type = questions[each]
            try:
                answer = device.ask_once("POST", path, body, content_type)
            except (OSError, HTTPException):
                errors += 1
                continue
            errors += not as_expected(each, answer)
            milliseconds.append(server_time(answer))
        return Load(began, time.monotonic(), milliseconds, errors)


def server_time(answer: Answer) -> float:
    """The `total` of Server-Timing (W3C Server Timing) in milliseconds, 0 without one."""
    for metric in answer.headers.get("server-timing", "").split(","):
        name, _, duration = metric.strip().partition(";dur=")
        if name == "total":
            return float(duration)
    return 0.0


def _kinds(kind: str) -> Iterator[str]:
    return cycle(MIX if kind == MIXED else (kind,))


def main(arguments: Sequence[str]) -> None:
    """URL FOLDER KIND REQUESTS START."""
    url, folder, kind, requests, start = arguments
    print(json.dumps(asdict(post(url, Material.read(Path(folder)), kind, int(requests), float(start)))))


if __name__ == "__main__":
    main(sys.argv[1:])
