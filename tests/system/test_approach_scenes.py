"""Scenes before a device that decides by itself, a process of its own, in real time: who walks up, passes by, queues, hangs
on the wall, or is held up on paper and on a phone. The labelled sequences are the people; the film runs at 15 frames a second.

It prints the table of docs/measured.md and how long a person stands there until the relay is on:

    scripts/test --nightly -m nightly -s tests/system/test_approach_scenes.py
"""

import csv
import json
import re
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from itertools import repeat
from pathlib import Path
from statistics import median, quantiles
from typing import Any

import cv2
import numpy as np
import pytest
from client import Client
from devices import Child, shipped_engine, until
from people import add

from appliance.camera.source import CameraFrame
from appliance.face.types import DetectLimits, Pixels
from appliance.vision.engine import FaceEngine
from appliance.vision.loading import Choice

pytestmark = [pytest.mark.data, pytest.mark.nightly, pytest.mark.timeout(3000)]

FPS, WIDTH, HEIGHT = 15, 640, 480

PAUSE, WALK, STAND = 2 * FPS, FPS, 3 * FPS
"""Frames of an empty room, of coming near and of standing there."""

PICTURE = 5
"""Frames for which each picture of a sequence is shown: a third of a second, so that a decision takes four of them."""

EACH = 2
"""Sequences of a subject and a label."""

FAR = 0.25
"""Size of a person who stands behind, or of a poster there: their faces are below `least_side`."""

CONFIG = """
[engine]
engines = 1
[gallery]
key_file = "{folder}/site.key"
min_quality = 0.1
[camera]
{camera}
width = 640
height = 480
fps = 15
[door]
trigger = "approach"
least_side = 64
pause_s = 2
clock = "plausible"
without_clock = "grant"
[relay]
pin = 17
pulse_s = 0.5
"""


@dataclass
class Scene:
    """`kind` is a row of the table; `people` are those who may be granted, in this order; `stands` is the frame of the scene in
    which the first of them stands there.
    """

    kind: str
    frames: Iterable[Pixels]
    people: tuple[str, ...] = ()
    stands: int = WALK
    begin: int = 0
    end: int = 0
    decided: list[tuple[str, str | None]] = field(default_factory=list)
    seconds: float | None = None


@cache
def room() -> Pixels:
    small = np.random.default_rng(5).integers(90, 160, (6, 8, 3), np.uint8)
    return np.asarray(cv2.resize(small, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC), np.uint8)


def blurred(picture: Pixels) -> Pixels:
    """What is seen around a picture that does not fill the frame, so that it has no edge."""
    return np.asarray(cv2.GaussianBlur(cv2.resize(picture, (WIDTH, HEIGHT)), (0, 0), 25), np.uint8)


def placed(ground: Pixels, picture: Pixels, share: float, x: float = 0.5, y: float = 0.5) -> Pixels:
    """The picture in the room: `share` 1 fills the height or the width; its centre is at shares of the frame."""
    scale = share * min(WIDTH / picture.shape[1], HEIGHT / picture.shape[0])
    small = cv2.resize(
        picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    )
    height, width = small.shape[:2]
    alpha = np.zeros((height, width), np.float32)
    edge = min(24, width // 6, height // 6)
    alpha[edge:-edge, edge:-edge] = 1
    alpha = cv2.GaussianBlur(alpha, (0, 0), edge / 3)
    if share == 1 and width >= WIDTH - 1 and height >= HEIGHT - 1:
        alpha[:] = 1
    left, top = round(WIDTH * x - width / 2), round(HEIGHT * y - height / 2)
    there = slice(max(0, top), min(HEIGHT, top + height)), slice(max(0, left), min(WIDTH, left + width))
    if there[1].start >= there[1].stop:
        return ground
    inside = slice(there[0].start - top, there[0].stop - top), slice(there[1].start - left, there[1].stop - left)
    shown, share_of = ground.copy(), alpha[inside][:, :, np.newaxis]
    shown[there] = (ground[there] * (1 - share_of) + small[inside] * share_of).astype(np.uint8)
    return shown


def sequence_of(four: Sequence[Pixels], step: int) -> Pixels:
    """The picture that is there: the four in turn, each a pixel or two aside, so that no two frames are the same."""
    return np.roll(four[step // PICTURE % 4], step % 3, axis=1)


def walks_up(four: Sequence[Pixels], ground: Pixels | None = None, frames: int = WALK + STAND) -> Iterator[Pixels]:
    ground = blurred(four[0]) if ground is None else ground
    for step in range(frames):
        share = min(1.0, 0.4 + 0.6 * step / WALK)
        picture = four[0] if step < WALK else sequence_of(four, step - WALK)
        yield placed(ground, picture, share)


def passes_by(four: Sequence[Pixels], seconds: float, way: int) -> Iterator[Pixels]:
    steps = round(seconds * FPS)
    for step in range(steps):
        yield placed(room(), sequence_of(four, step), 0.7, x=0.5 + way * (1.7 * step / (steps - 1) - 0.85))


def queue(one: Sequence[Pixels], other: Sequence[Pixels]) -> Iterator[Pixels]:
    """One stands there with the other behind; leaves; the other comes."""
    for frame in walks_up(one, room()):
        yield placed(frame, other[0], FAR, x=0.9, y=0.3)
    for step in range(FPS):
        behind = placed(
            room(),
            sequence_of(other, step),
            FAR + (0.4 - FAR) * step / FPS,
            x=0.9 - 0.4 * step / FPS,
            y=0.3 + 0.2 * step / FPS,
        )
        yield placed(behind, sequence_of(one, step), 1.0 - 0.3 * step / FPS, x=0.5 - 1.2 * step / FPS)
    yield from walks_up(other, room())


def beside(frames: Iterable[Pixels], poster: Pixels) -> Iterator[Pixels]:
    for frame in frames:
        yield placed(frame, poster, 0.55, x=0.15)


def wall(poster: Pixels, share: float, x: float, y: float = 0.5) -> Pixels:
    return placed(room(), poster, share, x, y)


def scenes(shown: dict[tuple[str, str], list[list[Pixels]]]) -> list[Scene]:
    """All of them, with the sequences by subject and label."""
    found = []
    real = [(subject, fours) for (subject, label), fours in shown.items() if label == "real" and fours]
    for subject, fours in real:
        found += [Scene("walks up", walks_up(four), (subject,)) for four in fours]
    for (_, label), fours in shown.items():
        names = {"print": "print, held up", "replay": "phone or screen, held up"}
        found += [Scene(names[label], walks_up(four)) for four in fours if label != "real"]
    for number, (subject, fours) in enumerate(real[:6]):
        found.append(Scene("passes by", passes_by(fours[0], (1.0, 1.5)[number % 2], (-1, 1)[number % 2])))
        poster = real[number - 1][1][0][0]
        found.append(Scene("poster alone", repeat(wall(poster, 0.7, 0.5), WALK + STAND)))
        small = wall(poster, FAR, 0.87, 0.25)
        found.append(Scene("poster behind", walks_up(fours[0], small), (subject,)))
        found.append(Scene("poster as large beside", beside(walks_up(fours[0], room()), poster)))
    for (one, first), (other, second) in zip(real[0:6:2], real[1:6:2], strict=True):
        found.append(Scene("queue of two", queue(first[0], second[0]), (one, other)))
    return found


def film(folder: Path, found: Sequence[Scene]) -> int:
    """Writes the film and notes where each scene begins; returns how many frames it has."""
    folder.mkdir()
    noise, count = np.random.default_rng(3), 0

    def write(frame: Pixels) -> None:
        nonlocal count
        grains = noise.integers(0, 4, (HEIGHT // 2, WIDTH // 2, 3), np.uint8)
        frame = cv2.add(frame, cv2.resize(grains, (WIDTH, HEIGHT), interpolation=cv2.INTER_NEAREST))
        name = str(folder / f"{count:06d}.jpg")
        cv2.imwrite(name, cv2.cvtColor(frame, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, 95])
        count += 1

    for scene in found:
        for _ in range(PAUSE):
            write(room())
        scene.begin = count
        for frame in scene.frames:
            write(frame)
        scene.end = count
    for _ in range(PAUSE):
        write(room())
    return count


class Listener(threading.Thread):
    """Notes when each frame was captured, what was decided, and when the relay went on."""

    def __init__(self, client: Client) -> None:
        super().__init__(name="listener")
        self.captured: list[tuple[int, float]] = []
        self.decisions: list[tuple[int, dict[str, Any]]] = []
        self.relay: list[tuple[int, float]] = []
        self.ending = False
        self._client = client

    @property
    def position(self) -> int:
        return self.captured[-1][0] if self.captured else 0

    def run(self) -> None:
        with self._client.wire() as wire:
            wire.send(b"GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n")
            name = ""
            while not self.ending:
                line = wire._reader.readline().decode().strip()
                if line.startswith("event: "):
                    name = line[7:]
                elif line.startswith("data: "):
                    self._note(name, json.loads(line[6:]), time.monotonic())

    def _note(self, name: str, body: dict[str, Any], now: float) -> None:
        if name == "faces":
            self.captured.append((body["sequence"], now - body["age_ms"] / 1e3))
        elif name == "decision":
            self.decisions.append((self.position, body))
        elif name == "door" and body["relay"]:
            self.relay.append((self.position, now))

    def time_of(self, sequence: int) -> float:
        """When a frame was captured, from the nearest that was analysed."""
        known, at = min(self.captured, key=lambda each: abs(each[0] - sequence))
        return at + (sequence - known) / FPS


def sort_in(listener: Listener, found: Sequence[Scene]) -> None:
    """Gives each scene its decisions, and its time to the relay."""
    for scene in found:
        end = scene.end + PAUSE // 2
        for position, decision in listener.decisions:
            if scene.begin < position <= end:
                scene.decided.append((decision["reason"], (decision["person"] or {}).get("id")))
        on = [at for position, at in listener.relay if scene.begin < position <= end]
        if on and scene.people:
            scene.seconds = on[0] - listener.time_of(scene.begin + scene.stands + 1)


def rows_of(data: Path) -> dict[tuple[str, str], list[str]]:
    rows = defaultdict(list)
    with (data / "liveness" / "sequences.csv").open(encoding="utf-8") as file:
        for row in csv.DictReader(file):
            rows[row["subject"], row["label"]].append(row["sequence"])
    return rows


def pictures(folder: Path) -> list[Pixels]:
    return [cv2.cvtColor(cv2.imread(str(folder / f"{number}.jpg")), cv2.COLOR_BGR2RGB) for number in (1, 2, 3, 4)]


def enrolled(client: Client, engine: FaceEngine, subject: str, candidates: Iterable[Pixels]) -> bool:
    """Enrols the largest face of the first picture in which it is good enough."""
    add(client, subject)
    for picture in candidates:
        for face in engine.detect(CameraFrame(picture, 0.0), DetectLimits(count=1)):
            half, (x, y) = round(face.detection.box.side), (round(each) for each in face.detection.box.center)
            crop = picture[max(0, y - half) : y + half, max(0, x - half) : x + half]
            _, content = cv2.imencode(".jpg", cv2.cvtColor(crop, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, 95])
            path = f"/people/{subject}/templates?allow_duplicate=1&allow_mismatch=1"
            if client.post(path, content.tobytes()).status == 201:
                return True
    return False


def test_who_is_granted_denied_or_ignored(data: Path, choice: Choice, tmp_path: Path) -> None:
    engine = shipped_engine(choice)
    folder, rows = data / "liveness", rows_of(data)
    shown = {}
    mock = {"GPIOZERO_PIN_FACTORY": "mock"}
    config = CONFIG.format(folder=tmp_path, camera='driver = "none"')
    with Child(tmp_path, config, environment=mock) as child:
        client = child.ready()
        for subject in {subject for subject, _ in rows}:
            theirs = (
                rows.get((subject, "real")) or rows[subject, "replay"]
            )  # who is seen in attacks alone: the worst case
            candidates = (picture for name in reversed(theirs) for picture in pictures(folder / name))
            assert enrolled(client, engine, subject, candidates), subject
        assert child.terminate() == 0
    for (subject, label), names in rows.items():
        kept = names[:-1] if label == "real" else names
        shown[subject, label] = [pictures(folder / name) for name in kept[:EACH]]
    found = scenes(shown)
    count = film(tmp_path / "film", found)
    config = CONFIG.format(folder=tmp_path, camera=f'driver = "replay"\nsource = "{tmp_path}/film"')
    with Child(tmp_path, config, environment=mock) as child:
        listener = Listener(child.ready())
        listener.start()
        assert until(lambda: listener.position >= count, count / FPS + 120)
        listener.ending = True
        assert child.terminate() == 0
        listener.join(20)
    sort_in(listener, found)
    report(found)
    taken = [int(each) for each in re.findall(r"\(granted\) after (\d+) ms", child.log_file.read_text("utf-8"))]
    print(f"of this the decision: median {median(taken or [0]):.0f} ms")
    for scene in found:
        granted = tuple(person for reason, person in scene.decided if reason == "granted")
        assert set(granted) <= set(scene.people), scene.kind
        assert len(granted) <= len(scene.people), scene.kind
    walked = [scene for scene in found if scene.kind == "walks up"]
    assert sum(scene.seconds is not None for scene in walked) >= 0.6 * len(walked)  # 6 of 24 have a second near face


def report(found: Sequence[Scene]) -> None:
    table = defaultdict(Counter)
    for scene in found:
        reasons = [reason for reason, _ in scene.decided]
        granted = reasons.count("granted")
        table[scene.kind][f"granted {granted}" if granted else reasons[0] if reasons else "silent"] += 1
    print()
    for kind, counts in table.items():
        print(f"| {kind} | {sum(counts.values())} | {', '.join(f'{name}: {n}' for name, n in counts.most_common())} |")
    seconds = [scene.seconds for scene in found if scene.kind == "walks up" and scene.seconds is not None]
    if len(seconds) > 1:
        most = quantiles(seconds, n=10)[-1]
        print(
            f"from standing there to the relay: median {median(seconds):.2f} s, 90 % within {most:.2f} s ({len(seconds)})"
        )
