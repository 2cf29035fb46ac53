"""Decisions on their way out: a bounded queue that keeps nobody waiting who puts something in."""

import logging
import threading
import time
from collections import deque
from dataclasses import dataclass
from datetime import UTC, datetime

from appliance.access_control.decision import Signed
from appliance.outputs.output import Tally

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Told:
    """A decision, and when it was told (seconds of the monotonic clock)."""

    signed: Signed
    since: float

    def age(self) -> float:
        """Seconds since it was told."""
        return time.monotonic() - self.since

    def late(self) -> bool:
        """Whether it holds no more. A clock that was set back does not make it young again."""
        decision = self.signed.decision
        span = (decision.expires - decision.issued).total_seconds()
        return datetime.now(UTC) >= decision.expires or self.age() >= span


class Waiting:
    """A queue for one output. What is taken counts as waiting until it is `settled`. Thread-safe."""

    def __init__(self, name: str, most: int) -> None:
        """`name` is the output's, for the log; `most` may wait, then the oldest is dropped."""
        self._name, self._most = name, most
        self._queue: deque[Told] = deque()
        self._changed = threading.Condition()
        self._taken = self._delivered = self._dropped = 0
        self._full = self._closed = False

    def put(self, signed: Signed) -> None:
        """Adds a decision; returns at once. That decisions are dropped is told once, until one is delivered again."""
        with self._changed:
            self._queue.append(Told(signed, time.monotonic()))
            if len(self._queue) > self._most:
                self._queue.popleft()
                self._dropped += 1
                if not self._full:
                    log.warning("%s: more than %d decisions wait: the oldest are dropped", self._name, self._most)
                    self._full = True
            self._changed.notify_all()

    def take(self, seconds: float | None = None) -> Told | None:
        """The oldest, as soon as there is one; None after so many seconds (None: never), and once it is closed."""
        with self._changed:
            self._changed.wait_for(lambda: self._queue or self._closed, seconds)
            if self._closed or not self._queue:
                return None
            self._taken += 1
            return self._queue.popleft()

    def settled(self, *, delivered: bool) -> None:
        """What was taken has been delivered, or given up."""
        with self._changed:
            self._taken -= 1
            if delivered:
                self._delivered += 1
                self._full = False
            else:
                self._dropped += 1

    def drop_late(self) -> None:
        """Drops what holds no more."""
        with self._changed:
            while self._queue and self._queue[0].late():
                self._queue.popleft()
                self._dropped += 1

    def close(self) -> None:
        """Nothing is handed out from here on."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    @property
    def closed(self) -> bool:
        return self._closed

    def closed_within(self, seconds: float) -> bool:
        """Waits so long; whether it was closed meanwhile."""
        with self._changed:
            return self._changed.wait_for(lambda: self._closed, seconds)

    def tally(self) -> Tally:
        """Counts since the start."""
        with self._changed:
            return Tally(self._delivered, self._dropped, len(self._queue) + self._taken)
