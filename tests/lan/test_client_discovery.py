"""The client library finds devices on a real network."""

import json
import sys
from pathlib import Path

from devices import until
from networks import local_network, needs_namespaces

pytestmark = needs_namespaces

PROGRAM = """
import json
from face_appliance_client import discover
print(json.dumps([[each.name, each.host, each.url, each.fingerprint, each.txt["api"], each.fleet] for each in discover(1.5)]))
"""


def found(host):
    return json.loads(host.run(sys.executable, "-c", PROGRAM).stdout)


def test_devices_are_found_by_the_client_library(tmp_path: Path) -> None:
    with local_network(tmp_path, "10.97.0.1/24", "10.97.0.2/24") as (device, other):
        with device.announce("Entrance") as announcer, device.announce("Alone", "face-appliance-bbbbbb") as alone:
            announcer.tell("ready f1ee7000f1ee")
            assert announcer.logged('as "Entrance"')
            assert alone.logged('as "Alone"')
            expected = [
                ["Alone", "face-appliance-bbbbbb.local", "http://10.97.0.1:9297", None, "1.0", None],
                ["Entrance", "face-appliance-aaaaaa.local", "http://10.97.0.1:9297", None, "1.0", "f1ee7000f1ee"],
            ]
            assert until(lambda: found(other) == expected)
            rows = other.appliance("discover", "--timeout", "1.5").stdout.splitlines()
            assert [row.split()[:1] for row in rows if "http" in row] == [["Entrance"], ["Alone"]]
        assert until(lambda: found(other) == [])
