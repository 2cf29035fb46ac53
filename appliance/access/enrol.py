"""Enrolment: a portrait is captured from a photograph or the camera, and becomes a template of a person."""

import re
import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from enum import StrEnum
from itertools import pairwise
from math import dist, hypot
from typing import Any, Final

from appliance.access.identify import Likeness, Recognition
from appliance.face.types import Box, DetectLimits, Embedding, Face, Pose
from appliance.faults import Fault, Refusal, ResultCode
from appliance.gallery.people import GalleryError, Known, NoSuchPersonError, Person, Source, Template
from appliance.imaging.codec import png
from appliance.observation.tracking import followed
from appliance.vision import quality
from appliance.vision.detector import Picture
from appliance.vision.engine import FaceEngine, Portrait
from appliance.vision.liveness import ALIVE


class NotThisPersonError(Refusal):
    """The portrait does not match the person's other templates."""

    def __init__(self) -> None:
        super().__init__(
            ResultCode.REFUSED,
            "not_the_same_person",
            "This picture does not match the others of this person: is it another person?",
            status=409,
        )


class DuplicateError(Refusal):
    """The portrait matches another enrolled person, `person`."""

    def __init__(self, person: Person) -> None:
        super().__init__(
            ResultCode.REFUSED,
            Likeness.DUPLICATE.value,
            "Another enrolled person looks the same: is it the same person?",
            status=409,
            facts={"person": person.id},
        )
        self.person = person


@dataclass(frozen=True, slots=True)
class Enrolled:
    """A new template, and the other people who resemble it."""

    person: Person
    template: Template
    alike: tuple[tuple[Person, Likeness], ...]


class Enrolment:
    """Makes templates. Thread-safe: one at a time, so that of two pictures of one person, enrolled as two people at the same
    moment, the second finds the first.
    """

    def __init__(self) -> None:
        self.lock = threading.Lock()

    def enrol(
        self,
        recognition: Recognition,
        person: Person,
        portrait: Portrait,
        source: Source,
        *,
        allow_duplicate: bool = False,
        allow_mismatch: bool = False,
    ) -> Enrolled:
        """Adds a template of a person, never of another one who has had their id since then. With `allow_duplicate` another
        person who looks the same is no error; with `allow_mismatch` the template need not match the person's others. Raises
        NotThisPersonError, DuplicateError, and the gallery's errors.
        """
        gallery = recognition.gallery
        with self.lock:
            known = gallery.person(person.id)
            if not (allow_mismatch or _one_person(recognition, known, portrait.embedding)):
                raise NotThisPersonError
            alike = recognition.identifier.alike(portrait.embedding, but=known.person)
            for other, likeness in alike:
                if likeness is Likeness.DUPLICATE and not allow_duplicate:
                    raise DuplicateError(other)
            template = gallery.enrol(
                person.id,
                portrait.embedding,
                recognition.model,
                portrait.quality.overall,
                source,
                png(portrait.aligned.pixels),
                recognition.strong,
                reference=person.reference,
            )
        return Enrolled(known.person, template, tuple(alike))


HELD_SECONDS = 600.0
"""How long a capture waits for its confirmation: longer than it takes to photograph one person from all sides."""

MOST_HELD = 64
"""Captures held at most, about 50 kB each."""

CAPTURE_BYTES = 16
"""Random bytes of a capture's name."""


class NoSuchCaptureError(Refusal):
    """No capture of this person has this name, or it was held for too long."""

    def __init__(self) -> None:
        text = "This picture is not held any more: take it again."
        super().__init__(ResultCode.INVALID_QUERY, "no_such_capture", text, status=404)


class Captures:
    """Portraits that are shown before they become templates, each for one person; in memory only, until `drop_expired` or
    `drop`. Thread-safe.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock, self._lock = clock, threading.Lock()
        self._held: OrderedDict[str, tuple[float, str, Portrait, Source]] = OrderedDict()

    def hold(self, person: Person, portrait: Portrait, source: Source) -> str:
        """Keeps a portrait for HELD_SECONDS, and returns its name; the oldest makes room."""
        name = secrets.token_urlsafe(CAPTURE_BYTES)
        with self._lock:
            self._held[name] = (self._clock() + HELD_SECONDS, person.reference, portrait, source)
            self._forget()
        return name

    @contextmanager
    def taken(self, name: str, person: Person) -> Iterator[tuple[Portrait, Source]]:
        """The portrait of this name, once; after an error inside it can be taken again. Raises NoSuchCaptureError."""
        with self._lock:
            self._forget()
            held = self._held.get(name)
            if held is None or held[1] != person.reference:
                raise NoSuchCaptureError
            del self._held[name]
        try:
            yield held[2:]
        except NoSuchPersonError:  # erased meanwhile
            raise
        except (Fault, GalleryError):
            with self._lock:
                self._held[name] = held
                self._held.move_to_end(name, last=False)
            raise

    def drop(self, person: Person) -> None:
        with self._lock:
            for name in [name for name, held in self._held.items() if held[1] == person.reference]:
                del self._held[name]

    def drop_expired(self) -> None:
        """Drops what was held for HELD_SECONDS; called once in a while, because no other picture may follow."""
        with self._lock:
            self._forget()

    def _forget(self) -> None:
        """Drops what was held for too long, and the oldest above MOST_HELD. Call it with the lock."""
        ends = {name: end for name, (end, *_) in self._held.items()}
        for number, name in enumerate(reversed(ends)):
            if number >= MOST_HELD or ends[name] <= self._clock():
                del self._held[name]


def _one_person(recognition: Recognition, known: Known, embedding: Embedding) -> bool:
    """Whether the best of a person's templates matches this embedding, or none of them can be compared."""
    if all(template.model != recognition.model for template in known.templates):
        return True
    return recognition.identifier.matches(embedding, known.person)


class Prompt(StrEnum):
    """What the person, or the photographer, is to do; left and right are those of the person."""

    NOBODY = "nobody"
    MORE_THAN_ONE = "more_than_one"
    CLOSER = "closer"
    FARTHER = "farther"
    HOLD_STILL = "hold_still"
    MORE_LIGHT = "more_light"
    LESS_LIGHT = "less_light"
    EVEN_LIGHT = "even_light"
    LOOK_FRONT = "look_front"
    NOT_UPRIGHT = "not_upright"
    COVERED = "covered"
    TURN_LEFT = "turn_left"
    TURN_RIGHT = "turn_right"
    LOOK_UP = "look_up"
    LOOK_DOWN = "look_down"
    NOT_LIVE = "not_live"


TEXTS = {
    Prompt.NOBODY: "There is no face at the camera: step in front of it.",
    Prompt.MORE_THAN_ONE: "There is more than one face in the picture: one person at a time.",
    Prompt.CLOSER: "Come closer.",
    Prompt.FARTHER: "Step back a little, so that the whole face is in the picture.",
    Prompt.HOLD_STILL: "Hold still.",
    Prompt.MORE_LIGHT: "It is too dark: more light on the face.",
    Prompt.LESS_LIGHT: "It is too bright: less light on the face.",
    Prompt.EVEN_LIGHT: "The light comes from one side: turn towards it.",
    Prompt.LOOK_FRONT: "Look straight at the camera.",
    Prompt.NOT_UPRIGHT: "The face is not upright: hold your head upright, or turn the camera.",
    Prompt.COVERED: "Part of the face is covered: take off a mask or dark glasses.",
    Prompt.TURN_LEFT: "Turn your head a little to your left.",
    Prompt.TURN_RIGHT: "Turn your head a little to your right.",
    Prompt.LOOK_UP: "Raise your chin a little.",
    Prompt.LOOK_DOWN: "Lower your chin a little.",
    Prompt.NOT_LIVE: "No living person could be made out: face the camera for a second, with no picture or screen before it.",
}
"""For a person at the camera."""

PHOTO_TEXTS = {
    Prompt.NOBODY: "There is no face in the photograph.",
    Prompt.MORE_THAN_ONE: "There is more than one face in the photograph: say which one is meant.",
    Prompt.CLOSER: "The face is too small: take a photograph that shows it larger.",
    Prompt.FARTHER: "The face is cut off: take a photograph that shows all of it.",
    Prompt.HOLD_STILL: "The face is blurred: take a sharper photograph.",
    Prompt.MORE_LIGHT: "The face is too dark: take a photograph with more light on it.",
    Prompt.LESS_LIGHT: "The face is too bright: take a photograph with less light on it.",
    Prompt.EVEN_LIGHT: "The face is lit from one side: take a photograph with even light.",
    Prompt.LOOK_FRONT: "The face looks away: take a photograph from the front.",
    Prompt.NOT_UPRIGHT: "The face is not upright: turn the photograph.",
    Prompt.COVERED: "Part of the face is covered: take a photograph without a mask or dark glasses.",
}
"""For a photograph."""


class CaptureError(Refusal):
    """No portrait can be captured from a picture: `prompt` says what to do, `text` as a sentence."""

    def __init__(self, prompt: Prompt, source: Source, facts: Mapping[str, Any] | None = None) -> None:
        code = ResultCode.NO_FACE if prompt is Prompt.NOBODY else ResultCode.REFUSED
        text = (TEXTS if source is Source.CAMERA else PHOTO_TEXTS)[prompt]
        super().__init__(code, prompt.value, text, facts=facts)
        self.prompt = prompt


class RequestedPose(StrEnum):
    """Where a person is asked to look; left and right are their own."""

    FRONT = "front"
    LEFT = "left"
    RIGHT = "right"
    UP = "up"
    DOWN = "down"


@dataclass(frozen=True, slots=True)
class Window:
    """The ranges of yaw and pitch in degrees. In a picture that is not mirrored, a person's left is at yaw > 0."""

    yaw: tuple[float, float]
    pitch: tuple[float, float]


FRONT, TURNED, RAISED = 15.0, 40.0, 30.0
"""Degrees: where the front ends, and where the sides and up and down do."""

STRAY = 20.0
"""By how many degrees a head may also be turned in the direction that is not requested."""

WINDOWS: Final = {
    RequestedPose.FRONT: Window((-FRONT, FRONT), (-FRONT, FRONT)),
    RequestedPose.LEFT: Window((FRONT, TURNED), (-STRAY, STRAY)),
    RequestedPose.RIGHT: Window((-TURNED, -FRONT), (-STRAY, STRAY)),
    RequestedPose.UP: Window((-STRAY, STRAY), (FRONT, RAISED)),
    RequestedPose.DOWN: Window((-STRAY, STRAY), (-RAISED, -FRONT)),
}


def nudge(requested: RequestedPose, pose: Pose) -> Prompt | None:
    """What brings a head from its pose to the requested one; None when it is there."""
    window = WINDOWS[requested]
    prompt = _towards(pose.yaw, window.yaw, Prompt.TURN_LEFT, Prompt.TURN_RIGHT) or _towards(
        pose.pitch, window.pitch, Prompt.LOOK_UP, Prompt.LOOK_DOWN
    )
    return Prompt.LOOK_FRONT if prompt and requested is RequestedPose.FRONT else prompt


def _towards(angle: float, window: tuple[float, float], more: Prompt, less: Prompt) -> Prompt | None:
    least, most = window
    if angle < least:
        return more
    return less if angle > most else None


LEAST_SIDE = 48
"""Pixels of the face's box: the smallest that the API looks for (the contract)."""

SEEN_SIDE = 24
"""Pixels of a face that is asked to come closer; a smaller one is no face."""

CLEARLY = 2.0
"""How many times as large as every other face the subject of a photograph must be, unless a point says which face is meant. At
the camera there may be no other face: a person who looks over a shoulder may be the one who holds still.
"""

_POINT = re.compile(r"(\d{1,6}(?:\.\d{1,9})?),(\d{1,6}(?:\.\d{1,9})?)", re.ASCII)

CUT_OFF = 0.1
"""Share of a face's 106 points that may lie beyond the border: a tenth of them does when a sixth of the face is missing. The
box says less, because the detector draws it inside the picture.
"""

UNSTEADY = 0.25
"""By how many sides of its box a face may move from one frame to the next, 0.3 s later; beyond that it is blurred."""


def point(text: str) -> tuple[float, float]:
    """A point of a photograph, such as "120,80.5": pixels from the left and from the top. Raises ValueError."""
    match = _POINT.fullmatch(text)
    if match is None:
        raise ValueError(f"not x,y in pixels: {text[:40]!r}")
    return float(match[1]), float(match[2])


def capture_from_photograph(
    engine: FaceEngine, picture: Picture, least: float, meant: tuple[float, float] | None = None
) -> Portrait:
    """The portrait of the subject of a photograph: the face at the point `meant` (pixels of the upright picture), or the
    largest, which all others are much smaller than. `least` is the quality (0..1) that it must have. Raises CaptureError,
    where there are several with their boxes; Refusal `no_face_there`; and the Faults of the engine.
    """
    faces = engine.detect(picture, DetectLimits(min_size=SEEN_SIDE))
    if not faces:
        raise CaptureError(Prompt.NOBODY, Source.PHOTO)
    boxes = [face.detection.box for face in faces]
    if meant is not None:
        subject = _face_at(faces, meant)
    elif any(box.side * CLEARLY > boxes[0].side for box in boxes[1:]):
        raise CaptureError(Prompt.MORE_THAN_ONE, Source.PHOTO, {"faces": [_rounded(box.squared()) for box in boxes]})
    else:
        subject = faces[0]
    return _good(engine, picture, subject, least, Source.PHOTO)


def _face_at(faces: Sequence[Face], meant: tuple[float, float]) -> Face:
    """The face in whose box a point is; of several the one whose centre is nearest. Raises Refusal."""
    x, y = meant
    squares = [(face, face.detection.box.squared()) for face in faces]
    hit = [(face, box) for face, box in squares if 0 <= x - box.x <= box.width and 0 <= y - box.y <= box.height]
    if not hit:
        text = "There is no face at this point of the photograph."
        raise Refusal(ResultCode.NO_FACE, "no_face_there", text, facts={"faces": [_rounded(box) for _, box in squares]})
    return min(hit, key=lambda each: dist(each[1].center, meant))[0]


def _rounded(box: Box) -> dict[str, float]:
    """A box as JSON, in tenths of a pixel."""
    return {name: round(getattr(box, name), 1) for name in ("x", "y", "width", "height")}


def capture_from_camera(
    engine: FaceEngine, frames: Sequence[Picture], requested: RequestedPose, least: float
) -> Portrait:
    """The portrait of the one person in the last frame, who looks as requested. Four frames, as `FaceEngine.examine` takes
    them, must also show that the person is alive. Raises CaptureError, and the Faults of the
    engine.
    """
    *earlier, newest = frames
    face = _alone(_seen(engine, newest))
    _check_fit(face, Source.CAMERA)
    if prompt := nudge(requested, face.pose):
        raise CaptureError(prompt, Source.CAMERA)
    portrait = _good(engine, newest, face, least, Source.CAMERA)
    if earlier:
        _check_alive(engine, frames, [*(_alone(_seen(engine, frame)) for frame in earlier), face])
    return portrait


def _seen(engine: FaceEngine, picture: Picture) -> list[Face]:
    """The faces of a frame, largest first; a small one, which is far away, only if there is no other."""
    faces = engine.detect(picture, DetectLimits(min_size=SEEN_SIDE))
    return [face for face in faces if not _too_small(face.detection.box)] or faces[:1]


def _alone(faces: Sequence[Face]) -> Face:
    if len(faces) != 1:
        raise CaptureError(Prompt.MORE_THAN_ONE if faces else Prompt.NOBODY, Source.CAMERA)
    return faces[0]


def _check_fit(face: Face, source: Source) -> None:
    if _too_small(face.detection.box):
        raise CaptureError(Prompt.CLOSER, source)
    if not face.upright:
        raise CaptureError(Prompt.NOT_UPRIGHT, source)


def _good(engine: FaceEngine, picture: Picture, face: Face, least: float, source: Source) -> Portrait:
    """The portrait of a face that is large enough, upright, wholly in the picture and of this quality at least."""
    _check_fit(face, source)
    beyond = (face.points < 0) | (face.points > (picture.width, picture.height))
    if float(beyond.any(axis=1).mean()) > CUT_OFF:
        raise CaptureError(Prompt.FARTHER, source)
    (portrait,) = engine.portray(picture, [face])
    if portrait.quality.overall < least:
        raise CaptureError(_remedy(portrait), source)
    return replace(portrait, embedding=engine.feature_of_both(portrait.aligned, portrait.embedding))


def _remedy(portrait: Portrait) -> Prompt:
    """What improves the weakest aspect of a portrait."""
    match portrait.quality.weakest:
        case "size":
            return Prompt.CLOSER
        case "sharpness":
            return Prompt.HOLD_STILL
        case "pose":
            return Prompt.LOOK_FRONT
        case "visibility":
            return Prompt.COVERED
    by_light = {"brightness": Prompt.MORE_LIGHT, "exposure": Prompt.LESS_LIGHT, "evenness": Prompt.EVEN_LIGHT}
    return by_light[quality.light(portrait.aligned).weakest]


def _check_alive(engine: FaceEngine, frames: Sequence[Picture], faces: Sequence[Face]) -> None:
    boxes = [face.detection.box for face in faces]
    if followed([[face] for face in faces]) is None or any(_moved(a, b) for a, b in pairwise(boxes)):
        raise CaptureError(Prompt.HOLD_STILL, Source.CAMERA)
    if engine.examine(frames, faces).liveness.confidence < ALIVE:
        raise CaptureError(Prompt.NOT_LIVE, Source.CAMERA)


def _too_small(box: Box) -> bool:
    return box.side < LEAST_SIDE


def _moved(before: Box, after: Box) -> bool:
    (a, b), (c, d) = before.center, after.center
    return hypot(c - a, d - b) > UNSTEADY * after.side
