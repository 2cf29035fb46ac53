"""What a door controller runs: it asks with a nonce of its own, and acts on nothing but the answer to it."""

import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from appliance.access import token as tokens
from appliance.access.policy import Direction
from appliance.access.token import LIFE, Decision, PublicKey, TokenError

NONCE_BYTES = 32
"""Random bytes of a nonce."""

ANSWER = timedelta(seconds=3)
"""Longest that the device may take from the question to its decision: 1.2 s when it is ready, 2.5 s when its camera has just
started; the rest is the network's.
"""

TOLERANCE = timedelta(seconds=0.5)
"""How far the wall clocks of door and device may be apart: on a LAN, NTP keeps them within some hundredths of a second."""

REMEMBERED = 256
"""Questions, and nonces that have been answered, that are remembered at most; the oldest go first, and are then not known."""


class OtherDeviceError(TokenError):
    """The decision is another device's."""


class WrongNonceError(TokenError):
    """The decision is not the answer to this question."""


class ReusedNonceError(TokenError):
    """The question has been answered already."""


class WrongDirectionError(TokenError):
    """The decision is about the other way."""


class ExpiredError(TokenError):
    """The decision no longer holds."""


class NotYetValidError(TokenError):
    """The decision holds from a later time on: one of the clocks is wrong."""


class LateError(TokenError):
    """The decision came too long after the question."""


@dataclass(frozen=True, slots=True)
class Question:
    """What was asked, and when (seconds of a clock that only goes forward)."""

    direction: Direction
    asked: float


class Verifier:
    """Asks one device, and checks its answers. Thread-safe. Nothing of it outlives the process: questions that were open before
    have no answer any more.
    """

    def __init__(
        self,
        key: PublicKey,
        device: str | None = None,
        *,
        answer: timedelta = ANSWER,
        tolerance: timedelta | None = TOLERANCE,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """`device`: the id that decisions must have (None: whatever the key has signed). An answer is late `answer` and the
        life of a decision after the question, by this computer's own `clock`. `tolerance`: by how much the two wall clocks may
        differ; None: this computer's wall clock is not to be trusted, and only its `clock` counts.
        """
        self._key, self._device = key, device
        self._longest, self._tolerance = answer + LIFE, tolerance
        self._clock, self._now = clock, now
        self._lock = threading.Lock()
        self._questions: OrderedDict[str, Question] = OrderedDict()
        self._answered: OrderedDict[str, None] = OrderedDict()

    def challenge(self, direction: Direction = Direction.IN) -> str:
        """A new nonce: ask the device with it, in this direction, at once."""
        nonce = secrets.token_urlsafe(NONCE_BYTES)
        with self._lock:
            self._questions[nonce] = Question(direction, self._clock())
            while len(self._questions) > REMEMBERED:
                self._questions.popitem(last=False)
        return nonce

    def verify(self, token: str) -> Decision:
        """The decision, granted or denied, that answers an open question; from then on the question is closed. Raises the
        TokenErrors of this module and of `token`.
        """
        decision = tokens.read_token(token, self._key)
        check_device(decision, self._device)
        question = self._close(decision.nonce)
        if question.asked + self._longest.total_seconds() < self._clock():
            raise LateError(f"late: it came more than {self._longest.total_seconds():g} s after the question")
        check_direction(decision, question.direction)
        if self._tolerance is not None:
            check_time(decision, self._now(), self._tolerance)
        return decision

    def _close(self, nonce: str) -> Question:
        with self._lock:
            if nonce in self._answered:
                raise ReusedNonceError("reused nonce: this question has been answered already")
            if nonce not in self._questions:
                raise WrongNonceError("wrong nonce: this was not asked")
            self._answered[nonce] = None
            while len(self._answered) > REMEMBERED:
                self._answered.popitem(last=False)
            return self._questions.pop(nonce)


def check_device(decision: Decision, device: str | None) -> None:
    """Raises OtherDeviceError, unless no device is named."""
    if device is not None and decision.device != device:
        raise OtherDeviceError(f"another device's: {decision.device}")


def check_direction(decision: Decision, direction: Direction) -> None:
    """Raises WrongDirectionError."""
    if decision.direction is not direction:
        raise WrongDirectionError(f"wrong direction: it is about the way {decision.direction}")


def check_time(decision: Decision, now: datetime, tolerance: timedelta) -> None:
    """Raises NotYetValidError, ExpiredError; a decision whose life is longer than decisions have is expired, too."""
    if now + tolerance < decision.issued:
        ahead = (decision.issued - now).total_seconds()
        raise NotYetValidError(f"not yet valid: issued {ahead:.1f} s ahead of this computer's clock")
    if now - tolerance >= min(decision.expires, decision.issued + LIFE):
        raise ExpiredError(f"expired: issued {(now - decision.issued).total_seconds():.1f} s ago")
