"""A decision for a door: what it says, and to which frames and which question it is bound."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from appliance.access_control.situation import Direction

ENTRY = "decision"
"""The kind of its entry in the record."""

LIFE = timedelta(seconds=2)
"""How long a decision holds."""


@dataclass(frozen=True, slots=True)
class Decision:
    """`id` (32 hexadecimal digits) is its own, `device` that of the device, `nonce` the question's. `person` is the id of
    whoever was identified, granted or not; None when nobody was. `reason` names the rule that decided. `frames` are the times
    the four frames were taken, `issued` and `expires` those between which it holds (UTC, milliseconds).
    """

    id: str
    device: str
    nonce: str
    direction: Direction
    granted: bool
    reason: str
    person: str | None
    frames: tuple[datetime, ...]
    issued: datetime
    expires: datetime

    @property
    def result(self) -> str:
        """What it comes to, in a word."""
        return "granted" if self.granted else "denied"


@dataclass(frozen=True, slots=True)
class Signed:
    """A decision as it is handed out: `token` is a JWS in compact form (RFC 7515, EdDSA of RFC 8037); what it says in words;
    and what its person is called, if it has one: for those who may know, never for a log.
    """

    decision: Decision
    token: str
    text: str
    name: str | None
