"""The endpoints about faces of the published document, and what they are about."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import bottle

from appliance import __version__
from appliance.access.observe import PATIENCE_SECONDS
from appliance.api import answers, intake
from appliance.api.access import ANY_KEY, LIVE, RECOGNISE, Part, route
from appliance.api.answers import NO_STORE, Answer
from appliance.api.intake import Intake
from appliance.camera.loop import Camera
from appliance.camera.source import CameraError, CameraFrame, Ring
from appliance.face.types import DetectLimits, Face
from appliance.faults import Fault, ResultCode
from appliance.observation.following import Follower
from appliance.observation.tracking import SIGHTING_SECONDS, SIGHTINGS, followed
from appliance.vision.detector import Picture
from appliance.vision.engine import EnginePool, FaceEngine
from appliance.vision.loading import Models

API_VERSION = "1.0"
"""The version of the contract."""


@dataclass(frozen=True, slots=True)
class Live:
    """The newest frames of the camera, for answers."""

    camera: Camera
    ring: Ring
    clock: Callable[[], float] = time.monotonic
    follower: Follower = field(default_factory=Follower)

    def newest(self) -> CameraFrame:
        """The newest frame. Raises CameraError when it does not show the present scene."""
        self.camera.usable()
        frame = self.ring.newest()
        if frame is None:
            raise CameraError("no frame")
        return frame

    def spaced(self, patience: float) -> list[CameraFrame]:
        """Four frames SIGHTING_SECONDS apart, the last of them the newest. Waits at most `patience` seconds for them. Raises
        CameraError.
        """
        self.camera.usable()
        frames = self.ring.spaced(SIGHTINGS, SIGHTING_SECONDS, patience)
        if not frames:
            raise CameraError(f"no {SIGHTINGS} frames {SIGHTING_SECONDS} s apart within {PATIENCE_SECONDS} s")
        return frames

    def headers(self, frame: CameraFrame) -> dict[str, str]:
        """The headers of an answer about a frame: its number and its age in milliseconds."""
        age = (self.clock() - frame.captured) * 1e3
        return {**NO_STORE, "X-Frame-Sequence": str(frame.sequence), "X-Frame-Age": f"{age:.1f}"}


@dataclass(frozen=True, slots=True)
class Subjects:
    """The picture that a request is about: the posted one, or with GET the camera's newest frame."""

    engines: EnginePool
    intake: Intake
    live: Live

    @contextmanager
    def leased(self) -> Iterator[tuple[FaceEngine, Picture]]:
        """An engine and the picture. A frame is taken when the engine is free, so that it is the newest then. Raises the Faults
        of the pool and the intake, and CameraError.
        """
        request = bottle.request
        posted = self.intake.photo(request.environ) if request.method == "POST" else None
        with self.engines.lease(0 if posted is None else posted.decoded_bytes) as engine:
            yield engine, self.live.newest() if posted is None else posted

    def faces(self, engine: FaceEngine, picture: Picture, limits: DetectLimits) -> list[Face]:
        """The faces of a picture. Those of the camera's newest frame have the points of the lighter mesh, and are followed
        unless other limits than usual are given.
        """
        if not isinstance(picture, CameraFrame):
            return engine.detect(picture, limits, precise=True)
        return self.live.follower.faces(engine, picture) if limits == DetectLimits() else engine.detect(picture, limits)

    def answer(self, body: Mapping[str, Any], subject: Picture, headers: Mapping[str, str] | None = None) -> Answer:
        about = self.live.headers(subject) if isinstance(subject, CameraFrame) else {}
        return answers.answer(body, headers={**about, **(headers or {})})


@dataclass(frozen=True, slots=True)
class Faces:
    """Each method answers bottle's current request or raises a Fault."""

    subjects: Subjects
    models: Models
    liveness_mode: str

    @route("POST", "/faces", RECOGNISE, expires=True)
    @route("GET", "/faces", LIVE, expires=True)
    def faces(self) -> Answer:
        """The bounding box, the 106 landmarks and the pose of each face in a picture, the largest first; with GET, in
        the newest frame.
        """
        limits = intake.detect_limits(bottle.request.query)
        with self.subjects.leased() as (engine, picture):
            found = self.subjects.faces(engine, picture, limits)
        return self.subjects.answer(answers.faces(found), picture)

    @route("POST", "/alignedfaces", RECOGNISE, expires=True)
    @route("GET", "/alignedfaces", LIVE, expires=True)
    def aligned_faces(self) -> Answer:
        """Each face of a picture upright in 112 x 112 pixels, the largest first; with GET, of the newest frame."""
        limits = intake.detect_limits(bottle.request.query)
        with self.subjects.leased() as (engine, picture):
            found = engine.align(picture, limits)
        return self.subjects.answer(answers.aligned_faces(found), picture)

    @route("POST", "/similarity", RECOGNISE, expires=True)
    @route("POST", "/similarity/v2", RECOGNISE, expires=True)
    def similarity(self) -> Answer:
        """The similarity of two aligned faces: the same person or different people."""
        a, b = (self.subjects.intake.aligned_face(part) for part in self._form("image_a", "image_b"))
        with self.subjects.engines.lease() as engine:
            similarity = engine.compare_by_one(a, b)
        return answers.answer({"similarity": similarity})

    @route("POST", "/liveness/multiframe", RECOGNISE, Part.LIVENESS, expires=True)
    def liveness(self) -> Answer:
        """Whether the face in a zip of four frames is alive, as a confidence."""
        (archive,) = self._form("images")
        # read twice, so that a request that waits holds no inflated files
        memory = sum(picture.decoded_bytes for picture in self.subjects.intake.pictures(archive))
        with self.subjects.engines.lease(memory) as engine:
            verdict = engine.liveness(list(self.subjects.intake.pictures(archive)))
        return answers.answer({"confidence": verdict.confidence})

    @route("GET", "/liveness/multiframe", LIVE, Part.LIVENESS, expires=True)
    def live_liveness(self) -> Answer:
        """Whether the face at the camera is alive: by four frames, the last of them the newest, and one face that is
        in all of them.
        """
        live = self.subjects.live
        live.spaced(PATIENCE_SECONDS)  # for a camera that has just started; these may be old when an engine is free
        with self.subjects.engines.lease() as engine:
            frames = live.spaced(0)
            faces = followed([engine.detect(frame, DetectLimits()) for frame in frames])
            if faces is None:
                raise Fault(ResultCode.NO_FACE, "no face is in all four frames")
            verdict = engine.liveness_of(frames, faces)
        odds = {"X-Liveness-Odds": f"{verdict.odds:.4f}"}
        return self.subjects.answer({"confidence": verdict.confidence}, frames[-1], odds)

    @route("GET", "/version", ANY_KEY)
    def version(self) -> Answer:
        """The versions of the API and of the program, the models and how they run; INF-08 while they load."""
        about = {"api_version": API_VERSION, "sdk_version": __version__, "liveness_mode": self.liveness_mode.upper()}
        return answers.answer({**about, **self.models.facts()})

    def _form(self, *names: str) -> list[bytes]:
        return self.subjects.intake.form(bottle.request.environ, *names)
