"""How a portrait is taken that somebody can be enrolled with: from a photograph, or from what the camera sees now."""

from collections.abc import Sequence
from itertools import pairwise
from math import hypot
from typing import Protocol

from appliance.access_control.poses import Asked, nudge
from appliance.access_control.prompts import NotTakenError, Prompt
from appliance.face.types import Box, DetectLimits, Face
from appliance.gallery.people import Source
from appliance.observation.tracking import followed
from appliance.vision import quality
from appliance.vision.crop import Picture
from appliance.vision.engine import Examined, Portrait

LEAST_SIDE = 48
"""Pixels of the face's box: the smallest that the API looks for (the contract)."""

SEEN_SIDE = 24
"""So small a face is told to come closer, instead of that nobody is there."""

CLEARLY = 2.0
"""How many times as large as every other the face of a photograph must be, so that it is clearly its subject. The camera shows
one face or none: whoever looks over a shoulder there may be the one who holds still.
"""

CUT_OFF = 0.1
"""Share of a face's 106 points that may lie beyond the border. Of a portrait that is cut more and more, a tenth is beyond it
when a sixth of the face is missing; the box says less, for it is drawn back from the border.
"""

UNSTEADY = 0.25
"""How far a face may move from one frame to the next, 0.3 s later, in sides of its box: farther, and what the last frame shows
is smeared or about to be.
"""

ALIVE = 0.5
"""The operating point of the liveness check, which its scale is laid around (calibration)."""


class Sees(Protocol):
    """An engine, as far as taking a portrait needs it."""

    def detect(self, picture: Picture, limits: DetectLimits) -> list[Face]: ...

    def portray(self, picture: Picture, faces: Sequence[Face]) -> list[Portrait]: ...

    def examine(self, pictures: Sequence[Picture], faces: Sequence[Face]) -> Examined: ...


def from_photograph(engine: Sees, picture: Picture, least: float) -> Portrait:
    """The portrait of the one person in a photograph; others may be in it when they are much smaller. `least` is the quality
    (0..1) that it must have. Raises NotTakenError, and the Faults of the engine.
    """
    faces = engine.detect(picture, DetectLimits(min_size=SEEN_SIDE))
    if not faces:
        raise NotTakenError(Prompt.NOBODY, Source.PHOTO)
    subject, *others = faces
    if any(other.detection.box.side * CLEARLY > subject.detection.box.side for other in others):
        raise NotTakenError(Prompt.MORE_THAN_ONE, Source.PHOTO)
    return _good(engine, picture, subject, least, Source.PHOTO)


def from_camera(engine: Sees, frames: Sequence[Picture], asked: Asked, least: float) -> Portrait:
    """The portrait of the one person in the last of some frames, who looks as they were `asked` to. When there are four, as
    `FaceEngine.examine` wants them, they must also show that this person is alive. Raises NotTakenError, and the Faults of the
    engine.
    """
    *earlier, newest = frames
    face = _alone(_seen(engine, newest))
    if _too_small(face.detection.box):
        raise NotTakenError(Prompt.CLOSER, Source.CAMERA)
    if prompt := nudge(asked, face.pose):
        raise NotTakenError(prompt, Source.CAMERA)
    portrait = _good(engine, newest, face, least, Source.CAMERA)
    if earlier:
        _check_alive(engine, frames, [*(_alone(_seen(engine, frame)) for frame in earlier), face])
    return portrait


def _seen(engine: Sees, picture: Picture) -> list[Face]:
    """The faces of a frame, largest first: a small one, which is far away, only when there is no other."""
    faces = engine.detect(picture, DetectLimits(min_size=SEEN_SIDE))
    return [face for face in faces if not _too_small(face.detection.box)] or faces[:1]


def _alone(faces: Sequence[Face]) -> Face:
    if len(faces) != 1:
        raise NotTakenError(Prompt.MORE_THAN_ONE if faces else Prompt.NOBODY, Source.CAMERA)
    return faces[0]


def _good(engine: Sees, picture: Picture, face: Face, least: float, source: Source) -> Portrait:
    """The portrait of a face that is large enough, wholly in the picture, and worth at least so much."""
    if _too_small(face.detection.box):
        raise NotTakenError(Prompt.CLOSER, source)
    if _cut_off(face, picture):
        raise NotTakenError(Prompt.FARTHER, source)
    (portrait,) = engine.portray(picture, [face])
    if portrait.quality.overall < least:
        raise NotTakenError(_to_mend(portrait), source)
    return portrait


def _to_mend(portrait: Portrait) -> Prompt:
    """What is to be done about the weakest aspect of a portrait."""
    match portrait.quality.weakest:
        case "size":
            return Prompt.CLOSER
        case "sharpness":
            return Prompt.HOLD_STILL
        case "pose":
            return Prompt.LOOK_FRONT
    by_light = {"brightness": Prompt.MORE_LIGHT, "exposure": Prompt.LESS_LIGHT, "evenness": Prompt.EVEN_LIGHT}
    return by_light[quality.light(portrait.aligned).weakest]


def _check_alive(engine: Sees, frames: Sequence[Picture], faces: Sequence[Face]) -> None:
    boxes = [face.detection.box for face in faces]
    if followed([[face] for face in faces]) is None or any(_moved(a, b) for a, b in pairwise(boxes)):
        raise NotTakenError(Prompt.HOLD_STILL, Source.CAMERA)
    if engine.examine(frames, faces).liveness.confidence < ALIVE:
        raise NotTakenError(Prompt.NOT_LIVE, Source.CAMERA)


def _too_small(box: Box) -> bool:
    return box.side < LEAST_SIDE


def _cut_off(face: Face, picture: Picture) -> bool:
    beyond = (face.points < 0) | (face.points > (picture.width, picture.height))
    return float(beyond.any(axis=1).mean()) > CUT_OFF


def _moved(before: Box, after: Box) -> bool:
    (a, b), (c, d) = before.center, after.center
    return hypot(c - a, d - b) > UNSTEADY * after.side
