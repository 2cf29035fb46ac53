"""The answers of the device, with the names that docs/api.md and docs/door.md give their parts, and events. Coordinates are
pixels of the upright picture, angles degrees, times aware datetimes; what is base64 in an answer is bytes here.
"""

import struct
from base64 import b64decode
from dataclasses import dataclass, is_dataclass
from datetime import date, datetime
from functools import cache
from typing import Any, Optional, Union, get_args, get_origin, get_type_hints


@dataclass(frozen=True)
class Point:
    """A place in the picture."""

    x: float
    y: float


@dataclass(frozen=True)
class Box:
    """A bounding box, which may reach past the border."""

    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True)
class Pose:
    """Where a head points: yaw > 0 to the picture's right, pitch > 0 up, roll > 0 clockwise."""

    yaw: float
    pitch: float
    roll: float


@dataclass(frozen=True)
class Landmark:
    """The 106 points of a face, in the order of docs/api.md."""

    lm_points: tuple[Point, ...]


@dataclass(frozen=True)
class Quality:
    """The quality of a face's picture, 0..1, and its weakest aspect."""

    overall: float
    weakest: str
    size: float
    sharpness: float
    light: float
    pose: float
    visibility: float


@dataclass(frozen=True)
class Face:
    """A face of a picture."""

    box: Box
    landmark: Landmark
    pose: Pose


@dataclass(frozen=True)
class AlignedFace:
    """A face cut out upright; `image_data` is raw RGB, row by row."""

    box: Box
    image_height: int
    image_width: int
    image_channel: int
    image_data: bytes


@dataclass(frozen=True)
class Comparison:
    """How alike the largest faces of two photographs are, 0..1; from 0.5 on they show one person."""

    similarity: float
    box_a: Box
    box_b: Box


@dataclass(frozen=True)
class Feature:
    """The embedding of a face: little-endian float32 numbers of unit length. `box` is None for an aligned face."""

    feature_size: int
    feature_data: bytes
    box: Optional[Box] = None

    @property
    def vector(self) -> tuple[float, ...]:
        """The numbers, whose dot product with those of another face is the cosine."""
        return struct.unpack(f"<{self.feature_size}f", self.feature_data)


@dataclass(frozen=True)
class PicturedFeature(AlignedFace):
    """A face cut out upright, and its embedding."""

    feature_size: int
    feature_data: bytes


@dataclass(frozen=True)
class Mask:
    """Whether a face wears a mask: `confidence` is 0..1, 0.5 where `masked` begins."""

    box: Box
    masked: bool
    confidence: float


@dataclass(frozen=True)
class Runtime:
    """What runs the models."""

    name: str
    version: str


@dataclass(frozen=True)
class Model:
    """A model of the device."""

    name: str
    file: str
    sha256: str
    precision: str
    licence: str


@dataclass(frozen=True)
class Version:
    """What runs on the device. `calibration` has the operating points as JSON."""

    api_version: str
    sdk_version: str
    liveness_mode: str
    runtime: Runtime
    models: tuple[Model, ...]
    calibration: dict[str, Any]


@dataclass(frozen=True)
class Problem:
    """A part of the device that does not work."""

    part: str
    state: str
    text: str


@dataclass(frozen=True)
class DoorState:
    """The state of the door: `open` is None without a door contact, `relay` without a relay that works."""

    open: Optional[bool]
    forced: bool
    held: bool
    tamper: bool
    fire: bool
    relay: Optional[bool]


@dataclass(frozen=True)
class Health:
    """The state of the device: `status` is "ok", "starting" or "fault". `camera` is as in `/healthz`."""

    status: str
    reasons: tuple[Problem, ...]
    camera: Optional[dict[str, Any]]
    uptime_s: float
    door: Optional[DoorState] = None


@dataclass(frozen=True)
class Template:
    """The description of a template."""

    number: int
    quality: float
    source: str
    created: datetime
    pictured: bool
    usable: bool


@dataclass(frozen=True)
class TemplateFit:
    """How well a person's templates fit at the door: the number of days with a granted decision, the mean cosine of the first
    and of the latest ones, the last day, and whether they fit worse than at first.
    """

    days: int
    first: float
    latest: float
    day: date
    worse: bool


@dataclass(frozen=True)
class Person:
    """An enrolled person. `credential` is as in docs/door.md; `fit` is None before the first granted decision."""

    id: str
    name: str
    groups: tuple[str, ...]
    valid_from: Optional[date]
    valid_until: Optional[date]
    created: datetime
    credential: Optional[dict[str, Any]]
    templates: tuple[Template, ...]
    fit: Optional[TemplateFit] = None


@dataclass(frozen=True)
class PinState:
    """Whether a person has a PIN."""

    set: bool


@dataclass(frozen=True)
class Lookalike:
    """Another person who resembles a new template: `kind` is "look-alike" or "duplicate"."""

    kind: str
    person: str


@dataclass(frozen=True)
class Enrolled:
    """A new template."""

    template: Template
    quality: Quality
    warnings: tuple[Lookalike, ...]


@dataclass(frozen=True)
class Capture:
    """A face as it would be enrolled, which the device holds under the name `capture` until it is confirmed."""

    capture: str
    face: AlignedFace
    quality: Quality


@dataclass(frozen=True)
class Place:
    """The place of an entry in the record of decisions."""

    sequence: int
    hash: str


@dataclass(frozen=True)
class ImportedRow:
    """What became of a row of a table: `result` is "added", "replaced", "unchanged", "skipped" or "refused"."""

    row: int
    id: str
    result: str
    templates: int
    reason: str
    text: str


@dataclass(frozen=True)
class Invitation:
    """A link with which a person enrols on a phone, once; `code` is its QR code (SVG)."""

    url: str
    expires: datetime
    code: str


@dataclass(frozen=True)
class Receipt:
    """The receipt of an erasure."""

    reference: str
    templates: int
    time: datetime
    complete: bool
    record: Optional[Place]
    copies: str


@dataclass(frozen=True)
class IdentifiedPerson:
    """Who a face is."""

    id: str
    name: str
    groups: tuple[str, ...] = ()


@dataclass(frozen=True)
class IdentifiedFace:
    """A face and who it is: `result` is "identified", "unknown" or "ambiguous"."""

    box: Box
    pose: Pose
    quality: Quality
    result: str
    person: Optional[IdentifiedPerson]
    similarity: float
    reason: Optional[str] = None
    text: Optional[str] = None


@dataclass(frozen=True)
class ListedDecision:
    """A decision on record: `result` is "granted", "denied" or "void"; `visitor_pass` is the id of the pass that was shown;
    `id` is that of the decision, as in its token.
    """

    sequence: int
    time: datetime
    result: str
    reason: str
    text: str
    person: Optional[IdentifiedPerson]
    direction: str
    visitor_pass: Optional[str] = None
    id: Optional[str] = None


@dataclass(frozen=True)
class LastDecision:
    """The newest decision of a device of the fleet."""

    time: datetime
    result: str
    reason: str
    direction: str


@dataclass(frozen=True)
class FleetDevice:
    """A device of the fleet: what it said of itself `seen_s` ago, and how many changes it has yet to get (`behind`); `online`
    says whether it answers, None if that is not known yet: ask again; `policy` is the revision of the fleet's policy that is
    in force there, None: its own rules.
    """

    device: str
    name: str
    version: str
    status: str
    online: Optional[bool]
    seen_s: float
    picture_age_ms: Optional[float]
    decision: Optional[LastDecision]
    policy: Optional[int]
    people: int
    differing: int
    unshared: int
    behind: int


@dataclass(frozen=True)
class FleetInvitation:
    """A code with which a device joins the fleet within so many minutes, once: its text, and as a QR code (SVG)."""

    text: str
    expires: datetime
    minutes: int
    code: str


@dataclass(frozen=True)
class FleetPerson:
    """A person: "shared", "unshared" or "differs", and the ids of the devices that do not have the newest version yet."""

    id: str
    name: str
    state: str
    missing: tuple[str, ...]


@dataclass(frozen=True)
class FleetStatus:
    """The fleet as `device` knows it: `fleet` is its id, None without one; `reached` says whether its servers answer; `total`
    people match, and `next` is the `after` of the next page.
    """

    fleet: Optional[str]
    device: str
    reached: bool
    devices: tuple[FleetDevice, ...]
    people: tuple[FleetPerson, ...]
    total: int
    next: Optional[str]


@dataclass(frozen=True)
class VisitorPass:
    """A pass for a visitor; `code` is the text of its QR code, None in a list."""

    id: str
    name: str
    single_use: bool
    valid_from: datetime
    valid_until: datetime
    issued: datetime
    revoked: Optional[datetime]
    used: Optional[datetime]
    code: Optional[str] = None


@dataclass(frozen=True)
class PublicKeyAnswer:
    """The public key of the device (`public_key`: base64url), and the device's id, which decisions name."""

    device: str
    algorithm: str
    public_key: str
    pem: str


@dataclass(frozen=True)
class SeenFace:
    """A face in front of the camera, whose `id` stays the same while it is followed."""

    id: int
    box: Box
    landmark: Landmark
    pose: Pose
    quality: Quality


@dataclass(frozen=True)
class Connected:
    """The stream has begun, or begun anew: what happened since the last event was missed."""


@dataclass(frozen=True)
class FacesEvent:
    """The faces of one frame."""

    sequence: int
    age_ms: float
    width: int
    height: int
    faces: tuple[SeenFace, ...]


@dataclass(frozen=True)
class AppearedEvent:
    """A face has come."""

    id: int
    time: datetime


@dataclass(frozen=True)
class LeftEvent:
    """A face has left, after so many seconds."""

    id: int
    time: datetime
    seconds: float


@dataclass(frozen=True)
class LivenessEvent:
    """The liveness of a followed face, 0..1."""

    id: int
    confidence: float


@dataclass(frozen=True)
class DecisionEvent:
    """A decision as it was made: for displays, never for a door, which asks for its own."""

    id: str
    time: datetime
    result: str
    reason: str
    text: str
    person: Optional[IdentifiedPerson]
    direction: str


@dataclass(frozen=True)
class DoorEvent:
    """Something has happened at the door, such as "forced"."""

    event: str
    by: Optional[str]
    time: datetime


@dataclass(frozen=True)
class GalleryEvent:
    """People have changed; how many there are now."""

    people: int
    templates: int


@dataclass(frozen=True)
class OtherEvent:
    """An event without a type of its own, such as `panel`: its name, and its data as JSON."""

    name: str
    data: dict[str, Any]


Event = Union[
    Connected,
    FacesEvent,
    AppearedEvent,
    LeftEvent,
    LivenessEvent,
    Health,
    DecisionEvent,
    DoorState,
    DoorEvent,
    GalleryEvent,
    OtherEvent,
]

EVENTS: dict[str, type[Event]] = {
    "faces": FacesEvent,
    "appeared": AppearedEvent,
    "left": LeftEvent,
    "liveness": LivenessEvent,
    "health": Health,
    "decision": DecisionEvent,
    "door": DoorState,
    "door_event": DoorEvent,
    "gallery": GalleryEvent,
}
"""The type of each named event of `/events`."""


NAMES = {"visitor_pass": "pass"}
"""What parts are called in JSON whose names are words of Python."""


def read_event(name: str, data: dict[str, Any]) -> Event:
    """An event of the stream. Raises as `read`."""
    kind = EVENTS.get(name)
    event: Event = read(kind, data) if kind else OtherEvent(name, data)
    return event


def read(kind: Any, value: Any) -> Any:
    """JSON as one of these types; parts that a newer device has beside them are ignored. Raises TypeError, ValueError,
    AttributeError when it is something else.
    """
    origin = get_origin(kind)
    if origin is Union:
        return None if value is None else read(get_args(kind)[0], value)
    if origin is tuple:
        return tuple(read(get_args(kind)[0], each) for each in value)
    if isinstance(kind, type) and is_dataclass(kind):
        named = {NAMES.get(name, name): (name, each) for name, each in _parts(kind).items()}
        return kind(**{name: read(each, value[key]) for key, (name, each) in named.items() if key in value})
    if kind is bytes:
        return b64decode(value)
    if kind is datetime:
        return datetime.fromisoformat(value.replace("Z", "+00:00"))
    return date.fromisoformat(value) if kind is date else value


@cache
def _parts(kind: type) -> dict[str, Any]:
    return get_type_hints(kind)
