"""Announced on a real network, and found there: names, records, changes, the goodbye."""

import json
import os
import re
import sys
import time
from pathlib import Path

import cv2
import pytest
from cameras import noisy, on_canvas
from devices import Child, until
from networks import HERE, SERVICE, WEB, local_network, needs_namespaces

from appliance import __version__

pytestmark = needs_namespaces

ENGINES = (
    '[engine]\nengines = 1\ndetector = "float16"\nembedder = "float16"\nliveness = "float16"\nrecognition = "fast"\n'
)
QUICK = f'{ENGINES}[camera]\ndriver = "none"\n[access]\nopen = true\n'

KINDS = ("Pointer", "Service", "Text", "Address")

TEXT = "txtvers=1 path=/ api=1.0 sdk=0.1.0 id=0123456789ab model=test lv=multi auth=none tls=0 st={}"


def wire(entries: str) -> str:
    """The entries of a TXT record as they are sent: each after its length."""
    return "".join(chr(len(entry)) + entry for entry in entries.split(" "))


def replayed(source: Path) -> str:
    """A configuration whose camera plays this."""
    return (
        f'{ENGINES}[camera]\ndriver = "replay"\nsource = "{source}"\nwidth = 640\nheight = 360\n[access]\nopen = true\n'
    )


def test_a_device_is_found_from_another_host_and_says_goodbye(tmp_path: Path) -> None:
    machine_id = tmp_path / "machine-id"
    machine_id.write_text("0123456789abcdef0123456789abcdef\n")
    with local_network(tmp_path, "10.97.0.1/24", "10.97.0.2/24") as (device, other), other.listen() as listener:
        # a mount that `ip netns exec` keeps to itself
        own = device.command("sh", "-c", 'mount --bind "$0" /etc/machine-id && exec "$@"', machine_id)
        with Child(tmp_path, QUICK, arguments=("--host", "0.0.0.0"), inside=own) as child:
            child.logged(r"ready: ")
            (digits,) = re.findall(
                r'on the LAN as "Face Appliance ([0-9a-f]{6})": face-appliance-\1\.local, port 9297 at 10\.97\.0\.1$',
                child.logged(r"^.*on the LAN as.*$")[0],
            )
            assert until(lambda: [each["txt"]["st"] for each in other.discover()] == ["ready"])
            (found,) = other.discover()
            assert found["name"] == f"Face Appliance {digits}"
            assert (found["host"], found["addresses"], found["port"]) == (
                f"face-appliance-{digits}.local",
                ["10.97.0.1"],
                9297,
            )
            text = found["txt"]
            assert list(text) == ["txtvers", "path", "api", "sdk", "id", "model", "lv", "auth", "tls", "st"]
            assert (text["sdk"], text["id"][:6], text["auth"], text["tls"]) == (__version__, digits, "none", "0")
            assert all(len(value) <= 200 for value in listener.texts())
            shown = other.appliance("discover", "--timeout", "2")
            assert re.search(
                rf"Face Appliance {digits} +http://10\.97\.0\.1:9297/ +1\.0 / {__version__} +ready", shown.stdout
            )

            begun = time.monotonic()
            assert child.terminate() == 0
            assert time.monotonic() - begun < 5

        gone = {(each["kind"], each["name"]) for kind in KINDS for each in listener.records(kind) if each["ttl"] == 0}
        assert {("Pointer", SERVICE), ("Pointer", WEB), ("Address", f"face-appliance-{digits}.local.")} <= gone
        assert other.discover() == []
        assert "Traceback" not in child.log


def test_every_record_to_the_letter(tmp_path: Path) -> None:
    with (
        local_network(tmp_path, "10.97.0.1/24", "10.97.0.2/24") as (device, other),
        other.listen() as listener,
        device.announce("Entrance") as announcer,
    ):
        assert announcer.logged("on the LAN")
        for kind, name, value in [
            ("Pointer", SERVICE, f"Entrance.{SERVICE}"),
            ("Pointer", WEB, f"Entrance.{WEB}"),
            ("Service", f"Entrance.{SERVICE}", "face-appliance-aaaaaa.local. 9297"),
            ("Service", f"Entrance.{WEB}", "face-appliance-aaaaaa.local. 9297"),
            ("Text", f"Entrance.{SERVICE}", wire(TEXT.format("loading"))),
            ("Text", f"Entrance.{WEB}", wire("path=/")),
            ("Address", "face-appliance-aaaaaa.local.", "10.97.0.1"),
        ]:
            sent = [each for each in listener.records(kind) if each["name"] == name]
            assert {each["value"] for each in sent} == {value}
        assert announcer.end() < 2
        assert "ended 1" in announcer.log, "a thread is left"


@pytest.mark.nightly
def test_its_state_is_announced_when_it_changes(tmp_path: Path) -> None:
    with (
        local_network(tmp_path, "10.97.0.1/24", "10.97.0.2/24") as (device, other),
        other.listen() as listener,
        device.announce("Entrance") as announcer,
    ):
        assert announcer.logged("on the LAN")
        for number, state in enumerate(["ready", "fault", "ready"], 2):
            announcer.tell(state)
            assert until(lambda wanted=number: len(listener.texts()) == wanted, 10)
            assert [each["txt"]["st"] for each in other.discover()] == [state]
        assert listener.texts() == [wire(TEXT.format(state)) for state in ("loading", "ready", "fault", "ready")]


def states(texts: list[str]) -> list[str]:
    return [text.rpartition("st=")[2] for text in texts]


@pytest.mark.nightly
def test_a_device_that_starts_and_then_fails_is_announced_so(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe.avi"
    os.mkfifo(pipe)  # a camera whose driver does not return
    with (
        local_network(tmp_path, "10.97.0.1/24", "10.97.0.2/24") as (device, other),
        other.listen() as listener,
        Child(tmp_path, replayed(pipe), ("--host", "10.97.0.1"), network=device.name) as child,
    ):
        assert until(lambda: states(listener.texts()) == ["loading", "fault"]), child.log
        assert child.terminate() == 0


@pytest.mark.nightly
def test_a_device_that_recovers_is_announced_so(tmp_path: Path, portrait: bytes) -> None:
    pictures, aside = tmp_path / "pictures", tmp_path / "aside"
    aside.mkdir()
    for number in range(8):
        pixels = noisy(on_canvas(portrait))(number)
        cv2.imwrite(str(aside / f"{number}.png"), cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR))
    with (
        local_network(tmp_path, "10.97.0.1/24", "10.97.0.2/24") as (device, other),
        other.listen() as listener,
        Child(tmp_path, replayed(pictures), ("--host", "10.97.0.1"), network=device.name) as child,
    ):
        assert until(lambda: states(listener.texts())[-1:] == ["fault"]), child.log
        aside.rename(pictures)
        assert until(lambda: states(listener.texts())[-1:] == ["ready"]), child.log
        assert child.terminate() == 0


@pytest.mark.parametrize("name", ["Entrance", "ENTRANCE"])
def test_of_two_with_one_name_the_second_is_renamed(tmp_path: Path, name: str) -> None:
    with (
        local_network(tmp_path, "10.97.0.1/24", "10.97.0.2/24", "10.97.0.3/24") as (first, second, other),
        first.announce("Entrance", "face-appliance-aaaaaa") as one,
    ):
        assert one.logged("on the LAN")
        with second.announce(name, "face-appliance-bbbbbb", port=9298) as two:
            assert two.logged(f'on the LAN as "{name}-2": face-appliance-bbbbbb.local')
            found = sorted((each["name"], each["addresses"], each["port"]) for each in other.discover())
            assert found == sorted([("Entrance", ["10.97.0.1"], 9297), (f"{name}-2", ["10.97.0.2"], 9298)])


@pytest.mark.nightly
def test_an_address_is_announced_only_on_its_own_link(tmp_path: Path) -> None:
    with (
        local_network(tmp_path, "10.97.0.1/24", "10.97.0.2/24") as (device, other),
        other.listen() as listener,
    ):
        device.join_wifi("10.98.0.1/24")
        with device.announce("Entrance") as announcer:
            assert announcer.logged("at 10.97.0.1, 10.98.0.1\n")
            assert [each["addresses"] for each in other.discover()] == [["10.97.0.1"]]
            asked = other.run(sys.executable, HERE / "asker.py", "face-appliance-aaaaaa.local.", "10.97.0.2")
            assert (json.loads(asked.stdout), asked.stderr) == (["10.97.0.1"], "")
            assert announcer.end() < 2
        assert {each["value"] for each in listener.records("Address")} == {"10.97.0.1"}


@pytest.mark.nightly
def test_two_interfaces_on_one_lan_have_one_name(tmp_path: Path) -> None:
    with local_network(tmp_path, "10.97.0.1/24", "10.97.0.2/24") as (device, other):
        device.plug("eth1", "10.97.0.5/24")
        with device.announce("Entrance") as announcer:
            assert announcer.logged('on the LAN as "Entrance": face-appliance-aaaaaa.local, port 9297 at')
            (found,) = other.discover()
            assert (found["name"], {*found["addresses"]} <= {"10.97.0.1", "10.97.0.5"}) == ("Entrance", True)
            time.sleep(3)
            assert announcer.log.count("on the LAN") == 1


@pytest.mark.nightly
def test_a_copied_card_has_another_host_name(tmp_path: Path) -> None:
    with (
        local_network(tmp_path, "10.97.0.1/24", "10.97.0.2/24", "10.97.0.3/24") as (first, second, other),
        first.announce("Face Appliance aaaaaa") as one,
    ):
        assert one.logged("on the LAN")
        with second.announce("Face Appliance aaaaaa") as two:
            assert two.logged('on the LAN as "Face Appliance aaaaaa-2": face-appliance-aaaaaa-2.local')
            assert {each["host"]: each["addresses"] for each in other.discover()} == {
                "face-appliance-aaaaaa.local": ["10.97.0.1"],
                "face-appliance-aaaaaa-2.local": ["10.97.0.2"],
            }


@pytest.mark.nightly
def test_two_networks_that_are_joined_are_left_with_one_name_each(tmp_path: Path) -> None:
    with local_network(tmp_path, "10.97.0.1/24", "10.97.0.2/24", "10.97.0.3/24") as (first, second, other):
        second.ip("link", "set", "eth0", "down")
        second.join_wifi("10.98.0.2/24")
        with (
            first.announce("Entrance", "face-appliance-aaaaaa") as one,
            second.announce("Entrance", "face-appliance-bbbbbb") as two,
        ):
            assert one.logged('on the LAN as "Entrance"')
            assert two.logged('on the LAN as "Entrance"')
            second.ip("link", "set", "eth0", "up")
            assert until(lambda: [each["name"] for each in other.discover()] == ["Entrance", "Entrance-2"])
            assert "-2" not in one.log


@pytest.mark.nightly
def test_two_that_start_at_once_are_left_with_one_name_each(tmp_path: Path) -> None:
    with (
        local_network(tmp_path, "10.97.0.1/24", "10.97.0.2/24", "10.97.0.3/24") as (first, second, other),
        first.announce("Entrance", "face-appliance-aaaaaa"),
        second.announce("Entrance", "face-appliance-bbbbbb"),
    ):
        assert until(lambda: [each["name"] for each in other.discover()] == ["Entrance", "Entrance-2"])


def test_another_address_is_announced(tmp_path: Path) -> None:
    with (
        local_network(tmp_path, "10.97.0.1/24", "10.97.0.2/24") as (device, other),
        device.announce("Entrance") as announcer,
    ):
        assert announcer.logged("at 10.97.0.1\n")
        device.ip("address", "del", "10.97.0.1/24", "dev", "eth0")
        device.ip("address", "add", "10.97.0.7/24", "dev", "eth0")
        assert announcer.logged("at 10.97.0.7\n")
        assert [each["addresses"] for each in other.discover()] == [["10.97.0.7"]]
        device.ip("address", "del", "10.97.0.7/24", "dev", "eth0")
        assert announcer.logged("WARNING appliance.lan: not announced on the LAN: no address on any network yet")
        assert other.discover() == []
        device.ip("address", "add", "10.97.0.8/24", "dev", "eth0")
        assert announcer.logged("at 10.97.0.8\n")
        assert [(each["name"], each["addresses"]) for each in other.discover()] == [("Entrance", ["10.97.0.8"])]
        assert "Traceback" not in announcer.log
        assert announcer.end() < 2


def test_a_pulled_cable_and_a_second_network(tmp_path: Path) -> None:
    with (
        local_network(tmp_path, "10.97.0.1/24", "10.97.0.2/24") as (device, other),
        device.announce("Entrance") as announcer,
    ):
        assert announcer.logged("at 10.97.0.1\n")
        device.join_wifi("10.98.0.1/24")
        assert announcer.logged("at 10.97.0.1, 10.98.0.1\n")
        device.ip("link", "set", "eth0", "down")
        assert announcer.logged("at 10.98.0.1\n")
        device.ip("link", "del", "wlan0")
        assert announcer.logged("no address")
        device.ip("link", "set", "eth0", "up")
        assert until(lambda: announcer.log.count("at 10.97.0.1\n") == 2)
        assert [each["addresses"] for each in other.discover()] == [["10.97.0.1"]]
        device.ip("link", "del", "eth0")
        assert until(lambda: announcer.log.count("no address") == 2)
        assert announcer.end() < 2
        assert "Traceback" not in announcer.log


@pytest.mark.nightly
def test_a_start_without_any_address(tmp_path: Path) -> None:
    with (
        local_network(tmp_path, None, "10.97.0.2/24") as (device, other),
        Child(tmp_path, QUICK, ("--host", "0.0.0.0"), network=device.name) as child,
    ):
        child.logged(r"^WARNING +appliance\.lan: not announced on the LAN: no address on any network yet$")
        child.logged(r"ready: ")
        device.ip("address", "add", "10.97.0.1/24", "dev", "eth0")
        child.logged(r"on the LAN.* at 10\.97\.0\.1$")
        assert [each["addresses"] for each in other.discover()] == [["10.97.0.1"]]
        assert child.terminate() == 0


@pytest.mark.nightly
def test_one_address_is_announced_alone(tmp_path: Path) -> None:
    with local_network(tmp_path, "10.97.0.1/24", "10.97.0.2/24") as (device, other):
        device.ip("address", "add", "10.97.0.9/24", "dev", "eth0")
        with device.announce("Entrance", bound=["10.97.0.9"]) as announcer:
            assert announcer.logged("at 10.97.0.9\n")
            assert [each["addresses"] for each in other.discover()] == [["10.97.0.9"]]


@pytest.mark.parametrize(
    ("settings", "host", "said"),
    [(QUICK, "127.0.0.1", 1), (QUICK, "::1", 1), (f"{QUICK}[lan]\nenabled = false\n", "0.0.0.0", 0)],
)
def test_a_device_for_itself_alone_is_not_announced(tmp_path: Path, settings: str, host: str, said: int) -> None:
    with (
        local_network(tmp_path, "10.97.0.1/24", ipv6=True) as (device,),
        device.listen() as listener,
        Child(tmp_path, settings, ("--host", host), network=device.name) as child,
    ):
        child.logged(r"ready: ")
        assert child.log.count("not announced on the LAN: the server answers this device alone\n") == said
        assert child.terminate() == 0
        assert listener.records("Pointer") == []


@pytest.mark.nightly
def test_all_addresses_are_ipv4_and_ipv6(tmp_path: Path) -> None:
    with local_network(tmp_path, "10.97.0.1/24", "10.97.0.2/24", ipv6=True) as (device, other):
        for host, address in ((device, "fd97::1/64"), (other, "fd97::2/64")):
            host.ip("address", "add", address, "dev", "eth0", "nodad")
        with Child(tmp_path, QUICK, ("--host", "::"), network=device.name) as child:
            child.logged(r"on the LAN.* at 10\.97\.0\.1, fd97::1, fe80::")
            (found,) = other.discover()
            assert found["addresses"][0] == "10.97.0.1"
            assert {address.partition("%")[0][:4] for address in found["addresses"][1:]} == {"fd97", "fe80"}
            shown = other.appliance("discover", "--timeout", "2").stdout
            urls = re.findall(r"http://\S+:9297/", shown)
            assert len(urls) == 3
            for url in urls:
                done = other.run("curl", "-sg", "--retry", "3", f"{url}healthz")
                assert '"status"' in done.stdout, url
            assert child.terminate() == 0


@pytest.mark.nightly
def test_a_port_that_another_program_keeps_is_tried_again(tmp_path: Path) -> None:
    keep = (
        "import socket, sys; s = socket.socket(2, 2); s.bind(('', 5353)); print('kept', flush=True); sys.stdin.read()"
    )
    with local_network(tmp_path, "10.97.0.1/24", "10.97.0.2/24") as (device, other):
        with device.start(sys.executable, "-c", keep) as keeper:
            assert keeper.logged("kept")
            announcer = device.announce("Entrance")
            assert announcer.logged("WARNING appliance.lan: not announced on the LAN: OSError: [Errno 98]")
        with announcer:
            assert announcer.logged("on the LAN as")
            assert len(other.discover()) == 1
            assert "Traceback" not in announcer.log


def test_a_stop_while_it_still_asks_for_its_name(tmp_path: Path) -> None:
    with (
        local_network(tmp_path, "10.97.0.1/24") as (device,),
        device.announce("Entrance") as announcer,
    ):
        assert announcer.end() < 5
        assert "on the LAN" not in announcer.log


def test_without_a_network_discover_says_so(tmp_path: Path) -> None:
    with local_network(tmp_path, None, "10.97.0.2/24") as (nowhere, alone):
        done = nowhere.appliance("discover")
        assert (done.returncode, done.stdout, done.stderr) == (1, "", "LAN: Network is unreachable\n")
        done = alone.appliance("discover", "--timeout", "1")
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "no appliance answered within 1 s\n")


def test_strangers_with_garbage_do_not_disturb(tmp_path: Path) -> None:
    with (
        local_network(tmp_path, "10.97.0.1/24", "10.97.0.2/24", "10.97.0.3/24") as (device, stranger, other),
        device.announce("Entrance") as announcer,
        stranger.start(sys.executable, HERE / "stranger.py"),
    ):
        assert announcer.logged("on the LAN")
        found = {each["name"]: each for each in other.discover(3)}
        assert found["Entrance"]["addresses"] == ["10.97.0.1"]
        assert len(found) > 1, "the stranger was not heard"
        assert all(text.isprintable() for each in found.values() for text in (each["name"], *each["txt"].values()))
        shown = other.appliance("discover", "--timeout", "3")
        assert (shown.returncode, shown.stderr) == (0, "")
        assert "\x1b" not in shown.stdout
        assert "[red]" in shown.stdout, "markup of a stranger is text"
        assert announcer.end() < 2
        assert "Traceback" not in announcer.log
