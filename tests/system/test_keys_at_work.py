"""Keys, as a running process notices them: refused starts, revocation, damage, and the audit trail."""

import re
from pathlib import Path

import pytest
from client import Client, from_elsewhere
from devices import Child, until
from document import assert_refusal

from appliance import keys
from appliance.keys import Scope

QUICK = '[engine]\nengines = 1\ndetector = "float16"\nembedder = "float16"\nliveness = "float16"\n[camera]\ndriver = "none"\n'
FRONT = f"{QUICK}[server]\nfront_port = 0\n"
EVERYWHERE = ("--port", "0", "--host", "0.0.0.0")


def with_key(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def admitted(client: Client, token: str) -> bool:
    return client.get("/version", with_key(token)).status == 200


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1"])
def test_without_a_key_it_does_not_open_to_others(tmp_path: Path, host: str) -> None:
    with Child(tmp_path, arguments=("--port", "0", "--host", host)) as child:
        assert child.process.wait(30) == 78

        (line,) = child.log.splitlines()
        assert line == (
            f"server.host {host} lets others in and there is no key: `appliance keys add NAME`, or access.open = true"
        )


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.2", "localhost"])
def test_without_a_key_it_serves_this_device(tmp_path: Path, host: str) -> None:
    with Child(tmp_path, QUICK, ("--port", "0", "--host", host)) as child:
        child.listening()


def test_with_a_key_it_opens_to_others(tmp_path: Path) -> None:
    keys.add(tmp_path / "state" / keys.FILE, "door", [Scope.LIVE])
    with Child(tmp_path, QUICK, EVERYWHERE) as child:
        assert child.listening().get("/healthz").code in ("INF-00", "INF-08")


def test_it_is_open_when_that_is_configured_and_says_so(tmp_path: Path) -> None:
    with Child(tmp_path, f"{FRONT}[access]\nopen = true\n", EVERYWHERE) as child:
        child.ready()
        assert child.elsewhere().get("/version").status == 200
        assert child.elsewhere().get("/version", with_key("wrong")).status == 200
        assert re.search(r"^WARNING appliance.machine: access.open", child.log, re.MULTILINE)


def test_a_key_is_good_from_its_making_to_its_revocation(tmp_path: Path) -> None:
    with Child(tmp_path, FRONT) as child:
        child.ready()
        client, file = child.elsewhere(), child.state / keys.FILE
        assert_refusal(client.get("/version"), 401, "INF-25")

        token = keys.add(file, "door", [Scope.RECOGNISE])
        child.logged("key added: door")
        assert admitted(client, token)
        keys.revoke(file, "door")
        assert until(lambda: not admitted(client, token), 2)

        for line in (
            "key added: door \\(recognise\\)",
            "key door is used from 192.0.2.7",
            "key revoked: door",
            "wrong key",
        ):
            child.logged(rf"^(INFO|WARNING) +appliance.state: {line}")
        assert token not in child.log


@pytest.mark.logs_errors("no key is accepted")
def test_a_device_whose_file_of_keys_is_damaged_starts_and_rejects_all_clients(tmp_path: Path) -> None:
    file = tmp_path / "state" / keys.FILE
    token = keys.add(file, "door", [Scope.LIVE])
    file.write_bytes(b"{")
    with Child(tmp_path, FRONT, EVERYWHERE) as child:
        own = child.ready()

        assert not admitted(child.elsewhere(), token)
        assert own.get("/healthz").document["reasons"][0]["state"] == "keys_damaged"
        assert own.get("/version").status == 200
        assert re.search(
            r"^ERROR +appliance.state: no key is accepted: .*keys.json is damaged", child.log, re.MULTILINE
        )


def test_the_audit_tells_what_has_changed_in_the_configuration(tmp_path: Path) -> None:
    quiet = '[log]\nlevel = "error"\n'
    with Child(tmp_path, QUICK + quiet) as child:
        until((child.state / "configuration.json").exists)
        assert child.terminate() == 0
        assert "appliance.state" not in child.log

    changed = QUICK.replace("engines = 1", "engines = 2") + "fps = 30\n[access]\nexpires = 2099-12-31\n"
    with Child(tmp_path, changed + quiet) as child:
        child.logged('access.expires: null -> "2099-12-31"')
        child.terminate()
        assert [line for line in child.log.splitlines() if "configuration" in line] == [
            "INFO    appliance.state: configuration: engine.engines: 1 -> 2",
            "INFO    appliance.state: configuration: camera.fps: 15.0 -> 30.0",
            'INFO    appliance.state: configuration: access.expires: null -> "2099-12-31"',
        ]


@pytest.mark.parametrize("kept", [b"{", b"[]", b'{"server": 3}', b"\xff"])
def test_what_was_kept_and_is_damaged_is_written_anew(tmp_path: Path, kept: bytes) -> None:
    (tmp_path / "state").mkdir()
    file = tmp_path / "state" / "configuration.json"
    file.write_bytes(kept)
    with Child(tmp_path, QUICK) as child:
        child.listening()
        assert until(lambda: file.read_bytes().startswith(b'{\n "server"'))
        assert child.terminate() == 0


@pytest.mark.logs_errors("no key is accepted|operating points are used|record of decisions|gallery")
def test_a_state_that_cannot_be_written_is_a_warning(tmp_path: Path) -> None:
    (tmp_path / "state").write_bytes(b"no folder")
    with Child(tmp_path, QUICK) as child:
        assert child.ready().get("/version").status == 200
        assert re.search(r"^WARNING appliance.state: configuration: ", child.log, re.MULTILINE)
        assert "Traceback" not in child.log


def test_a_front_port_that_is_taken_is_named(tmp_path: Path, child: Child) -> None:
    port = child.ready().port
    with Child(tmp_path, f"{QUICK}[server]\nfront_port = {port}\n") as second:
        assert second.process.wait(30) == 1
        (line,) = second.log.splitlines()
        assert f"front_port {port}" in line
        assert "in use" in line


def test_a_connection_to_the_front_port_without_its_line_is_refused_and_closed(tmp_path: Path) -> None:
    with Child(tmp_path, FRONT) as child:
        child.listening()
        front = child.elsewhere().port
        with Client(front).wire() as wire:
            wire.send(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert_refusal(wire.answer(), 400, "INF-01")
            assert wire.rest() == b""
        assert from_elsewhere(front).get("/nothing-here").status == 401
