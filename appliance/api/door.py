"""The door's endpoints: a decision, a remote opening, the key that verifies decisions, and those on record; and its state."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Annotated, Any

import bottle
from pydantic import AfterValidator, Field
from pydantic.fields import FieldInfo
from pydantic_core import PydanticCustomError

from appliance.access.decide import Decider
from appliance.access.decision_table import COLUMNS, DecisionFilter, FilterError, listed_decision, moment
from appliance.access.identify import GalleryHandle
from appliance.access.log import DECISION, Entry, Record, RecordError, voided
from appliance.access.signing_key import SigningKey
from appliance.access.steps import PendingStep, StepAnswer
from appliance.access.token import Direction, SignedDecision, stamp
from appliance.api import answers, intake
from appliance.api.access import ADMIN, ANY_KEY, DECIDE, KIOSK, LIVE, NAME, SCOPES, Part, route
from appliance.api.answers import NO_STORE, Answer
from appliance.api.intake import PostedFields
from appliance.events import Broadcast, DoorState
from appliance.faults import Fault, Problem, Refusal, ResultCode
from appliance.gallery.people import GalleryError, Person
from appliance.gallery.pin import DIGITS, LONGEST, SHORTEST
from appliance.gallery.table import table

SHOWN, MOST_SHOWN = 50, 1000
"""Decisions that are listed unless `count` says otherwise, and at most."""

MOST_EXPORTED = 100_000
"""Decisions in a table: 12 MB. `appliance decisions export` has no such bound."""

ANSWERED = (
    *("id", "device", "nonce", "direction", "result", "reason", "text"),
    *("person", "frames", "issued", "expires"),
)
"""The parts of a decision in an answer."""

NONCE = re.compile(r"[A-Za-z0-9_-]{16,86}")
NONCE_RULE = "16 to 86 letters, digits, '-' and '_'"
PIN_RULE = f"{SHORTEST} to {LONGEST} digits"


def _shaped(pattern: re.Pattern[str], rule: str) -> FieldInfo:
    """The rule of a text for the description of the API; a validator checks it, and says it in these words."""
    return Field(description=rule, json_schema_extra={"pattern": f"^{pattern.pattern}$"})  # type: ignore[no-any-return]


def _nonce(text: str) -> str:
    if not NONCE.fullmatch(text):
        raise PydanticCustomError("nonce", NONCE_RULE)
    return text


def _pin(text: str) -> str:
    if not DIGITS.fullmatch(text):
        raise PydanticCustomError("pin", PIN_RULE)
    return text


class Question(PostedFields):
    """The body of `POST /access/decide`: a random nonce of the door (96 to 512 bits, base64url unpadded) and a direction."""

    nonce: Annotated[str, AfterValidator(_nonce), _shaped(NONCE, f"{NONCE_RULE}, random, for this decision alone.")]
    direction: Annotated[Direction, Field(strict=False)] = Direction.IN


class Step(PostedFields):
    """The body of `POST /access/decide/HANDLE`: a PIN, with an id where it is asked for; `cancel`; or nothing, to wait."""

    pin: Annotated[str, AfterValidator(_pin), _shaped(DIGITS, f"{PIN_RULE}.")] | None = Field(default=None, repr=False)
    id: Annotated[str, Field(min_length=1, max_length=64)] | None = None
    cancel: bool = False


ALARMS = {
    "forced": "The door was opened without permission.",
    "held": "The door is held open.",
    "tamper": "The case of the device is open.",
    "fire": "There is a fire: the door is released.",
}
"""The alarms of a door's state, as sentences."""


class DoorStatus:
    """The newest state of the door, as the bus carries it."""

    def __init__(self, broadcast: Broadcast) -> None:
        self._state: DoorState | None = None
        broadcast.subscribe(DoorState, self._note)

    @property
    def openable(self) -> bool:
        """Whether there is a relay that works."""
        return self._state is not None and self._state.relay is not None

    def document(self) -> dict[str, Any] | None:
        """The state for `/healthz`; None without a relay and without inputs."""
        return None if self._state is None else asdict(self._state)

    def problems(self) -> list[Problem]:
        return [Problem("door", name, text) for name, text in ALARMS.items() if getattr(self._state, name, False)]

    def gauges(self) -> dict[str, tuple[str, float]]:
        known = {name: value for name, value in (self.document() or {}).items() if value is not None}
        return {
            f"door_{name}": (f"1 while the door's state is: {name}.", float(value)) for name, value in known.items()
        }

    def _note(self, state: DoorState) -> None:
        self._state = state


@dataclass(frozen=True, slots=True)
class Door:
    """Each method answers bottle's current request, or raises a Fault or a GalleryError."""

    decider: Decider
    signing_key: SigningKey
    record: Record
    handle: GalleryHandle
    status: DoorStatus

    @route("POST", "/access/decide", DECIDE, Part.DOOR, expires=True)
    def decide(self) -> Answer:
        """A signed decision about the person at the camera that answers the door's nonce, or the step that it waits
        for.
        """
        question = intake.read_json(bottle.request.environ["wsgi.input"].read(), Question)
        return _outcome(self.decider.decide(question.nonce, question.direction))

    @route("POST", "/access/decide/<handle>", DECIDE | KIOSK, Part.DOOR, expires=True)
    def proceed(self, handle: str) -> Answer:
        """Answers a step of a decision, or waits until it is answered elsewhere."""
        content = bottle.request.environ["wsgi.input"].read()
        step = intake.read_json(content or b"{}", Step)
        if step.pin is None and not step.cancel:
            return _outcome(self.decider.wait(handle))
        return _outcome(self.decider.proceed(handle, StepAnswer(step.pin, step.id, step.cancel)))

    @route("POST", "/access/open", DECIDE, Part.DOOR)
    def open(self) -> Answer:
        """Releases the lock, without a look at the camera."""
        if not self.status.openable:
            text = "This device has no relay, or the relay does not work: its health has the reason."
            raise Refusal(ResultCode.NOT_READY, "relay_unavailable", text, status=503)
        try:
            entry = self.decider.open(bottle.request.environ[NAME])
        except RecordError as error:
            raise _unavailable("written") from error
        return answers.answer({"record": entry and {"sequence": entry.sequence, "hash": entry.hash}}, headers=NO_STORE)

    @route("GET", "/access/key", ANY_KEY, Part.DOOR)
    def key(self) -> Answer:
        """The public key with which a door verifies decisions."""
        public = self.signing_key.signer().public
        body = {"device": self.decider.device, "algorithm": "Ed25519", "public_key": public.text, "pem": public.pem}
        return answers.answer(body)

    @route("GET", "/.well-known/jwks.json", ANY_KEY, Part.DOOR)
    def key_set(self) -> Answer:
        """The public key that verifies decisions, as JWT libraries read it (RFC 7517, 5)."""
        return answers.answer({"keys": [self.signing_key.signer().public.jwk]})

    @route("GET", "/access/decisions", LIVE, Part.DOOR)
    def decisions(self) -> Answer:
        """The newest decisions, the newest first."""
        count = intake.number(bottle.request.query, "count", SHOWN, MOST_SHOWN)
        try:
            found = self.record.newest(count, DECISION)
        except RecordError as error:
            raise _unavailable("read") from error
        void = voided(found)  # an entry that voids another one is newer, and so among those found
        listed = [self._listed(entry, void=entry.sequence in void) for entry in found]
        return answers.answer({"count": len(listed), "decisions": listed}, headers=NO_STORE)

    @route("GET", "/access/decisions.csv", ADMIN, Part.DOOR)
    def table(self) -> Answer:
        """The decisions from the time or day `from` to `until` as a table, newest first; only those with this `person`,
        `result`, `reason` and `direction`.
        """
        query = bottle.request.query
        since, until = (_moment(name, query[name]) if query.get(name) else None for name in ("from", "until"))
        parts = (query.getunicode(name) or None for name in ("person", "result", "reason", "direction"))
        try:
            wanted = DecisionFilter(since, until, *parts)
            return answers.csv("decisions.csv", table(COLUMNS, self._rows(wanted)))
        except FilterError as error:
            raise Refusal(ResultCode.INVALID_QUERY, "invalid_query", str(error)) from error
        except RecordError as error:
            raise _unavailable("read") from error

    def _rows(self, wanted: DecisionFilter) -> Iterator[Sequence[object]]:
        """Yields them one by one, because all entries together take ten times the memory of their table."""
        for number, each in enumerate(wanted.listed(self.record, self.named)):
            if number == MOST_EXPORTED:
                text = f"There are more than {MOST_EXPORTED} decisions: ask for a shorter time by from and until."
                raise Refusal(ResultCode.INVALID_QUERY, "too_many_decisions", text)
            yield each.row()

    def _listed(self, entry: Entry, *, void: bool) -> Mapping[str, Any]:
        found = listed_decision(entry, self.named, void=void)
        return {
            "sequence": entry.sequence,
            "id": entry.facts["id"],
            "time": stamp(entry.time),
            "result": found.result,
            "reason": found.reason,
            "text": found.text,
            "person": {"id": found.person.id, "name": found.person.name} if found.person else None,
            "pass": entry.facts.get("pass"),
            "direction": entry.facts["direction"],
        }

    def named(self, reference: str) -> Person | None:
        """The person with a reference; None when they are erased or the gallery cannot be read."""
        try:
            known = self.handle.gallery().named(reference)
        except (GalleryError, Fault):
            return None
        return known.person if known else None


def _outcome(outcome: SignedDecision | PendingStep) -> Answer:
    """A decision, or the step that it waits for. A display gets no token and no name of a person who is denied."""
    if isinstance(outcome, PendingStep):
        return answers.answer({"pending": outcome.document()}, headers=NO_STORE)
    if bottle.request.environ[SCOPES] >= DECIDE:
        body = {"decision": outcome.document(*ANSWERED), "token": outcome.token}
    else:
        body = {"decision": answers.shown_decision(outcome)}
    return answers.answer(body, headers=NO_STORE)


def _moment(name: str, text: str) -> datetime:
    try:
        return moment(text, end=name == "until")
    except (ValueError, OverflowError):
        text = f"{name}: a day such as 2026-12-31, or a time such as 2026-12-31T08:00:00Z"
        raise Refusal(ResultCode.INVALID_QUERY, "invalid_query", text) from None


def _unavailable(what: str) -> Refusal:
    text = f"The record of decisions cannot be {what}: see the log."
    return Refusal(ResultCode.NOT_READY, "record_unavailable", text, status=503)
