"""What a grant sends to an access panel, and the entry of what was not delivered."""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum

from appliance.access.log import Record, RecordError
from appliance.access.token import LIFE, Decision, SignedDecision
from appliance.gallery.credential import Credential
from appliance.gallery.people import Person
from appliance.outputs.queue import Message

log = logging.getLogger(__name__)

NOT_DELIVERED = "not_delivered"
"""The kind of the entry in the record."""


class Loss(StrEnum):
    """Why a card was not delivered."""

    OFFLINE = "offline"
    """No poll came in time to take it, or not through a secure channel; the pins of Wiegand are unavailable."""
    LOST = "lost"
    """The panel has not received the reply with it, and asks for something else."""
    UNCONFIRMED = "unconfirmed"
    """It was sent, and the panel has begun anew or was not heard of again: it may have been received."""
    STOPPED = "stopped"
    """The program ended."""


@dataclass(frozen=True, slots=True)
class Card:
    """The credential of a granted person, by their reference; `since` is the time of the grant on the monotonic clock."""

    decision: Decision
    reference: str
    credential: Credential
    since: float

    def late(self) -> bool:
        """Whether it may no longer be sent, by either clock."""
        return time.monotonic() - self.since >= LIFE.total_seconds() or datetime.now(UTC) >= self.decision.expires


def card_of(message: Message, person: Callable[[str], Person | None]) -> Card | None:
    """The card of a grant; None for other messages, and for people without a credential."""
    if not (isinstance(message, SignedDecision) and message.decision.granted and message.decision.person):
        return None
    found = person(message.decision.person)
    if found is None or found.credential is None:
        return None
    return Card(message.decision, found.reference, found.credential, time.monotonic())


def record_loss(record: Record, card: Card, loss: Loss) -> None:
    """Enters in the record that a card was not delivered; a failure is logged."""
    log.warning("the card of decision %s was not delivered: %s", card.decision.id, loss)
    try:
        record.append(NOT_DELIVERED, {"decision": card.decision.id, "person": card.reference, "reason": loss.value})
    except RecordError as error:
        log.error("that a card was not delivered cannot be recorded: %s", error)
