"""`appliance fleet`, and a running device in a fleet: made, invited, joined, differing, erased with receipts, left."""

import asyncio
import json
import subprocess
import sys

import pytest
from devices import Child, until
from replicas import Site
from servers import NatsServer

from appliance.access.log import Record
from appliance.cli.main import main
from appliance.fleet.link import Address, Link
from appliance.fleet.membership import read_membership
from appliance.fleet.policy import PolicyBook, policy_signer, read_keys
from appliance.fleet.publishing import PolicyFollower, policy_bucket
from appliance.fleet.stream import Forwarder, decisions_stream
from appliance.gallery.vault import read_site_key
from appliance.sections import DoorSection


@pytest.fixture
def server(tmp_path):
    with NatsServer(tmp_path / "nats") as running:
        yield running


@pytest.fixture
def run(tmp_path, capsys):
    """Runs a command on one of two devices, which have their folders and one device id; returns its status and output."""
    for name in "ab":
        folder = tmp_path / name
        folder.mkdir()
        (folder / "appliance.toml").write_text(
            f'[state]\nfolder = "{folder}/state"\n[gallery]\nkey_file = "{folder}/gallery.key"\n[lan]\nname = "Door {name}"\n'
        )

    def command(name, *words):
        status = main([*words, "--config", str(tmp_path / name / "appliance.toml")])
        done = capsys.readouterr()
        return status, done.out.strip(), done.err.strip()

    return command


def test_two_devices_from_the_first_to_the_last_day(server, run, tmp_path):
    assert run("a", "people", "add", "anna", "--name", "Anna")[0] == 0
    assert run("b", "people", "add", "anna", "--name", "Anders")[0] == 0
    assert run("b", "people", "add", "bert", "--name", "Bert")[0] == 0
    assert (
        run("a", "fleet", "status")[2]
        == "this device is in no fleet: `appliance fleet create` or `appliance fleet join`"
    )
    assert run("a", "fleet", "create", server.url)[0] == 0
    status, _, text = run("a", "fleet", "create", server.url)
    assert status == 1
    assert "leave" in text

    status, code, _ = run("a", "fleet", "invite", "--minutes", "5", "--code", str(tmp_path / "code.svg"))
    assert status == 0
    assert code.startswith(f"{server.url}#")
    assert (tmp_path / "code.svg").read_bytes().startswith(b"<?xml")
    status, _, text = run("b", "fleet", "join", code)
    assert status == 1  # for one person differs
    assert "anna: differs" in text
    of_a = policy_signer(read_site_key(tmp_path / "a" / "gallery.key")).public.text
    assert list(read_keys(tmp_path / "b" / "state").values()) == [of_a]
    assert run("b", "fleet", "join", code)[2].startswith("this invitation is used or expired")
    assert run("b", "fleet", "join", code[:-1])[2].startswith("this is not a code")

    status, listed, _ = run("b", "fleet", "status", "--json")
    found = json.loads(listed)
    assert status == 1
    assert found["differing"] == {"anna": "differs"}
    assert [(each["name"], each["people"], each["differing"]) for each in found["devices"]] == [("Door b", 2, 1)]
    device_b = found["devices"][0]["device"]
    assert run("b", "fleet", "resolve", "anna", "--take", "device")[0] == 0
    assert run("b", "fleet", "resolve", "anna", "--take", "device")[0] == 1  # it does not differ any more
    status, listed, _ = run("b", "fleet", "status")
    assert status == 0
    assert "Door b" in listed

    state = tmp_path / "a" / "state"
    keys = read_membership(state, read_site_key(tmp_path / "a" / "gallery.key")).keys
    third = Site(tmp_path, 3, server.url, keys)
    with third.running():
        assert until(lambda: set(third.content()) == {"anna", "bert"})
        assert third.name("anna") == "Anders"
        assert until(lambda: online(run) == {third.device: True, device_b: False})
        status, receipt, _ = run("b", "people", "erase", "bert", "--yes")
        reference = json.loads(receipt)["reference"]
        status, receipt, _ = run("b", "fleet", "receipt", reference)
        assert status == 1
        assert json.loads(receipt)["confirmed"] == []
        assert run("b", "fleet", "join", run("a", "fleet", "invite")[1])[0] == 0  # which shares the erasure
        assert until(lambda: run("b", "fleet", "receipt", reference)[0] == 0)
        assert third.device in json.loads(run("b", "fleet", "receipt", reference)[1])["confirmed"]
        assert set(third.content()) == {"anna"}
    assert online(run) == {third.device: False, device_b: False}
    assert "offline, seen" in run("b", "fleet", "status")[1]
    third.gallery.close()


@pytest.mark.nightly
def test_after_a_change_of_the_key_each_device_joins_again(server, run, tmp_path):
    assert run("b", "people", "add", "anna", "--name", "Anders")[0] == 0
    assert run("b", "fleet", "create", server.url)[0] == 0
    keys = read_membership(tmp_path / "b" / "state", read_site_key(tmp_path / "b" / "gallery.key")).keys
    third = Site(tmp_path, 3, server.url, keys)
    with third.running():
        assert until(lambda: third.name("anna"))
        assert run("b", "fleet", "rotate-key")[0] == 0
        assert until(third.member.problems)  # it cannot read what is sealed with the new key
        assert third.name("anna") == "Anders"
    third.gallery.close()
    code = run("b", "fleet", "invite")[1]
    assert run("a", "fleet", "join", code)[0] == 0
    assert "Anders" in run("a", "people", "list")[1]
    assert run("b", "fleet", "leave")[0] == 0
    assert "Anders" in run("b", "people", "list")[1]
    assert run("a", "people", "change", "anna", "--name", "Andrea")[0] == 0
    assert run("a", "fleet", "status")[0] == 0


def test_what_an_earlier_version_did_not_make_is_named_and_made(server, run, tmp_path):
    run("a", "fleet", "create", server.url, "--decisions-mib", "8")
    keys = read_membership(tmp_path / "a" / "state", read_site_key(tmp_path / "a" / "gallery.key")).keys
    site, gone = Site(tmp_path, 3, server.url, keys), (f"KV_{policy_bucket(keys.id)}", decisions_stream(keys.id))

    async def lose():
        async with Link.to(Address((server.url,)), "test") as link:
            for name in gone:
                await link.jetstream.delete_stream(name)

    asyncio.run(lose())
    follower = PolicyFollower(PolicyBook(tmp_path, DoorSection().merged_rules, shared=True), site.device)
    forwarder = Forwarder(Record(tmp_path / "record.db"), site.device, tmp_path / "place")
    with site.running(follower, forwarder):
        assert until(lambda: follower._trouble and forwarder._trouble)
        follower._since -= 11
        forwarder._since -= 11
        problems = {each.state: each.text for each in site.member.problems()}
        assert problems.keys() == {"fleet_policy_waiting", "fleet_decisions_waiting"}
        assert all("`appliance fleet upgrade`" in text for text in problems.values())
        status, _, text = run("a", "fleet", "publish-policy")
        assert (status, "`appliance fleet upgrade`" in text) == (1, True)
        assert run("a", "fleet", "upgrade", "--decisions-mib", "8")[2] == f"made: {', '.join(gone)}"
        assert until(lambda: not site.member.problems())
    assert run("a", "fleet", "upgrade")[2] == "the servers have everything that this version needs"
    site.gallery.close()


def test_an_expired_invitation_is_refused(server, run):
    run("a", "fleet", "create", server.url)
    code = run("a", "fleet", "invite", "--minutes", "1e-9")[1]
    assert run("b", "fleet", "join", code)[2].startswith("this invitation has expired")


def test_a_server_that_is_not_there_is_named_in_one_line(run):
    status, _, text = run("a", "fleet", "create", "nats://127.0.0.1:9")
    assert (status, text.count("\n")) == (1, 0)
    assert text.startswith("the fleet's servers cannot be reached")
    assert run("a", "fleet", "create", "http://127.0.0.1:9")[2].startswith("a server is nats://")


def test_a_file_of_the_settings_that_is_wrong_is_named_with_its_key(run, monkeypatch, tmp_path):
    (tmp_path / "text.pem").write_text("no certificate", "utf-8")
    for key, file, told in (
        ("ca_file", "nothing.pem", "No such file or directory"),
        ("ca_file", "text.pem", "no certificate in PEM"),
        ("nkey_file", "nothing.nk", "No such file or directory"),
    ):
        with monkeypatch.context() as patch:
            patch.setenv(f"APPLIANCE_FLEET__{key.upper()}", str(tmp_path / file))
            status, _, text = run("a", "fleet", "create", "nats://127.0.0.1:9")
        assert (status, text.count("\n")) == (1, 0)
        assert f"fleet.{key}: {tmp_path / file}" in text
        assert told in text


@pytest.mark.timeout(180)
def test_the_answers_of_a_running_device_say_whether_a_change_is_shared(server, tmp_path, run):
    settings = f'[state]\nfolder = "{tmp_path}/a/state"\n[gallery]\nkey_file = "{tmp_path}/a/gallery.key"\n'
    run("a", "fleet", "create", server.url)
    (tmp_path / "child").mkdir()
    with Child(tmp_path / "child", f"{settings}[fleet]\nenabled = true\n[door]\nstale_hours = 0.0001\n") as child:
        client = child.ready()

        def ask(method, path, **fields):
            return client.ask(method, path, json.dumps(fields).encode(), {"Content-Type": "application/json"})

        added = ask("POST", "/people", id="anna", name="Anna")
        assert added.status == 201
        assert until(lambda: ask("PATCH", "/people/anna", name="Anna B").document["shared"])
        assert run("b", "fleet", "join", run("a", "fleet", "invite")[1])[0] == 0
        assert "Anna B" in run("b", "people", "list")[1]
        assert ask("DELETE", "/people/anna").document["shared"] is True
        command = ["fleet", "decisions", "--follow", "--config", str(tmp_path / "b" / "appliance.toml")]
        with subprocess.Popen(
            [sys.executable, "-m", "appliance", *command], stdout=subprocess.PIPE, text=True
        ) as reader:
            kinds = [json.loads(reader.stdout.readline())["kind"]]
            server.stop(kill=True)
            assert ask("POST", "/people", id="bert", name="Bert").document["shared"] is False
            assert until(lambda: decided(ask) == ("denied", "gallery_unavailable"))  # by stale_hours
            server.start()
            while kinds[-1] != "decision":
                entry = json.loads(reader.stdout.readline())
                assert entry["follows"]
                kinds.append(entry["kind"])
            reader.kill()
        assert "erased" in kinds
        assert entry["facts"]["reason"] in {"camera_blind", "gallery_unavailable"}  # before stale_hours, and after
        assert run("b", "fleet", "decisions", "--from", str(entry["position"]))[1].startswith(json.dumps(entry)[:40])


def online(run):
    return {each["device"]: each["online"] for each in json.loads(run("b", "fleet", "status", "--json")[1])["devices"]}


def decided(ask):
    decision = ask("POST", "/access/decide", nonce="0123456789abcdef").document["decision"]
    return decision["result"], decision["reason"]
