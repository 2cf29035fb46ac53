"""The bad clients of the soak do what they say, and report an answer that they should not get."""

import random
from collections.abc import Iterator
from pathlib import Path

import pytest
from client import request
from devices import Device, pool, until
from lab.bench import bad_clients
from lab.bench.bad_clients import Drip, Target, WrongAnswerError

from appliance import keys
from appliance.api.access import BURST
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
    ("client", "act"),
    [
        (bad_clients.leave, "left in the middle"),
        (bad_clients.leave_stream, "left a stream"),
        (bad_clients.knock, "opened and dropped"),
        (bad_clients.guess, "refused without a valid key"),
    ],
)
def test_each_does_what_it_says(target: Target, device: Device, client: bad_clients.Client, act: str) -> None:
    chance = random.Random(1)
    assert {client(target, chance) for _ in range(10)} == {act}
    assert until(lambda: not device.connections())


def test_the_valid_key_is_answered_and_a_wrong_one_reported(target: Target) -> None:
    with pytest.raises(WrongAnswerError, match="key answered 401"):
        bad_clients.use_key(Target(target.port, target.front_port, "fa_wrong", ()), random.Random(1))
    acts = {bad_clients.use_key(target, random.Random(seed)) for seed in range(BURST)}
    assert acts == {"answered with a key"}


def test_connections_drip_byte_by_byte(device: Device) -> None:
    drip = Drip(device.client.port)
    for _ in range(5):
        drip.send()
    assert until(lambda: len(device.connections()) == 1)
    assert until(lambda: all(channel.request is not None for channel in device.connections()))
    drip._connection.close()
    assert until(lambda: not device.connections())
    drip.send()  # opens it again
    assert until(lambda: len(device.connections()) == 1)
    drip._connection.close()
