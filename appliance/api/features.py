"""The rest of the vendor's family of endpoints, which its document does not describe: photographs compared, embeddings, masks,
and liveness of one picture or of up to ten.
"""

from base64 import b64decode
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import bottle
import numpy as np

from appliance.api import answers, intake
from appliance.api.access import RECOGNISE, Part, route
from appliance.api.answers import Answer
from appliance.api.faces import Subjects
from appliance.face.types import AlignedFace, DetectLimits, Embedding
from appliance.faults import Fault, Refusal, ResultCode
from appliance.imaging.archive import FRAMES, SUFFIXES
from appliance.vision.detector import Picture
from appliance.vision.embedder import SIZE
from appliance.vision.engine import FaceEngine
from appliance.vision.liveness import ALIVE

MOST_FRAMES = 10
"""Frames of `/liveness/multiframe/v2` at most: the vendor's own load script sends so many."""


@dataclass(frozen=True, slots=True)
class Features:
    """Each method answers bottle's current request or raises a Fault."""

    subjects: Subjects

    @route("POST", "/compare", RECOGNISE, expires=True)
    def compare(self) -> Answer:
        """The similarity of the largest faces of two photographs, and where they are."""
        a, b = (self.subjects.intake.picture(part) for part in self._form("image_a", "image_b"))
        with self.subjects.engines.lease(a.decoded_bytes + b.decoded_bytes) as engine:
            face_a, face_b = _largest(engine, "image_a", a), _largest(engine, "image_b", b)
            similarity = engine.compare(face_a, face_b)
        return answers.answer(
            {"similarity": similarity, "box_a": answers.box(face_a.box), "box_b": answers.box(face_b.box)}
        )

    @route("POST", "/compare/feature", RECOGNISE, expires=True)
    def compare_features(self) -> Answer:
        """The similarity of two embeddings, given as base64 of what `/feature/floats` or `/feature/bytes` returned."""
        a, b = (_embedding(part) for part in self._form("feature_a", "feature_b"))
        with self.subjects.engines.lease() as engine:
            return answers.answer({"similarity": engine.similarity(a, b)})

    @route("POST", "/feature/floats", RECOGNISE, expires=True)
    def floats(self) -> Answer:
        """The embedding of an aligned face, which is the body or its part `image`."""
        return answers.answer(answers.feature(self._feature()))

    @route("POST", "/feature/bytes", RECOGNISE, expires=True)
    def signed_bytes(self) -> Answer:
        """The embedding of an aligned face in 512 signed bytes."""
        return answers.answer(answers.feature_bytes(self._feature()))

    @route("POST", "/feature/masking", RECOGNISE)
    @route("POST", "/facefeatures/masking", RECOGNISE)
    def masking(self) -> Answer:
        """Answers 406: covering the lower half of faces does not help to recognise those with a mask
        (docs/measured.md).
        """
        text = "Covered features are not offered: they recognise people with a mask no better than plain ones."
        raise Refusal(ResultCode.RESTRICTED, "not_offered", text)

    @route("POST", "/facefeatures", RECOGNISE, expires=True)
    def face_features(self) -> Answer:
        """The embeddings of all faces of a picture, the largest face first."""
        return self._features(lambda face: {"box": answers.box(face.box)})

    @route("POST", "/facefeatures/withimages", RECOGNISE, expires=True)
    def face_features_with_images(self) -> Answer:
        """The embeddings and the aligned faces of a picture."""
        return self._features(answers.aligned_face)

    @route("POST", "/masks", RECOGNISE, expires=True)
    def masks(self) -> Answer:
        """Whether each face of a picture wears a mask, the largest face first."""
        limits = intake.detect_limits(bottle.request.query)
        with self.subjects.leased() as (engine, picture):
            found = [(face, engine.mask(picture, face)) for face in engine.detect(picture, limits)]
        masks = [
            {"box": answers.box(face.detection.box.squared()), "masked": sure >= 0.5, "confidence": sure}
            for face, sure in found
        ]
        return answers.answer({"count": len(masks), "masks": masks})

    @route("POST", "/liveness", RECOGNISE, Part.SINGLE, expires=True)
    def liveness(self) -> Answer:
        """Whether the largest face of one picture is alive, as far as one picture can tell."""
        with self.subjects.leased() as (engine, picture):
            confidence = engine.single_liveness(picture)
        return _verdict(confidence)

    @route("POST", "/liveness/multiframe/v2", RECOGNISE, Part.LIVENESS, expires=True)
    def liveness_of_frames(self) -> Answer:
        """As `/liveness/multiframe`, of four to ten frames, four of which are judged, spread as evenly as they can be."""
        archive, number, suffix = self._form("images", "frame_counts", "filename_extension")
        if not (len(number) <= 2 and number.isdigit() and FRAMES <= int(number) <= MOST_FRAMES):
            raise Fault(ResultCode.ZIP_COUNT, f"frame_counts {number[:10]!r}")
        count = int(number)
        names = {suffix.decode("latin-1").lower().removeprefix(".")} & {*SUFFIXES}
        read = self.subjects.intake.pictures
        chosen = np.linspace(0, count - 1, FRAMES).round().astype(int)
        # read twice, so that a request that waits holds no inflated files, and one file after the other
        memory = sum(picture.decoded_bytes for picture in read(archive, count, names))
        with self.subjects.engines.lease(memory) as engine:
            judged = [picture for index, picture in enumerate(read(archive, count, names)) if index in chosen]
            verdict = engine.liveness(judged)
        return _verdict(verdict.confidence)

    def _feature(self) -> Embedding:
        environ = bottle.request.environ
        posted_as_form = environ.get("CONTENT_TYPE", "").lower().startswith("multipart/")
        content = self._form("image")[0] if posted_as_form else self.subjects.intake.body(environ)
        face = self.subjects.intake.aligned_face(content)
        with self.subjects.engines.lease() as engine:
            return _feature(engine, face)

    def _features(self, described: Callable[[AlignedFace], dict[str, Any]]) -> Answer:
        limits = intake.detect_limits(bottle.request.query)
        with self.subjects.leased() as (engine, picture):
            found = [(face, _feature(engine, face)) for face in engine.align(picture, limits)]
        features = [{**described(face), **answers.feature(feature)} for face, feature in found]
        return answers.answer({"count": len(features), "face_features": features})

    def _form(self, *names: str) -> list[bytes]:
        return self.subjects.intake.form(bottle.request.environ, *names)


def _feature(engine: FaceEngine, face: AlignedFace) -> Embedding:
    """The embedding of the fast network; with `networks=both` the strong one's behind it, where that is in use."""
    both = bottle.request.query.get("networks") == "both"
    return engine.feature_of_both(face) if both else engine.feature(face)


def _largest(engine: FaceEngine, part: str, picture: Picture) -> AlignedFace:
    faces = engine.align(picture, DetectLimits(count=1))
    if not faces:
        raise Refusal(ResultCode.NO_FACE, "no_face", f"There is no face of at least 48 pixels in {part}.", detail=part)
    return faces[0]


def _embedding(text: bytes) -> Embedding:
    """An embedding in base64: 512 little-endian float32, or 512 signed bytes. Raises Refusal INF-01."""
    try:
        content = b64decode(text.strip(), validate=True)
    except ValueError:
        content = b""
    kind = {SIZE: "i1", SIZE * 4: "<f4"}.get(len(content))
    vector = np.zeros(SIZE) if kind is None else np.frombuffer(content, kind).astype(np.float64)
    length = float(np.linalg.norm(vector))
    if not 0 < length < np.inf:
        what = "feature_a and feature_b: each base64 of 512 float32 or of 512 bytes, finite and not all zero"
        raise Refusal(ResultCode.INVALID_BODY, "invalid_feature", what)
    return np.asarray(vector / length, np.float32)


def _verdict(confidence: float) -> Answer:
    return answers.answer({"confidence": confidence, "is_live": confidence >= ALIVE})
