"""Many connections: which are closed when there are too many, and who is answered all the same."""

import gzip
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from client import Client, Wire, from_elsewhere, request
from devices import Device, pool, until
from document import assert_refusal

from appliance import keys, supervision
from appliance.keys import Scope
from appliance.supervision import Pulse

UNFINISHED = b"POST /faces HTTP/1.1\r\nHost: 192.0.2.1\r\nContent-Le"


@contextmanager
def dripping(device: Device, addresses: list[str]) -> Iterator[list[Wire]]:
    """A connection from each of these addresses, each with a request that does not end."""
    with ExitStack() as stack:
        wires = []
        for address in addresses:
            wires.append(stack.enter_context(from_elsewhere(device.front_port, address).wire()))
            wires[-1].send(UNFINISHED)
        yield wires


def closed(wire: Wire) -> bool:
    """Whether the server has closed a connection."""
    wire.socket.settimeout(0.2)
    try:
        return wire.socket.recv(1) == b""
    except TimeoutError:
        return False
    except ConnectionError:
        return True


def test_one_address_without_a_key_has_few_connections_and_others_are_answered() -> None:
    with Device(pool(), keyless=4) as device, dripping(device, ["192.0.2.50"] * 12) as wires:
        assert until(lambda: len(device.connections()) == 4)
        assert [closed(wire) for wire in wires] == [True] * 8 + [False] * 4

        assert_refusal(device.elsewhere.get("/version"), 401, "INF-25")
        assert device.client.get("/version").status == 200


@pytest.mark.parametrize("address", ["2001:db8:0:1::1", "2001:db8:0:1:ffff::2"])
def test_the_addresses_of_one_network_count_together(address: str) -> None:
    with Device(pool(), keyless=4) as device, dripping(device, ["2001:db8:0:1::9"] * 4 + [address]) as wires:
        assert until(lambda: closed(wires[0]))
        assert not any(closed(wire) for wire in wires[1:])


def test_a_client_with_a_key_may_have_more(tmp_path: Path) -> None:
    token = keys.add(tmp_path / keys.FILE, "busy", list(Scope))
    with Device(pool(), keys=tmp_path / keys.FILE, keyless=2) as device, ExitStack() as stack:
        wires = [stack.enter_context(device.elsewhere.wire()) for _ in range(2)]
        for _ in range(8):
            wires.append(stack.enter_context(device.elsewhere.wire()))
            assert wires[-1].ask("GET", "/version", None, {"X-API-Key": token}).status == 200
        assert [closed(wire) for wire in wires] == [True] + [False] * 9
        for wire in wires[2:]:
            assert wire.ask("GET", "/version", None, {"X-API-Key": token}).status == 200


def test_a_full_server_closes_the_oldest_unfinished_request_without_a_key(tmp_path: Path) -> None:
    token = keys.add(tmp_path / keys.FILE, "door", list(Scope))
    addresses = [f"192.0.2.{number}" for number in range(20, 60)]
    with Device(pool(), keys=tmp_path / keys.FILE, connections=16) as device, device.elsewhere.wire() as known:
        assert known.ask("GET", "/version", None, {"X-API-Key": token}).status == 200
        with dripping(device, addresses) as wires:
            assert until(lambda: len(device.connections()) <= 16)
            assert closed(wires[0])
            assert not closed(wires[-1])
            for _ in range(3):
                assert device.client.get("/version").status == 200
                assert_refusal(device.elsewhere.get("/version"), 401, "INF-25")
            assert known.ask("GET", "/version", None, {"X-API-Key": token}).status == 200


def test_places_are_kept_for_the_device_itself_while_all_others_are_at_work(tmp_path: Path) -> None:
    token = keys.add(tmp_path / keys.FILE, "wall", [Scope.LIVE])
    listen = request("GET", "/events", None, {"X-API-Key": token})
    with Device(pool(), keys=tmp_path / keys.FILE, connections=8, listeners=8) as device, ExitStack() as stack:
        streams = [stack.enter_context(device.elsewhere.wire()) for _ in range(7)]
        for stream in streams:
            stream.send(listen)
            assert stream.answer().status == 200
        late = stack.enter_context(device.elsewhere.wire())
        assert until(lambda: closed(late))
        assert device.client.get("/version").status == 200
        assert not any(each.closing for each in device.connections())


def test_a_slow_upload_makes_room_when_the_memory_is_full() -> None:
    limit = 2**17
    whole = request("POST", "/faces", bytes(limit))
    with Device(pool(), max_body=limit) as device, ExitStack() as stack:
        slow = [stack.enter_context(Wire(device.client.port)) for _ in range(8)]
        for wire in slow:
            wire.send(whole[:-1])
        assert_refusal(device.client.post("/faces", bytes(limit)), 503, "INF-08")

        time.sleep(1.1)  # from here on they are slow

        assert_refusal(device.client.post("/faces", bytes(limit)), 400, "INF-04")
        assert sum(closed(wire) for wire in slow) == 1


def test_an_inflated_body_closes_no_upload() -> None:
    limit = 2**17
    whole, small = request("POST", "/faces", bytes(limit)), gzip.compress(bytes(limit))
    with Device(pool(), max_body=limit) as device, ExitStack() as stack:
        slow = [stack.enter_context(Wire(device.client.port)) for _ in range(8)]
        for wire in slow:
            wire.send(whole[: -len(small)])  # the compressed body finds room
        time.sleep(1.1)  # from here on they are slow

        assert_refusal(device.client.post("/faces", small, {"Content-Encoding": "gzip"}), 503, "INF-08")
        assert not any(closed(wire) for wire in slow)


@pytest.mark.parametrize(("full", "hangs"), [(True, False), (False, True)])
def test_a_full_server_does_not_hang(monkeypatch: pytest.MonkeyPatch, *, full: bool, hangs: bool) -> None:
    monkeypatch.setattr(supervision, "EVERY_SECONDS", 0.01)
    monkeypatch.setattr(supervision, "SILENT_SECONDS", 0.3)
    with Device(pool()) as device:
        port = device.client.port
    pulse = Pulse("127.0.0.1", port, lambda: full)  # where no server listens any more
    asking = threading.Thread(target=pulse.run)
    asking.start()
    time.sleep(0.6)
    trouble = pulse.trouble()
    pulse.stop()
    asking.join()
    assert (trouble is not None) == hangs


def test_a_client_of_the_device_itself_is_never_slowed(tmp_path: Path) -> None:
    with Device(pool(), keyless=1, keys=tmp_path / keys.FILE) as device, ExitStack() as stack:
        clients = [stack.enter_context(Client(device.client.port).wire()) for _ in range(6)]
        assert [wire.ask("GET", "/version").status for wire in clients] == [200] * 6
