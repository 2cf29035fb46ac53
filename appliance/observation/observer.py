"""Analyses the camera's frames while there are subscribers, and publishes what it sees."""

import logging
import threading
import time
from collections.abc import Callable, Sequence

from appliance.camera.source import CameraFrame, Ring
from appliance.events import Appeared, Broadcast, FacesSeen, Left, LivenessJudged, SeenFace
from appliance.face.types import Face
from appliance.faults import Fault
from appliance.observation.following import Follower
from appliance.observation.mounting import Mounting
from appliance.observation.tracking import LOST_SECONDS, SIGHTINGS, Track, Tracker
from appliance.vision.engine import FaceEngine

log = logging.getLogger(__name__)

WAIT_SECONDS = 0.5
"""Longest wait for a subscriber or a frame, so that `stop` is noticed."""

LIVENESS_SECONDS = 1.2
"""How often the liveness of the largest face is judged: all four frames are new each time."""


class Observer:
    """Analyses the newest frame at most `rate` times a second, with its own engine, which exists while there are
    subscribers.
    """

    def __init__(
        self,
        shots: Ring,
        engine: Callable[[], FaceEngine | None],
        broadcast: Broadcast,
        mounting: Mounting,
        rate: float,
        *,
        liveness: bool,
    ) -> None:
        """`engine` makes an engine, or returns None while the models load."""
        self._shots, self._engine, self._broadcast, self._mounting = shots, engine, broadcast, mounting
        self._period = 1 / rate
        self._liveness = liveness
        self._stopping = threading.Event()

    def run(self) -> None:
        while not self._stopping.is_set():
            if self._broadcast.listened_to(WAIT_SECONDS):
                engine = self._engine()
                if engine is None:
                    self._stopping.wait(WAIT_SECONDS)
                else:
                    self._observe(engine)

    def stop(self) -> None:
        """Ends `run` within about a second."""
        self._stopping.set()

    def _observe(self, engine: FaceEngine) -> None:
        follower, tracker = Follower(), Tracker()
        after, judged, problem = 0, 0.0, ""
        while not self._stopping.is_set() and self._broadcast.listened_to(0):
            begun = time.monotonic()
            shot = self._shots.newest(after, WAIT_SECONDS)
            if shot is None:
                self._publish_left(tracker.end(begun - LOST_SECONDS))
                continue
            after = shot.sequence
            try:
                tracks = self._see(engine, tracker, shot, follower.faces(engine, shot))
                problem = ""
                due = self._liveness and tracks and begun - judged >= LIVENESS_SECONDS
                if due and self._broadcast.wants(LivenessJudged):
                    judged = begun
                    self._judge(engine, tracks[0])
            except Fault as fault:
                if problem != str(fault):
                    problem = str(fault)
                    log.warning("the live picture cannot be analysed: %s", problem)
            self._stopping.wait(begun + self._period - time.monotonic())

    def _see(self, engine: FaceEngine, tracker: Tracker, shot: CameraFrame, faces: Sequence[Face]) -> list[Track]:
        self._mounting.note(faces)
        tracks, appeared, left = tracker.update(shot, faces, shot.captured)
        for track in appeared:
            self._broadcast.publish(Appeared(track.number))
        seen = tuple(SeenFace(each.number, each.face, engine.quality(shot, each.face)) for each in tracks)
        age = time.monotonic() - shot.captured
        self._broadcast.publish(FacesSeen(shot.sequence, age, shot.width, shot.height, seen))
        self._publish_left(left)
        return tracks

    def _judge(self, engine: FaceEngine, track: Track) -> None:
        if len(track.sightings) < SIGHTINGS:
            return
        pictures, faces = zip(*track.sightings, strict=True)
        self._broadcast.publish(LivenessJudged(track.number, engine.liveness_of(pictures, faces).confidence))

    def _publish_left(self, tracks: Sequence[Track]) -> None:
        for track in tracks:
            self._broadcast.publish(Left(track.number, track.seen - track.since))
