"""Announcement and discovery on the LAN: multicast DNS (RFC 6762), service discovery (RFC 6763), addresses."""

import asyncio
import errno
import logging
import os
import socket
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path
from typing import Literal, Self

import ifaddr
from zeroconf import (
    AddressResolver,
    DNSOutgoing,
    DNSPointer,
    DNSQuestion,
    DNSService,
    Error,
    IPVersion,
    ServiceInfo,
    Zeroconf,
)
from zeroconf.asyncio import AsyncServiceInfo, AsyncZeroconf

EVERYWHERE = ("0.0.0.0", "::")  # noqa: S104  # compared with, never bound to

_INTERFACES = Path("/sys/class/net")

_CONNECTED = {"up", "unknown"}
"""Operational states (RFC 2863) of an interface that carries packets; "unknown" is that of drivers without link detection."""


def reachable(bound: Iterable[str]) -> tuple[str, ...]:
    """The LAN addresses of sockets bound to these addresses, which may include 0.0.0.0 and ::, in order, IPv4 first; without
    loopback, unplugged interfaces and addresses still being negotiated. Raises OSError.
    """
    wanted = [_parsed(each) for each in bound]
    found = {
        address
        for address in _present()
        if any(address == each or (each.is_unspecified and each.version == address.version) for each in wanted)
    }
    return tuple(str(each) for each in sorted(found, key=lambda each: (each.version, int(each))))


def _present() -> Iterator[IPv4Address | IPv6Address]:
    for adapter in ifaddr.get_adapters():
        if _connected(adapter.name):
            for each in adapter.ips:
                text, scope = (each.ip, 0) if isinstance(each.ip, str) else (each.ip[0], each.ip[2])
                address = _parsed(text)
                if not address.is_loopback and _usable(address, scope):
                    yield address


def _connected(interface: str) -> bool:
    """Whether a cable is plugged in or a Wi-Fi joined; a label such as eth0:1 is an address of eth0."""
    try:
        state = (_INTERFACES / interface.partition(":")[0] / "operstate").read_text("ascii")
    except OSError:
        return True
    return state.strip() in _CONNECTED


def _usable(address: IPv4Address | IPv6Address, scope: int) -> bool:
    """Whether a socket can bind the address: not during duplicate detection, a second or two (IPv6, RFC 4862)."""
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    with socket.socket(family, socket.SOCK_DGRAM) as attempt:
        try:
            attempt.bind((str(address), 0) if address.version == 4 else (str(address), 0, 0, scope))
        except OSError:
            return False
    return True


def _parsed(address: str) -> IPv4Address | IPv6Address:
    """Without the zone of a link-local address."""
    return ip_address(address.partition("%")[0])


log = logging.getLogger(__name__)

SERVICE, WEB = "_faceapi._tcp.local.", "_http._tcp.local."

TEXT_BYTES = 200
"""Largest TXT record: with names and addresses it fits into a packet of 512 bytes (RFC 6763, 6.2)."""

POLL_SECONDS = 2.0
"""How often addresses and facts are checked; a check costs 0.4 ms."""

RETRY_SECONDS = 10.0
"""Pause after a failure."""

HOST_PROBE_MS = 500
"""How long another device may take to claim a host name; RFC 6762 allows 750 ms for three questions."""

RESOLVE_MS = 500
"""How much longer an appliance may take to answer with its address, after its name."""

MOST_FOUND = 1000
"""Most names that are resolved, however many are announced."""

ASK_SECONDS = 1.0
"""Interval of questions; an appliance does not repeat an answer within a second."""

GONE_TTL = 1
"""Remaining lifetime (TTL) of a record after a goodbye in seconds (RFC 6762, 10.1)."""

_PTR, _SRV, _IN = 12, 33, 1
"""Types and class of records (RFC 1035, 2782)."""


class Advertisement:
    """Announces the device until it is stopped, through all changes of the network."""

    def __init__(
        self, name: str, host: str, bound: Collection[str], port: int, facts: Callable[[], Mapping[str, str]]
    ) -> None:
        """`name` is the display name, `host` a label below .local; both get a number if another device has them. `bound` and
        `port` are the addresses and the TCP port of the server. `facts` returns the TXT record; changes are announced.
        """
        self._name, self._host, self._bound, self._port, self._facts = name, host, bound, port, facts
        self._ended: Future[None] = Future()

    def run(self) -> None:
        """Announces until `stop`, then says goodbye (RFC 6762, 10.1). Failures are logged and retried."""
        logging.getLogger("zeroconf").addFilter(_in_one_line)
        asyncio.run(self._until_stopped())

    def stop(self) -> None:
        """Ends `run` from another thread; returns at once, the goodbye takes 0.3 s."""
        self._ended.set_result(None)

    async def _until_stopped(self) -> None:
        work = asyncio.create_task(self._work())
        await asyncio.wait([work, asyncio.wrap_future(self._ended)], return_when=asyncio.FIRST_COMPLETED)
        work.cancel()
        with suppress(asyncio.CancelledError):
            await work

    async def _work(self) -> None:
        problem = ""
        while True:
            try:
                addresses = reachable(self._bound)
                if addresses:
                    await self._announce(addresses)
                    problem = ""
                    continue
                failure, pause = "no address on any network yet", POLL_SECONDS
            except (OSError, RuntimeError, Error) as error:
                failure, pause = f"{type(error).__name__}: {error}", RETRY_SECONDS
            if failure != problem:
                log.warning("not announced on the LAN: %s", failure)
                problem = failure
            await asyncio.sleep(pause)

    async def _announce(self, addresses: Sequence[str]) -> None:
        """Announces these addresses; returns if they have changed, or another device keeps the name."""
        facts = self._facts()
        async with AsyncZeroconf(interfaces=list(addresses)) as responder:
            host = await self._free_host(responder.zeroconf, addresses)
            name = await self._free_name(responder.zeroconf, host)

            def service(kind: str, name: str, properties: Mapping[str, str]) -> ServiceInfo:
                return ServiceInfo(
                    kind, name, self._port, properties=dict(properties), server=host, parsed_addresses=list(addresses)
                )

            ours = service(SERVICE, f"{name}.{SERVICE}", facts)
            web = service(WEB, f"{name}.{WEB}", {"path": "/"})
            await asyncio.gather(*(_registered(responder, each) for each in (ours, web)))
            log.info(
                'on the LAN as "%s": %s, port %d at %s', ours.get_name(), host[:-1], self._port, ", ".join(addresses)
            )
            while reachable(self._bound) == addresses and not _taken(responder.zeroconf, ours):
                latest = self._facts()
                if latest != facts:
                    facts, ours = latest, service(SERVICE, ours.name, latest)
                    await (await responder.async_update_service(ours))
                await asyncio.sleep(POLL_SECONDS)

    async def _free_host(self, querier: Zeroconf, addresses: Collection[str]) -> str:
        """The first of host.local, host-2.local … that no other address answers for; zeroconf does not check host names."""
        number, host = 1, f"{self._host}.local."
        while True:
            resolver = AddressResolver(host)
            await resolver.async_request(querier, HOST_PROBE_MS)
            if {*resolver.parsed_addresses()} <= {*addresses}:
                return host
            number += 1
            host = f"{self._host}-{number}.local."

    async def _free_name(self, querier: Zeroconf, host: str) -> str:
        """The first of "Name", "Name-2" … that no other host has, in any case; zeroconf compares names letter by letter."""
        number, name = 1, self._name
        while True:
            info = AsyncServiceInfo(SERVICE, f"{name}.{SERVICE}")
            if not await info.async_request(querier, HOST_PROBE_MS) or (info.server or "").lower() == host.lower():
                return name
            number += 1
            name = f"{self._name}-{number}"


@dataclass(frozen=True, slots=True)
class Appliance:
    """An appliance on the LAN, as it describes itself: every text is printable, none is trustworthy."""

    name: str
    host: str
    addresses: Sequence[str]
    port: int
    txt: Mapping[str, str]

    @classmethod
    def of(cls, info: ServiceInfo) -> Self:
        """From its records; a TXT item without a value has an empty one, an item without a key is ignored."""
        return cls(
            _printable(info.get_name()),
            _printable((info.server or "").rstrip(".")),
            info.parsed_scoped_addresses(IPVersion.All),
            info.port or 0,
            {_printable(key): _printable(value or b"") for key, value in info.properties.items() if key},
        )


def text(
    *,
    api: str,
    sdk: str,
    device_id: str,
    model: str,
    liveness: Literal["multi", "single"],
    auth: Literal["none", "key"],
    fingerprint: str | None,
    state: Literal["loading", "ready", "fault"],
) -> dict[str, str]:
    """The TXT record; the model is truncated so that it has at most TEXT_BYTES. `fingerprint`: the SHA-256 of the certificate,
    base64url, of a server with TLS.
    """
    entries = {
        "txtvers": "1",
        "path": "/",
        "api": api,
        "sdk": sdk,
        "id": device_id,
        "model": model,
        "lv": liveness,
        "auth": auth,
        "tls": "0" if fingerprint is None else "1",
        "st": state,
        **({} if fingerprint is None else {"fp": fingerprint}),
    }
    over = sum(len(f"{key}={value}".encode()) + 1 for key, value in entries.items()) - TEXT_BYTES
    if over > 0:
        whole = model.encode()
        entries["model"] = whole[: max(0, len(whole) - over)].decode("utf-8", "ignore")
    return entries


def discover(seconds: float) -> list[Appliance]:
    """The appliances that answer within so many seconds, sorted by name. Raises OSError without a network."""
    logging.getLogger("zeroconf").addFilter(_in_one_line)
    return asyncio.run(_discover(seconds))


async def _discover(seconds: float) -> list[Appliance]:
    addresses = reachable(EVERYWHERE)
    if not addresses:
        raise OSError(errno.ENETUNREACH, os.strerror(errno.ENETUNREACH))
    async with AsyncZeroconf(interfaces=list(addresses)) as querier:
        await querier.zeroconf.async_wait_for_start()
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            # zeroconf's browser repeats known answers in its questions, which fails for names that are not UTF-8. The
            # question asks for multicast answers: a unicast one may reach another program on the same port.
            question = DNSOutgoing(0)
            question.add_question(DNSQuestion(SERVICE, _PTR, _IN))
            querier.zeroconf.async_send(question)
            await asyncio.sleep(min(ASK_SECONDS, left))
        names = {
            record.alias
            for record in querier.zeroconf.cache.get_all_by_details(SERVICE, _PTR, _IN)
            if isinstance(record, DNSPointer) and record.ttl > GONE_TTL
        }
        found = await asyncio.gather(*(_resolved(querier.zeroconf, name) for name in sorted(names)[:MOST_FOUND]))
    return sorted((each for each in found if each is not None), key=lambda each: (each.name, each.host))


async def _resolved(querier: Zeroconf, name: str) -> Appliance | None:
    """The appliance of a name; None without an answer, or if the name is invalid."""
    try:
        info = AsyncServiceInfo(SERVICE, name)
        return Appliance.of(info) if await info.async_request(querier, RESOLVE_MS) else None
    except Error:
        return None


async def _registered(responder: AsyncZeroconf, service: ServiceInfo) -> None:
    """Registers a service, under another name if its own is taken."""
    await (await responder.async_register_service(service, allow_name_change=True))


def _taken(responder: Zeroconf, service: ServiceInfo) -> bool:
    """Whether another device has announced our name and keeps it, because its host name sorts first. Devices that start at the
    same moment, or whose networks are joined later, miss each other's probes.
    """
    own = (service.server or "").lower()
    records = responder.cache.get_all_by_details(service.name, _SRV, _IN)
    return any(isinstance(record, DNSService) and record.server.lower() < own for record in records)


def _printable(content: str | bytes) -> str:
    """Text without control characters, safe for a terminal."""
    decoded = content.decode("utf-8", "replace") if isinstance(content, bytes) else content
    return "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in decoded)


def _in_one_line(record: logging.LogRecord) -> bool:
    """Removes tracebacks: network errors in zeroconf need none."""
    record.exc_info = None
    return True
