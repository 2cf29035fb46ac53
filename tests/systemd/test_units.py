"""The units: shut as far as cameras allow, and each exception explained where it stands."""

import json
import re
import shutil
import subprocess

import pytest

from appliance.gallery import vault

UNITS = ("face-appliance", "face-appliance-tls")

LARGEST_EXPOSURE = 1.6

LARGEST_NATS = 2.0
"""With the user root in place of nats, who is not here."""

needs_systemd = pytest.mark.skipif(
    shutil.which("systemd-analyze") is None, reason="needs systemd-analyze: sudo apt install systemd"
)


@needs_systemd
@pytest.mark.parametrize("unit", UNITS)
def test_the_exposure_is_small(root, unit):
    file = root / "systemd" / f"{unit}.service"
    done = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", "--no-pager", file],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    found = re.search(rf"exposure level for {unit}\.service: ([0-9.]+)", done.stdout)
    assert found, done.stdout
    assert float(found[1]) <= LARGEST_EXPOSURE


@needs_systemd
@pytest.mark.parametrize("unit", [*UNITS, "face-appliance-kiosk"])
def test_systemd_knows_every_line(root, unit):
    file = root / "systemd" / f"{unit}.service"
    done = subprocess.run(["systemd-analyze", "verify", file], capture_output=True, text=True, timeout=60, check=False)
    complaints = [
        line for line in done.stderr.splitlines() if "is not executable" not in line
    ]  # it is not installed here
    assert complaints == []


def test_timedated_can_be_asked_for_the_clock(root):
    lines = (root / "systemd" / "face-appliance.service").read_text("utf-8").splitlines()
    (families,) = (line for line in lines if line.startswith("RestrictAddressFamilies="))
    assert "AF_UNIX" in families
    assert "ProtectClock=yes" in lines


@pytest.mark.parametrize("unit", UNITS)
def test_it_never_gives_up_and_keeps_nothing_on_the_disk(root, unit):
    lines = (root / "systemd" / f"{unit}.service").read_text("utf-8").splitlines()
    assert {"Restart=always", "StartLimitIntervalSec=0", "MemorySwapMax=0", "LimitCORE=0"} <= set(lines)


def test_only_cameras_pins_and_serial_ports_are_allowed_and_the_processor_can_be_read(root):
    lines = (root / "systemd" / "face-appliance.service").read_text("utf-8").splitlines()
    allowed = {line.removeprefix("DeviceAllow=") for line in lines if line.startswith("DeviceAllow=")}
    serial = ("ttyAMA", "ttyS", "ttyUSB", "ttyACM")
    kinds = ("video4linux", "media", "dma_heap", "vchiq", "gpiochip", *serial)
    assert allowed == {f"char-{kind} rw" for kind in kinds}
    assert "DevicePolicy=closed" in lines
    assert not any(line.startswith(("ProcSubset=", "PrivateDevices=", "PrivateUsers=")) for line in lines)


def test_the_front_reaches_the_key_only_as_a_credential(root):
    unit = (root / "systemd" / "face-appliance-tls.service").read_text("utf-8")
    front = (root / "systemd" / "stunnel.conf").read_text("utf-8")
    assert "LoadCredential=key.pem:/etc/face-appliance/tls/key.pem" in unit
    assert re.search(r"^key = (.*)$", front, re.MULTILINE)[1] == "/run/credentials/face-appliance-tls.service/key.pem"


def test_the_site_key_is_a_credential_whose_absence_stops_nothing(root):
    lines = (root / "systemd" / "face-appliance.service").read_text("utf-8").splitlines()
    assert f"LoadCredential={vault.CREDENTIAL}:{vault.SYSTEM_FILE}" in lines
    assert rf"SetCredential={vault.CREDENTIAL}:\n" in lines


@pytest.mark.parametrize("name", ["webhook-secret", "mqtt-password"])
def test_the_secrets_of_the_outputs_are_credentials_whose_absence_stops_nothing(root, name):
    lines = (root / "systemd" / "face-appliance.service").read_text("utf-8").splitlines()
    assert f"LoadCredential={name}:/etc/face-appliance/{name}" in lines
    assert rf"SetCredential={name}:\n" in lines


def test_the_display_reaches_its_key_only_as_a_credential_and_its_browser_one_page(root):
    lines = (root / "systemd" / "face-appliance-kiosk.service").read_text("utf-8").splitlines()
    assert {"LoadCredential=kiosk-key:/etc/face-appliance/kiosk.key", "RuntimeDirectoryMode=0700", "UMask=0077"} <= set(
        lines
    )
    policy = json.loads((root / "systemd" / "kiosk" / "policy.json").read_text("utf-8"))
    assert policy["URLBlocklist"] == ["*"]
    assert policy["URLAllowlist"] == ["127.0.0.1/kiosk", "file:///run/face-appliance-kiosk/start.html"]


def test_no_command_beside_the_display_hangs_up_its_terminal(root):
    lines = (root / "systemd" / "face-appliance-kiosk.service").read_text("utf-8").splitlines()
    assert {"TTYVHangup=yes", "ExecStartPre=-+/bin/chvt 7"} <= set(lines)
    assert not any(line.startswith(("ExecStartPost=", "ExecReload=")) for line in lines)


OF_DEBIAN = """
[Unit]
Description=NATS Server

[Service]
PrivateTmp=true
Type=simple
ExecStart=/bin/true -c /etc/nats-server.conf
ExecReload=/bin/kill -s HUP $MAINPID
ExecStop=/bin/kill -s SIGINT $MAINPID
"""
"""The unit of its package nats-server 2.9.10; the program is not installed here, nor is its user."""


@needs_systemd
def test_systemd_knows_every_line_for_the_servers_of_a_fleet(root, tmp_path):
    (tmp_path / "nats-server.service.d").mkdir()
    shutil.copy(root / "systemd" / "nats-server.conf", tmp_path / "nats-server.service.d" / "fleet.conf")
    unit = tmp_path / "nats-server.service"
    unit.write_text(OF_DEBIAN)
    done = subprocess.run(["systemd-analyze", "verify", unit], capture_output=True, text=True, timeout=60, check=False)
    assert done.stderr.splitlines() == []
    found = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", "--no-pager", unit],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert float(re.search(r"exposure level for nats-server\.service: ([0-9.]+)", found.stdout)[1]) <= LARGEST_NATS
