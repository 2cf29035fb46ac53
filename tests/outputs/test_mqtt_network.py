"""MQTT over a network that is away for a while, without either side being told: nothing arrives late."""

import os
import shutil
import subprocess
import time

import pytest
from brokers import Listener, Mosquitto, needs_mosquitto
from devices import until
from told import running, signed

from appliance.outputs.mqtt import Broker, Publisher

pytestmark = [
    needs_mosquitto,
    pytest.mark.skipif(
        os.geteuid() != 0 or shutil.which("ip") is None,
        reason="needs root and network namespaces: sudo apt install iproute2, then run the tests as root",
    ),
]

PLACE, HERE, THERE = (f"fa-{os.getpid()}-{what}" for what in "bht")

OWN, FOR_THE_DEVICE, FOR_OTHERS = "198.18.93.1", "198.18.93.2", "198.18.93.3"
"""Addresses for tests of networks (RFC 2544)."""

HEALTH = {"status": "ok", "reasons": []}


def ip(*arguments):
    subprocess.run(["ip", *arguments], check=True, timeout=20)


@pytest.fixture
def away():
    """A place of its own for the broker, with two addresses; takes away, or gives back, the one that the device knows."""
    ip("netns", "add", PLACE)
    try:
        ip("link", "add", HERE, "type", "veth", "peer", "name", THERE, "netns", PLACE)
        ip("address", "add", f"{OWN}/24", "dev", HERE)
        ip("link", "set", HERE, "up")
        for address in (FOR_OTHERS, FOR_THE_DEVICE):
            ip("-n", PLACE, "address", "add", f"{address}/24", "dev", THERE)
        ip("-n", PLACE, "link", "set", THERE, "up")
        ip("-n", PLACE, "link", "set", "lo", "up")
        yield lambda act: ip("-n", PLACE, "address", act, f"{FOR_THE_DEVICE}/24", "dev", THERE)
    finally:
        # the link by its name: a connection that nobody answers would keep it, and the place, for minutes
        subprocess.run(["ip", "link", "delete", HERE], check=False, timeout=20, capture_output=True)
        ip("netns", "delete", PLACE)


def test_a_decision_that_the_network_did_not_take_in_time_never_arrives(away, tmp_path):
    inside = ["ip", "netns", "exec", PLACE]
    with Mosquitto(tmp_path, inside=inside, addresses=(FOR_OTHERS, FOR_THE_DEVICE)) as broker:
        output = Publisher(
            Broker(FOR_THE_DEVICE, broker.port, tls=False, authority=None, username=None),
            None,
            "face-appliance",
            "50d31c0ffee0",
            lambda: HEALTH,
            None,
        )
        with Listener(broker.port, host=FOR_OTHERS) as listener, running(output):
            assert listener.on("/status") == [b"online"]
            output.notify(signed())
            assert len(listener.on("/decision")) == 1
            away("delete")
            output.notify(signed())
            assert until(output.problem, 20)
            away("add")
            assert until(lambda: output.problem() is None)
            time.sleep(2)  # the kernel would have tried again by now
            assert len(listener.on("/decision", 2, seconds=0)) == 1
            output.notify(signed())
            assert len(listener.on("/decision", 2)) == 2
