"""The addresses of this device on its networks; the only file that imports ifaddr."""

import socket
from collections.abc import Iterable, Iterator
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path

import ifaddr

EVERYWHERE = ("0.0.0.0", "::")  # noqa: S104  # compared with, never bound to

_INTERFACES = Path("/sys/class/net")

_CONNECTED = {"up", "unknown"}
"""Operational states (RFC 2863) of an interface that carries packets; drivers that do not tell say "unknown"."""


def reachable(bound: Iterable[str]) -> tuple[str, ...]:
    """Where others on the LAN reach sockets bound to these addresses, 0.0.0.0 and :: among them: IPv4 first, in order.

    Loopback, unplugged interfaces and addresses that are still being negotiated are left out. Raises OSError.
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
    """Whether a cable is in, or a Wi-Fi joined; a label such as eth0:1 is an address of eth0."""
    try:
        state = (_INTERFACES / interface.partition(":")[0] / "operstate").read_text("ascii")
    except OSError:
        return True
    return state.strip() in _CONNECTED


def _usable(address: IPv4Address | IPv6Address, scope: int) -> bool:
    """Whether a socket can have the address: not while IPv6 looks for duplicates of it, a second or two (RFC 4862)."""
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    with socket.socket(family, socket.SOCK_DGRAM) as attempt:
        try:
            attempt.bind((str(address), 0) if address.version == 4 else (str(address), 0, 0, scope))
        except OSError:
            return False
    return True


def _parsed(address: str) -> IPv4Address | IPv6Address:
    """Without the interface that a link-local address may name."""
    return ip_address(address.partition("%")[0])
