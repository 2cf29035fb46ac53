"""Decisions, and a device that signs them."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from appliance.access import token
from appliance.access.token import LIFE, Anchor, Decision, Direction, Signer

SIGNER = Signer.of(bytes(range(32)))

DEVICE = "d41d8cd98f00b204e9800998ecf8427e"

NOON = datetime(2026, 11, 26, 12, 0, 0, 250_000, UTC)

ANCHOR = Anchor(17, "ab" * 32)

GRANTED = Decision(
    id="0f" * 16,
    device=DEVICE,
    nonce="A" * 22,
    direction=Direction.IN,
    granted=True,
    reason="granted",
    person="staff-17",
    frames=tuple(NOON - timedelta(seconds=0.3 * number) for number in (3, 2, 1, 0)),
    issued=NOON,
    expires=NOON + LIFE,
)


def token_of(signer: Signer = SIGNER, **changes: Any) -> str:
    """The token of a granted decision, but for the changes."""
    return token.write_token(replace(GRANTED, **changes), ANCHOR, signer)


class Clocks:
    """A door controller's clocks, in a test's hands: the wall's, and the one that only goes forward."""

    def __init__(self) -> None:
        self.wall, self.seconds = NOON, 1000.0

    def pass_by(self, seconds: float) -> None:
        self.seconds += seconds
        self.wall += timedelta(seconds=seconds)

    def now(self) -> datetime:
        return self.wall

    def monotonic(self) -> float:
        return self.seconds
