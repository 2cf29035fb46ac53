"""How wrong PINs are slowed down, for each person and for the whole device, also over a restart."""

import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from math import inf

FREE, BLOCKED = 3, 10
"""Wrong PINs of a person in a row after which each further one has to wait, and after which the PIN does not count until
another one is set. Ten guesses at four digits succeed in 0.1 % of cases; NIST SP 800-63B (5.2.2) allows 100.
"""

FIRST_SECONDS, LONGEST_SECONDS = 30.0, 3600.0
"""The wait after FREE wrong PINs; it doubles with each further one."""

CAPACITY, LEAK_SECONDS = 10.0, 600.0
"""Wrong ids or PINs of people who were not recognised: so many at once, and one more each time so many seconds have passed.
That is 154 on the first day at most, so that a guess among any number of people succeeds in 1.5 % of such days with PINs of
four digits, in 0.015 % with six.
"""

DEVICE_CAPACITY, DEVICE_LEAK_SECONDS = 30.0, 60.0
"""The same for people who were recognised, whose own count is the bound: it takes an attacker with many faces to reach it, or
more mistakes than 300 people make in half an hour (3 % each).
"""


@dataclass(slots=True)
class _Bucket:
    """A bucket that leaks one guess in `leak` seconds; `level` is that of the time `since`."""

    capacity: float
    leak: float
    level: float = 0.0
    since: float = 0.0

    def at(self, now: float) -> float:
        return max(0.0, self.level - (now - self.since) / self.leak)

    def wait(self, now: float) -> float:
        return max(0.0, (self.at(now) - self.capacity + 1) * self.leak)

    def add(self, now: float, guesses: float) -> None:
        self.level, self.since = max(0.0, self.at(now) + guesses), now


@dataclass(slots=True)
class _Row:
    wrong: int
    until: float


@dataclass(slots=True)
class Guesses:
    """The state of the slow-down, by any clock that never goes back. It is kept as numbers without times: after a restart each
    wait begins anew, so that a restart and a wrong clock are of no use to an attacker. Not thread-safe.
    """

    clock: Callable[[], float] = time.monotonic
    _rows: dict[str, _Row] = field(default_factory=dict)
    _buckets: dict[bool, _Bucket] = field(
        default_factory=lambda: {
            False: _Bucket(CAPACITY, LEAK_SECONDS),
            True: _Bucket(DEVICE_CAPACITY, DEVICE_LEAK_SECONDS),
        }
    )

    def load(self, document: Mapping[str, object], keys: Collection[str]) -> None:
        """Takes what `document` returned, for the PINs with these keys. Raises ValueError, TypeError, KeyError for anything
        else.
        """
        now = self.clock()
        rows, levels = document["wrong"], document["levels"]
        if not (isinstance(rows, dict) and isinstance(levels, list)):
            raise TypeError("wrong is an object, levels is an array")
        self._rows = {key: _Row(int(wrong), now + _pause(int(wrong))) for key, wrong in rows.items() if key in keys}
        for bucket, level in zip(self._buckets.values(), levels, strict=True):
            bucket.level, bucket.since = min(float(level), bucket.capacity), now

    def document(self) -> dict[str, object]:
        now = self.clock()
        levels = [round(bucket.at(now), 3) for bucket in self._buckets.values()]
        return {"wrong": {key: row.wrong for key, row in self._rows.items()}, "levels": levels}

    def wait(self, key: str, *, recognised: bool) -> float:
        """Seconds until a PIN is compared again, infinite until another one is set; 0 when it is compared now. `key` stands for
        the PIN of a person.
        """
        now, row = self.clock(), self._rows.get(key)
        own = 0.0 if row is None else inf if row.wrong >= BLOCKED else max(0.0, row.until - now)
        return max(own, self._buckets[recognised].wait(now))

    def begin(self, key: str, *, recognised: bool) -> None:
        """Counts a guess as wrong, before it is compared."""
        now = self.clock()
        wrong = self._rows[key].wrong + 1 if key in self._rows else 1
        self._rows[key] = _Row(wrong, now + _pause(wrong))
        self._buckets[recognised].add(now, 1.0)

    def succeed(self, key: str, *, recognised: bool) -> None:
        """The guess that has begun was right: it does not count, and those of the person before it are forgotten."""
        del self._rows[key]
        self._buckets[recognised].add(self.clock(), -1.0)


def _pause(wrong: int) -> float:
    """Seconds after so many wrong PINs in a row."""
    return 0.0 if wrong < FREE else min(FIRST_SECONDS * 2.0 ** (wrong - FREE), LONGEST_SECONDS)
