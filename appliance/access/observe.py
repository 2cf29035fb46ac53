"""What the camera shows for a decision: four recent frames, the face in them, and who it is."""

import time
from collections.abc import Callable, Sequence
from functools import cache
from statistics import median_low

import numpy as np

from appliance.access.challenge import Challenge, Response
from appliance.access.identify import Recognition
from appliance.access.passes import PassBook
from appliance.access.policy import Observation, Subject
from appliance.camera.loop import Camera
from appliance.camera.source import CameraError, CameraFrame, Ring
from appliance.face.embedding import FAST
from appliance.face.types import DetectLimits, Embedding, Face
from appliance.gallery.people import Person
from appliance.gallery.search import Outcome
from appliance.observation.following import Follower
from appliance.observation.mounting import Mounting
from appliance.observation.tracking import LOST_SECONDS, SIGHTING_SECONDS, SIGHTINGS, followed
from appliance.vision.engine import EnginePool, Examined, FaceEngine, Portrait

PATIENCE_SECONDS = 2.5
"""Longest wait for the frames: a camera that has just started has them after 1.2 s."""

FRESH_SECONDS = 0.5
"""How old the newest frame may be when the frames are chosen."""

SPAN_SECONDS = 2.0
"""From the first frame to the last at most: in a longer gap another person may have come. It takes a camera of more than 1.5
frames a second.
"""

PACE_SECONDS = 0.1
"""From one frame to the next in a challenge: the limits of a turn were measured at 10 frames a second."""

LOOKS = 2
"""Frames, those of the best quality, of which the strong network is asked: with all four it tells people apart hardly better
(d' 8.04 instead of 7.94; with one 7.32: models/CARDS.md).
"""


MISSED_SECONDS = 0.35
"""For so long a challenge goes on without a face in the frames: the detector misses a blurred or turned one now and then."""


class RecentFrames:
    """The frames around a moment."""

    def __init__(
        self,
        camera: Camera,
        ring: Ring,
        clock: Callable[[], float] = time.monotonic,
        demonstrates: Callable[[], bool] = lambda: False,
    ) -> None:
        """`demonstrates` returns whether a demonstration's pictures count: only where a decision opens nothing."""
        self._camera, self._ring, self._clock, self._demonstrates = camera, ring, clock, demonstrates

    @property
    def demonstration(self) -> bool:
        """Whether they are a demonstration's."""
        return self._camera.demonstration

    def since(self, moment: float) -> list[CameraFrame]:
        """Four frames in time order, each SIGHTING_SECONDS after the one before. The last is the newest and was taken at
        `moment` (seconds of `time.monotonic`) or later, so that it shows the scene after the question. Raises CameraError when
        there are none within PATIENCE_SECONDS, or the pictures are a demonstration's and do not count.
        """
        end, seen = self._clock() + PATIENCE_SECONDS, 0
        while (left := end - self._clock()) > 0:
            self._check()
            newest = self._ring.newest(seen, left)
            if newest is None:
                break
            seen = newest.sequence
            frames = self._ring.spaced(SIGHTINGS, SIGHTING_SECONDS) if newest.captured >= moment else []
            if frames and self._current(frames):
                self._check()
                return frames
        raise CameraError(f"no {SIGHTINGS} frames {SIGHTING_SECONDS:g} s apart within {PATIENCE_SECONDS:g} s")

    def next(self, after: int) -> CameraFrame | None:
        """The newest frame if its number is above `after`, or the next one; None if none comes within LOST_SECONDS. Raises
        CameraError as `since`.
        """
        self._check()
        return self._ring.newest(after, LOST_SECONDS)

    def _check(self) -> None:
        self._camera.usable()
        if self._camera.demonstration and not self._demonstrates():
            raise CameraError("the pictures are a demonstration's, and outputs are configured")

    def _current(self, frames: list[CameraFrame]) -> bool:
        span = frames[-1].captured - frames[0].captured
        return span <= SPAN_SECONDS and self._clock() - frames[-1].captured <= FRESH_SECONDS


class SubjectObserver:
    """Observes the person at the camera with an engine of the pool."""

    def __init__(
        self,
        engines: EnginePool,
        frames: RecentFrames,
        mounting: Mounting,
        passes: PassBook,
        *,
        liveness: bool,
        least_side: float = 48,
    ) -> None:
        """`liveness`: whether it counts on this device; `least_side`: pixels under which a face is too far away to count."""
        self._passes = passes
        self._engines, self._frames, self._mounting, self._liveness = engines, frames, mounting, liveness
        self._least_side = least_side

    def observe(self, moment: float, recognition: Recognition) -> Observation:
        """What the frames since `moment` (seconds of `time.monotonic`) show. Raises the Faults of an engine and its pool."""
        try:
            self._frames.since(moment)  # no engine is held meanwhile
            with self._engines.lease() as engine:
                return self._examined(engine, self._frames.since(moment), recognition)
        except CameraError as error:
            return Observation(trouble=error.detail)

    def watch(self, prompts: int, recognition: Recognition, person: Person | None) -> "ChallengeWatch":
        """What follows the face of this person, or of anyone, through a challenge with so many prompts."""
        return ChallengeWatch(self._engines, self._frames, self._near, prompts, recognition, person)

    def _examined(self, engine: FaceEngine, frames: Sequence[CameraFrame], recognition: Recognition) -> Observation:
        found = [engine.detect(frame, DetectLimits()) for frame in frames]
        self._mounting.note(found[-1])
        faces = followed(found)
        subject = None
        if faces is not None and self._near(faces[-1]):  # it may have been farther away in the frames before
            subject = self._subject(faces, engine, engine.examine(frames, faces), recognition)
        near = max(sum(map(self._near, each)) for each in found)
        visitor = None if subject and subject.person else self._passes.shown(frames)
        return Observation(None, tuple(frame.captured for frame in frames), near, subject, visitor)

    def _near(self, face: Face) -> bool:
        return face.detection.box.side >= self._least_side

    def _subject(
        self, faces: Sequence[Face], engine: FaceEngine, examined: Examined, recognition: Recognition
    ) -> Subject:
        """Its quality is that of the second worst frame: a blink or a step in one frame is outweighed by the others. A face
        that is not upright in all frames is not searched for.
        """
        upright = all(face.upright for face in faces)
        outcome, person = identified(engine, examined, recognition) if upright else (Outcome.UNKNOWN, None)
        quality, weakest = median_low([(each.overall, each.weakest) for each in examined.qualities])
        liveness = examined.liveness.confidence if self._liveness else None
        shown = self._frames.demonstration
        portrait = max(examined.portraits(faces), key=lambda each: each.quality.overall) if person else None
        about = (outcome, person, shown, portrait)
        return Subject(upright, liveness, examined.one_person, quality, weakest, *about)


class ChallengeWatch:
    """Follows the face of one person at the camera through a challenge."""

    def __init__(
        self,
        engines: EnginePool,
        frames: RecentFrames,
        near: Callable[[Face], bool],
        prompts: int,
        recognition: Recognition,
        person: Person | None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`near` says whether a face is near enough to count. `person` is the one who is to answer, None for
        somebody whose face is not recognised.
        """
        self.challenge = Challenge(prompts)
        self._engines, self._frames, self._near, self._clock = engines, frames, near, clock
        self._follower, self._sequence = Follower(), 0
        self._face: Face | None = None
        self._seen = float("-inf")
        self._embeddings: list[Embedding] = []
        self._recognition, self._person = recognition, person
        self._portraits: list[Portrait] = []

    def go_on(self) -> None:
        """Watches until the person is asked for something else, or the challenge has ended. Raises the Faults of an engine and
        its pool.
        """
        challenge, asked = self.challenge, self.challenge.prompt
        while challenge.response is None and challenge.prompt is asked:
            begun = time.monotonic()
            try:
                frame = self._frames.next(self._sequence)
            except CameraError:
                frame = None
            if frame is None:
                challenge.end(Response.LOST)
            else:
                self._look(frame)
                time.sleep(max(0.0, begun + PACE_SECONDS - time.monotonic()))

    def _look(self, frame: CameraFrame) -> None:
        self._sequence = frame.sequence
        with self._engines.lease() as engine:
            near = [face for face in self._follower.faces(engine, frame) if self._near(face)]
            if not near and frame.captured - self._seen <= MISSED_SECONDS:
                return
            face = near[0] if len(near) == 1 and self._follows(near[0]) else None
            portraits: list[Portrait] = []
            if face is not None:
                self._face, self._seen = face, frame.captured
                portraits = engine.portray(frame, [face])
                self._embeddings += [each.embedding for each in portraits]
            asked = self.challenge.prompt
            self.challenge.see(frame.captured, None if face is None else face.pose, self._clock())
            if self.challenge.centred:
                self._portraits += portraits
            ends = self.challenge.prompt is not asked or self.challenge.response is Response.PASSED
            if not engine.one_person(self._embeddings) or (ends and not self._expected(engine)):
                self.challenge.end(Response.ANOTHER_PERSON)

    def _expected(self, engine: FaceEngine) -> bool:
        """Whether the frames from the front, since it was last asked, show the person who is to answer: without this a film of
        them before and after the challenge would be enough for somebody else to answer it. It takes a few frames together
        (and the strong network, where the fast one is not sure), as the decision does.
        """
        person, portraits, self._portraits = self._person, self._portraits, []
        if person is None or not portraits:
            return True
        search = self._recognition.identifier
        mean = _mean([each.embedding for each in portraits])
        if search.matches(mean, person, nearest=True):
            return True
        if search.both is None:
            return False
        best = sorted(portraits, key=lambda each: -each.quality.overall)[:LOOKS]
        strong = _mean([engine.feature_of_both(each.aligned, each.embedding)[FAST:] for each in best])
        return search.matches(np.concatenate([mean, strong]), person, nearest=True)

    def _follows(self, face: Face) -> bool:
        return face.upright and (self._face is None or followed([[self._face], [face]]) is not None)


def identified(engine: FaceEngine, examined: Examined, recognition: Recognition) -> tuple[Outcome, Person | None]:
    """The person whom the mean of the embeddings identifies, if each frame alone agrees: otherwise a person who is in three of
    the frames would lend their name to another one who is in the fourth. Where the fast network is not sure, the mean has the
    strong one's embeddings of the two best frames as well.
    """
    if not examined.one_person:
        return Outcome.UNKNOWN, None

    @cache
    def by_both(number: int) -> Embedding:
        return engine.feature_of_both(examined.aligned[number], examined.embeddings[number])

    def second_look() -> Embedding:
        best = sorted(range(len(examined.embeddings)), key=lambda number: -examined.qualities[number].overall)[:LOOKS]
        return np.concatenate([mean, _mean([by_both(number)[FAST:] for number in best])])

    def agrees(number: int, person: Person) -> bool:
        """Whether one frame alone is nearest to this person, and matches."""
        if search.matches(examined.embeddings[number], person, nearest=True):
            return True
        return search.both is not None and search.matches(by_both(number), person, nearest=True)

    search, mean = recognition.identifier, _mean(examined.embeddings)
    found = search.identify(mean, second_look)
    person = found.person if found.outcome is Outcome.IDENTIFIED else None
    if person is not None and not all(agrees(number, person) for number in range(len(examined.embeddings))):
        return Outcome.UNKNOWN, None
    return found.outcome, person


def _mean(embeddings: Sequence[Embedding]) -> Embedding:
    mean = np.mean(embeddings, axis=0)
    return np.asarray(mean / np.linalg.norm(mean), np.float32)
