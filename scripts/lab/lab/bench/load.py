"""Load on a device: clients of a locust swarm (swarm.py), in a process of their own because locust patches Python's sockets."""

import json
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from lab.device import HOST

MIXED = "mixed"
"""The kind that stands for a round of all kinds."""

TIME_LIMIT = 1800.0
"""Seconds after which clients that are not done are ended."""


class LoadFailedError(Exception):
    """The clients did not reach their end."""


@dataclass(frozen=True, slots=True)
class Swarm:
    """The clients: how many of each kind; `posting` ones post requests of `kind`, the others are those of bad_clients.

    `requests` is how many each client posts; with 0, all go on until the swarm is stopped, and pause between requests.
    """

    url: str
    folder: str
    clients: Mapping[str, int]
    kind: str = MIXED
    requests: int = 0
    front_port: int = 0
    """The device's port for a TLS front (PROXY protocol)."""
    key: str = ""

    def __post_init__(self) -> None:
        """Raises ValueError for another host than this one."""
        if urlsplit(self.url).hostname != HOST:
            raise ValueError(f"load goes to {HOST} alone, not to {self.url}")


@dataclass(frozen=True, slots=True)
class Load:
    """The results of all clients together: seconds from the first request to the last answer; of each posted request the
    server's own `total` time and the time its client saw, in milliseconds; and how often each act and each error occurred.
    """

    seconds: float = 0.0
    served: list[float] = field(default_factory=list)
    seen: list[float] = field(default_factory=list)
    acts: dict[str, int] = field(default_factory=dict)
    errors: dict[str, int] = field(default_factory=dict)

    @property
    def failed(self) -> int:
        """How many errors there were."""
        return sum(self.errors.values())


def clients(url: str, folder: Path, kind: str, requests: int, count: int = 1) -> Load:
    """`count` clients begin together when all are up, and post `requests` requests each. Raises LoadFailedError."""
    with running(Swarm(url, str(folder), {"posting": count}, kind, requests)) as process:
        return _loaded(process)


@contextmanager
def swarming(swarm: Swarm) -> Iterator[Load]:
    """Clients that go on until the block ends; then the load has their results. Raises LoadFailedError."""
    load = Load()
    with running(swarm) as process:
        yield load
        found = _loaded(process)
        load.acts.update(found.acts)
        load.errors.update(found.errors)


@contextmanager
def running(swarm: Swarm) -> Iterator["subprocess.Popen[str]"]:
    """The swarm's process, once its clients are up and have been started. Raises LoadFailedError."""
    command = [sys.executable, "-m", "lab.bench.swarm", json.dumps(asdict(swarm))]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    limit = threading.Timer(TIME_LIMIT, process.kill)
    limit.start()
    try:
        assert process.stdin is not None
        assert process.stdout is not None
        if not process.stdout.readline():
            raise LoadFailedError(f"the clients ended with status {process.wait()} before they began")
        print(file=process.stdin, flush=True)
        yield process
    finally:
        limit.cancel()
        limit.join()
        process.kill()
        with suppress(BrokenPipeError):
            process.communicate()


def _loaded(process: "subprocess.Popen[str]") -> Load:
    """The results; of a swarm without end, which ends with its standard input."""
    output, _ = process.communicate()
    if process.returncode:
        raise LoadFailedError(f"the clients ended with status {process.returncode}")
    return Load(**json.loads(output))
