"""Do the models here give the answers that were recorded for the bundled portrait?

A model can have the right sha256 and still answer wrongly on a runtime that miscompiles it: what it says of one known face
is held against what it said when it was built.
"""

import tomllib
from base64 import b64decode
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np

from appliance.face.alignment import FIVE_OF_106
from appliance.face.embedding import parts
from appliance.face.types import DetectLimits, Embedding, Face, Points
from appliance.faults import Fault, ResultCode
from appliance.vision.detector import Picture
from appliance.vision.engine import FaceEngine
from appliance.vision.manifest import ModelError, Role

POINT_TOLERANCE = 0.03
"""Points and box corners may differ by this share of the face's side; another model's by far more."""

COSINE = 0.99
"""Least cosine with the recorded embedding; another model's is far below. (A wrong colour order gives .984.)"""

LOGIT_TOLERANCE = 1.0
"""Log odds by which the liveness network may differ; their range is -8..8."""

Found = TypeVar("Found")

_ONE = DetectLimits(count=1)


@dataclass(frozen=True, slots=True)
class Answers:
    """What an engine says of the portrait: the box's two corners (2 x 2), the 106 points, the embedding and the liveness
    network's log odds.
    """

    corners: Points
    points: Points
    embedding: Embedding
    strong: Embedding
    logit: float


def read(path: Path) -> dict[str, Answers]:
    """The recorded answers by precision. Raises ModelError."""
    try:
        return {
            precision: Answers(
                np.array(table["corners"], np.float32),
                np.array(table["points"], np.float32),
                np.frombuffer(b64decode(table["embedding"]), "<f4"),
                np.frombuffer(b64decode(table["strong"]), "<f4"),
                float(table["logit"]),
            )
            for precision, table in tomllib.loads(path.read_text("utf-8")).items()
        }
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelError(f"{path.name}: {error}") from error


def complaints(
    engine: FaceEngine, portrait: Picture, recorded: Mapping[str, Answers], precisions: Mapping[Role, str]
) -> dict[Role, str]:
    """The first role whose answer is wrong, and what is wrong with it; empty when all is well.

    Each role is held against the record of its precision. A role that cannot be asked, because a model it needs is known
    not to work, is passed over.
    """
    for role, question in _QUESTIONS.items():
        if role is Role.STRONG_EMBEDDER and not engine.strong:
            continue
        precision = precisions.get(role, "float16")
        known = recorded.get(precision)
        try:
            complaint = question(engine, portrait, known) if known else "no recorded answer for its precision"
        except Fault as fault:
            complaint = "" if fault.code in (ResultCode.INITIALIZE, ResultCode.INITIALIZE_EXTENSION) else str(fault)
        if complaint:
            return {role: complaint}
    return {}


def _box(engine: FaceEngine, portrait: Picture, known: Answers) -> str:
    return _distance(corners(_first(engine.detect(portrait, _ONE, precise=True))), known.corners, known)


def _points(engine: FaceEngine, portrait: Picture, known: Answers) -> str:
    detection = _first(engine.detect(portrait, _ONE, precise=True)).detection
    return _distance(engine.fit(portrait, detection, precise=True).points, known.points, known)


def _alignment(engine: FaceEngine, portrait: Picture, known: Answers) -> str:
    five = list(FIVE_OF_106)
    return _distance(_first(engine.detect(portrait, _ONE)).points[five], known.points[five], known)


def _embedding(engine: FaceEngine, portrait: Picture, known: Answers) -> str:
    return _alike(engine.embed(_first(engine.align(portrait, _ONE))), known.embedding)


def _strong(engine: FaceEngine, portrait: Picture, known: Answers) -> str:
    _, found = parts(engine.embed_both(_first(engine.align(portrait, _ONE))))
    return _alike(found, known.strong)


def _alike(found: Embedding, known: Embedding) -> str:
    cosine = float(found @ known)
    return "" if cosine >= COSINE else f"cosine {cosine:.3f} with the recorded embedding, at least {COSINE} is wanted"


def _logit(engine: FaceEngine, portrait: Picture, known: Answers) -> str:
    face = _first(engine.detect(portrait, _ONE))
    logit = engine.liveness_of([portrait] * 4, [face] * 4).network
    return "" if abs(logit - known.logit) <= LOGIT_TOLERANCE else f"log odds {logit:.2f}, recorded {known.logit:.2f}"


_QUESTIONS: dict[Role, Callable[[FaceEngine, Picture, Answers], str]] = {
    Role.DETECTOR: _box,
    Role.LANDMARKS: _points,
    Role.ALIGNMENT: _alignment,
    Role.EMBEDDER: _embedding,
    Role.STRONG_EMBEDDER: _strong,
    Role.LIVENESS: _logit,
}


def _distance(found: Points, known: Points, answers: Answers) -> str:
    side = float(answers.corners[1, 0] - answers.corners[0, 0])
    share = float(np.linalg.norm(found - known, axis=1).mean()) / side
    return (
        "" if share <= POINT_TOLERANCE else f"{share:.3f} of the face's side away, at most {POINT_TOLERANCE} is wanted"
    )


def corners(face: Face) -> Points:
    """The upper left and the lower right corner (2 x 2) of a face's squared box."""
    box = face.detection.box.squared()
    return np.array([[box.x, box.y], [box.x + box.side, box.y + box.side]], np.float32)


def _first(found: Sequence[Found]) -> Found:
    if not found:
        raise Fault(ResultCode.NO_FACE, "in the portrait")
    return found[0]
