"""What a door controller runs: it makes the nonce of each question to one device, and checks the answer."""

from __future__ import annotations

import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from typing import Any

from face_appliance_client.decision import (
    LIFE,
    NONCE_BYTES,
    TOLERANCE,
    Decision,
    Direction,
    PublicKey,
    ReusedNonceError,
    TokenError,
    WrongNonceError,
    check_answer,
    read_token,
)

ANSWER = timedelta(seconds=3)
"""How long a device may take to decide: 1.2 s when it is ready, 2.5 s when its camera has just started, and the network."""

REMEMBERED = 256
"""Open questions, and answered nonces, that a verifier remembers at most; the oldest are forgotten first."""


class LateError(TokenError):
    """It came too long after the question."""


class Verifier:
    """Makes the nonce of each question to one device and checks the answer. Thread-safe.
    Nothing is kept on a disk: a question that was open before a restart has no valid answer.
    """

    def __init__(
        self,
        key: PublicKey,
        device: str | None = None,
        *,
        answer: timedelta = ANSWER,
        tolerance: timedelta | None = TOLERANCE,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], datetime] = lambda: datetime.now(timezone.utc),
    ) -> None:
        """`device`: the id that decisions must have (None: any that `key` has signed). An answer is late after `answer` and the
        life of a decision, by this computer's monotonic `clock`. `tolerance`: by how much the two wall clocks may differ; None:
        this computer's wall clock is not set, and only `clock` counts.
        """
        self._key, self._device = key, device
        self._longest, self._tolerance = (answer + LIFE).total_seconds(), tolerance
        self._clock, self._now = clock, now
        self._lock = threading.Lock()
        self._questions: OrderedDict[str, tuple[Direction, float]] = OrderedDict()
        self._answered: OrderedDict[str, None] = OrderedDict()

    def challenge(self, direction: Direction = Direction.IN) -> str:
        """A new nonce: send it to the device, with this direction, at once."""
        nonce = secrets.token_urlsafe(NONCE_BYTES)
        with self._lock:
            self._questions[nonce] = direction, self._clock()
            _shorten(self._questions)
        return nonce

    def verify(self, token: str) -> Decision:
        """The decision, granted or denied, that answers an open question; the question is closed from then on. Raises
        TokenErrors.
        """
        decision = read_token(token, self._key, self._device)
        direction, asked = self._close(decision.nonce)
        if asked + self._longest < self._clock():
            raise LateError(f"late: it came more than {self._longest:g} s after the question")
        now = None if self._tolerance is None else self._now()
        check_answer(decision, decision.nonce, direction, now, self._tolerance or timedelta())
        return decision

    def _close(self, nonce: str) -> tuple[Direction, float]:
        with self._lock:
            if nonce in self._answered:
                raise ReusedNonceError("reused nonce: this question was answered before")
            if nonce not in self._questions:
                raise WrongNonceError("wrong nonce: this verifier has no such question")
            self._answered[nonce] = None
            _shorten(self._answered)
            return self._questions.pop(nonce)


def _shorten(remembered: OrderedDict[str, Any]) -> None:
    while len(remembered) > REMEMBERED:
        remembered.popitem(last=False)
