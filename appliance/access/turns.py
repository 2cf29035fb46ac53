"""One question at a time for the door's one camera, and the nonces of those that were answered."""

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from appliance.faults import Fault, ResultCode

LIFE_SECONDS = 60.0
"""How long a nonce is remembered: a decision is valid for 2 s, and no door waits a minute for one."""

MOST = 4096
"""Nonces remembered at most: 90 bytes each, one a second for an hour."""

WAITING = 2
"""Questions that may wait for their turn, and clients for a step beside the device itself: it has one camera, and rarely more
than two doors.
"""

PATIENCE_SECONDS = 1.2
"""How long each waits at most: as long as an answer takes."""

REST_SECONDS = 0.3
"""From the begin of a turn to that of the next one: the frames of a decision are as far apart, so there is nothing new to see
sooner, and a door that asks in a loop does not fill the record.
"""


class AnsweredNonces:
    """Remembers the nonces of answers, in memory only. That is enough: the nonce is the door's, whose verifier accepts one
    answer to each, whatever this device has forgotten. A nonce that is used twice becomes visible here. Not thread-safe.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._answered: OrderedDict[str, float] = OrderedDict()

    def add(self, nonce: str) -> None:
        now = self._clock()
        self._answered[nonce] = now
        self._answered.move_to_end(nonce)
        while len(self._answered) > MOST or now - next(iter(self._answered.values())) > LIFE_SECONDS:
            self._answered.popitem(last=False)

    def __contains__(self, nonce: str) -> bool:
        """Whether it was answered within LIFE_SECONDS."""
        answered = self._answered.get(nonce)
        return answered is not None and self._clock() - answered <= LIFE_SECONDS


class Turns:
    """Gives one turn at a time."""

    def __init__(self, waiting: int = WAITING, patience: float = PATIENCE_SECONDS, rest: float = REST_SECONDS) -> None:
        self._places = threading.BoundedSemaphore(waiting + 1)
        self._turn = threading.Lock()
        self._patience, self._rest, self._begun = patience, rest, float("-inf")

    @contextmanager
    def one(self) -> Iterator[None]:
        """A turn for the time inside. Raises Fault INF-08 (503): others wait already, or it takes too long."""
        if not self._places.acquire(blocking=False):
            raise Fault(ResultCode.NOT_READY, "others wait for a decision already", status=503, retry_after=1)
        try:
            if not self._turn.acquire(timeout=self._patience):
                detail = f"another decision takes longer than {self._patience:g} s"
                raise Fault(ResultCode.NOT_READY, detail, status=503, retry_after=1)
            try:
                time.sleep(max(0.0, self._begun + self._rest - time.monotonic()))
                self._begun = time.monotonic()
                yield
            finally:
                self._turn.release()
        finally:
            self._places.release()
