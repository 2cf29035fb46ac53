"""Finds the faces of the camera's frames, most of them without a search: a face is fitted where it was in the frame before."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import cv2
import numpy as np
import numpy.typing as npt

from appliance.camera.source import CameraFrame
from appliance.face.alignment import FIVE_OF_106, DegenerateLandmarksError, apply, similarity_transform
from appliance.face.types import Box, Detection, DetectLimits, Face
from appliance.stages import stage
from appliance.vision.detector import OVERLAP, magnification
from appliance.vision.engine import SAME, FaceEngine
from appliance.vision.upright import PRESENCE, TURNED

SEARCH_SECONDS = 0.5
"""Within this time the detector looks at least once, so that it is given every face that stands still for so long."""

MOTION_SECONDS = 0.1
"""While something moves, the detector looks this often: of frames 0.2 s apart, it looks at each of them."""

MEMORY_SECONDS = 1.0
"""For so long a face that was upright is taken to be upright still, when it is where it was."""

SAMPLES, BLOCKS = 320, (64, 36)
"""Columns of the picture that are sampled for motion, and columns and rows of the blocks they are averaged in: of 1280 x 720, a
block is 20 pixels wide, so that the smallest wanted face (48 pixels) covers at least one.
"""

MOVED = 6.0
"""Grey levels by which a block changes when something moves; sensor noise of 4 grey levels changes its mean of 25 by 0.8."""

HEAD = 1.5
"""Side of the head over that of its face's box. What moves in there is the followed face itself."""


Blocks = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class _Seen:
    """The faces of a frame, its number and time; the time of the last frame that was searched, and how that one looked."""

    faces: list[Face]
    sequence: int
    captured: float
    searched: float
    scene: Blocks


class Follower:
    """Follows the faces of one camera. Thread-safe."""

    def __init__(self) -> None:
        self._seen = _Seen([], 0, float("-inf"), float("-inf"), np.zeros(BLOCKS[::-1], np.float32))

    def faces(self, engine: FaceEngine, shot: CameraFrame) -> list[Face]:
        """The faces of a frame within the default limits, largest first. Raises the Faults of the engine."""
        seen = self._seen
        if shot.sequence == seen.sequence:
            return seen.faces
        with stage("detect"):
            scene = _blocks(shot)
            searches = _asks(seen, shot, scene)
        faces = None if searches else _followed(engine, shot, seen.faces)
        if faces is not None:
            self._seen = _Seen(faces, shot.sequence, shot.captured, seen.searched, seen.scene)
            return faces
        recent = seen.faces if shot.captured - seen.captured <= MEMORY_SECONDS else []
        faces = engine.detect(shot, DetectLimits(lying=False), [face.detection.box for face in recent if face.upright])
        self._seen = _Seen(faces, shot.sequence, shot.captured, shot.captured, scene)
        return faces


def _asks(seen: _Seen, shot: CameraFrame, scene: Blocks) -> bool:
    """Whether a frame asks for the detector: the next one may come too late, or something but the followed faces moves."""
    gap, since = shot.captured - seen.captured, shot.captured - seen.searched
    if gap <= 0 or since + gap > SEARCH_SECONDS:
        return True
    return since >= MOTION_SECONDS and _moves(seen, shot, scene)


def _moves(seen: _Seen, shot: CameraFrame, scene: Blocks) -> bool:
    """Whether anything outside the followed faces differs from the frame that was searched, more than the light does."""
    change = scene - seen.scene
    change = np.abs(change - np.median(change))
    scale = np.array(BLOCKS) / (shot.width, shot.height)
    for face in seen.faces:
        center, half = np.array(face.detection.box.center), face.detection.box.side * HEAD / 2
        (left, top), (right, bottom) = ((center + sign * half) * scale for sign in (-1, 1))
        change[max(0, int(top)) : int(bottom) + 1, max(0, int(left)) : int(right) + 1] = 0
    return bool(change.max() > MOVED)


def _followed(engine: FaceEngine, shot: CameraFrame, faces: Sequence[Face]) -> list[Face] | None:
    """The faces of the frame before as they are in this one; None when one of them is lost, or two have become one."""
    found = [_moved(engine, shot, face) for face in faces]
    kept = [face for face in found if face is not None]
    boxes = [face.detection.box for face in kept]
    if len(kept) < len(faces) or any(a.overlap(b) > OVERLAP for a, b in combinations(boxes, 2)):
        return None
    return sorted(kept, key=lambda face: face.detection.box.side, reverse=True)


def _moved(engine: FaceEngine, shot: CameraFrame, face: Face) -> Face | None:
    """The face in the next frame, its box moved and scaled as its points are; None when it is not there, or too far away or
    too much turned for its points to be trusted.
    """
    if not face.upright:
        return None
    before = face.detection
    fit = engine.fit(shot, Detection(before.box, face.points[list(FIVE_OF_106)], before.score))
    try:
        affine = similarity_transform(face.points, fit.points)
    except DegenerateLandmarksError:
        return None
    (center,) = apply(affine, np.array([before.box.center], np.float32))
    width, height = (side * magnification(affine) for side in (before.box.width, before.box.height))
    box = Box(float(center[0]) - width / 2, float(center[1]) - height / 2, width, height)
    if fit.presence < PRESENCE or abs(fit.pose.roll) > TURNED or box.overlap(before.box) < SAME:
        return None
    return Face(Detection(box, fit.points[list(FIVE_OF_106)], before.score), fit.points, fit.pose)


def _blocks(shot: CameraFrame) -> Blocks:
    """Mean grey levels of the parts of a frame, of its green channel."""
    pixels = shot.frame(min(1.0, SAMPLES / shot.width)).pixels
    step = max(1, pixels.shape[1] // SAMPLES)
    return np.asarray(cv2.resize(pixels[::step, ::step, 1], BLOCKS, interpolation=cv2.INTER_AREA), np.float32)
