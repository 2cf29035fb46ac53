"""Announcement and discovery on the LAN: multicast DNS (RFC 6762), service discovery (RFC 6763), addresses."""

import asyncio
import errno
import itertools
import logging
import os
import socket
import time
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Mapping, Sequence
from concurrent.futures import Future
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, replace
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


Links = dict[str, tuple[str, ...]]
"""Interface -> its addresses, IPv4 first, in order."""


def links(bound: Iterable[str]) -> Links:
    """The interfaces on which others on the LAN reach sockets bound to these addresses, which may include 0.0.0.0 and ::;
    without loopback, unplugged interfaces and addresses still being negotiated. Raises OSError.
    """
    wanted = [_parsed(each) for each in bound]
    found: dict[str, list[IPv4Address | IPv6Address]] = {}
    for adapter in ifaddr.get_adapters():
        interface = adapter.name.partition(":")[0]  # a label such as eth0:1 is an address of eth0
        if not _connected(interface):
            continue
        for each in adapter.ips:
            text, scope = (each.ip, 0) if isinstance(each.ip, str) else (each.ip[0], each.ip[2])
            address = _parsed(text)
            if _is_wanted(address, wanted) and not address.is_loopback and _usable(address, scope):
                found.setdefault(interface, []).append(address)
    return {
        interface: tuple(str(each) for each in sorted(addresses, key=lambda each: (each.version, int(each))))
        for interface, addresses in found.items()
    }


def _is_wanted(address: IPv4Address | IPv6Address, wanted: Iterable[IPv4Address | IPv6Address]) -> bool:
    return any(address == each or (each.is_unspecified and each.version == address.version) for each in wanted)


def _connected(interface: str) -> bool:
    """Whether a cable is plugged in or a Wi-Fi joined."""
    try:
        state = (_INTERFACES / interface / "operstate").read_text("ascii")
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

NAME_PROBES, NAME_PROBE_SECONDS = 3, 0.25
"""Number and interval of the questions for a name (RFC 6762, 8.1)."""

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

IP_MULTICAST_ALL, IPV6_MULTICAST_ALL = 49, 29
"""Socket options (linux/in.h, linux/in6.h) that Python does not name."""

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
                found = links(self._bound)
                if found:
                    await self._announce(found)
                    problem = ""
                    continue
                failure, pause = "no address on any network yet", POLL_SECONDS
            except (OSError, RuntimeError, Error) as error:
                failure, pause = f"{type(error).__name__}: {error}", RETRY_SECONDS
            if failure != problem:
                log.warning("not announced on the LAN: %s", failure)
                problem = failure
            await asyncio.sleep(pause)

    async def _announce(self, found: Links) -> None:
        """Announces on each link the addresses that it has; returns if they have changed, or another device keeps the name."""
        facts = self._facts()
        async with AsyncExitStack() as stack:
            responders = {each: await stack.enter_async_context(_responder(found[each])) for each in found}
            queriers = [each.zeroconf for each in responders.values()]
            host = await self._free_host(queriers, {address for addresses in found.values() for address in addresses})
            ours, web = await asyncio.gather(self._free_name(queriers, SERVICE), self._free_name(queriers, WEB))

            def services(kind: str, name: str, properties: Mapping[str, str]) -> dict[str, ServiceInfo]:
                return {
                    link: ServiceInfo(
                        kind,
                        f"{name}.{kind}",
                        self._port,
                        properties=dict(properties),
                        server=host,
                        parsed_addresses=list(addresses),
                    )
                    for link, addresses in found.items()
                }

            announced = services(SERVICE, ours, facts)
            for each in (announced, services(WEB, web, {"path": "/"})):
                await asyncio.gather(*(_registered(responders[link], info) for link, info in each.items()))
            addresses = [address for mark in ".:" for each in found.values() for address in each if mark in address]
            log.info('on the LAN as "%s": %s, port %d at %s', ours, host[:-1], self._port, ", ".join(addresses))
            while links(self._bound) == found and not any(_taken(each, f"{ours}.{SERVICE}", host) for each in queriers):
                latest = self._facts()
                if latest != facts:
                    facts = latest
                    for link, info in services(SERVICE, ours, facts).items():
                        await (await responders[link].async_update_service(info))
                await asyncio.sleep(POLL_SECONDS)

    async def _free_host(self, queriers: Sequence[Zeroconf], own: Collection[str]) -> str:
        """The first of host.local, host-2.local … that no other address answers for; zeroconf does not check host names."""
        for number in itertools.count(1):
            host = f"{_numbered(self._host, number)}.local."
            resolvers = [AddressResolver(host) for _ in queriers]
            await asyncio.gather(
                *(each.async_request(querier, HOST_PROBE_MS) for each, querier in zip(resolvers, queriers, strict=True))
            )
            if all({*each.parsed_addresses()} <= {*own} for each in resolvers):
                break
        return host

    async def _free_name(self, queriers: Sequence[Zeroconf], kind: str) -> str:
        """The first of name, name-2 … that no service of this kind has on any link. Names that differ in case only are the same
        (RFC 6762, 16), which zeroconf's own check misses.
        """
        own = ServiceInfo(kind, f"{self._name}.{kind}", self._port, server=f"{self._host}.local.")
        for _ in range(NAME_PROBES):
            for querier in queriers:
                querier.async_send(querier.generate_service_query(own))
            await asyncio.sleep(NAME_PROBE_SECONDS)
        taken = {name.lower() for querier in queriers for name in _names(querier, kind)}
        return next(
            name
            for number in itertools.count(1)
            if f"{(name := _numbered(self._name, number))}.{kind}".lower() not in taken
        )


def _numbered(name: str, number: int) -> str:
    return name if number == 1 else f"{name}-{number}"


@asynccontextmanager
async def _responder(addresses: Sequence[str]) -> AsyncIterator[AsyncZeroconf]:
    """Speaks on one link alone. By default Linux delivers multicast packets of every link that any socket has joined, so
    that the addresses of this link would be the answer to a question on another (ip(7), IP_MULTICAST_ALL). Of sockets with
    SO_REUSEPORT that are not in each other's way Linux 6.18 takes one by chance, even one that has not joined the packet's
    link.
    """
    async with AsyncZeroconf(interfaces=list(addresses)) as responder:
        await responder.zeroconf.async_wait_for_start()
        for reader in responder.zeroconf.engine.readers:
            reader.sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 0)
            reader.sock.setsockopt(socket.IPPROTO_IP, IP_MULTICAST_ALL, 0)
            if reader.is_ipv6:
                reader.sock.setsockopt(socket.IPPROTO_IPV6, IPV6_MULTICAST_ALL, 0)
        yield responder


@dataclass(frozen=True, slots=True)
class Appliance:
    """An appliance on the LAN, as it describes itself: every text is printable, none is trustworthy."""

    name: str
    host: str
    addresses: Sequence[str]
    port: int
    txt: Mapping[str, str]

    def urls(self) -> list[str]:
        """Its pages, for a browser or curl; the zone of a link-local address is escaped (RFC 6874)."""
        hosts = [f"[{each.replace('%', '%25')}]" if ":" in each else each for each in self.addresses]
        return [f"http://{host}:{self.port}/" for host in hosts]

    @classmethod
    def of(cls, info: ServiceInfo, link: str) -> Self:
        """From its records on a link, which is the zone of link-local addresses; a TXT item without a value has an empty
        one, an item without a key is ignored.
        """
        return cls(
            _printable(info.get_name()),
            _printable((info.server or "").rstrip(".")),
            [_zoned(each, link) for each in info.parsed_addresses(IPVersion.All)],
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
    fleet: str | None,
    state: Literal["loading", "ready", "fault"],
) -> dict[str, str]:
    """The TXT record; the model is truncated so that it has at most TEXT_BYTES. `fingerprint`: the SHA-256 of the certificate,
    base64url, of a server with TLS; `fleet`: the id of the device's fleet.
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
        **({} if fleet is None else {"fleet": fleet}),
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
    found = links(EVERYWHERE)
    if not found:
        raise OSError(errno.ENETUNREACH, os.strerror(errno.ENETUNREACH))
    by_link = await asyncio.gather(*(_discover_on(link, addresses, seconds) for link, addresses in found.items()))
    merged: dict[tuple[str, str], Appliance] = {}
    for each in itertools.chain.from_iterable(by_link):
        known = merged.get((each.name, each.host))
        addresses = dict.fromkeys([*(known.addresses if known else ()), *each.addresses])
        merged[each.name, each.host] = replace(each, addresses=list(addresses))
    return [merged[key] for key in sorted(merged)]


async def _discover_on(link: str, addresses: Sequence[str], seconds: float) -> list[Appliance]:
    async with _responder(addresses) as querier:
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            # zeroconf's browser repeats known answers in its questions, which fails for names that are not UTF-8. The
            # question asks for multicast answers: a unicast one may reach another program on the same port.
            question = DNSOutgoing(0)
            question.add_question(DNSQuestion(SERVICE, _PTR, _IN))
            querier.zeroconf.async_send(question)
            await asyncio.sleep(min(ASK_SECONDS, left))
        names = sorted(_names(querier.zeroconf, SERVICE))[:MOST_FOUND]
        found = await asyncio.gather(*(_resolved(querier.zeroconf, name, link) for name in names))
    return [each for each in found if each is not None]


async def _resolved(querier: Zeroconf, name: str, link: str) -> Appliance | None:
    """The appliance of a name; None without an answer, or if the name is invalid."""
    try:
        info = AsyncServiceInfo(SERVICE, name)
        return Appliance.of(info, link) if await info.async_request(querier, RESOLVE_MS) else None
    except Error:
        return None


def _names(querier: Zeroconf, kind: str) -> set[str]:
    """The announced names of a kind of service."""
    return {
        record.alias
        for record in querier.cache.get_all_by_details(kind, _PTR, _IN)
        if isinstance(record, DNSPointer) and record.ttl > GONE_TTL
    }


async def _registered(responder: AsyncZeroconf, service: ServiceInfo) -> None:
    """Registers a service whose name is known to be free."""
    await (await responder.async_register_service(service, cooperating_responders=True))


def _taken(querier: Zeroconf, name: str, host: str) -> bool:
    """Whether another device has announced our name and keeps it, because its host name sorts first. Devices that start at the
    same moment, or whose networks are joined later, miss each other's probes.
    """
    records = querier.cache.get_all_by_details(name, _SRV, _IN)
    return any(isinstance(record, DNSService) and record.server.lower() < host.lower() for record in records)


def _zoned(address: str, link: str) -> str:
    parsed = _parsed(address)
    return f"{parsed}%{link}" if parsed.version == 6 and parsed.is_link_local else str(parsed)


def _printable(content: str | bytes) -> str:
    """Text without control characters, safe for a terminal."""
    decoded = content.decode("utf-8", "replace") if isinstance(content, bytes) else content
    return "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in decoded)


def _in_one_line(record: logging.LogRecord) -> bool:
    """Removes tracebacks: network errors in zeroconf need none."""
    record.exc_info = None
    return True
