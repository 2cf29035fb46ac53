"""MQTT, before Debian's mosquitto: what is kept, what is not, and what comes when either side goes away."""

import json
import logging
import os
import signal
import socket
import subprocess
import sys
import time
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from brokers import Listener, Mosquitto, needs_mosquitto
from certificates import certificate
from client import HOST
from devices import Child, until
from told import NAME, PERSON, delivered, dropped, running, signed

from appliance.camera.source import CameraFrame, Ring
from appliance.events import DeliveryCounts, DoorEvent, DoorEventKind
from appliance.imaging.codec import EncodedPicture
from appliance.outputs.mqtt import Broker, Pictures, Publisher

pytestmark = needs_mosquitto

DEVICE = "50d31c0ffee0"
BASE = f"face-appliance/{DEVICE}"
INTRODUCTION = {"name": "Entrance", "model": "Raspberry Pi 5", "version": "0.1.0", "url": "http://entrance.local:9297/"}
WELL = {"status": "ok", "reasons": [], "camera": {"driver": "replay"}, "uptime_s": 1.0}


@pytest.fixture
def broker(tmp_path):
    with Mosquitto(tmp_path) as running_broker:
        yield running_broker


def publisher(
    port, *, health=lambda: WELL, introduction=INTRODUCTION, password_file=None, sensors=(), pictures=None, **changed
):
    settings = {"host": HOST, "port": port, "tls": False, "authority": None, "username": None, **changed}
    broker = Broker(**settings)
    return Publisher(broker, password_file, "face-appliance", DEVICE, health, introduction, sensors, pictures)


def connected(listener):
    """Waits until the device is online."""
    return until(lambda: listener.on("/status")[-1:] == [b"online"])


def kept(broker, **login):
    """What somebody gets who comes only now."""
    with Listener(broker.port, **login) as late:
        late.on("/health")
        time.sleep(0.3)
        return {topic: payload for topic, payload, retained in late.heard if retained}


def test_a_decision_is_published_to_those_who_listen(broker):
    with Listener(broker.port) as listener, running(publisher(broker.port)) as output:
        assert connected(listener)
        begun = time.monotonic()
        output.notify(one := signed())
        (payload,) = listener.on("/decision")
        assert time.monotonic() - begun < 1  # it does not wait for the next look
        document = json.loads(payload)
        assert (document["id"], document["result"], document["person"]) == (one.decision.id, "granted", PERSON)
        assert document["token"] == one.token
        assert NAME.encode() not in payload
        ((_, _, retained),) = [each for each in listener.heard if each[0] == f"{BASE}/decision"]
        assert not retained
        assert listener.expiries[[topic for topic, *_ in listener.heard].index(f"{BASE}/decision")] in {1, 2}
        assert output.counts() == DeliveryCounts(1, 0, 0)
        assert output.problem() is None


def test_what_the_broker_keeps_has_no_decision_in_it(broker):
    with running(publisher(broker.port)) as output:
        assert until(lambda: kept(broker).get(f"{BASE}/status") == b"online")
        for granted in (True, False) * 5:
            output.notify(signed(granted=granted))
        assert delivered(output, 10)
        retained = kept(broker)
        assert set(retained) == {f"{BASE}/status", f"{BASE}/health", f"homeassistant/device/{DEVICE}/config"}
        assert retained[f"{BASE}/status"] == b"online"
        assert json.loads(retained[f"{BASE}/health"]) == {"status": "ok", "reasons": []}
    for kill in (True, False):
        broker.stop(kill=kill)
        broker.start()
        retained = kept(broker)
        assert not any("decision" in topic for topic in retained)
        assert not any(word in payload for payload in retained.values() for word in (PERSON.encode(), b"signature"))


def test_a_session_that_was_away_receives_no_old_decisions(broker):
    with Listener(broker.port, session="hinge"):
        pass
    with Listener(broker.port) as witness, running(publisher(broker.port)) as output:
        assert connected(witness)
        output.notify(signed())
        assert witness.on("/decision")
        with Listener(broker.port, session="hinge") as listener:
            assert listener.on("/health")  # which is kept, and comes
            time.sleep(0.5)
            assert listener.on("/decision", seconds=0) == []


def test_a_broker_that_goes_away_and_comes_back_gets_no_old_decision(broker):
    with running(publisher(broker.port)) as output:
        assert until(lambda: kept(broker).get(f"{BASE}/status") == b"online")
        broker.stop()
        assert until(output.problem)
        assert output.problem().state == "mqtt_unreachable"
        output.notify(signed(lasts=0.5))
        time.sleep(0.6)
        broker.start()
        with Listener(broker.port) as listener:
            assert until(lambda: output.problem() is None)
            assert connected(listener)
            assert dropped(output, 1)
            output.notify(second := signed())
            assert [json.loads(each)["id"] for each in listener.on("/decision")] == [second.decision.id]
        assert output.counts() == DeliveryCounts(1, 1, 0)


def test_a_broker_that_is_not_there_yet(tmp_path):
    broker = Mosquitto(tmp_path)
    with running(publisher(broker.port)) as output:
        assert until(output.problem)
        for _ in range(20):
            output.notify(signed(age=2))
        broker.start()
        assert until(lambda: output.problem() is None)
        assert dropped(output, 20)
        broker.stop()


def test_at_the_stop_it_says_that_it_is_offline(broker):
    with Listener(broker.port) as listener:
        with running(publisher(broker.port)):
            assert connected(listener)
        assert listener.on("/status", 2) == [b"online", b"offline"]
    assert kept(broker)[f"{BASE}/status"] == b"offline"


def test_health_is_published_when_it_changes(broker):
    now = [WELL]
    with Listener(broker.port) as listener, running(publisher(broker.port, health=lambda: now[0])):
        assert connected(listener)
        now[0] = {**WELL, "uptime_s": 2.0}
        time.sleep(1.2)
        trouble = {"part": "camera", "state": "dark", "text": "It is dark."}
        now[0] = {**WELL, "status": "fault", "reasons": [trouble]}
        first, second = (json.loads(each) for each in listener.on("/health", 2))
        assert (first["status"], second["status"]) == ("ok", "fault")
        assert second["reasons"] == [trouble]


def test_home_assistant_finds_the_device(broker):
    with running(publisher(broker.port)):
        discovery = json.loads(until(lambda: kept(broker).get(f"homeassistant/device/{DEVICE}/config")))
    assert discovery["device"]["identifiers"] == [f"face-appliance-{DEVICE}"]
    assert discovery["device"]["name"] == "Entrance"
    assert discovery["device"]["manufacturer"] == "Face Appliance"
    assert discovery["device"]["configuration_url"] == "http://entrance.local:9297/"
    assert discovery["origin"]["name"]
    assert discovery["availability_topic"] == f"{BASE}/status"
    decision, problem = discovery["components"]["decision"], discovery["components"]["problem"]
    assert (decision["platform"], decision["event_types"]) == ("event", ["granted", "denied"])
    assert decision["state_topic"] == f"{BASE}/decision"
    assert (problem["platform"], problem["device_class"]) == ("binary_sensor", "problem")
    assert problem["state_topic"] == f"{BASE}/health"
    assert len({decision["unique_id"], problem["unique_id"]}) == 2
    assert not {"camera", "picture"} & set(discovery["components"])


def test_home_assistant_is_introduced_again_when_it_starts(broker):
    topic = f"homeassistant/device/{DEVICE}/config"
    with Listener(broker.port) as listener, running(publisher(broker.port)):
        assert connected(listener)
        (first,) = listener.on(topic)
        for word in ("offline", "online"):
            listener.publish("homeassistant/status", word)
        assert listener.on(topic, 2) == [first, first]
        assert listener.on(topic, 3, seconds=0.5) == [first, first]


def test_pictures_are_published_where_they_are_configured(broker, hopper):
    ring, topics = Ring(), (f"{BASE}/camera", f"{BASE}/picture")
    with Listener(broker.port) as listener, running(publisher(broker.port, pictures=Pictures(ring, 1.0))) as output:
        assert connected(listener)
        output.notify(signed())
        assert listener.on("/decision")
        assert [listener.on(topic, seconds=0) for topic in topics] == [[], []]  # there is no frame yet
        ring.publish(CameraFrame(EncodedPicture(hopper, 10**6).frame(1.0).pixels.copy(), time.monotonic()))
        assert [EncodedPicture(each, 10**6).width for each in listener.on("/camera", 2)[:2]] == [512, 512]
        output.notify(signed())
        (picture,) = listener.on("/picture")
        assert EncodedPicture(picture, 10**6).height == 600
        retained = kept(broker)
        assert not set(topics) & set(retained)
        components = json.loads(retained[f"homeassistant/device/{DEVICE}/config"])["components"]
    assert (components["camera"]["platform"], components["camera"]["topic"]) == ("camera", topics[0])
    assert (components["picture"]["platform"], components["picture"]["image_topic"]) == ("image", topics[1])
    assert len({each["unique_id"] for each in components.values()}) == len(components)


def test_no_picture_goes_with_the_decision_about_a_visitor_pass(broker, hopper):
    ring = Ring()
    ring.publish(CameraFrame(EncodedPicture(hopper, 10**6).frame(1.0).pixels.copy(), time.monotonic()))
    with Listener(broker.port) as listener, running(publisher(broker.port, pictures=Pictures(ring, 60.0))) as output:
        assert connected(listener)
        person = signed()
        visitor = replace(person, decision=replace(person.decision, person="visitor:7f3a"))
        output.notify(visitor)
        output.notify(person)
        assert len(listener.on("/decision", 2)) == 2
        assert len(listener.on("/picture", 2, seconds=0.5)) == 1


def test_the_door_is_kept_and_its_events_are_not(broker):
    shut = {"open": False, "forced": False, "held": False, "tamper": False, "fire": False, "relay": False}
    now, sensors = [shut], ("open", "forced", "held", "fire", "tamper")
    with (
        Listener(broker.port) as listener,
        running(publisher(broker.port, health=lambda: {**WELL, "door": now[0]}, sensors=sensors)) as output,
    ):
        assert connected(listener)
        assert json.loads(listener.on("/door")[0]) == shut
        now[0] = {**shut, "open": True, "forced": True}
        begun = time.monotonic()
        output.notify(DoorEvent(DoorEventKind.FORCED, datetime.now(UTC)))
        (payload,) = listener.on("/event")
        assert json.loads(payload)["event"] == "forced"
        assert json.loads(listener.on("/door", 2)[1]) == now[0]
        assert time.monotonic() - begun < 1  # it does not wait for the next look
        retained = kept(broker)
        assert f"{BASE}/event" not in retained
        assert json.loads(retained[f"{BASE}/door"]) == now[0]
        components = json.loads(retained[f"homeassistant/device/{DEVICE}/config"])["components"]
    classes = {name: each["device_class"] for name, each in components.items() if name.startswith("door_")}
    assert classes == {
        "door_open": "door",
        "door_forced": "problem",
        "door_held": "problem",
        "door_tamper": "tamper",
        "door_fire": "problem",
    }
    assert len({each["unique_id"] for each in components.values()}) == 7


def test_home_assistant_receives_nothing_when_it_is_off(broker):
    with running(publisher(broker.port, introduction=None)):
        assert until(lambda: kept(broker).get(f"{BASE}/status") == b"online")
        assert not any(topic.startswith("homeassistant") for topic in kept(broker))


@pytest.fixture
def guarded(tmp_path):
    with Mosquitto(tmp_path, users=[("door", "right"), ("listener", "other")]) as running_broker:
        yield running_broker


def test_a_name_and_a_password(guarded, tmp_path, caplog):
    caplog.set_level(logging.DEBUG)
    password = tmp_path / "password"
    password.write_text("wr0ng\n", "ascii")
    password.chmod(0o600)
    with running(publisher(guarded.port, username="door", password_file=password)) as output:
        assert until(output.problem)
        assert output.problem().state == "mqtt_refused"
        assert output.problem().text == "The MQTT broker refuses this device, its name or its password: see the log."
        password.write_text("right\n", "ascii")
        assert until(lambda: output.problem() is None)
        output.notify(signed())
        assert delivered(output, 1)
    assert "wr0ng" not in caplog.text
    assert "right" not in caplog.text
    assert PERSON not in caplog.text


@pytest.mark.parametrize("mode", [None, 0o644])
def test_a_password_that_cannot_be_read(guarded, tmp_path, mode):
    password = tmp_path / "password"
    if mode:
        password.write_text("right\n", "ascii")
        password.chmod(mode)
    with running(publisher(guarded.port, username="door", password_file=password)) as output:
        assert until(output.problem)
        assert output.problem().state == "mqtt_no_password"


def test_the_password_may_be_a_credential_of_systemd(guarded, tmp_path, monkeypatch):
    (tmp_path / "mqtt-password").write_text("right\n", "ascii")
    (tmp_path / "mqtt-password").chmod(0o400)
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    with running(publisher(guarded.port, username="door")) as output:
        output.notify(signed())
        assert delivered(output, 1)


def test_a_broker_of_mqtt_3_is_named_as_such():
    with socket.create_server((HOST, 0)) as server, running(publisher(server.getsockname()[1])) as output:
        connection, _ = server.accept()
        with connection:
            protocol = connection.recv(4096)[4:9]
            connection.sendall(bytes([0x20, 2, 0, 1]))  # CONNACK, "unacceptable protocol version" (MQTT 3.1.1, 3.2.2.3)
            assert until(output.problem)
    assert protocol == b"MQTT\x05"
    assert output.problem().state == "mqtt_too_old"
    assert "3.1.1" in output.problem().text


def test_who_may_connect_but_not_publish_is_a_problem(tmp_path):
    acl = tmp_path / "acl"
    acl.write_text("topic read #\n", "ascii")
    with Mosquitto(tmp_path, f"acl_file {acl}") as broker, running(publisher(broker.port)) as output:
        assert until(output.problem)
        assert output.problem().state == "mqtt_refused"


# a socket whose handshake fails paho leaves to the garbage collection
@pytest.mark.filterwarnings("ignore:Exception ignored in. <ssl.SSLSocket")
def test_tls_is_verified(tmp_path):
    ours, key = certificate(tmp_path / "ours")
    stranger, _ = certificate(tmp_path / "other")
    with Mosquitto(tmp_path, f"certfile {ours}", f"keyfile {key}") as broker:
        with running(publisher(broker.port, host="localhost", tls=True, authority=ours)) as output:
            output.notify(signed())
            assert delivered(output, 1)
        for authority in (stranger, None):
            with running(publisher(broker.port, host="localhost", tls=True, authority=authority)) as output:
                assert until(output.problem)
                assert output.problem().state == "mqtt_untrusted"
        with running(publisher(broker.port, host="localhost")) as output:  # without TLS
            assert until(output.problem)
            assert output.problem().state == "mqtt_unreachable"


def test_a_port_that_does_not_answer_is_left_at_the_stop():
    with socket.create_server((HOST, 0)) as silent:
        with running(publisher(silent.getsockname()[1])) as output:
            time.sleep(0.3)
            output.notify(signed())
            begun = time.monotonic()
        assert time.monotonic() - begun < 1


def test_publishing_never_blocks_whatever_the_network_does():
    with socket.create_server((HOST, 0)) as silent, running(publisher(silent.getsockname()[1])) as output:
        begun = time.monotonic()
        for _ in range(1000):
            output.notify(signed())
        assert time.monotonic() - begun < 1
        assert output.counts().dropped == 1000 - 16


DEVICE_WITH_A_BROKER = """[engine]
engines = 1
[camera]
driver = "none"
[mqtt]
host = "127.0.0.1"
port = {port}
"""


def test_a_device_that_is_killed_is_offline_by_its_last_will(broker, tmp_path):
    folder = tmp_path / "device"
    folder.mkdir()
    with Listener(broker.port) as listener, Child(folder, DEVICE_WITH_A_BROKER.format(port=broker.port)) as child:
        child.ready()
        assert connected(listener)
        assert until(lambda: b'"status":"ok"' in listener.on("/health")[-1])
        child.process.send_signal(signal.SIGKILL)
        assert listener.on("/status", 2) == [b"online", b"offline"]


def test_a_device_whose_broker_goes_away_says_so(broker, tmp_path):
    folder = tmp_path / "device"
    folder.mkdir()
    with Child(folder, DEVICE_WITH_A_BROKER.format(port=broker.port)) as child:
        client = child.ready()
        child.logged("mqtt: connected")
        assert client.get("/healthz").status == 200
        broker.stop()
        reasons = until(lambda: client.get("/healthz").document["reasons"])
        assert [(each["part"], each["state"]) for each in reasons] == [("mqtt", "mqtt_unreachable")]
        assert b'appliance_output_waiting{output="mqtt"} 0.0' in client.get("/metrics").content
        assert child.terminate() == 0


LOADED = "import sys; from appliance import machine, config; machine.Machine(config.Config()); print(*sys.modules)"


def test_a_device_without_outputs_loads_none_of_their_libraries(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", LOADED.replace("Config()", "load(None, {'server': {'port': 0}})")],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
        env={**os.environ, "STATE_DIRECTORY": str(tmp_path)},
    )
    loaded = {name.split(".")[0] for name in done.stdout.split()}
    assert "appliance" in loaded
    assert not loaded & {"paho", "gpiozero", "lgpio"}
