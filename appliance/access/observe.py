"""Four frames of what stands before the camera, the newest of them taken after the question came."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from statistics import median_low
from typing import Protocol

import numpy as np

from appliance.access.policy import Sighting
from appliance.camera.source import CameraError, CameraFrame, Ring
from appliance.face.types import DetectLimits, Embedding
from appliance.gallery.people import GalleryError, Person
from appliance.gallery.search import Candidate, Outcome
from appliance.observation.tracking import SIGHTING_SECONDS, SIGHTINGS, followed
from appliance.vision.engine import EnginePool, Examined, FaceEngine

PATIENCE_SECONDS = 2.5
"""Longest wait for these frames: a camera that has just started has them after 1.2 s."""

FRESH_SECONDS = 0.5
"""How old the newest frame may be when it is looked at."""

SPAN_SECONDS = 2.0
"""From the first frame to the last at most: in a longer gap somebody else may have come, and it takes a camera of more than
1.5 frames a second.
"""


class Camera(Protocol):
    """The camera, as far as a decision depends on it."""

    def usable(self) -> None:
        """Raises CameraError when its newest frame does not show the present scene."""
        ...


class Source(Camera, Protocol):
    """A camera that may show a demonstration instead."""

    @property
    def demonstration(self) -> bool: ...


class Genuine:
    """A camera that is unusable while it shows a demonstration."""

    def __init__(self, camera: Source) -> None:
        self._camera = camera

    def usable(self) -> None:
        """Raises CameraError when its pictures are bundled ones, or do not show the present scene."""
        self._camera.usable()
        if self._camera.demonstration:
            raise CameraError("the pictures are a demonstration's")


class Footage:
    """What the camera shows around a moment."""

    def __init__(self, camera: Camera, ring: Ring, clock: Callable[[], float] = time.monotonic) -> None:
        self._camera, self._ring, self._clock = camera, ring, clock

    def since(self, moment: float) -> list[CameraFrame]:
        """Four frames in time order, each SIGHTING_SECONDS after the one before, the last of them the newest and taken at
        `moment` (seconds of `time.monotonic`) or later: what it shows was there when the question had come. Raises CameraError
        when there are none within PATIENCE_SECONDS.
        """
        end, seen = self._clock() + PATIENCE_SECONDS, 0
        while (left := end - self._clock()) > 0:
            self._camera.usable()
            newest = self._ring.newest(seen, left)
            if newest is None:
                break
            seen = newest.sequence
            frames = self._ring.spaced(SIGHTINGS, SIGHTING_SECONDS) if newest.captured >= moment else []
            if frames and self._current(frames):
                self._camera.usable()
                return frames
        raise CameraError(f"no {SIGHTINGS} frames {SIGHTING_SECONDS:g} s apart within {PATIENCE_SECONDS:g} s")

    def _current(self, frames: list[CameraFrame]) -> bool:
        span = frames[-1].captured - frames[0].captured
        return span <= SPAN_SECONDS and self._clock() - frames[-1].captured <= FRESH_SECONDS


class Found(Protocol):
    """Who an embedding is taken for."""

    @property
    def outcome(self) -> Outcome: ...

    @property
    def person(self) -> Person | None: ...


class Identifies(Protocol):
    """Says who it is, among all who are known."""

    def identify(self, embedding: Embedding) -> Found: ...


class Gallery(Protocol):
    """Those who are known, as far as a decision needs them."""

    def ranking(self, embedding: Embedding, count: int) -> Sequence[Candidate]: ...

    def problem(self) -> GalleryError | None: ...

    def last_passage(self, reference: str) -> tuple[str, datetime] | None: ...

    def note_passage(self, reference: str, direction: str, time: datetime) -> None: ...

    def take_back_passage(self, reference: str, before: tuple[str, datetime] | None) -> None: ...


class Recognises(Protocol):
    """What people are recognised with: `least` is the cosine from which two pictures are one person's (1:1)."""

    @property
    def gallery(self) -> Gallery: ...

    @property
    def identifier(self) -> Identifies: ...

    @property
    def least(self) -> float: ...


@dataclass(frozen=True, slots=True)
class Seen:
    """What was to be seen: why there was nothing, if so; when the frames were taken (seconds of `time.monotonic`); the largest
    number of faces in any of them; and the one that is in all of them, None when there is none.
    """

    trouble: str | None = None
    captured: tuple[float, ...] = ()
    faces: int = 0
    sighting: Sighting | None = None


class Witness:
    """Looks at the newest frames with an engine of the pool."""

    def __init__(self, engines: EnginePool, footage: Footage, *, liveness: bool) -> None:
        """`liveness`: whether it counts on this device."""
        self._engines, self._footage, self._liveness = engines, footage, liveness

    def look(self, moment: float, recognition: Recognises) -> Seen:
        """What there is to be seen since `moment` (seconds of `time.monotonic`). Faces under 48 pixels are not looked at: they
        are too far away to pass. Raises the Faults of an engine and its pool.
        """
        try:
            self._footage.since(moment)  # nobody else waits for an engine meanwhile
            with self._engines.lease() as engine:
                return self._examined(engine, self._footage.since(moment), recognition)
        except CameraError as error:
            return Seen(trouble=error.detail)

    def _examined(self, engine: FaceEngine, frames: Sequence[CameraFrame], recognition: Recognises) -> Seen:
        found = [engine.detect(frame, DetectLimits()) for frame in frames]
        faces = followed(found)
        examined = None if faces is None else engine.examine(frames, faces)
        sighting = None if examined is None else self._sighting(examined, recognition)
        return Seen(None, tuple(each.captured for each in frames), max(map(len, found)), sighting)

    def _sighting(self, examined: Examined, recognition: Recognises) -> Sighting:
        """Its quality is that of the second worst frame: a blink or a step in one of them spoils nothing that the others and
        the frame's own match do not make good; two poor ones do.
        """
        outcome, person = identified(examined, recognition)
        typical = median_low([(each.overall, each.weakest) for each in examined.qualities])
        return Sighting(
            liveness=examined.liveness.confidence if self._liveness else None,
            one_person=examined.one_person,
            quality=typical[0],
            weakest=typical[1],
            outcome=outcome,
            person=person,
        )


def identified(examined: Examined, recognition: Recognises) -> tuple[Outcome, Person | None]:
    """Whoever the mean of the embeddings is taken for, if each frame alone says the same: otherwise a person who is seen in
    three of the frames would lend their name to somebody who is seen in one.
    """
    if not examined.one_person:
        return Outcome.UNKNOWN, None
    mean = np.mean(examined.embeddings, axis=0)
    found = recognition.identifier.identify(mean / np.linalg.norm(mean))
    person = found.person if found.outcome is Outcome.IDENTIFIED else None
    if person is not None and not all(_agrees(each, person, recognition) for each in examined.embeddings):
        return Outcome.UNKNOWN, None
    return found.outcome, person


def _agrees(embedding: Embedding, person: Person, recognition: Recognises) -> bool:
    """Whether one frame alone is this person's, more than anybody else's."""
    best = recognition.gallery.ranking(embedding, 1)
    return bool(best) and best[0].reference == person.reference and best[0].cosine >= recognition.least
