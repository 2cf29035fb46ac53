"""The endpoints of the published document."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import bottle

from appliance.api import answers, intake
from appliance.api.intake import Intake
from appliance.camera.source import CameraError, CameraFrame, Ring
from appliance.face.types import AlignedFace, DetectLimits
from appliance.faults import Fault, ResultCode
from appliance.observation.tracking import followed
from appliance.vision.detector import Picture
from appliance.vision.engine import EnginePool, FaceEngine


@dataclass(frozen=True, slots=True)
class Documented:
    """One method an endpoint; each takes bottle's current request and returns the answer or raises a Fault."""

    engines: EnginePool
    intake: Intake
    facts: Callable[[], Mapping[str, Any]]

    def faces(self) -> bottle.HTTPResponse:
        """`POST /faces`"""
        limits = intake.detect_limits(bottle.request.query)
        picture = self.intake.picture(self.intake.body(bottle.request.environ))
        with self.engines.lease() as engine:
            found = engine.detect(picture, limits)
        return answers.answer(answers.faces(found))

    def aligned_faces(self) -> bottle.HTTPResponse:
        """`POST /alignedfaces`"""
        limits = intake.detect_limits(bottle.request.query)
        picture = self.intake.picture(self.intake.body(bottle.request.environ))
        with self.engines.lease() as engine:
            found = engine.align(picture, limits)
        return answers.answer(answers.aligned_faces(found))

    def similarity(self) -> bottle.HTTPResponse:
        """`POST /similarity/v2` and `POST /similarity`"""
        parts = self.intake.form(bottle.request.environ, "image_a", "image_b")
        a, b = (self.intake.aligned_face(part) for part in parts)
        with self.engines.lease() as engine:
            similarity = engine.compare(a, b)
        return answers.answer({"similarity": similarity})

    def liveness(self) -> bottle.HTTPResponse:
        """`POST /liveness/multiframe`"""
        (archive,) = self.intake.form(bottle.request.environ, "images")
        with self.engines.lease() as engine:
            verdict = engine.liveness(self.intake.four_pictures(archive))
        return answers.answer({"confidence": verdict.confidence})

    def version(self) -> bottle.HTTPResponse:
        """`GET /version`"""
        return answers.answer(self.facts())


@dataclass(frozen=True, slots=True)
class Features:
    """One method an endpoint; each takes bottle's current request and returns the answer or raises a Fault."""

    engines: EnginePool
    intake: Intake

    def compare(self) -> bottle.HTTPResponse:
        """`POST /compare`: the largest face of one photograph and that of another."""
        parts = self.intake.form(bottle.request.environ, "image_a", "image_b")
        a, b = (self.intake.picture(part) for part in parts)
        with self.engines.lease() as engine:
            face_a, face_b = (_largest(engine, picture) for picture in (a, b))
            similarity = engine.compare(face_a, face_b)
        return answers.answer(
            {"similarity": similarity, "box_a": answers.box(face_a.box), "box_b": answers.box(face_b.box)}
        )

    def floats(self) -> bottle.HTTPResponse:
        """`POST /feature/floats`: the embedding of an aligned face, which is the body or its part `image`."""
        environ = bottle.request.environ
        posted_as_form = environ.get("CONTENT_TYPE", "").lower().startswith("multipart/")
        content = self.intake.form(environ, "image")[0] if posted_as_form else self.intake.body(environ)
        face = self.intake.aligned_face(content)
        with self.engines.lease() as engine:
            feature = engine.feature(face)
        return answers.answer(answers.feature(feature))

    def face_features(self) -> bottle.HTTPResponse:
        """`POST /facefeatures`: the embeddings of all faces of a picture, the largest first."""
        limits = intake.detect_limits(bottle.request.query)
        picture = self.intake.picture(self.intake.body(bottle.request.environ))
        with self.engines.lease() as engine:
            found = [(face, engine.feature(face)) for face in engine.align(picture, limits)]
        features = [{"box": answers.box(face.box), **answers.feature(feature)} for face, feature in found]
        return answers.answer({"count": len(features), "face_features": features})


def _largest(engine: FaceEngine, picture: Picture) -> AlignedFace:
    faces = engine.align(picture, DetectLimits(count=1))
    if not faces:
        raise Fault(ResultCode.NO_FACE)
    return faces[0]


FRAMES, GAP_SECONDS = 4, 0.3
"""What the liveness check looks at (the contract)."""

PATIENCE_SECONDS = 2.5
"""Longest wait for these frames: a camera that has just started has them after 1.2 s."""


class Camera(Protocol):
    """The camera, as far as an answer depends on it."""

    def usable(self) -> None:
        """Raises CameraError when its newest frame does not show what is before it now."""
        ...


class NoCamera:
    """A device without a camera, by its configuration."""

    def usable(self) -> None:
        raise CameraError('camera.driver is "none"')


@dataclass(frozen=True, slots=True)
class Live:
    """One method an endpoint; each takes bottle's current request and returns the answer or raises a Fault."""

    engines: EnginePool
    camera: Camera
    ring: Ring
    clock: Callable[[], float] = time.monotonic

    def faces(self) -> bottle.HTTPResponse:
        """`GET /faces`"""
        limits = intake.detect_limits(bottle.request.query)
        with self.engines.lease() as engine:
            frame = self.newest()
            found = engine.detect(frame, limits)
        return self.answer(answers.faces(found), frame)

    def aligned_faces(self) -> bottle.HTTPResponse:
        """`GET /alignedfaces`"""
        limits = intake.detect_limits(bottle.request.query)
        with self.engines.lease() as engine:
            frame = self.newest()
            found = engine.align(frame, limits)
        return self.answer(answers.aligned_faces(found), frame)

    def liveness(self) -> bottle.HTTPResponse:
        """`GET /liveness/multiframe`: of four frames, the last of them the newest, and one face that is in all of them."""
        self.spaced(PATIENCE_SECONDS)  # a camera that has just started; these may be old when an engine is free
        with self.engines.lease() as engine:
            frames = self.spaced(0)
            faces = followed([engine.detect(frame, DetectLimits()) for frame in frames])
            if faces is None:
                raise Fault(ResultCode.NO_FACE, "no face is in all four frames")
            verdict = engine.liveness_of(frames, faces)
        response = self.answer({"confidence": verdict.confidence}, frames[-1])
        response.set_header("X-Liveness-Odds", f"{verdict.odds:.4f}")
        return response

    def newest(self) -> CameraFrame:
        """The frame that shows what is before the camera now. Raises CameraError."""
        self.camera.usable()
        frame = self.ring.newest()
        if frame is None:
            raise CameraError("no frame")
        return frame

    def spaced(self, patience: float) -> list[CameraFrame]:
        """Four frames GAP_SECONDS apart, the last of them the newest; waits for them at most `patience` seconds. Raises
        CameraError.
        """
        self.camera.usable()
        frames = self.ring.spaced(FRAMES, GAP_SECONDS, patience)
        if not frames:
            raise CameraError(f"no {FRAMES} frames {GAP_SECONDS} s apart within {PATIENCE_SECONDS} s")
        return frames

    def answer(self, body: Mapping[str, Any], frame: CameraFrame) -> bottle.HTTPResponse:
        """An answer about a frame."""
        response = answers.answer(body)
        response.set_header("Cache-Control", "no-store")
        response.set_header("X-Frame-Sequence", str(frame.sequence))
        response.set_header("X-Frame-Age", f"{(self.clock() - frame.captured) * 1e3:.1f}")
        return response
