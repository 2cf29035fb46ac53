"""The parts of the bench: posted pictures, start and memory of the device, the camera's path, a search in the gallery; and what
all of them use: pictures, configuration, and how much to measure.
"""

import json
import secrets
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import partial
from math import ceil, inf
from pathlib import Path
from statistics import median
from timeit import timeit
from typing import Any

import appliance_models
import numpy as np
import psutil

from appliance.camera.replay import DEMONSTRATION
from appliance.face.embedding import FAST
from appliance.gallery.search import Index
from appliance.imaging.archive import FRAMES
from appliance.sections import EngineSection
from lab.bench.load import MIXED, Load, clients
from lab.bench.material import CANVAS, FILM, FPS, Material, Subject, film, mosaic
from lab.device import OK, THIS, Build, Device, OwnDevice, Vector, own_device, resident_megabytes
from lab.report import Finding, tracked

# The bundled pictures, both in the public domain, each with one face.
PORTRAITS = (appliance_models.FOLDER / "portrait.jpg", DEMONSTRATION / "grace_hopper.jpg")
SIZES = ((640, 480), (1280, 720), (1920, 1080), (4000, 3000))  # width and height of pictures
KINDS = ("faces", "alignedfaces", "similarity", "liveness")  # of requests
LEAST_SPEEDUP = {2: 1.8, 4: 1.5}  # of so many clients on `/faces` over one, on two cores shared with the device
MOST_TIME_RATIO = 1.15  # time of a picture with many faces over that of finding them plus so often that of one face
LEAST_R_SQUARED = 0.98  # time over faces is a line then; noise of 5 % of the longest time would leave .97
PER_FACE = "landmarks"  # the stage of Server-Timing that `/faces` spends on each face
MOST_SECONDS_TO_READY = 3.0
MOST_IDLE_MEGABYTES = 160.0  # before networks are built, for their first run; LiteRT and the models' files are loaded
MOST_GROWTH_MEGABYTES = 40.0  # twice what 1,500 requests took; requests kept as circles take three times as much
MOST_CAMERA_GROWTH = 10.0
CLIENTS = 2
MOST_LOOP_CPU = 10.0  # percent of a core that the idle loop may take
MOST_DECISION_MILLISECONDS = 1200.0  # the longest that a person waits at a door
LEAST_FPS = 20.0  # frames a second that are read as fast as they come; with fewer, a part is broken
LISTENER = "import sys, urllib.request as r\nfor line in r.urlopen(sys.argv[1] + '/events'): print(line, flush=True)"

# For a search of as many templates as a device is meant for; over the time that the product of all templates with the
# embedding takes, one template a row, without any ranking.
MOST_SEARCH_MILLISECONDS, MOST_OF_PRODUCT = 10.0, 1.0

SEED = 50_000


@dataclass(frozen=True, slots=True)
class Extent:
    """How often, how long, and on what is measured: repetitions trade time for noise. The documented figures rest on these."""

    starts: int = 3  # of a device; the median counts, as of everything else here
    rounds: int = 5  # of a comparison, so that both sides are measured within the same seconds
    requests: int = 60  # of one kind a round, of all clients together
    clients: tuple[int, ...] = (1, 2, 4, 8)
    sizes: tuple[tuple[int, int], ...] = SIZES
    faces: tuple[int, ...] = (1, 5, 10, 20, 30, 40, 50)
    pictures: int = 8  # of a folder on which peers are compared
    processor_seconds: float = 10.0  # how long processor time is counted
    warm_frames: int = 2_000  # before the first reading of memory, and `frames` before the second
    frames: int = 20_000
    mixed: int = 5_000  # mixed requests between two readings of memory
    templates: tuple[int, ...] = (1_000, 10_000, 50_000)  # sizes of galleries that are searched, rising


# Shows whether everything works; too little for a verdict.
QUICK = Extent(1, 1, 6, (1, 2), SIZES[:2], (1, 3, 6), 2, 0.5, 30, 60, 20, (100, 1_000))


@dataclass(frozen=True, slots=True)
class Bench:
    """A folder for this run, the posted material, the people in it, the body of the device's `/version`, how much to measure,
    and a folder of the user's own pictures.
    """

    folder: Path
    engine: EngineSection
    material: Material
    subjects: tuple[Subject, ...]
    version: Mapping[str, Any]
    extent: Extent
    pictures: Path | None

    @classmethod
    def prepared(cls, folder: Path, engine: EngineSection, extent: Extent, pictures: Path | None = None) -> "Bench":
        """Asks a device of its own where the faces are, and writes the material into `folder`.

        Raises OSError, UnexpectedAnswerError, ProgramFailedError.
        """
        contents = [path.read_bytes() for path in PORTRAITS]
        with own_device({"engine": _written(engine)}) as running, Device(running.url) as client:
            material = Material.made_from(contents[0], client)
            subjects = tuple(Subject(content, client.faces(content)[0].box) for content in contents)
            version = client.facts()
        material.write(folder)
        return cls(folder, engine, material, subjects, version, extent, pictures)

    def device(
        self, *, film: bool = False, real_time: bool = True, build: Build = THIS
    ) -> AbstractContextManager[OwnDevice]:
        """A device of our own, without a camera, or one that replays the film in the folder. Raises ProgramFailedError."""
        camera = {"camera": replay(self.folder, real_time=real_time)} if film else {}
        return own_device({"engine": _written(self.engine), **camera}, build=build)


def _written(engine: EngineSection) -> dict[str, Any]:
    """The section as a configuration has it, without what is as usual: the program of another commit may not know it."""
    return engine.model_dump(mode="json", exclude_defaults=True)


def replay(folder: Path, *, real_time: bool = True) -> dict[str, Any]:
    """The section of a camera that replays the film in `folder`."""
    size = {"fps": FPS, "width": CANVAS[0], "height": CANVAS[1]}
    return {"driver": "replay", "source": str(folder / FILM), "real_time": real_time, **size}


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
                yield from _percentiles(f"stages of {path}", stage, [each[stage] for each in times])


def endpoints(bench: Bench) -> Iterator[Finding]:
    """Throughput and time of every endpoint as 1, 2, 4 and 8 clients see them, in turn, so that noise affects all alike.
    Liveness, with its four pictures a request, gets a quarter as many.
    """
    with bench.device() as device:
        for kind in KINDS:
            loads: dict[int, list[Load]] = {count: [] for count in bench.extent.clients}
            requests = bench.extent.requests // (FRAMES if kind == "liveness" else 1)
            for _ in tracked(range(bench.extent.rounds), kind):
                for count, rounds in loads.items():
                    rounds.append(clients(device.url, bench.folder, kind, max(1, requests // count), count))
            yield from described(bench.material.questions()[kind][0], loads)


def described(path: str, loads: dict[int, list[Load]]) -> Iterator[Finding]:
    """Throughput, median (p50) and 99th percentile (p99) for each number of clients, and throughput over that of one client."""
    rates = {count: [load.rate for load in rounds] for count, rounds in loads.items()}
    for count, rounds in loads.items():
        title = f"{count} clients"
        yield Finding(path, f"{title}: answers", median(rates[count]), "1/s")
        yield from _percentiles(path, title, [each for load in rounds for each in load.seen])
        if count > 1:
            ratio = median(b / a for a, b in zip(rates[1], rates[count], strict=True))
            least = LEAST_SPEEDUP.get(count, -np.inf) if path == "/faces" else -np.inf
            yield Finding(path, f"{title} over one", ratio, "x", at_least=least)
    yield Finding(path, "errors", sum(load.errors.total() for rounds in loads.values() for load in rounds), at_most=0)


def _percentiles(question: str, title: str, milliseconds: Sequence[float]) -> Iterator[Finding]:
    for share in (50, 99):
        yield Finding(question, f"{title}: p{share}", float(np.percentile(milliseconds, share)), "ms")


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
    from scipy import stats

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
    yield Finding("memory", "errors", load.errors.total(), at_most=0)


def camera(bench: Bench) -> Iterator[Finding]:
    """All figures of a device that replays a film: ages of frames at their answer and times of decisions about an unknown
    person, as a door sees them; processor time of the idle loop; growth of memory with the frames.
    """
    film(bench.folder, bench.material.picture)
    ages, decisions = [], []
    with bench.device(film=True) as device, Device(device.url) as client:
        wait_for(client, 2 * FPS)
        percent = psutil.Process(device.process_id).cpu_percent(bench.extent.processor_seconds)
        for number in tracked(range(bench.extent.requests), "frames and decisions"):
            for _ in range(bench.extent.rounds):
                answer = client.ask_once("GET", "/faces")
                answer.expect(OK)
                ages.append(float(answer.headers["x-frame-age"]))
                time.sleep(0.01 + number % 7 / 1000)  # not in step with the camera
            decisions.append(decide(client)[0])
    for title, times, most in (
        ("age of a frame at its answer", ages, np.inf),
        ("a decision", decisions, MOST_DECISION_MILLISECONDS),
    ):
        yield Finding("camera", f"{title}, median", median(times), "ms", at_most=most)
        yield Finding("camera", f"{title}, 99th percentile", float(np.percentile(times, 99)), "ms")
    yield Finding("camera", f"idle loop at {FPS}/s, of one core", percent, "%", at_most=MOST_LOOP_CPU)
    with bench.device(film=True, real_time=False) as device, Device(device.url) as client:
        wait_for(client, bench.extent.warm_frames)
        before = resident_megabytes(device.process_id)
        wait_for(client, bench.extent.frames)
        growth = resident_megabytes(device.process_id) - before
    title = f"memory after {bench.extent.frames} frames, growth"
    yield Finding("camera", title, growth, "MB", at_most=MOST_CAMERA_GROWTH)


def decide(client: Device) -> tuple[float, float]:
    """Milliseconds of a decision as a door sees it, and those of its stages: the work, without waiting for frames."""
    begun = time.perf_counter()
    answer = client.ask_once("POST", "/access/decide", json.dumps({"nonce": secrets.token_urlsafe(16)}).encode())
    taken = 1e3 * (time.perf_counter() - begun)
    answer.expect(OK)
    return taken, sum(each for stage, each in answer.stages.items() if stage != "total")


def wait_for(client: Device, frames: int) -> None:
    """Returns when the camera has delivered so many frames. Raises TimeoutError."""
    seen, end = 0, time.monotonic() + 10 + frames / LEAST_FPS
    while seen < frames:
        if time.monotonic() > end:
            raise TimeoutError(f"{seen} frames of {frames} within {frames / LEAST_FPS:.0f} s")
        time.sleep(0.5)
        seen = client.ask_once("GET", "/healthz").result["camera"]["frames"]


@contextmanager
def listener(url: str) -> Iterator[None]:
    """A client that listens to the events: a process, so that its own work is not counted here."""
    process = subprocess.Popen([sys.executable, "-c", LISTENER, url], stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None
        next(line for line in process.stdout if b"event: faces" in line)
        yield
    finally:
        process.kill()
        process.communicate()


def gallery(bench: Bench) -> Iterator[Finding]:
    """Medians of searches in galleries of synthetic templates, and over the product; both take turns."""
    for size in tracked(bench.extent.templates, "gallery"):
        rows, queries = _templates(size), _templates(bench.extent.requests)
        index = Index.build((f"{number:016x}", row) for number, row in enumerate(rows))
        acts = [(partial(index.ranking, query), partial(np.matmul, rows, query)) for query in queries]
        times = [(1e3 * timeit(search, number=1), 1e3 * timeit(product, number=1)) for search, product in acts]
        largest = size == max(bench.extent.templates)
        most, most_ratio = (MOST_SEARCH_MILLISECONDS, MOST_OF_PRODUCT) if largest else (inf, inf)
        search, ratio = median(each for each, _ in times), median(search / product for search, product in times)
        yield Finding("gallery", f"{size:,} templates: search", search, "ms", at_most=most)
        yield Finding("gallery", f"{size:,}: over the product", ratio, at_most=most_ratio)


def _templates(count: int) -> Vector:
    drawn = np.random.default_rng(SEED + count).standard_normal((count, FAST), np.float32)
    drawn /= np.linalg.norm(drawn, axis=1, keepdims=True)
    return drawn
