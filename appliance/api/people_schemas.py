"""The form of every answer about people and the door, as schemas.py has it of all others."""

from typing import Any, Literal

from pydantic import BaseModel, Field
from pydantic.json_schema import SkipJsonSchema

from appliance.api.schemas import (
    AlignedFaceJson,
    BoxedJson,
    Day,
    Digest,
    Json,
    PoseJson,
    Share,
    Size,
    SuccessJson,
    Time,
)


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


class DecisionJson(Json):
    """A decision, as a door gets it."""

    id: str
    device: str
    nonce: str
    direction: Literal["in", "out"]
    result: Literal["granted", "denied"]
    reason: str
    text: str
    person: NamedJson | None
    frames: list[Time]
    issued: Time
    expires: Time


class ShownDecisionJson(Json):
    """A decision, as a display gets it: with the name of a person who is granted."""

    result: Literal["granted", "denied"]
    reason: str
    text: str
    name: str | None


class PendingJson(Json):
    """A step that a decision waits for: of a PIN its digits, and whether an `id` is asked for; of a challenge its `prompt`."""

    handle: str
    kind: Literal["pin", "challenge"]
    text: str
    seconds: float
    id: bool = False
    least: Size = 0
    most: Size = 0
    prompt: str = ""


class DecidedJson(SuccessJson):
    """A decision with its token, or the step that it waits for; a display gets no token."""

    decision: DecisionJson | ShownDecisionJson | SkipJsonSchema[None] = Field(default_factory=lambda: None)
    token: str = ""
    pending: PendingJson | SkipJsonSchema[None] = Field(default_factory=lambda: None)


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
