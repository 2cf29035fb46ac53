"""The line with which a TLS front begins each connection: who its client is (PROXY protocol, version 1, section 2.1)."""

import re
from ipaddress import IPv4Address, IPv6Address

LONGEST = 107
"""Bytes of a line with its CRLF."""

FAMILIES: dict[bytes, type[IPv4Address | IPv6Address]] = {b"TCP4": IPv4Address, b"TCP6": IPv6Address}

_LINE = re.compile(rb"PROXY (TCP[46]) ([0-9A-Fa-f:.]+) ([0-9A-Fa-f:.]+) (0|[1-9][0-9]{0,4}) (0|[1-9][0-9]{0,4})")


def client_of(line: bytes) -> tuple[str, int] | None:
    """Address and port of the client, of a line without its CRLF; None when it is anything else, `PROXY UNKNOWN` too."""
    found = _LINE.fullmatch(line)
    if found is None:
        return None
    family = FAMILIES[found[1]]
    try:
        client, _ = family(found[2].decode()), family(found[3].decode())
    except ValueError:
        return None
    ports = [int(port) for port in found.group(4, 5)]
    return (str(client), ports[0]) if max(ports) <= 65_535 else None
