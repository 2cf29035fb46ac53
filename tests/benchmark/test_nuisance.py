"""The bad clients of the soak do what they say, and take note of an answer that is not as it should be."""

import random
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from client import HOST, request
from devices import Device, pool, until

from appliance import keys
from appliance.api.access import BURST
from appliance.benchmark import nuisance
from appliance.benchmark.nuisance import Target
from appliance.benchmark.tally import Tally
from appliance.keys import Scope


@pytest.fixture
def token(tmp_path: Path) -> str:
    return keys.add(tmp_path / keys.FILE, "soak", [Scope.RECOGNISE])


@pytest.fixture
def device(tmp_path: Path, token: str) -> Iterator[Device]:
    with Device(pool(patience=0.01), keys=tmp_path / keys.FILE) as running:
        yield running


@pytest.fixture
def target(device: Device, token: str) -> Target:
    return Target(device.client.port, device.front_port, token, (request("POST", "/faces", b"x" * 1000),))


@pytest.mark.parametrize(
    ("client", "meant"),
    [
        (nuisance.leave, "left in the middle"),
        (nuisance.leave_a_stream, "left a stream"),
        (nuisance.knock, "opened and dropped"),
        (nuisance.guess, "refused without a good key"),
    ],
)
def test_each_does_what_it_says(target: Target, device: Device, client: nuisance.Client, meant: str) -> None:
    tally, chance = Tally(), random.Random(1)
    for _ in range(10):
        client(target, chance, tally)
    assert (set(tally.meant), tally.wrong.total()) == ({meant}, 0)
    assert until(lambda: not device.connections())


def test_the_good_key_is_answered_and_a_bad_one_noted(target: Target) -> None:
    tally = Tally()
    nuisance.use_the_key(Target(target.port, target.front_port, "fa_wrong", ()), random.Random(1), tally)
    assert tally.wrong == {"key answered 401": 1}
    for seed in range(BURST):
        nuisance.use_the_key(target, random.Random(seed), tally)
    assert tally.meant == {"answered with a key": BURST}


def test_no_answer_is_noted() -> None:
    tally, over = Tally(), threading.Event()
    with socket.create_server((HOST, 0)) as nobody:
        port = nobody.getsockname()[1]
    thread = threading.Thread(target=nuisance.acting, args=(nuisance.knock, Target(port, port, "", ()), 1, tally, over))
    thread.start()
    assert until(lambda: tally.wrong["knock: ConnectionRefusedError"])
    over.set()
    thread.join()


def test_connections_drip_until_it_is_over(device: Device) -> None:
    with nuisance.dripping(device.client.port, 5):
        assert until(lambda: len(device.connections()) == 5)
        assert until(lambda: all(channel.request is not None for channel in device.connections()))
    assert until(lambda: not device.connections())
