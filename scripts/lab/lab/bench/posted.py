"""Posted pictures: the stages of an answer, several clients, growth with size and faces; start and memory of the device."""

from collections.abc import Iterator
from math import ceil
from statistics import median

import numpy as np
from scipy import stats

from appliance.imaging.archive import FRAMES
from lab.bench.bench import Bench
from lab.bench.load import MIXED, Load, clients
from lab.bench.material import mosaic
from lab.device import OK, Device, resident_megabytes
from lab.report import Finding, tracked

KINDS = {
    "faces": "/faces",
    "alignedfaces": "/alignedfaces",
    "similarity": "/similarity/v2",
    "liveness": "/liveness/multiframe",
}
"""The kinds of requests, and their paths."""

LEAST_SPEEDUP = {2: 1.6, 4: 1.5}
"""Throughput of so many clients on `/faces` over that of one, on two cores that they share with the device."""

MOST_TIME_RATIO = 1.15
"""Time of a picture with many faces over that of finding them plus so many times the time of one face."""

LEAST_R_SQUARED = 0.98
"""Time over faces is a line when it explains so much; noise of 5 % of the longest time would leave .97."""

PER_FACE = "landmarks"
"""The stage of Server-Timing that `/faces` spends on each face."""

MOST_SECONDS_TO_READY = 3.0

MOST_IDLE_MEGABYTES = 150.0
"""Networks are built for their first run, which this is before."""

MOST_GROWTH_MEGABYTES = 40.0
"""Twice what 1,500 requests took; a request that is kept until Python collects circles takes three times as much."""

CLIENTS = 2


def stages(bench: Bench) -> Iterator[Finding]:
    """Median (p50) and 99th percentile (p99) of each stage: of one face identified, of four frames judged."""
    questions = bench.material.questions()
    with bench.device() as device, Device(device.url) as client:
        for kind in ("identify", "liveness"):
            path, body, content_type = questions[kind]
            times = [
                client.ask_once("POST", path, body, content_type).stages
                for _ in tracked(range(bench.extent.rounds * bench.extent.requests), kind)
            ]
            for stage in times[0]:
                for share in (50, 99):
                    value = float(np.percentile([each[stage] for each in times], share))
                    yield Finding(f"stages of {path}", f"{stage}: p{share}", value, "ms")


def endpoints(bench: Bench) -> Iterator[Finding]:
    """Throughput and time of every endpoint as 1, 2, 4 and 8 clients see them, in turn, so that noise affects all alike.
    Liveness, with its four pictures a request, gets a quarter as many.
    """
    with bench.device() as device:
        for kind, path in KINDS.items():
            loads: dict[int, list[Load]] = {count: [] for count in bench.extent.clients}
            requests = bench.extent.requests // (FRAMES if kind == "liveness" else 1)
            for _ in tracked(range(bench.extent.rounds), kind):
                for count, rounds in loads.items():
                    rounds.append(clients(device.url, bench.folder, kind, max(1, requests // count), count))
            yield from described(path, loads)


def described(path: str, loads: dict[int, list[Load]]) -> Iterator[Finding]:
    """Throughput, median (p50) and 99th percentile (p99) for each number of clients, and throughput over that of one client."""
    rates = {count: [load.rate for load in rounds] for count, rounds in loads.items()}
    for count, rounds in loads.items():
        title, seen = f"{count} clients", np.concatenate([load.seen for load in rounds])
        yield Finding(path, f"{title}: answers", median(rates[count]), "1/s")
        for share in (50, 99):
            yield Finding(path, f"{title}: p{share}", float(np.percentile(seen, share)), "ms")
        if count > 1:
            ratio = median(b / a for a, b in zip(rates[1], rates[count], strict=True))
            least = LEAST_SPEEDUP.get(count, -np.inf) if path == "/faces" else -np.inf
            yield Finding(path, f"{title} over one", ratio, "x", at_least=least)
    yield Finding(path, "errors", sum(load.failed for rounds in loads.values() for load in rounds), at_most=0)


def scaling(bench: Bench) -> Iterator[Finding]:
    """`/faces` on pictures of one face a third as high as they are; then on mosaics of one to fifty faces, all requested."""
    extent, question = bench.extent, "faces in the picture"
    pictures = {size: bench.subjects[0].on(size, size[1] / 3) for size in extent.sizes}
    mosaics = {count: mosaic(bench.subjects, count) for count in extent.faces}
    with bench.device() as device, Device(device.url) as client:
        for (width, height), picture in pictures.items():
            taken = [_faces(client, picture, 1)[1] for _ in range(extent.requests)]
            yield Finding("picture size", f"/faces, {width}x{height}", median(taken), "ms")
        rounds = [
            {count: _faces(client, picture, count) for count, picture in mosaics.items()}
            for _ in tracked(range(3 * extent.rounds), question)
        ]
    medians = {count: median(each[count][1] for each in rounds) for count in mosaics}
    line = stats.linregress(*zip(*medians.items(), strict=True))
    few, many = min(mosaics), max(mosaics)
    predicted = [each[few][1] + (many / few - 1) * each[few][2] for each in rounds]
    ratio = median(each[many][1] / wanted for each, wanted in zip(rounds, predicted, strict=True))
    yield from (Finding(question, f"/faces, {count}", value, "ms") for count, value in medians.items())
    yield Finding(question, "a further face", float(line.slope), "ms")
    yield Finding(question, "R² of the line", float(line.rvalue**2), at_least=LEAST_R_SQUARED)
    yield Finding(question, f"{many} over finding + {many} x one", ratio, at_most=MOST_TIME_RATIO)
    lost = sum(count - found for each in rounds for count, (found, _, _) in each.items())
    yield Finding(question, "faces not found", lost, at_most=0)


def _faces(client: Device, picture: bytes, count: int) -> tuple[int, float, float]:
    """Faces found, the server's milliseconds, and those that it spent on faces alone."""
    answer = client.ask_once("POST", f"/faces?detectcount={count}", picture)
    return len(answer.expect(OK)["faces"]), answer.stages["total"], answer.stages[PER_FACE]


def start(bench: Bench) -> Iterator[Finding]:
    """Median seconds from the start of the process to the first answer that needs the models."""
    seconds = []
    for _ in tracked(range(bench.extent.starts), "starts"):
        with bench.device() as device:
            seconds.append(device.seconds_to_ready)
    yield Finding("start", "to the first answer", median(seconds), "s", at_most=MOST_SECONDS_TO_READY)


def memory(bench: Bench) -> Iterator[Finding]:
    """Resident memory when idle, after the first tenth of the mixed requests and after all, and the growth between these."""
    each = bench.extent.mixed // CLIENTS
    with bench.device() as device:
        idle = resident_megabytes(device.process_id)
        clients(device.url, bench.folder, MIXED, ceil(each / 10), CLIENTS)
        in_use = resident_megabytes(device.process_id)
        load = clients(device.url, bench.folder, MIXED, each, CLIENTS)
        after = resident_megabytes(device.process_id)
    yield Finding("memory", "idle", idle, "MB", at_most=MOST_IDLE_MEGABYTES)
    yield Finding("memory", "in use", in_use, "MB")
    yield Finding("memory", f"after {CLIENTS * each} mixed requests", after, "MB")
    yield Finding("memory", "growth", after - in_use, "MB", at_most=MOST_GROWTH_MEGABYTES)
    yield Finding("memory", "errors", load.failed, at_most=0)
