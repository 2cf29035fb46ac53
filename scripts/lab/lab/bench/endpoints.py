"""The endpoints over HTTP: one client against what the models cost alone, and several clients against one."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from statistics import median

import numpy as np

from appliance.imaging.archive import FRAMES
from lab.bench.bench import Bench, Curve, Measured
from lab.bench.load import Load, clients
from lab.report import Finding, tracked

KINDS = {
    "faces": "/faces",
    "alignedfaces": "/alignedfaces",
    "similarity": "/similarity/v2",
    "liveness": "/liveness/multiframe",
}
"""The kinds of requests, and their paths."""

MOST_RATIO = {"faces": 1.35, "similarity": 1.5}
MOST_SEEN_RATIO = {"faces": 1.25}
"""The server's own time, and the time its client sees, over decoding and model runs: at most."""

LEAST_SPEEDUP = {2: 1.6, 4: 1.5}
"""Throughput of so many clients on `/faces` over that of one, on two cores that they share with the device."""


@dataclass(frozen=True, slots=True)
class Tried:
    """Rounds of so many clients: answers a second of each round, and of all answers the milliseconds as clients saw them and
    as the server did.
    """

    rates: list[float] = field(default_factory=list)
    seen: list[float] = field(default_factory=list)
    served: list[float] = field(default_factory=list)
    errors: list[int] = field(default_factory=list)

    def add(self, load: Load) -> None:
        """Adds a round."""
        self.rates.append(len(load.served) / load.seconds)
        self.errors.append(load.failed)
        self.seen.extend(load.seen)
        self.served.extend(load.served)


Trials = dict[int, Tried]
"""By number of clients."""


def measure(bench: Bench) -> Measured:
    """The ratios of `/faces` and `/similarity/v2`, and every endpoint with 1, 2, 4 and 8 clients."""
    alone = bench.alone()
    with bench.device() as device:
        findings = [
            *ratio(bench, device.url, "faces", alone.faces),
            *ratio(bench, device.url, "similarity", alone.similarity),
        ]
        trials = {kind: try_out(bench, device.url, kind) for kind in KINDS}
    for kind, trial in trials.items():
        findings += described(KINDS[kind], trial)
    return Measured([*findings, *speedups(trials["faces"])], [rates(trials)])


def ratio(bench: Bench, url: str, kind: str, alone: Callable[[int], float]) -> list[Finding]:
    """Time of one client's requests over the sum of decoding and model runs, as the server takes it and as the client sees."""
    trial, needed, ratios, seen_ratios = Tried(), [], [], []
    for _ in tracked(range(bench.extent.rounds), kind):
        load = clients(url, bench.folder, kind, bench.extent.requests)
        trial.add(load)
        needed.append(alone(bench.extent.repetitions))
        ratios.append(median(load.served) / needed[-1])
        seen_ratios.append(median(load.seen) / needed[-1])
    most, most_seen = (bounds.get(kind, float("inf")) for bounds in (MOST_RATIO, MOST_SEEN_RATIO))
    return [
        Finding(kind, "server time", median(trial.served), "ms"),
        Finding(kind, "decoding and model runs alone", median(needed), "ms"),
        Finding(kind, "ratio", median(ratios), at_most=most),
        Finding(kind, "end to end, as the client sees it", median(trial.seen), "ms"),
        Finding(kind, "ratio end to end", median(seen_ratios), at_most=most_seen),
        Finding(kind, "errors", sum(trial.errors), at_most=0),
    ]


def try_out(bench: Bench, url: str, kind: str) -> Trials:
    """Rounds of each number of clients, one after the other, so that noise affects all alike. Liveness, with its four
    pictures a request, gets a quarter as many.
    """
    trials: Trials = {count: Tried() for count in bench.extent.clients}
    requests = bench.extent.requests // (FRAMES if kind == "liveness" else 1)
    for _ in tracked(range(bench.extent.rounds), f"{kind}, clients"):
        for count, trial in trials.items():
            trial.add(clients(url, bench.folder, kind, max(1, requests // count), count))
    return trials


def described(path: str, trials: Trials) -> Iterator[Finding]:
    """Throughput, and median (p50) and 99th percentile (p99) of both times, for each number of clients."""
    for count, trial in trials.items():
        who = "1 client" if count == 1 else f"{count} clients"
        yield Finding(path, f"{who}: answers", median(trial.rates), "1/s")
        for name, values in (("seen", trial.seen), ("server", trial.served)):
            for share in (50, 99):
                yield Finding(path, f"{who}: {name}, p{share}", float(np.percentile(values, share)), "ms")
    yield Finding(path, "errors", sum(sum(trial.errors) for trial in trials.values()), at_most=0)


def speedups(trials: Trials) -> list[Finding]:
    """Throughput of several clients on `/faces` over that of one, round by round."""
    return [
        Finding(
            "throughput",
            f"/faces, {count} clients over one",
            median(b / a for a, b in zip(trials[1].rates, trial.rates, strict=True)),
            at_least=LEAST_SPEEDUP.get(count, -float("inf")),
        )
        for count, trial in trials.items()
        if count > 1
    ]


def rates(trials: dict[str, Trials]) -> Curve:
    """Throughput over the number of clients, for each endpoint."""
    lines = {
        KINDS[kind]: [(float(count), median(tried.rates)) for count, tried in trial.items()]
        for kind, trial in trials.items()
    }
    return Curve("Answers a second over clients", "clients", "answers a second", lines)
