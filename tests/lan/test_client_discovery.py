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
print(json.dumps([[each.name, each.host, each.url, each.fingerprint, each.txt["api"]] for each in discover(1.5)]))
"""


def test_devices_are_found_by_the_client_library(tmp_path: Path) -> None:
    with local_network(tmp_path, "10.97.0.1/24", "10.97.0.2/24") as (device, other):
        with device.announce("Entrance") as announcer:
            assert announcer.logged('as "Entrance"')
            done = other.run(sys.executable, "-c", PROGRAM)
            assert json.loads(done.stdout) == [
                ["Entrance", "face-appliance-aaaaaa.local", "http://10.97.0.1:9297", None, "1.0"]
            ], done.stderr
        assert until(lambda: json.loads(other.run(sys.executable, "-c", PROGRAM).stdout) == [])
