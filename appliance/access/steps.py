"""A decision that is not finished yet: the step that it waits for, which is answered once, by its handle."""

import secrets
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from appliance.access.challenge import TEXTS
from appliance.access.factors import StepKind
from appliance.access.observe import ChallengeWatch
from appliance.access.policy import Facts
from appliance.access.token import SignedDecision, Trigger
from appliance.faults import Fault, Refusal, ResultCode

HANDLE_BYTES = 16

STEP_SECONDS = 20.0
"""How long a step waits for its answer: eight digits take 8 s on a touch screen, and as long to be remembered."""

ANSWER_SECONDS = 10.0
"""The longest wait for what a PIN that came in time leads to: up to 4 s of looks at the face, and the last of them."""

Present = Callable[[], bool]
"""Whether the person who has to take a step is still at the door."""


@dataclass(frozen=True, slots=True)
class PendingStep:
    """What a decision waits for: `text` is a sentence for the person, `facts` (JSON) what a display needs for this kind."""

    handle: str
    kind: StepKind
    text: str
    seconds: float
    facts: Mapping[str, Any]

    def document(self) -> dict[str, Any]:
        return {"handle": self.handle, "kind": self.kind, "text": self.text, "seconds": self.seconds, **self.facts}


@dataclass(frozen=True, slots=True)
class StepAnswer:
    """What answers a step: digits, with the id of a person who is not recognised; or `cancel`, which ends the decision."""

    pin: str | None = field(default=None, repr=False)
    id: str | None = None
    cancel: bool = False


@dataclass(slots=True)
class OpenStep:
    """A step with what is known of its decision so far, with what follows the face if it is part of a challenge, and with what
    it has led to, once `ended` is set.
    """

    step: PendingStep
    nonce: str
    trigger: Trigger
    facts: Facts
    until: float
    watch: ChallengeWatch | None = None
    ended: threading.Event = field(default_factory=threading.Event)
    outcome: "SignedDecision | PendingStep | None" = None
    _answering: bool = False

    def end(self, outcome: "SignedDecision | PendingStep") -> None:
        self.outcome = outcome
        self.ended.set()

    @contextmanager
    def being_answered(self) -> Iterator[None]:
        """While an answer is looked at inside, the step does not expire."""
        self._answering = True
        try:
            yield
        finally:
            self._answering = False

    def wait(self, seconds: float) -> bool:
        """Whether it has ended within `seconds`, or later if it is being answered by then."""
        return self.ended.wait(seconds) or (self._answering and self.ended.wait(ANSWER_SECONDS))


class OpenSteps:
    """The one step that may be pending on a device, which has one camera. All methods but `find` and
    `close` are called within a turn.
    """

    def __init__(self, life_s: float = STEP_SECONDS, clock: Callable[[], float] = time.monotonic) -> None:
        self._life, self._clock = life_s, clock
        self._last: OpenStep | None = None

    def open(
        self, kind: StepKind, text: str, facts: Mapping[str, Any], nonce: str, trigger: Trigger, known: Facts
    ) -> PendingStep:
        """A new step of the decision that answers `nonce`."""
        step = PendingStep(_handle(), kind, text, self._life, facts)
        self._last = OpenStep(step, nonce, trigger, known, self._clock() + self._life)
        return step

    def prompt(self, watch: ChallengeWatch, nonce: str, trigger: Trigger, known: Facts) -> PendingStep:
        """The same, for what a challenge asks now."""
        prompt, seconds = watch.challenge.prompt, watch.challenge.seconds
        step = PendingStep(_handle(), StepKind.CHALLENGE, TEXTS[prompt], seconds, {"prompt": prompt.value})
        self._last = OpenStep(step, nonce, trigger, known, self._clock() + self._life, watch)
        return step

    def find(self, handle: str) -> OpenStep:
        """The newest step, answered or not, if this is its handle. Raises Refusal `no_such_step`."""
        found = self._last
        if found is None or not secrets.compare_digest(found.step.handle.encode(), handle.encode()):
            raise Refusal(ResultCode.INVALID_QUERY, "no_such_step", "There is no such step.", status=404)
        return found

    def take(self, handle: str) -> OpenStep:
        """The step with this handle, which has not been answered. Raises Refusal `no_such_step`."""
        found = self.find(handle)
        if found.ended.is_set():
            text = "This step has been answered already."
            raise Refusal(ResultCode.INVALID_QUERY, "no_such_step", text, status=404)
        return found

    def left(self, step: OpenStep) -> float:
        """Seconds until it has expired; 0 from then on."""
        return max(0.0, step.until - self._clock())

    def close(self) -> None:
        """Ends the waiting for a step, from any thread."""
        if self._last:
            self._last.ended.set()

    def unanswered(self) -> OpenStep | None:
        """The step that has expired without an answer. Raises Fault INF-08 (503) while there is one that may be answered."""
        last = self._last
        if last is None or last.ended.is_set():
            return None
        if left := self.left(last):
            raise Fault(ResultCode.NOT_READY, "another decision is not finished", status=503, retry_after=1 + int(left))
        return last


def _handle() -> str:
    return secrets.token_urlsafe(HANDLE_BYTES)
