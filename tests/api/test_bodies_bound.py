"""The bodies of all requests together are bounded, and every byte is given back, however its request ends."""

from collections.abc import Iterator
from contextlib import ExitStack

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


def full(client: Client) -> bool:
    return client.post("/faces", bytes(LIMIT)).status == 503


def test_a_body_beyond_the_bound_of_all_is_turned_away(narrow: Client) -> None:
    with ExitStack() as stack:
        for _ in range(TOGETHER):
            stack.enter_context(Wire(narrow.port)).send(WHOLE[:-1])
        assert until(lambda: full(narrow))

        with narrow.wire() as wire:
            answer = wire.ask("POST", "/faces", bytes(LIMIT))
            assert_refusal(answer, 503, "INF-08")
            assert int(answer.headers["Retry-After"]) >= 1
            assert_refusal(wire.ask("GET", "/nothing-here"), 404, "INF-02")


def test_who_leaves_gives_his_bytes_back(narrow: Client) -> None:
    with ExitStack() as stack:
        for _ in range(TOGETHER):
            stack.enter_context(Wire(narrow.port)).send(WHOLE[:-1])
        assert until(lambda: full(narrow))

    assert until(lambda: not full(narrow))


def test_bodies_that_are_under_way_are_answered_in_the_end(narrow: Client) -> None:
    with ExitStack() as stack:
        slow = [stack.enter_context(Wire(narrow.port)) for _ in range(TOGETHER)]
        for wire in slow:
            wire.send(WHOLE[:-1])
        assert until(lambda: full(narrow))

        for wire in slow:
            wire.send(WHOLE[-1:])
            assert_refusal(wire.answer(), 400, "INF-04")

    assert not full(narrow)


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

    assert not full(narrow)
