"""The endpoints over HTTP: one client against what the models cost alone, and several clients against one."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from statistics import median

from rich.console import Console
from rich.progress import track

from appliance.benchmark.bench import Bench
from appliance.benchmark.figures import Curve, Measured, joined, percentile
from appliance.benchmark.load import Load, clients, throughput
from appliance.evaluation.own_device import own_device
from appliance.evaluation.report import Finding
from appliance.imaging.archive import FRAMES

KINDS = {
    "faces": "/faces",
    "alignedfaces": "/alignedfaces",
    "similarity": "/similarity/v2",
    "liveness": "/liveness/multiframe",
}
"""What is asked, and its path."""

MOST_FACES_RATIO, MOST_SIMILARITY_RATIO = 1.35, 1.5
MOST_SEEN_RATIO = 1.25
"""Of `/faces` as its client sees it, and of the server's own time: what it may take over decoding and model runs."""

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

    def add(self, loads: Sequence[Load]) -> None:
        """Takes a round in."""
        self.rates.append(throughput(loads))
        self.errors.append(sum(load.errors for load in loads))
        self.seen.extend(each for load in loads for each in load.seen)
        self.served.extend(each for load in loads for each in load.milliseconds)


Trials = dict[int, Tried]
"""By number of clients."""


def measure(bench: Bench) -> Measured:
    """The ratios of `/faces` and `/similarity/v2`, and every endpoint with 1, 2, 4 and 8 clients."""
    alone = bench.alone()
    with own_device("--config", str(bench.config)) as device:
        ratios = [
            *ratio(bench, device.url, "faces", alone.faces),
            *ratio(bench, device.url, "similarity", alone.similarity),
        ]
        trials = {kind: try_out(bench, device.url, kind) for kind in KINDS}
    parts = [Measured(described(KINDS[kind], trial)) for kind, trial in trials.items()]
    return joined([Measured(ratios), *parts, Measured(speedups(trials["faces"]), [rates(trials)])])


def ratio(bench: Bench, url: str, kind: str, alone: Callable[[int], float]) -> list[Finding]:
    """Time of one client's requests over the sum of decoding and model runs, as the server takes it and as the client does."""
    trial, needed, ratios, seen_ratios = Tried(), [], [], []
    for _ in track(range(bench.extent.rounds), kind, console=Console(stderr=True)):
        (load,) = clients(url, bench.folder, kind, bench.extent.requests)
        trial.add([load])
        needed.append(alone(bench.extent.repetitions))
        ratios.append(median(load.milliseconds) / needed[-1])
        seen_ratios.append(median(load.seen) / needed[-1])
    bounds = {"faces": (MOST_FACES_RATIO, MOST_SEEN_RATIO), "similarity": (MOST_SIMILARITY_RATIO, float("inf"))}
    most, most_seen = bounds[kind]
    return [
        Finding(kind, "server time", median(trial.served), "ms"),
        Finding(kind, "decoding and model runs alone", median(needed), "ms"),
        Finding(kind, "ratio", median(ratios), at_most=most),
        Finding(kind, "end to end, as the client sees it", median(trial.seen), "ms"),
        Finding(kind, "ratio end to end", median(seen_ratios), at_most=most_seen),
        Finding(kind, "errors", sum(trial.errors), at_most=0),
    ]


def try_out(bench: Bench, url: str, kind: str) -> Trials:
    """Rounds of each number of clients, one after the other, so that noise hits all alike. Of liveness, with its four pictures
    a request, there are a quarter as many.
    """
    trials: Trials = {count: Tried() for count in bench.extent.clients}
    requests = bench.extent.requests // (FRAMES if kind == "liveness" else 1)
    for _ in track(range(bench.extent.rounds), f"{kind}, clients", console=Console(stderr=True)):
        for count, trial in trials.items():
            trial.add(clients(url, bench.folder, kind, max(1, requests // count), count))
    return trials


def described(path: str, trials: Trials) -> list[Finding]:
    """Throughput, and median (p50) and 99th percentile (p99) of both times, for each number of clients."""
    findings = []
    for count, trial in trials.items():
        who = "1 client" if count == 1 else f"{count} clients"
        findings += [
            Finding(path, f"{who}: answers", median(trial.rates), "1/s"),
            Finding(path, f"{who}: seen, p50", percentile(trial.seen, 50), "ms"),
            Finding(path, f"{who}: seen, p99", percentile(trial.seen, 99), "ms"),
            Finding(path, f"{who}: server, p50", percentile(trial.served, 50), "ms"),
            Finding(path, f"{who}: server, p99", percentile(trial.served, 99), "ms"),
        ]
    return [*findings, Finding(path, "errors", sum(sum(trial.errors) for trial in trials.values()), at_most=0)]


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
