"""Failed attempts, by address: who has failed too often is refused unheard for a while."""

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address

BURST = 10
"""Failed attempts in a row: a person with a list of old keys, not a program with a list of all."""

REFILL_SECONDS = 10.0
"""Until one more is allowed: 8,640 a day and address, of 2^256 keys."""

ADDRESSES = 4096
"""Remembered at most, some 1 MB; the one that failed longest ago is forgotten for a new one."""

TELL_SECONDS = 60.0
"""The log is told of an address that is refused unheard once in this time."""


@dataclass(slots=True)
class _Bucket:
    full_at: float
    """When all attempts are back."""
    told_at: float


class Attempts:
    """A token bucket an address; an IPv6 address counts as its /64, all of which one device can have (RFC 4862)."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._buckets: OrderedDict[int, _Bucket] = OrderedDict()

    def wait(self, address: str) -> float:
        """Seconds until an attempt from there is heard again; 0 when it is heard now."""
        with self._lock:
            bucket = self._buckets.get(_network(address))
            return max(0.0, bucket.full_at - self._clock() - (BURST - 1) * REFILL_SECONDS) if bucket else 0.0

    def failed(self, address: str) -> None:
        """Takes note of an attempt that failed."""
        with self._lock:
            network, now = _network(address), self._clock()
            bucket = self._buckets.setdefault(network, _Bucket(now, now - TELL_SECONDS))
            bucket.full_at = max(now, bucket.full_at) + REFILL_SECONDS
            self._buckets.move_to_end(network)
            if len(self._buckets) > ADDRESSES:
                self._buckets.popitem(last=False)

    def worth_telling(self, address: str) -> bool:
        """Whether the log has not been told of this address within the last minute; it counts as told then."""
        with self._lock:
            bucket, now = self._buckets.get(_network(address)), self._clock()
            if bucket is None or now - bucket.told_at < TELL_SECONDS:
                return False
            bucket.told_at = now
            return True


def _network(address: str) -> int:
    parsed = ip_address(address)
    if isinstance(parsed, IPv6Address):
        return int(parsed) >> 64 << 64 if parsed.ipv4_mapped is None else int(parsed.ipv4_mapped)
    return int(parsed)
