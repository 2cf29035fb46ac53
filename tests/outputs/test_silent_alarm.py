"""The silent alarm after a PIN under duress: from a device that is asked over HTTP to a webhook's receiver and a broker."""

import json

from brokers import Listener, Mosquitto, needs_mosquitto
from cameras import Scripted
from client import HOST
from devices import Device, pool, shipped_engine, until
from document import assert_success
from doors import HEIGHT, WIDTH, head
from people import add, assert_enrolled, body
from receiver import SECRET, Receiver
from told import delivered, running

from appliance.access.factors import FactorRules
from appliance.access.policy import Rules
from appliance.imaging.codec import EncodedPicture
from appliance.outputs.mqtt import Broker, Publisher
from appliance.outputs.queue import Outputs
from appliance.outputs.webhook import Webhook
from appliance.sections import DoorSection

pytestmark = needs_mosquitto

DEVICE = "50d31c0ffee0"
RULES = Rules(factors=FactorRules.of(DoorSection(factors="face+pin").rules["factors"]))


def granted(client, pin):
    """The id of the decision after a PIN."""
    step = assert_success(client.post("/access/decide", body({"nonce": f"nonce-before-pin-{pin}"})), "pending")
    answer = client.post(f"/access/decide/{step['pending']['handle']}", body({"pin": pin}))
    decision = assert_success(answer, "decision", "token")["decision"]
    assert decision["result"] == "granted"
    return decision["id"]


def test_duress_reaches_webhook_and_mqtt_and_an_ordinary_pin_raises_nothing(choice, hopper, tmp_path):
    photo = EncodedPicture(hopper, 10**6).frame(1.0).pixels
    pictures = [head(photo, number) for number in range(61)]
    camera = Scripted(lambda number: pictures[number % 61].copy(), 1 / 15)
    secret = tmp_path / "secret"
    secret.write_text(f"{SECRET}\n", "ascii")
    secret.chmod(0o600)
    engines = pool(shipped_engine(choice))
    people = tmp_path / "people"
    with (
        Mosquitto(tmp_path) as broker,
        Listener(broker.port) as listener,
        Receiver() as receiver,
        Device(engines, source=camera, size=(WIDTH, HEIGHT), gallery=people, choice=choice, rules=RULES) as device,
    ):
        add(device.client, "hopper", "Grace Hopper")
        assert_enrolled(device.client.post("/people/hopper/templates", hopper))
        pins = body({"pin": "4711", "duress": "4712"})
        assert device.client.ask("PUT", "/people/hopper/pin", pins).status == 200
        assert until(lambda: device.ring.spaced(4, 0.3))
        webhook = Webhook(
            receiver.url, secret_file=secret, ca_file=None, timeout_s=5, give_up_s=60, waiting=16, device=DEVICE
        )
        address = Broker(host=HOST, port=broker.port, tls=False, authority=None, username=None)
        mqtt = Publisher(address, None, "face-appliance", DEVICE, lambda: {"status": "ok", "reasons": []}, None)
        with running(webhook), running(mqtt):
            assert listener.on("/status")[-1:] == [b"online"]
            Outputs([webhook, mqtt]).listen(device.broadcast)
            granted(device.client, "4711")
            decision = granted(device.client, "4712")
            assert delivered(webhook, 3)
            (payload,) = listener.on("/event")
        posted = [json.loads(content) for _, _, content, _ in receiver.requests]
    assert sorted(each["type"] for each in posted) == ["access.decision", "access.decision", "door.duress"]
    (alarm,) = (each["data"] for each in posted if each["type"] == "door.duress")
    assert (alarm["event"], alarm["by"]) == ("duress", decision)
    assert json.loads(payload) == alarm
    assert "duress" not in str([each for each in posted if each["type"] == "access.decision"])
