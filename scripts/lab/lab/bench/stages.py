"""The stages of an answer in this process, each over the model runs that it cannot do without."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import median

import numpy as np

from appliance.stages import recording
from appliance.vision.manifest import Role
from lab.bench.alone import Alone, decoding, identify, judge
from lab.bench.bench import Bench, Measured
from lab.report import Finding, tracked

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
    """Milliseconds of each stage, repeated, and of what it needs: its model runs, or Pillow's decode; none if it needs none."""

    taken: dict[str, list[float]]
    needed: dict[str, float]

    def ratio(self, stage: str) -> float:
        """The stage's median over what it needs."""
        return median(self.taken[stage]) / self.needed[stage]


def measure(bench: Bench) -> Measured:
    """Median (p50) and 99th percentile (p99) of each stage, and its ratio to the model runs (of decode: to Pillow's)."""
    alone = bench.alone()
    rounds = [_round(alone, bench.extent.repetitions) for _ in tracked(range(bench.extent.rounds), "stages")]
    return Measured([finding for stage in STAGES for finding in findings(stage, rounds)])


def findings(stage: str, rounds: Sequence[Round]) -> Iterator[Finding]:
    """The figures of one stage."""
    every = [milliseconds for each in rounds for milliseconds in each.taken[stage]]
    title = "liveness, 4 frames" if stage == "liveness" else stage
    yield Finding("stages", f"{title}: p50", median(every), "ms")
    yield Finding("stages", f"{title}: p99", float(np.percentile(every, 99)), "ms")
    if all(stage in each.needed for each in rounds):
        over = "Pillow's" if stage == "decode" else "its model runs"
        yield Finding("stages", f"{title}: over {over}", median(each.ratio(stage) for each in rounds))


def _round(alone: Alone, repetitions: int) -> Round:
    once = [_once(alone) for _ in range(repetitions)]
    needed = {stage: alone.models(role, repetitions) for stage, role in STAGES.items() if role}
    needed["decode"] = decoding(alone.material.picture, repetitions)
    return Round({stage: [each[stage] for each in once] for stage in STAGES}, needed)


def _once(alone: Alone) -> dict[str, float]:
    """Milliseconds of every stage: of liveness only the judging, which is the network, the scene and what covers the face."""
    with recording() as identified:
        identify(alone.engine, alone.material)
    with recording() as judged:
        judge(alone.engine, alone.material)
    seconds = {**identified.seconds, "liveness": judged.seconds["liveness"] + judged.seconds["occlusion"]}
    return {stage: 1e3 * seconds[stage] for stage in STAGES}
