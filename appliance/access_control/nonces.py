"""Questions that have been answered, for as long as an answer could still be of use."""

import time
from collections import OrderedDict
from collections.abc import Callable

LIFE_SECONDS = 60.0
"""How long a nonce is remembered: a decision holds for 2 s, and no door waits a minute for one."""

MOST = 4096
"""Nonces remembered at most, the newest: 90 bytes each, and one a second for an hour."""


class Nonces:
    """Remembers the nonces of answers, in memory alone. That is enough, because the nonce is the door's: its verifier takes one
    answer to each, whatever this device has forgotten. What is kept here makes a door (or whoever plays one) that asks twice
    visible, and gives it nothing. Not thread-safe.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._answered: OrderedDict[str, float] = OrderedDict()

    def add(self, nonce: str) -> None:
        """Takes note of an answer."""
        now = self._clock()
        self._answered[nonce] = now
        self._answered.move_to_end(nonce)
        while len(self._answered) > MOST or now - next(iter(self._answered.values())) > LIFE_SECONDS:
            self._answered.popitem(last=False)

    def __contains__(self, nonce: str) -> bool:
        """Whether it was answered within its life."""
        answered = self._answered.get(nonce)
        return answered is not None and self._clock() - answered <= LIFE_SECONDS
