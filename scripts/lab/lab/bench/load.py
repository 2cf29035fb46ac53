"""Load on a device: clients of a locust swarm (swarm.py), in a process of their own because locust patches Python's sockets."""

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from lab.device import HOST, ProgramFailedError

MIXED = "mixed"  # the kind that stands for a round of all kinds
NICE = ("nice", "-n", "10")  # clients whose throughput counts share the cores of the device, as real ones would not
TIME_LIMIT = 1800.0  # seconds after which clients that are not done are ended


@dataclass(frozen=True, slots=True)
class Swarm:
    """The clients: how many of each kind; `posting` ones post requests of `kind`, the others are those of bad_clients, which
    use `front_port`, that for a TLS front (PROXY protocol), and the valid `key`.

    `requests` is how many each client posts; with 0, all go on until the swarm is stopped, and pause between requests.
    """

    url: str
    folder: str
    clients: Mapping[str, int]
    kind: str = MIXED
    requests: int = 0
    front_port: int = 0
    key: str = ""

    def __post_init__(self) -> None:
        """Raises ValueError for another host than this one."""
        if urlsplit(self.url).hostname != HOST:
            raise ValueError(f"load goes to {HOST} alone, not to {self.url}")


@dataclass(slots=True)
class Load:
    """The results of all clients together: seconds from the first request to the last answer; the milliseconds of each posted
    request as its client saw them; and how often each act and each error occurred.
    """

    seconds: float = 0.0
    seen: list[float] = field(default_factory=list)
    acts: Counter[str] = field(default_factory=Counter)
    errors: Counter[str] = field(default_factory=Counter)

    @property
    def rate(self) -> float:
        """Answers a second."""
        return len(self.seen) / self.seconds


def clients(url: str, folder: Path, kind: str, requests: int, count: int = 1) -> Load:
    """`count` clients begin together when all are up, and post `requests` requests each. Raises ProgramFailedError."""
    with swarming(Swarm(url, str(folder), {"posting": count}, kind, requests), *NICE) as load:
        pass
    return load


@contextmanager
def swarming(swarm: Swarm, *prefix: str) -> Iterator[Load]:
    """Clients that are up, `prefix` before their command; those without end go on until the block ends. Then the load has their
    results. Raises ProgramFailedError.
    """
    load, command = Load(), [*prefix, sys.executable, "-m", "lab.bench.swarm", json.dumps(asdict(swarm))]
    # unbuffered: `communicate` does not see what reading the first line would have read ahead
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0) as process:
        try:
            assert process.stdout is not None
            if not process.stdout.readline():
                raise ProgramFailedError(f"the clients ended with status {process.wait()} before they began")
            yield load
            output, _ = process.communicate(timeout=TIME_LIMIT)
        except subprocess.TimeoutExpired as error:
            raise ProgramFailedError(f"the clients were not done after {TIME_LIMIT:.0f} s") from error
        finally:
            process.kill()
    if process.returncode:
        raise ProgramFailedError(f"the clients ended with status {process.returncode}")
    found = json.loads(output)
    load.seconds, load.seen = found["seconds"], found["seen"]
    load.acts, load.errors = Counter(found["acts"]), Counter(found["errors"])
