"""What is asked of a face engine, in this process or over HTTP, and what it answers."""

from base64 import b64decode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from appliance.evaluation.measures import Reals


class UnexpectedAnswerError(Exception):
    """A good question was answered with something else than a result; `code` is the contract's, "" without one."""

    def __init__(self, text: str, code: str = "") -> None:
        super().__init__(text)
        self.code = code


class UnscoredError(Exception):
    """Scores were asked of a device, whose documented API does not give them."""


@dataclass(frozen=True, slots=True)
class FoundFace:
    """A face of /faces: box (4: x, y, width, height) and 106 x 2 points in pixels; yaw, pitch and roll in degrees."""

    box: Reals
    points: Reals
    pose: Reals


@dataclass(frozen=True, slots=True)
class CutFace:
    """A face of /alignedfaces: box (4: x, y, width, height) in pixels and its 112 x 112 x 3 RGB bytes."""

    box: Reals
    pixels: bytes


@dataclass(frozen=True, slots=True)
class FeatureFace:
    """A face of /facefeatures: box (4: x, y, width, height) in pixels and embedding (512 float32 of unit length)."""

    box: Reals
    feature: npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class ScoredFace:
    """What the detector itself says of a face: its rectangle (4: x, y, width, height) in pixels, not squared; 0..1."""

    box: Reals
    score: float


class Asked(Protocol):
    """A face engine. Pictures are JPEG or PNG; `query` is minsize, maxsize and detectcount; faces come largest first.

    Each question raises UnexpectedAnswerError when there is no result.
    """

    def facts(self) -> Mapping[str, Any]:
        """Versions, runtime and models, as /version names them."""
        ...

    def faces(self, picture: bytes, **query: int) -> list[FoundFace]: ...

    def aligned_faces(self, picture: bytes, **query: int) -> list[CutFace]: ...

    def face_features(self, picture: bytes, **query: int) -> list[FeatureFace]: ...

    def scored_faces(self, picture: bytes, **query: int) -> list[ScoredFace]:
        """Raises UnscoredError where scores are not to be had."""
        ...

    def similarity(self, image_a: bytes, image_b: bytes) -> float:
        """0..1 of two aligned faces (JPEG, PNG or raw RGB)."""
        ...

    def liveness(self, frames: Sequence[bytes], suffix: str = ".jpg") -> float | None:
        """Confidence 0..1 of four pictures in time order; None when one has no face."""
        ...


def found_face(answer: Mapping[str, Any]) -> FoundFace:
    """An element of the answer to /faces."""
    points = np.array([[point["x"], point["y"]] for point in answer["landmark"]["lm_points"]], dtype=np.float64)
    pose = np.array([answer["pose"][key] for key in ("yaw", "pitch", "roll")], dtype=np.float64)
    return FoundFace(box_of(answer["box"]), points, pose)


def feature_face(answer: Mapping[str, Any]) -> FeatureFace:
    """An element of the answer to /facefeatures."""
    return FeatureFace(box_of(answer["box"]), feature_of(answer["feature_data"]))


def feature_of(data: str) -> npt.NDArray[np.float32]:
    """An embedding of an answer: little-endian float32, in base64."""
    return np.frombuffer(b64decode(data), "<f4").astype(np.float32)


def box_of(answer: Mapping[str, Any]) -> Reals:
    """A box of an answer: x, y, width, height."""
    return np.array([answer[key] for key in ("x", "y", "width", "height")], dtype=np.float64)
