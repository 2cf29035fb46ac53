"""The bodies of all requests together are bounded, and every byte is given back, however its request ends."""

import socket
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from client import Client, Wire, request
from devices import Device, pool, until
from document import assert_refusal

LIMIT = 2**20

TOGETHER = 8
"""Bodies of the limit's size that may be in memory at once."""

WHOLE = request("POST", "/faces", bytes(LIMIT))


@pytest.fixture
def narrow() -> Iterator[Client]:
    """A client of a device that takes 1 MiB."""
    with Device(pool(), max_body=LIMIT) as device:
        yield device.client


@pytest.fixture
def slow(narrow: Client) -> Iterator[list[Wire]]:
    """Clients that have sent all but the last byte of as many bodies as there may be."""
    with ExitStack() as stack:
        wires = [stack.enter_context(Wire(narrow.port)) for _ in range(TOGETHER)]
        for wire in wires:
            wire.send(WHOLE[:-1])
        assert until(lambda: under_way(narrow.port) == 0)
        yield wires


def under_way(port: int) -> int:
    """Bytes that were sent to or by a port and have not been read (proc_net_tcp(5))."""
    sockets = [line.split() for line in Path("/proc/net/tcp").read_text("ascii").splitlines()[1:]]
    queues = [fields[4].split(":") for fields in sockets if f":{port:04X}" in fields[1] + fields[2]]
    return sum(int(sent, 16) + int(received, 16) for sent, received in queues)


def full(client: Client) -> bool:
    return client.post("/faces", bytes(LIMIT)).status == 503


@pytest.mark.usefixtures("slow")
def test_a_body_beyond_the_bound_of_all_is_turned_away(narrow: Client) -> None:
    with narrow.wire() as wire:
        answer = wire.ask("POST", "/faces", bytes(LIMIT))

        assert_refusal(answer, 503, "INF-08")
        assert int(answer.headers["Retry-After"]) >= 1
        assert_refusal(wire.ask("GET", "/nothing-here"), 404, "INF-02")


def test_who_leaves_gives_his_bytes_back(narrow: Client, slow: list[Wire]) -> None:
    assert full(narrow)

    for wire in slow:
        wire.socket.shutdown(socket.SHUT_RDWR)

    assert until(lambda: not full(narrow))


def test_bodies_that_are_under_way_are_answered_in_the_end(narrow: Client, slow: list[Wire]) -> None:
    assert full(narrow)

    for wire in slow:
        wire.send(WHOLE[-1:])
        assert_refusal(wire.answer(), 400, "INF-04")

    assert until(lambda: not full(narrow))


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (WHOLE, 400),
        (request("POST", "/faces", bytes(LIMIT + 1)), 413),
        (request("POST", "/nothing-here", bytes(LIMIT)), 404),
        (request("POST", "/faces?minsize=x", bytes(LIMIT)), 400),
        (
            request("POST", "/faces", None, {"Transfer-Encoding": "chunked"})
            + b"%x\r\n" % LIMIT
            + bytes(LIMIT)
            + b"!!",
            400,
        ),
    ],
)
def test_many_requests_one_after_the_other_never_fill_it(narrow: Client, body: bytes, status: int) -> None:
    for _ in range(3 * TOGETHER):
        with narrow.wire() as wire:
            wire.send(body)
            assert wire.answer().status == status

    assert until(lambda: not full(narrow))


def test_strangers_leave_room_for_those_with_a_key() -> None:
    with Device(pool(), max_body=LIMIT) as device, ExitStack() as stack:
        for _ in range(3 * TOGETHER):
            stranger = stack.enter_context(device.elsewhere.wire())
            stranger.send(WHOLE[:-1])
        assert until(lambda: under_way(device.front_port) == 0)

        assert_refusal(device.client.post("/faces", bytes(LIMIT)), 400, "INF-04")

        stranger.send(WHOLE[-1:])
        assert_refusal(stranger.answer(), 401, "INF-25")
        assert_refusal(stranger.ask("POST", "/faces", b"x"), 401, "INF-25")


@pytest.mark.parametrize("size", [LIMIT, LIMIT + 1])
def test_what_a_stranger_sends_is_read_to_its_end(size: int) -> None:
    with Device(pool(), max_body=LIMIT) as device, device.elsewhere.wire() as wire:
        assert wire.ask("POST", "/faces", bytes(size)).status in (401, 413)
        assert_refusal(wire.ask("GET", "/nothing-here"), 401, "INF-25")
