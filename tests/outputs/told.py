"""Decisions to tell, and what runs an output meanwhile."""

import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

from devices import until

from appliance.access.token import Decision, Direction, SignedDecision

NAME, PERSON = "Eileen Collins", "employee 4711"


def signed(*, granted: bool = True, age: float = 0.0, lasts: float = 2.0) -> SignedDecision:
    """A decision that was made `age` seconds ago."""
    issued = datetime.now(UTC) - timedelta(seconds=age)
    decision = Decision(
        id=uuid.uuid4().hex,
        device="50d31c0ffee0",
        nonce="n" * 22,
        direction=Direction.IN,
        granted=granted,
        reason="granted" if granted else "unknown",
        person=PERSON if granted else None,
        frames=(issued,) * 4,
        issued=issued,
        expires=issued + timedelta(seconds=lasts),
    )
    return SignedDecision(decision, "header.payload.signature", f"Welcome, {NAME}.", NAME)


@contextmanager
def running(output: Any) -> Iterator[Any]:
    """The output at work on its thread, as the machine runs it."""
    thread = threading.Thread(target=output.run, name=type(output).__name__)
    thread.start()
    try:
        yield output
    finally:
        output.stop()
        thread.join(10)
        assert not thread.is_alive()


def delivered(output: Any, count: int) -> bool:
    """Waits until so many have been handed over."""
    return until(lambda: output.counts().delivered >= count, 10)


def dropped(output: Any, count: int) -> bool:
    """Waits until so many have been given up."""
    return until(lambda: output.counts().dropped >= count, 10)
