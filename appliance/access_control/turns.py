"""One decision at a time: whoever passes must have passed before the next question about them is answered."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from appliance.faults import Fault, ResultCode

WAITING = 2
"""Questions that may wait for their turn: a device has one camera, and two doors beside it are many."""

PATIENCE_SECONDS = 1.2
"""How long each waits at most: as long as an answer may take."""

REST_SECONDS = 0.3
"""From the begin of a turn to that of the next one: the frames of a decision are so far apart, so nothing new is seen sooner. A
door that asks in a loop, or before a blind camera, does not fill the record with hundreds of answers a second.
"""


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
