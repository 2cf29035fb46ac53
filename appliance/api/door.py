"""The door's endpoints: a decision, the key to check it with, and the decisions that were made."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import bottle
from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from pydantic_core import PydanticCustomError

from appliance.access import log
from appliance.access.identify import GalleryHandle
from appliance.access.log import Entry, RecordError
from appliance.access.policy import Reason
from appliance.access.token import Direction, stamp
from appliance.api import answers, intake
from appliance.api.answers import refusing
from appliance.faults import Fault, Refusal, ResultCode
from appliance.gallery.people import GalleryError

if TYPE_CHECKING:  # they bring cryptography along, which a device without a gallery need not have
    from appliance.access.decide import Decider
    from appliance.access.token import Signer

DECIDE, KEY, DECISIONS = "/access/decide", "/access/key", "/access/decisions"
"""Their paths."""

SHOWN, MOST_SHOWN = 50, 1000
"""Decisions that are shown unless more are asked for, and at most."""

ANSWERED = (
    *("id", "device", "nonce", "direction", "result", "reason", "text"),
    *("person", "frames", "issued", "expires"),
)
"""The parts of a decision in an answer."""

NO_STORE = {"Cache-Control": "no-store"}


NONCE = re.compile(r"[A-Za-z0-9_-]{16,86}")


def _nonce(text: str) -> str:
    if not NONCE.fullmatch(text):
        raise PydanticCustomError("nonce", "16 to 86 letters, digits, '-' and '_'")
    return text


class Asked(BaseModel):
    """What a door asks: a random nonce of its own (96 to 512 bits, base64url without padding), and which way."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")

    nonce: Annotated[str, AfterValidator(_nonce)]
    direction: Annotated[Direction, Field(strict=False)] = Direction.IN


@dataclass(frozen=True, slots=True)
class Door:
    """One method an endpoint; each takes bottle's current request and returns the answer or raises a Fault."""

    device: Callable[[], str]
    signer: "Callable[[], Signer]"
    decider: "Callable[[], Decider]"
    record: Path
    register: GalleryHandle

    def decide(self) -> bottle.HTTPResponse:
        """`POST /access/decide`"""
        asked = intake.read_person(bottle.request.environ["wsgi.input"].read(), Asked)
        with refusing():
            signed = self.decider().decide(asked.nonce, asked.direction)
        return answers.answer({"decision": signed.document(*ANSWERED), "token": signed.token}, headers=NO_STORE)

    def key(self) -> bottle.HTTPResponse:
        """`GET /access/key`"""
        with refusing():
            public = self.signer().public
        body = {"device": self.device(), "algorithm": "Ed25519", "public_key": public.text, "pem": public.pem}
        return answers.answer(body)

    def decisions(self) -> bottle.HTTPResponse:
        """`GET /access/decisions`: the newest first."""
        count = intake.number(bottle.request.query, "count", SHOWN, MOST_SHOWN)
        try:
            found = log.newest_entries(self.record, count, log.DECISION)
        except RecordError as error:
            text = "The record of decisions cannot be read: see the log."
            raise Refusal(ResultCode.NOT_READY, "record_unavailable", text, status=503) from error
        listed = [self._listed(entry) for entry in found]
        return answers.answer({"count": len(listed), "decisions": listed}, headers=NO_STORE)

    def _listed(self, entry: Entry) -> Mapping[str, Any]:
        reason = str(entry.facts["reason"])
        return {
            "sequence": entry.sequence,
            "time": stamp(entry.time),
            "result": entry.facts["result"],
            "reason": reason,
            "text": Reason(reason).text if reason in set(Reason) else reason,
            "person": self._person(entry.facts["person"]),
            "direction": entry.facts["direction"],
        }

    def _person(self, reference: object) -> Mapping[str, str] | None:
        """Whom a reference stands for; nobody once they are erased, or while the gallery cannot be read."""
        try:
            known = self.register.gallery().named(str(reference))
        except (GalleryError, Fault):
            return None
        return {"id": known.person.id, "name": known.person.name} if known else None
