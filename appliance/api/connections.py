"""The open connections: how many there may be, and which of them are closed when others need the room."""

import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import IPv6Address, ip_address
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from appliance.api.wire import Channel

log = logging.getLogger(__name__)

KEPT = 8
"""Places for clients on the device itself (the watchdog's own requests, the command line); a smaller server keeps an eighth."""

LEAST_BYTES_PER_SECOND = 256 * 1024
"""An upload slower than this may be aborted while the memory for bodies is full; without it eight of them could hold it for two
minutes. 2 Mbit/s is what a weak Wi-Fi link gives."""

GRACE_SECONDS = 1.0
"""The age from which an upload is measured: TCP is slow to start."""


def network(address: str) -> int:
    """An address as a number; an IPv6 address counts as its /64, all of which one device can have (RFC 4862)."""
    parsed = ip_address(address.partition("%")[0])
    if isinstance(parsed, IPv6Address):
        return int(parsed) >> 64 << 64 if parsed.ipv4_mapped is None else int(parsed.ipv4_mapped)
    return int(parsed)


@dataclass(slots=True)
class Peer:
    """The client of a connection; it is `known` once it has sent a request that needs no key or has a valid one. What is asked
    of each open connection whenever one more arrives is read from the address once.
    """

    address: str
    known: bool
    network: int = field(init=False)
    local: bool = field(init=False)
    """Whether it is on the device itself."""

    def __post_init__(self) -> None:
        self.network = network(self.address)
        self.local = ip_address(self.address.partition("%")[0]).is_loopback


class Connections:
    """Belongs to the server's own thread."""

    def __init__(self, sockets: Mapping[int, Any], kind: type["Channel"], most: int, most_keyless: int) -> None:
        """`sockets` are the server's; those of class `kind` are connections. There may be `most` connections, `most_keyless` of
        them by clients at one address (or /64) that are not known.
        """
        self._sockets, self._kind = sockets, kind
        self._most, self._most_keyless = most, most_keyless
        self._kept = min(KEPT, max(1, most // 8))

    @property
    def full(self) -> bool:
        """Whether a client on the device itself could be refused."""
        return len(self._open()) >= self._most

    def admit(self, connection: "Channel") -> None:
        """Makes room for a new connection: closes the oldest one whose request is not being answered, or the new one itself."""
        if not connection.peer.known:
            mine = connection.peer.network
            keyless = [each for each in self._open() if not each.peer.known and each.peer.network == mine]
            if len(keyless) > self._most_keyless:
                self._drop_oldest(keyless, "too many connections without a key", connection)
        most = self._most if connection.peer.local else self._most - self._kept
        connections = self._open()
        if len(connections) > most:
            keyless = [each for each in connections if not each.peer.known and each.idle_since is not None]
            self._drop_oldest(keyless or connections, "too many connections", connection)

    def make_room(self) -> bool:
        """Aborts the slowest upload that is slower than LEAST_BYTES_PER_SECOND; whether there was one."""
        now = time.monotonic()
        slow = [
            (upload.received / (now - upload.begun), connection, upload)
            for connection in self._open()
            if (upload := connection.upload) is not None and upload.held and now - upload.begun > GRACE_SECONDS
        ]
        rate, connection, upload = min(slow, key=lambda each: each[0], default=(float("inf"), None, None))
        if connection is None or upload is None or rate >= LEAST_BYTES_PER_SECOND:
            return False
        log.warning("an upload from %s is aborted: %.0f bytes/s while memory is full", connection.peer.address, rate)
        upload.close()
        connection.drop()
        return True

    def _drop_oldest(self, candidates: "list[Channel]", why: str, otherwise: "Channel") -> None:
        waiting = [
            (since, each) for each in candidates if (since := each.idle_since) is not None and each is not otherwise
        ]
        victim = min(waiting, key=lambda each: each[0], default=(0.0, otherwise))[1]
        log.info("a connection from %s is closed: %s", victim.peer.address, why)
        victim.drop()

    def _open(self) -> "list[Channel]":
        return [each for each in list(self._sockets.values()) if isinstance(each, self._kind) and not each.closing]
