"""The form of every answer, for the description of the API (description.py); tests hold a device's answers to it."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

Share = Annotated[float, Field(ge=0, le=1)]
Time = Annotated[str, Field(json_schema_extra={"format": "date-time"})]
Day = Annotated[str, Field(json_schema_extra={"format": "date"})]
Base64 = Annotated[str, Field(json_schema_extra={"contentEncoding": "base64"})]
Digest = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
Size = Annotated[int, Field(ge=0)]


class Json(BaseModel):
    """An object with these members and no others."""

    model_config = ConfigDict(extra="forbid")


class ResultJson(Json):
    """The result of a request, as in the vendor's document."""

    return_code: Annotated[str, Field(pattern="^(INF|APP)-[0-9]{2}$")]
    return_msg: str


class SuccessJson(Json):
    """An answer without content."""

    return_msg: ResultJson


class DocumentedFailureJson(SuccessJson):
    """Why a request to an endpoint of the vendor's document failed."""


class FailureJson(SuccessJson):
    """Why a request failed: with 4xx also a `reason` for programs and a `text` for people, and what belongs to them."""

    model_config = ConfigDict(extra="allow")

    reason: Annotated[str, Field(pattern="^[a-z0-9_-]+$")] = ""
    text: str = ""


class BoxJson(Json):
    """A bounding box in pixels of the upright picture: a square that may reach past the border."""

    x: float
    y: float
    width: float
    height: float


class PoseJson(Json):
    """Yaw, pitch and roll in degrees."""

    yaw: float
    pitch: float
    roll: float


class PointJson(Json):
    """A point in pixels of the upright picture."""

    x: float
    y: float


class LandmarkJson(Json):
    """The 106 points of a face."""

    lm_points: Annotated[list[PointJson], Field(min_length=106, max_length=106)]


class FaceJson(Json):
    """A face that was found."""

    box: BoxJson
    landmark: LandmarkJson
    pose: PoseJson


class FacesJson(SuccessJson):
    """The faces of a picture."""

    count: Size
    faces: list[FaceJson]


class BoxedJson(Json):
    """What belongs to the face in this box."""

    box: BoxJson


class AlignedFaceJson(BoxedJson):
    """A face cut out upright: raw interleaved RGB, row by row."""

    image_height: Literal[112]
    image_width: Literal[112]
    image_channel: Literal[3]
    image_data: Base64


class AlignedFacesJson(SuccessJson):
    """The faces of a picture, cut out upright."""

    count: Size
    aligned_faces: list[AlignedFaceJson]


class SimilarityJson(SuccessJson):
    """How alike two faces are; 0.5 is the operating point."""

    similarity: Share


class ComparisonJson(SimilarityJson):
    """How alike the faces of two pictures are, and where they are."""

    box_a: BoxJson
    box_b: BoxJson


class ConfidenceJson(SuccessJson):
    """How sure it is that a living person was seen."""

    confidence: Share


class VerdictJson(ConfidenceJson):
    """The same, and whether that is enough."""

    is_live: bool


class FeatureMembersJson(Json):
    """An embedding: 512 little-endian float32 or signed bytes, 640 with those of the strong network."""

    feature_size: Literal[512, 640]
    feature_data: Base64


class FeatureJson(SuccessJson, FeatureMembersJson):
    """The embedding of a face."""


class FaceFeatureJson(BoxedJson, FeatureMembersJson):
    """A face and its embedding."""


class FaceFeaturesJson(SuccessJson):
    """The faces of a picture and their embeddings."""

    count: Size
    face_features: list[FaceFeatureJson]


class AlignedFeatureJson(AlignedFaceJson, FeatureMembersJson):
    """A face cut out, and its embedding."""


class AlignedFeaturesJson(SuccessJson):
    """The faces of a picture, cut out, and their embeddings."""

    count: Size
    face_features: list[AlignedFeatureJson]


class MaskJson(BoxedJson):
    """Whether a face wears a mask."""

    masked: bool
    confidence: Share


class MasksJson(SuccessJson):
    """The faces of a picture, and which of them wear a mask."""

    count: Size
    masks: list[MaskJson]


class RuntimeJson(Json):
    """What runs the networks."""

    name: str
    version: str


class EnginesJson(Json):
    """How many requests are computed at once, and why so many."""

    count: Size
    reason: str


class ModelJson(Json):
    """A network in use."""

    name: str
    file: str
    sha256: Digest
    precision: str
    licence: str


class VersionJson(SuccessJson):
    """What the device runs: program, networks and operating points."""

    api_version: str
    sdk_version: str
    liveness_mode: Literal["MULTI", "SINGLE"]
    runtime: RuntimeJson
    engines: EnginesJson
    models: list[ModelJson]
    recognition: dict[str, Any]
    calibration: dict[str, Any]


class PlaceJson(Json):
    """The place of an entry in the record."""

    sequence: Size
    hash: Digest


class TemplateJson(Json):
    """What is kept of a picture that a person was enrolled with, without its embedding."""

    number: Size
    quality: Share
    source: Literal["photo", "camera", "decision"]
    created: Time
    pictured: bool
    usable: bool
    strong: bool


class FitJson(Json):
    """How well the templates fit at the door: mean cosine of the first days and of the latest ones."""

    days: Size
    first: float
    latest: float
    day: Day
    worse: bool


class CardJson(Json):
    """What an access panel knows a person by."""

    format: str
    facility: int = 0
    card: int = 0
    bits: str = ""


class PersonJson(Json):
    """A person in the gallery."""

    id: str
    name: str
    groups: list[str]
    valid_from: Day | None
    valid_until: Day | None
    created: Time
    credential: CardJson | None
    templates: list[TemplateJson]
    fit: FitJson | None


class ChangedJson(SuccessJson):
    """`shared` is there on a device of a fleet: whether its servers have the change; otherwise they get it later."""

    shared: bool = True


class OnePersonJson(ChangedJson):
    """The person who was asked for, added or changed."""

    person: PersonJson


class PeopleJson(SuccessJson):
    """`refresh` is there, and true, where granted decisions add templates. `total` and `next` are there with the query item
    `limit`: all who match, and the `after` of the next page.
    """

    count: Size
    templates: Size
    people: list[PersonJson]
    refresh: bool = False
    total: Size = 0
    next: str | None = None


class ReceiptJson(Json):
    """What was erased of a person, by reference, without their name."""

    reference: str
    templates: Size
    time: Time
    complete: bool
    record: PlaceJson | None
    copies: str


class ErasureJson(ChangedJson):
    """The receipt of an erasure."""

    receipt: ReceiptJson


class QualityJson(Json):
    """The quality of a face, its aspects, and which of them is weakest."""

    overall: Share
    weakest: str
    size: Share
    sharpness: Share
    light: Share
    pose: Share
    visibility: Share


class WarningJson(Json):
    """A person who looks like the one who was enrolled."""

    kind: Literal["look-alike", "duplicate"]
    person: str


class EnrolledJson(ChangedJson):
    """The new template, its quality, and people who look alike."""

    template: TemplateJson
    quality: QualityJson
    warnings: list[WarningJson]


class CaptureJson(SuccessJson):
    """A face as it would be enrolled, which is held under the name `capture` until it is confirmed."""

    capture: str
    face: AlignedFaceJson
    quality: QualityJson


class ImportedRowJson(Json):
    """What became of a row of a table; rows are numbered as a spreadsheet does."""

    row: Size
    id: str
    result: Literal["added", "replaced", "unchanged", "skipped", "refused"]
    templates: Size
    reason: str
    text: str


class ImportedJson(SuccessJson):
    """What became of the rows of a table, or in a dry run would."""

    dry_run: bool
    rows: list[ImportedRowJson]


class InvitationJson(Json):
    """A one-time link for a person, and its QR code (SVG)."""

    url: str
    expires: Time
    code: str


class InvitedJson(SuccessJson):
    """The invitation that was made."""

    invitation: InvitationJson


class ConsentJson(Json):
    """Who is invited, until when, and what they agree to."""

    name: str
    expires: Time
    consent: str


class InvitationAnswerJson(SuccessJson):
    """An invitation, for the person who has it."""

    invitation: ConsentJson


class SelfEnrolledJson(SuccessJson):
    """The quality of the photograph that was enrolled."""

    quality: QualityJson


class NamedJson(Json):
    """Who a person is."""

    id: str
    name: str | None


class MemberJson(NamedJson):
    """Who a person is, and their groups."""

    groups: list[str]


class IdentifiedFaceJson(BoxedJson):
    """A face, and whose it is."""

    pose: PoseJson
    quality: QualityJson
    result: Literal["identified", "unknown", "ambiguous"]
    person: MemberJson | None
    similarity: Share
    reason: str = ""
    text: str = ""


class IdentifiedJson(SuccessJson):
    """The faces of a picture, and whose they are."""

    count: Size
    faces: list[IdentifiedFaceJson]


class DecidedJson(SuccessJson):
    """A decision with its token, or the step that it waits for; a display gets no token."""

    decision: dict[str, Any] = {}
    token: str = ""
    pending: dict[str, Any] = {}


class OpenedJson(SuccessJson):
    """The door was opened; the place of that in the record."""

    record: PlaceJson | None


class PublicKeyJson(SuccessJson):
    """The key that decisions are verified with."""

    device: str
    algorithm: Literal["Ed25519"]
    public_key: str
    pem: str


class KeySetJson(SuccessJson):
    """The same key as JWT libraries read it (RFC 7517)."""

    keys: list[dict[str, str]]


class ListedDecisionJson(BaseModel):
    """A decision in the list of the newest."""

    sequence: Size
    id: str
    time: Time
    result: str
    reason: str
    text: str
    person: NamedJson | None
    visitor_pass: str | None = Field(alias="pass")
    direction: str


class DecisionsJson(SuccessJson):
    """The newest decisions."""

    count: Size
    decisions: list[ListedDecisionJson]


class ProblemJson(Json):
    """A part that does not work, and why."""

    part: str
    state: str
    text: str


class CameraJson(Json):
    """The camera and its pictures."""

    driver: str
    demonstration: bool
    stored: bool
    state: str
    width: int
    height: int
    fps: float
    frame_age_ms: float | None
    frames: int
    reopened: int


class PolicyJson(Json):
    """Whose rules are in force; of a policy of the fleet also its revision, who published it and when, and the id of the key
    that signed it.
    """

    of: Literal["device", "fleet"]
    revision: int = 0
    device: str = ""
    name: str = ""
    key: str = ""
    published: Time = ""


class HealthJson(SuccessJson):
    """Whether the device works, and what does not; `policy` is there on a device of a fleet."""

    status: Literal["ok", "starting", "fault"]
    reasons: list[ProblemJson]
    camera: CameraJson | None
    door: dict[str, bool | None] = {}
    policy: PolicyJson = PolicyJson(of="device")
    uptime_s: float


class LastDecisionJson(Json):
    """A device's newest decision."""

    time: Time
    result: Literal["granted", "denied"]
    reason: str
    direction: Literal["in", "out"]


class FleetDeviceJson(Json):
    """A device of the fleet: what it said of itself `seen_s` ago, and how many changes it has yet to get (`behind`). `online`:
    whether it answered a question within the last seconds; null before there are answers, which the next request has.
    `policy` is the revision of the fleet's policy that is in force there; null: its own rules.
    """

    device: str
    name: str
    version: str
    status: str
    online: bool | None
    seen_s: float
    picture_age_ms: float | None
    decision: LastDecisionJson | None
    policy: int | None
    people: Size
    differing: Size
    unshared: Size
    behind: Size


class FleetPersonJson(Json):
    """A person of this device, and the devices that do not have the fleet's newest version of them yet."""

    id: str
    name: str
    state: Literal["shared", "unshared", "differs"]
    missing: list[str]


class FleetJson(SuccessJson):
    """The fleet as `device` knows it; `fleet` is null for a device that is in none. `reached`: whether its servers answer."""

    fleet: str | None
    device: str
    reached: bool
    devices: list[FleetDeviceJson]
    people: list[FleetPersonJson]
    total: Size
    next: str | None


class PinStateJson(Json):
    """Whether a PIN is set."""

    set: bool


class PinJson(ChangedJson):
    """The state of a person's PIN."""

    pin: PinStateJson


class PassesJson(SuccessJson):
    """The visitor passes."""

    count: Size
    passes: list[dict[str, Any]]


class PassJson(SuccessJson):
    """A visitor pass, and what its QR code holds."""

    issued: dict[str, Any] = Field(alias="pass")
    code: str
