"""The stages of an answer in this process, each over the model runs that it cannot do without."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from rich.console import Console
from rich.progress import track

from appliance.benchmark.alone import Alone, decoding, identify, judge
from appliance.benchmark.bench import Bench
from appliance.benchmark.figures import Measured, percentile
from appliance.evaluation.report import Finding
from appliance.stages import recording
from appliance.vision.manifest import Role

STAGES = {
    "decode": None,
    "detect": Role.DETECTOR,
    "landmarks": Role.LANDMARKS,
    "align": None,
    "embed": Role.EMBEDDER,
    "liveness": Role.LIVENESS,
}
"""The stages as Server-Timing names them, with the role whose model they run."""


@dataclass(frozen=True, slots=True)
class Round:
    """Milliseconds of each stage, repeated, and of what it needs: its model runs, or Pillow's decode; 0 where it needs none."""

    taken: dict[str, list[float]]
    needed: dict[str, float]

    def ratio(self, stage: str) -> float:
        """The stage's median over what it needs."""
        return median(self.taken[stage]) / self.needed[stage]


def measure(bench: Bench) -> Measured:
    """Median (p50) and 99th percentile (p99) of each stage, and its ratio to the model runs (of decode: to Pillow's)."""
    alone = bench.alone()
    rounds = [
        _round(alone, bench.extent.repetitions)
        for _ in track(range(bench.extent.rounds), "stages", console=Console(stderr=True))
    ]
    return Measured([finding for stage in STAGES for finding in _findings(stage, rounds)])


def _round(alone: Alone, repetitions: int) -> Round:
    taken: dict[str, list[float]] = {stage: [] for stage in STAGES}
    for _ in range(repetitions):
        for stage, milliseconds in _once(alone).items():
            taken[stage].append(milliseconds)
    needed = {stage: alone.models(role, repetitions) for stage, role in STAGES.items() if role}
    return Round(taken, {**needed, "decode": decoding(alone.material.picture, repetitions)})


def _once(alone: Alone) -> dict[str, float]:
    """Milliseconds of every stage: of liveness only the judging, which is the network, the scene and what covers the face."""
    with recording() as identified:
        identify(alone.engine, alone.material)
    with recording() as judged:
        judge(alone.engine, alone.material)
    seconds = {**identified.seconds, "liveness": judged.seconds["liveness"] + judged.seconds["occlusion"]}
    return {stage: 1e3 * seconds[stage] for stage in STAGES}


def _findings(stage: str, rounds: Sequence[Round]) -> list[Finding]:
    every = [milliseconds for each in rounds for milliseconds in each.taken[stage]]
    title = "liveness, 4 frames" if stage == "liveness" else stage
    findings = [
        Finding("stages", f"{title}: p50", median(every), "ms"),
        Finding("stages", f"{title}: p99", percentile(every, 99), "ms"),
    ]
    if all(stage in each.needed for each in rounds):
        over = "Pillow's" if stage == "decode" else "its model runs"
        findings.append(Finding("stages", f"{title}: over {over}", median(each.ratio(stage) for each in rounds)))
    return findings
