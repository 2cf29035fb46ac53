"""The line of the TLS front, byte by byte, and the headers that carry a key."""

import re
from contextlib import suppress
from ipaddress import IPv4Address, IPv6Address

import pytest
from client import Client, from_elsewhere, request
from devices import Device, pool
from document import assert_refusal
from hypothesis import example, given
from hypothesis import strategies as st

from appliance.api import access
from appliance.api import wire as proxy

PORTS = st.integers(0, 65_535)


@given(st.ip_addresses(v=4), st.ip_addresses(v=4), PORTS, PORTS)
def test_a_line_of_version_4_is_read(client: IPv4Address, own: IPv4Address, port: int, own_port: int) -> None:
    line = f"PROXY TCP4 {client} {own} {port} {own_port}".encode()
    assert proxy.client_of(line) == (str(client), port)


@given(st.ip_addresses(v=6), st.ip_addresses(v=6), PORTS, PORTS)
def test_a_line_of_version_6_is_read(client: IPv6Address, own: IPv6Address, port: int, own_port: int) -> None:
    line = f"PROXY TCP6 {client.exploded} {own} {port} {own_port}".encode()
    assert len(line) + 2 <= proxy.LONGEST
    assert proxy.client_of(line) == (str(client.ipv4_mapped or client), port)


@given(st.ip_addresses(v=4), PORTS)
def test_a_client_of_version_4_keeps_its_address_when_stunnel_listens_on_version_6(
    client: IPv4Address, port: int
) -> None:
    line = f"PROXY TCP6 ::ffff:{client} ::ffff:192.0.2.10 {port} 9443".encode()
    assert proxy.client_of(line) == (str(client), port)


@given(st.binary(max_size=120) | st.text("PROXYTCP46 0123456789.:abf\r\n\t", max_size=120).map(str.encode))
@example(b"PROXY UNKNOWN")
@example(b"PROXY UNKNOWN 192.0.2.7 192.0.2.1 1 2")
@example(b"PROXY TCP4 ::1 ::1 1 2")
@example(b"PROXY TCP6 127.0.0.1 127.0.0.1 1 2")
@example(b"PROXY TCP4 127.0.0.01 127.0.0.1 1 2")
@example(b"PROXY TCP4 127.0.0.1 127.0.0.1 1 65536")
@example(b"PROXY TCP4 127.0.0.1 127.0.0.1 01 2")
@example(b"PROXY TCP4  127.0.0.1 127.0.0.1 1 2")
@example(b"PROXY TCP4 127.0.0.1 127.0.0.1 1 2 ")
@example(b"PROXY TCP4 127.0.0.1 127.0.0.1 1 2\n")
@example(b"proxy TCP4 127.0.0.1 127.0.0.1 1 2")
@example(b"PROXY TCP6 fe80::1%eth0 ::1 1 2")
def test_whatever_else_it_is_is_no_client(line: bytes) -> None:
    assert proxy.client_of(line) is None


@pytest.fixture(scope="module")
def front() -> Device:
    with Device(pool()) as device:
        yield device


@pytest.mark.parametrize(
    "sent",
    [
        b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"\r\nPROXY TCP4 127.0.0.1 127.0.0.1 1 2\r\nGET / HTTP/1.1\r\n\r\n",
        b"PROXY UNKNOWN\r\nGET / HTTP/1.1\r\n\r\n",
        b"PROXY TCP4 127.0.0.1 127.0.0.1 1 2\nGET / HTTP/1.1\r\n\r\n",
        b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x0c" + bytes(12),
        b"P" * proxy.LONGEST,
        bytes(5000),
        b"\x16\x03\x01",
        b"GET",
    ],
    ids=lambda sent: repr(sent[:20]),
)
def test_a_connection_without_the_line_is_refused_and_closed(front: Device, sent: bytes) -> None:
    with Client(front.front_port).wire(timeout=5) as wire:
        wire.send(sent)
        assert_refusal(wire.answer(), 400, "INF-01")
        with suppress(ConnectionResetError):
            assert wire.rest() == b""
    assert front.client.get("/").status == 200


def test_the_line_may_come_in_pieces(front: Device) -> None:
    with Client(front.front_port).wire() as wire:
        for byte in front.elsewhere.preface + request("GET", "/version"):
            wire.send(bytes([byte]))
        assert_refusal(wire.answer(), 401, "INF-25")
        assert_refusal(wire.ask("GET", "/nothing-here"), 401, "INF-25")


def test_a_second_line_is_no_http(front: Device) -> None:
    with front.elsewhere.wire() as wire:
        wire.send(b"PROXY TCP4 127.0.0.1 127.0.0.1 1 2\r\n" + request("GET", "/version"))
        assert_refusal(wire.answer(), 400, "INF-01")


def test_the_line_means_nothing_on_the_other_port(front: Device) -> None:
    with front.client.wire() as wire:
        wire.send(from_elsewhere(front.client.port, "127.0.0.1").preface + request("GET", "/version"))
        assert_refusal(wire.answer(), 400, "INF-01")


HEADERS = st.sampled_from(["HTTP_AUTHORIZATION", "HTTP_X_API_KEY", "HTTP_X_RAPIDAPI_KEY", "HTTP_COOKIE"])
VALUES = st.text(st.characters(max_codepoint=255), max_size=60)


@given(st.dictionaries(HEADERS, VALUES | VALUES.map("Bearer {}".format) | VALUES.map(f"{access.COOKIE}={{}}".format)))
def test_any_headers_carry_a_key_or_none(environ: dict[str, str]) -> None:
    tokens, session = access.tokens_of(environ), access.session_of(environ)
    assert all(any(token in value for value in environ.values()) for token in tokens if token)
    assert session in environ.get("HTTP_COOKIE", "")


@given(st.lists(VALUES.filter(lambda text: ";" not in text and access.COOKIE not in text), max_size=5))
def test_the_cookie_is_found_among_any_others(others: list[str]) -> None:
    key = "fs_" + "A" * 43
    header = "; ".join([*others, f"{access.COOKIE}={key}", *others])
    assert access.session_of({"HTTP_COOKIE": header}) == key
    assert not re.search(access.COOKIE, "; ".join(others))
