"""With Avahi, which most Linux machines speak: it finds the device, and what it has named is not named so again."""

import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from devices import until
from networks import Host, Program, local_network, needs_namespaces

pytestmark = [
    needs_namespaces,
    pytest.mark.skipif(
        any(shutil.which(name) is None for name in ("avahi-daemon", "avahi-browse", "avahi-publish", "dbus-daemon")),
        reason="needs Avahi: sudo apt install avahi-daemon avahi-utils dbus",
    ),
]

BUS = """<busconfig>
  <type>system</type><listen>unix:path={}</listen><auth>EXTERNAL</auth>
  <policy context="default"><allow own="*"/><allow send_destination="*"/><allow receive_sender="*"/></policy>
</busconfig>"""

DAEMON = """[server]
host-name=avahi-host
allow-interfaces=eth0
use-ipv6=no
[rlimits]
"""


class Avahi:
    """An Avahi daemon on a host, and its tools."""

    def __init__(self, host: Host, bus: str) -> None:
        self._host, self._bus = host, f"DBUS_SYSTEM_BUS_ADDRESS={bus}"

    def browse(self, service: str) -> list[list[str]]:
        """What `avahi-browse -rpt` has resolved: interface, protocol, name, type, domain, host, address, port, text."""
        done = self._host.run("env", self._bus, "avahi-browse", "-rpt", service)
        assert (done.returncode, done.stderr) == (0, ""), done.stderr
        unescaped = re.sub(r"\\(\d{3})", lambda code: chr(int(code[1])), done.stdout)
        return [line.split(";")[1:] for line in unescaped.splitlines() if line.startswith("=")]

    def publish(self, *arguments: object) -> Program:
        return self._host.start("env", self._bus, "avahi-publish", *arguments)


@contextmanager
def avahi(host: Host, folder: Path) -> Iterator[Avahi]:
    """Avahi on a host, with a bus and a /run of its own."""
    socket, bus, daemon = folder / "bus", folder / "bus.conf", folder / "avahi.conf"
    bus.write_text(BUS.format(socket))
    daemon.write_text(DAEMON)
    address = f"unix:path={socket}"
    with host.start("dbus-daemon", "--nofork", "--nopidfile", f"--config-file={bus}") as broker:
        assert until(socket.exists), broker.log
        run = 'mount -t tmpfs tmpfs /run && mkdir /run/avahi-daemon && exec "$@"'
        program = ("avahi-daemon", "--no-drop-root", "--no-chroot", "--no-rlimits", "-f", daemon)
        with host.start("env", f"DBUS_SYSTEM_BUS_ADDRESS={address}", "sh", "-c", run, "sh", *program) as started:
            assert started.logged("Server startup complete"), started.log
            yield Avahi(host, address)


@pytest.mark.nightly
def test_avahi_finds_the_device(tmp_path: Path) -> None:
    with (
        local_network(tmp_path, "10.97.0.1/24", "10.97.0.2/24") as (device, other),
        avahi(other, tmp_path) as browser,
        device.announce("Entrance") as announcer,
    ):
        assert announcer.logged("on the LAN")
        announcer.tell("ready")
        assert until(lambda: any("st=ready" in line[-1] for line in browser.browse("_faceapi._tcp")))
        ((*named, text),) = browser.browse("_faceapi._tcp")
        assert named == [
            "eth0", "IPv4", "Entrance", "_faceapi._tcp", "local", "face-appliance-aaaaaa.local", "10.97.0.1", "9297"
        ]  # fmt: skip
        told = "txtvers=1 path=/ api=1.0 sdk=0.1.0 id=0123456789ab model=test lv=multi auth=none tls=0 st=ready"
        assert sorted(re.findall('"([^"]*)"', text)) == sorted(told.split(" "))
        assert [line[2] for line in browser.browse("_http._tcp")] == ["Entrance"]
        announcer.end()
        assert until(lambda: browser.browse("_faceapi._tcp") == [])


def test_a_name_that_avahi_has_taken_is_not_taken_again(tmp_path: Path) -> None:
    with (
        local_network(tmp_path, "10.97.0.1/24", "10.97.0.2/24") as (device, other),
        avahi(other, tmp_path) as publisher,
        publisher.publish("-s", "Entrance", "_faceapi._tcp", "80") as service,
        publisher.publish("-a", "-R", "face-appliance-aaaaaa.local", "10.97.0.2") as address,
    ):
        assert service.logged("Established")
        assert address.logged("Established")
        with device.announce("Entrance") as announcer:
            assert announcer.logged('on the LAN as "Entrance-2": face-appliance-aaaaaa-2.local')


def test_a_device_on_a_machine_with_avahi_is_found(tmp_path: Path) -> None:
    with (
        local_network(tmp_path, "10.97.0.1/24", "10.97.0.2/24") as (device, other),
        avahi(device, tmp_path) as beside,
        device.announce("Entrance") as announcer,
    ):
        assert announcer.logged('on the LAN as "Entrance"')
        assert [each["name"] for each in other.discover()] == ["Entrance"]
        assert [each["name"] for each in device.discover()] == ["Entrance"]
        assert [line[2] for line in beside.browse("_faceapi._tcp")] == ["Entrance"]
        announcer.end()
        assert other.discover() == []
