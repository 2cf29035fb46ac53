"""`scripts/soak`: a device of our own under mixed load and bad clients. All on this machine."""

import argparse
import random
import re
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median, quantiles

import psutil

from appliance import keys
from appliance.keys import Scope
from lab.bench import bad_clients
from lab.bench.bad_clients import DRIP_SECONDS, DRIPPING, Target
from lab.bench.load import Load, Swarm, swarming
from lab.bench.material import Material, film
from lab.bench.parts import PORTRAITS, replay
from lab.device import Device, OwnDevice, free_port, own_device, resident_megabytes
from lab.report import Finding, print_table, tracked

MINUTES = 10.0

# Of the time, before the first reading of memory, threads and files: buffers have grown to their size by then. In ten minutes
# of load, memory rose until the fifth (means of a minute: 375, 383, 388, 395 MB) and then stayed between 392 and 397 MB.
WARM_SHARE = 0.4

READINGS, READING_SECONDS = 21, 0.5  # of memory, whose median counts: single ones of a settled device differ by 25 MB
ROUNDS, REQUESTS = 6, 100  # of normal requests without and with dripping connections, in turn: both meet the same noise
DROPPED = 1000  # connections opened and dropped in a row
MOST_RATIO = 3.0  # the 99th percentile of normal requests beside dripping connections over that without them
MOST_GROWTH = {"memory, MB": 10.0, "threads": 0, "open files": 0}  # what a device holds, and the most growth under load
SETTLE_SECONDS = 40.0  # longest wait for abandoned connections and streams: the server notices within 10 s
MIXED_CLIENTS = {
    "posting": 2, "dripping": DRIPPING, "leave": 2, "leave_stream": 1, "knock": 1, "guess": 1, "use_key": 1,
}  # fmt: skip

ERROR = re.compile(rb"^(?:ERROR|CRITICAL)|^Traceback", re.MULTILINE)
Held = Mapping[str, float]  # what the device's process holds, by the names of MOST_GROWTH


def growth(question: str, before: Held, after: Held) -> Iterator[Finding]:
    """What is held afterwards, and its growth."""
    for name, most in MOST_GROWTH.items():
        yield Finding(question, name, after[name])
        yield Finding(question, f"{name}: growth", after[name] - before[name], at_most=most)


@dataclass(frozen=True, slots=True)
class Soak:
    """A running device, the posted material, and how its clients are configured."""

    device: OwnDevice
    material: Material
    swarm: Swarm

    def slow_clients(self) -> Iterator[Finding]:
        """The time of normal requests while a hundred connections drip, over that without them."""
        alone, beside = list[float](), list[float]()
        dripping = replace(self.swarm, clients={"dripping": DRIPPING})
        with Device(self.device.url) as client:
            self._timed(client)
            for _ in tracked(range(ROUNDS), "dripping"):
                alone += self._timed(client)
                with swarming(dripping):
                    time.sleep(DRIP_SECONDS)
                    beside += self._timed(client)
        p99 = [quantiles(each, n=100)[98] for each in (alone, beside)]
        for title, times, slowest in (("/faces", alone, p99[0]), (f"beside {DRIPPING} that drip", beside, p99[1])):
            yield Finding("slow clients", f"{title}, median", median(times), "ms")
            yield Finding("slow clients", f"{title}, 99th percentile", slowest, "ms")
        yield Finding("slow clients", "ratio of these percentiles", p99[1] / p99[0], at_most=MOST_RATIO)

    def dropped(self) -> Iterator[Finding]:
        """A thousand connections that are opened and dropped in a row; then everything is as it was."""
        before, chance, target = self._settled(None), random.Random(0), Target.of(self.swarm, self.material)
        for _ in range(DROPPED):
            bad_clients.knock(target, chance)
        after = self._settled(before)
        with Device(self.device.url) as client:
            answered = client.ask_once("POST", "/faces", self.material.picture).status == 200
        yield Finding("dropped", "connections", DROPPED)
        yield Finding("dropped", "answers afterwards", answered, at_least=1)
        yield from growth("dropped", before, after)

    def mixed(self, minutes: float) -> Iterator[Finding]:
        """All clients at once."""
        warm, before = self._loaded(60 * minutes * WARM_SHARE), self._settled(None)
        load = self._loaded(60 * minutes * (1 - WARM_SHARE))
        after, question = self._settled(before), f"mixed load, {minutes:g} min"
        acts, errors = warm.acts + load.acts, warm.errors + load.errors
        yield from (Finding(question, what, times) for what, times in sorted(acts.items()))
        yield from (Finding(question, what, times, at_most=0) for what, times in sorted(errors.items()))
        yield Finding(question, "unexpected answers", errors.total(), at_most=0)
        yield from growth(question, before, after)

    def _loaded(self, seconds: float) -> Load:
        with swarming(self.swarm) as load:
            time.sleep(seconds)
        return load

    def _timed(self, client: Device) -> list[float]:
        """Milliseconds of normal requests, as their client sees them."""
        return [client.timed("POST", "/faces", self.material.picture) for _ in range(REQUESTS)]

    def _settled(self, before: Held | None) -> Held:
        """What the device holds once it has noticed what was abandoned: at the latest after SETTLE_SECONDS."""
        deadline, process = time.monotonic() + SETTLE_SECONDS, psutil.Process(self.device.process_id)
        while True:
            held: Held = {"threads": process.num_threads(), "open files": process.num_fds()}
            level = before is not None and all(held[name] <= before[name] for name in held)
            if level or time.monotonic() > deadline:
                break
            time.sleep(1)
        readings = []
        for _ in range(READINGS):
            readings.append(resident_megabytes(self.device.process_id))
            time.sleep(READING_SECONDS)
        return {"memory, MB": median(readings), **held}


@contextmanager
def soaked(folder: Path) -> Iterator[Soak]:
    """A device that replays a film, with a key, and a port for a TLS front."""
    front_port, key = free_port(), keys.add(folder / "state" / keys.FILE, "soak", [Scope.RECOGNISE])
    with own_device({}) as plain, Device(plain.url) as client:
        material = Material.made_from(PORTRAITS[0].read_bytes(), client)
    material.write(folder)
    film(folder, material.picture)
    server, kept = {"front_port": front_port}, {"folder": str(folder / "state")}
    with own_device({"server": server, "state": kept, "camera": replay(folder)}) as running:
        yield Soak(running, material, Swarm(running.url, str(folder), MIXED_CLIENTS, front_port=front_port, key=key))


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit status: 0 when every bound is kept, 1 when one is missed."""
    parser = argparse.ArgumentParser(prog="scripts/soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=MINUTES, help="of mixed load (default 10)")
    options = parser.parse_args(arguments)
    busy = psutil.getloadavg()[0]
    with tempfile.TemporaryDirectory() as name, soaked(Path(name)) as soak:
        findings = [*soak.slow_clients(), *soak.dropped(), *soak.mixed(options.minutes)]
        log = soak.device.log.read_bytes()
    findings.append(Finding("log", "errors in it", len(ERROR.findall(log)), at_most=0))
    findings.append(Finding("log", "load of the machine before (idle: 0)", busy))
    print_table(findings)
    return 0 if all(finding.passed for finding in findings) else 1


if __name__ == "__main__":
    sys.exit(main())
