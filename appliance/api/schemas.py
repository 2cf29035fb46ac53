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


class FleetInvitationJson(Json):
    """A code with which one device can join the fleet within so many minutes, once: its text, and as a QR code (SVG)."""

    text: str
    expires: Time
    minutes: Size
    code: str


class FleetInvitedJson(SuccessJson):
    """The invitation that was made."""

    invitation: FleetInvitationJson
