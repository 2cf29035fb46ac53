"""A door and all that decides about it, of real parts; and what stands before its camera."""

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache, lru_cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Self

import appliance_models
import cv2
import numpy as np
from decisions import DEVICE
from devices import pool, until
from face_appliance_client.verifier import Verifier
from living import stirred

from appliance.access.clock import Clock
from appliance.access.decide import Decider
from appliance.access.identify import Identifier, Impostors
from appliance.access.log import RECORD_FILE, Record
from appliance.access.observe import RecentFrames, SubjectObserver
from appliance.access.passes import PASSES_FILE, PassBook
from appliance.access.pins import GUESSES_FILE, PinChecker
from appliance.access.policy import ClockState, Policy, Rules
from appliance.access.steps import PendingStep
from appliance.access.token import Decision, Direction, SignedDecision, Signer
from appliance.calibration.points import CalibrationStore
from appliance.camera.condition import Inspector
from appliance.camera.loop import CameraLoop
from appliance.camera.source import CameraFrame, FrameSource, Ring
from appliance.events import Event
from appliance.face.types import DetectLimits, Embedding, Pixels
from appliance.gallery.gallery import Gallery
from appliance.gallery.people import GalleryError, Person, Source, new_reference
from appliance.gallery.vault import SiteKey
from appliance.observation.mounting import Mounting
from appliance.sections import GallerySection
from appliance.vision.embedder import Comparators
from appliance.vision.engine import FaceEngine

WIDTH, HEIGHT = 1280, 720

ANY_CLOCK = Rules(clock=ClockState.PLAUSIBLE)
"""A computer that runs tests may have no time service."""

MODEL = "ab" * 32

SITE_KEY = SiteKey(bytes(range(32)))

GAP, SOON = 0.3, 0.05
"""Seconds between the pictures, and from a question to the fourth, so that it is taken after the question."""


@dataclass(frozen=True)
class Recognition:
    gallery: Gallery
    identifier: Identifier


def recognition(gallery: Gallery, ways: Comparators) -> Recognition:
    """As the shipped configuration has it."""
    models, calibration, shipped = appliance_models.FOLDER, CalibrationStore(Path("absent.json")), GallerySection()
    fast, both = (each and Impostors.of(models, each, calibration) for each in (ways.fast, ways.both))
    return Recognition(gallery, Identifier(gallery, fast, shipped.fpir, shipped.margin, both))


class FourFrames:
    """A camera that has shown three pictures, 0.3 s apart, and shows the fourth once it is asked; then all four in turn, as far
    apart, in light that changes, and stirring if it is `living`. So any four frames that a decision takes, however late, are
    these four pictures.
    """

    description, demonstration, stored = "four frames", False, False

    def __init__(self, pictures: Sequence[Pixels], *, living: bool = True) -> None:
        self._pictures = pictures
        self._living = living
        self._asked = threading.Event()
        self._count, self._last = 0, float("-inf")

    def ask(self) -> None:
        """From here on the fourth picture is there."""
        self._asked.set()

    def show(self, picture: Pixels) -> None:
        """From here on this one is there."""
        self._pictures = [picture] * len(self._pictures)

    def open(self) -> None:
        pass

    def read(self) -> CameraFrame | None:
        past = len(self._pictures) - 1 - self._count
        if past > 0:
            frame = CameraFrame(self._pictures[self._count].copy(), time.monotonic() - GAP * past - 0.01)
        elif self._asked.wait(0.05):
            now = self._last + GAP + 0.001 if past else time.monotonic() + SOON
            time.sleep(max(0.0, now - time.monotonic()))
            frame = CameraFrame(self._shown(self._count, past), time.monotonic())
        else:
            return None
        self._count, self._last = self._count + 1, frame.captured
        return frame

    def close(self) -> None:
        pass

    def _shown(self, number: int, past: int) -> Pixels:
        light = -2.3 * past % 29
        picture = self._pictures[number % len(self._pictures)]
        picture = stirred(picture, number) if self._living and light else picture
        return np.asarray(cv2.convertScaleAbs(picture, beta=light), np.uint8)


@cache
def _empty_gallery() -> bytes:
    """The file of a gallery without people: making one takes 40 ms, most of them for its rotation."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "gallery.db"
        Gallery(path, SITE_KEY).close()
        return path.read_bytes()


class Doorstep:
    """Decides about whoever is before `camera`; nobody is known yet."""

    def __init__(
        self,
        folder: Path,
        engine: FaceEngine,
        ways: Comparators,
        camera: FrameSource,
        rules: Rules,
        size: tuple[int, int] = (WIDTH, HEIGHT),
        record: Callable[[Path], Record] = Record,
        fresh_s: float = 60.0,
        repeat_s: float = 0.0,
        least_side: float = 48,
        step_s: float = 60.0,
        patience: float = 10.0,
    ) -> None:
        self.folder, self.camera = folder, camera
        self.engines = pool(engine, patience=patience)
        self.ring = Ring()
        self.loop = CameraLoop(camera, self.ring, lambda: Inspector(*size))
        folder.mkdir(exist_ok=True)
        if not (folder / "gallery.db").exists():
            (folder / "gallery.db").write_bytes(_empty_gallery())
        self.gallery = Gallery(folder / "gallery.db", SITE_KEY)
        self.recognition = recognition(self.gallery, ways)
        self.record = record(folder / RECORD_FILE)
        self.signer = Signer.of(bytes(range(32)))
        self.passes = PassBook(folder / PASSES_FILE, lambda: SITE_KEY, self.record)
        self.told: list[Event] = []
        self.trouble: GalleryError | None = None
        self.decider = Decider(
            DEVICE,
            lambda: self.signer,
            SubjectObserver(
                self.engines,
                RecentFrames(self.loop, self.ring),
                Mounting(0, mirror=False),
                self.passes,
                liveness=True,
                least_side=least_side,
            ),
            self._recognise,
            Clock(),
            self.record,
            Policy(rules),
            PinChecker(folder / GUESSES_FILE),
            self.passes,
            self.told.append,
            fresh_s,
            repeat_s,
            step_s,
        )
        patient = timedelta(minutes=1)  # other tests run, too
        self.verifier = Verifier(self.signer.public, DEVICE, answer=patient, tolerance=patient)
        self._thread = threading.Thread(target=self.loop.run, name="camera")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.ring.close()
        self.loop.stop(5)
        self._thread.join()
        self.gallery.close()

    def _recognise(self) -> Recognition:
        if self.trouble is not None:
            raise self.trouble
        return self.recognition

    def know(self, identity: str, *photos: Pixels, **words: Any) -> Person:
        """Enrols somebody with the largest face of each photo."""
        described = {"name": identity.title(), "groups": (), "valid_from": None, "valid_until": None, **words}
        person = Person(identity, reference=new_reference(), created=datetime.now(UTC), **described)
        self.gallery.add(person)
        with self.engines.lease() as engine:
            for photo in photos:
                strong = MODEL if engine.strong else None
                self.gallery.enrol(identity, embedded(engine, photo), MODEL, 0.9, Source.PHOTO, strong=strong)
        return person

    def ask(self, direction: Direction = Direction.IN, nonce: str | None = None) -> SignedDecision | PendingStep:
        """What is decided on a question of the verifier's own."""
        nonce = nonce or self.verifier.challenge(direction)
        if isinstance(self.camera, FourFrames):
            assert until(lambda: self.ring.newest() is not None)
            self.camera.ask()
        return self.decider.decide(nonce, direction)

    def decide(self, direction: Direction = Direction.IN) -> Decision:
        """The same, as the door sees it."""
        return self.verifier.verify(self.ask(direction).token)


def embedded(engine: FaceEngine, photo: Pixels) -> Embedding:
    """The embedding of the largest face of a photograph; those of one photograph are the same for every door."""
    key = engine.strong, photo.tobytes()
    if key not in _embedded:
        (aligned,) = engine.align(CameraFrame(photo, 0.0), DetectLimits(count=1))
        _embedded[key] = engine.embed_both(aligned)
    return _embedded[key]


_embedded: dict[tuple[bool, bytes], Embedding] = {}


@cache
def _room() -> Pixels:
    """The background of every frame."""
    small = np.random.default_rng(5).integers(60, 180, (9, 16, 3), np.uint8)
    return np.asarray(cv2.resize(small, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC), np.uint8)


@lru_cache(16)
def _oval(height: int, width: int) -> np.ndarray:
    """How much of each pixel is the head's (0..1), with a soft border."""
    oval = np.zeros((height, width), np.float32)
    cv2.ellipse(oval, (width // 2, height // 2), (int(width * 0.4), int(height * 0.49)), 0, 0, 360, 1.0, -1)
    return np.asarray(cv2.GaussianBlur(oval, (0, 0), 15)[:, :, np.newaxis], np.float32)


def head(photo: Pixels, number: int, *, left: float = 0.5, scale: float = 1.0, living: bool = True) -> Pixels:
    """A person in a room, as they are in frame `number`: the head of a photograph, without the photograph's border, that moves
    and, if `living`, stirs before a background that does not. These pictures test the decision, not the liveness check.
    """
    room = _room().copy()
    photo = stirred(photo, number) if living else photo
    photo = cv2.resize(photo, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)[:HEIGHT]
    height, width = photo.shape[:2]
    x = round((WIDTH - width - 60) * left) + number * 17 % 61
    oval = _oval(height, width)
    there = room[HEIGHT - height :, x : x + width]
    there[:] = (there * (1 - oval) + photo * oval).astype(np.uint8)
    room = cv2.convertScaleAbs(room, beta=4 * (number % 5))  # within a second or two no two frames are the same still
    return cv2.add(room, np.random.default_rng(number).integers(0, 4, room.shape, np.uint8))


def placed(engine: FaceEngine, photo: Pixels, like: Pixels) -> Pixels:
    """A photograph whose face is where that of another is, as large and as upright: for who takes somebody's place."""
    (one,), (other,) = (engine.detect(CameraFrame(each, 0.0), DetectLimits(count=1)) for each in (photo, like))
    way, _ = cv2.estimateAffinePartial2D(one.detection.landmarks, other.detection.landmarks, method=cv2.LMEDS)
    size = (like.shape[1], like.shape[0])
    return np.asarray(cv2.warpAffine(photo, way, size, borderMode=cv2.BORDER_REPLICATE), np.uint8)


def empty(number: int) -> Pixels:
    """The room without anybody in it."""
    return head(np.full((8, 8, 3), 128, np.uint8), number)


def side_by_side(one: Pixels, other: Pixels, number: int) -> Pixels:
    """Two people, each in a half of the room."""
    left, right = head(one, number, left=0.1, scale=0.8), head(other, number, left=0.9, scale=0.8)
    return np.hstack([left[:, : WIDTH // 2], right[:, WIDTH // 2 :]])


def heads(*photos: Pixels, **how: Any) -> list[Pixels]:
    """A frame of each photo's head, in motion; those of the same photos are drawn once."""
    key = tuple(hash(photo.tobytes()) for photo in photos), tuple(sorted(how.items()))
    if key not in _heads:
        if len(_heads) == 4:  # 44 MB
            _heads.clear()
        _heads[key] = [head(photo, number, **how) for number, photo in enumerate(photos)]
    return [frame.copy() for frame in _heads[key]]


_heads: dict[object, list[Pixels]] = {}
