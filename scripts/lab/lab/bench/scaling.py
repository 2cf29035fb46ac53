"""How time grows with the size of a picture, with the faces in it, and throughput with the clients."""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import TypeVar

import numpy as np
from scipy import stats

from lab.bench import endpoints
from lab.bench.bench import Bench, Curve, Measured
from lab.bench.material import mosaic, pictures_of
from lab.device import Device
from lab.report import Finding, tracked

MOST_COUNT = 1000
"""Faces that are requested in a crowd: the most that the device allows."""

MOST_TIME_RATIO = 1.15
"""Time of a picture with many faces over that of finding them plus so many times the time of one face."""

LEAST_R_SQUARED = 0.98
"""Time over faces is a line when it explains so much; noise of 5 % of the longest time would leave .97."""

TIMES = 3
"""How often a picture is posted in a row each round; the median counts."""

CROWD, FULLEST = 20, 5
"""Faces from which on a picture is a crowd, and how many of the fullest pictures are timed."""

USUAL, SMALL = 48, 8
"""Pixels of the smallest face: the default, and in crowds."""

PER_FACE = "landmarks"
"""The stage of Server-Timing that `/faces` spends on each face."""

Key = TypeVar("Key", bound=Hashable)


@dataclass(frozen=True, slots=True)
class Timed:
    """How many faces an answer has, and the server's milliseconds: all together, and those that are spent on faces alone."""

    faces: int
    total: float
    per_face: float

    def predicted(self, faces: int) -> float:
        """Milliseconds of a picture with so many faces, when each takes as long as those here."""
        return self.total - self.per_face + faces * self.per_face / max(1, self.faces)


def measure(bench: Bench) -> Measured:
    """Time over size, time over faces, throughput over clients; and time over the faces of the user's own pictures."""
    with bench.device() as device, Device(device.url) as client:
        parts = [sizes(bench, client), faces(bench, client)]
        if bench.pictures is not None:
            parts.append(crowds(bench, client, bench.pictures))
        trials = endpoints.try_out(bench, device.url, "faces")
    findings = [finding for part in parts for finding in part.findings]
    curves = [curve for part in parts for curve in part.curves]
    return Measured([*findings, *endpoints.speedups(trials)], [*curves, endpoints.rates({"faces": trials})])


def sizes(bench: Bench, client: Device) -> Measured:
    """`/faces` on pictures of one face a third as high as they are."""
    pictures = {size: (bench.subjects[0].on(size, size[1] / 3), 1) for size in bench.extent.sizes}
    times = _rounds(bench, client, "picture sizes", pictures)
    medians = {size: median(each.total for each in timed) for size, timed in times.items()}
    findings = [
        Finding("picture size", f"/faces, {width}x{height}", milliseconds, "ms")
        for (width, height), milliseconds in medians.items()
    ]
    points = [(width * height / 1e6, milliseconds) for (width, height), milliseconds in medians.items()]
    return Measured(findings, [Curve("Time over picture size", "megapixels", "ms of /faces", {"one face": points})])


def faces(bench: Bench, client: Device) -> Measured:
    """`/faces` on mosaics of one to fifty faces, all of which are requested."""
    pictures = {count: (mosaic(bench.subjects, count), count) for count in bench.extent.faces}
    times = _rounds(bench, client, "faces", pictures)
    points = [(float(count), median(each.total for each in timed)) for count, timed in times.items()]
    line = stats.linregress(*np.transpose(points))
    few, many = min(times), max(times)
    ratio = median(b.total / a.predicted(many) for a, b in zip(times[few], times[many], strict=True))
    lost = sum(count - each.faces for count, timed in times.items() for each in timed)
    title = "faces in the picture"
    findings = [
        *(Finding(title, f"/faces, {count:g}", value, "ms") for count, value in points),
        Finding(title, "a further face", float(line.slope), "ms"),
        Finding(title, "R² of the line", float(line.rvalue**2), at_least=LEAST_R_SQUARED),
        Finding(title, f"{many} over finding + {many} x one", ratio, at_most=MOST_TIME_RATIO),
        Finding(title, "faces not found", lost, at_most=0),
    ]
    drawn = {"measured": points, "line": [(x, float(line.intercept + line.slope * x)) for x, _ in points]}
    return Measured(findings, [Curve("Time over faces in the picture", "faces", "ms of /faces", drawn)])


def crowds(bench: Bench, client: Device, folder: Path) -> Measured:
    """`/faces` on a folder's pictures, and of the fullest ones its time over what one face of the same picture predicts."""
    contents = [path.read_bytes() for path in pictures_of(folder, bench.extent.crowds)]
    counted = [(_ask(client, content, MOST_COUNT, SMALL), content) for content in tracked(contents, "crowds")]
    fullest = sorted(counted, key=lambda each: each[0].faces, reverse=True)[:FULLEST]
    ratios = {timed.faces: _crowd_ratio(bench, client, content) for timed, content in fullest if timed.faces >= CROWD}
    findings = [
        Finding("crowds", "pictures", len(contents)),
        Finding("crowds", "faces", sum(timed.faces for timed, _ in counted)),
        *(
            Finding("crowds", f"{count} over finding + {count} x one", ratio, at_most=MOST_TIME_RATIO)
            for count, ratio in ratios.items()
        ),
    ]
    points = [(float(timed.faces), timed.total) for timed, _ in counted]
    return Measured(findings, [Curve("Time over faces, pictures of a folder", "faces", "ms of /faces", {"": points})])


def _crowd_ratio(bench: Bench, client: Device, picture: bytes) -> float:
    """Median over the rounds of the time for all faces over the time that one face predicts."""
    ratios = []
    for _ in range(bench.extent.rounds):
        one, every = _median_of(client, picture, 1, SMALL), _ask(client, picture, MOST_COUNT, SMALL)
        ratios.append(every.total / one.predicted(every.faces))
    return median(ratios)


def _rounds(
    bench: Bench, client: Device, title: str, pictures: Mapping[Key, tuple[bytes, int]]
) -> dict[Key, list[Timed]]:
    """Each picture, with the faces that are requested in it, in every round."""
    for picture, count in pictures.values():
        _ask(client, picture, count)  # the largest network is built when it is first needed
    times: dict[Key, list[Timed]] = {key: [] for key in pictures}
    for _ in tracked(range(bench.extent.rounds), title):
        for key, (picture, count) in pictures.items():
            times[key].append(_median_of(client, picture, count))
    return times


def _median_of(client: Device, picture: bytes, count: int, smallest: int = USUAL) -> Timed:
    """The answer in the middle of several by their time."""
    times = [_ask(client, picture, count, smallest) for _ in range(TIMES)]
    return sorted(times, key=lambda timed: timed.total)[TIMES // 2]


def _ask(client: Device, picture: bytes, count: int, smallest: int = USUAL) -> Timed:
    answer = client.ask_once("POST", f"/faces?detectcount={count}&minsize={smallest}", picture)
    found: Sequence[object] = answer.expect("INF-00")["faces"]
    return Timed(len(found), answer.milliseconds(), answer.milliseconds(PER_FACE))
