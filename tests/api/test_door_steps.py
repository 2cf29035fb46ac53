"""Steps of a decision over HTTP: what a door, a display and a listener get of them, and what none of them does."""

import json
import logging
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from cameras import Scripted
from client import Answer, Client, request
from devices import Device, pool, shipped_engine, until
from document import assert_refusal, assert_success
from doors import HEIGHT, WIDTH, head
from people import add, assert_enrolled, assert_refused, body

from appliance import keys
from appliance.access.factors import FactorRules
from appliance.access.policy import Rules
from appliance.imaging.codec import EncodedPicture
from appliance.keys import Scope
from appliance.sections import DoorSection
from appliance.vision.loading import Choice

FACTORS = FactorRules.of(DoorSection(factors="face+pin").rules["factors"])


class Door:
    """A device before which Hopper stands, whose PIN is 4711, and under duress 4712."""

    def __init__(self, device: Device, folder: Path) -> None:
        self.device = device
        self.tokens = {
            each: keys.add(folder / keys.FILE, each, [each]) for each in (Scope.DECIDE, Scope.KIOSK, Scope.LIVE)
        }
        self.tokens["admin"] = keys.add(folder / keys.FILE, "both", [Scope.LIVE, Scope.ADMIN])
        self.count = 0

    def ask(self, method: str, path: str, key: str, content: object = None) -> Answer:
        assert until(lambda: self.device.elsewhere.ask("GET", "/version", headers=self.head(key)).status == 200)
        return self.device.elsewhere.ask(method, path, body(content or {}), self.head(key))

    def head(self, key: str) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.tokens[key]}"}

    def pending(self) -> dict[str, Any]:
        self.count += 1
        answer = self.ask("POST", "/access/decide", Scope.DECIDE, {"nonce": f"nonce-of-a-step-{self.count:04d}"})
        return assert_success(answer, "pending")["pending"]

    def proceed(self, handle: str, key: str = Scope.DECIDE, **content: object) -> Answer:
        return self.ask("POST", f"/access/decide/{handle}", key, content)


@pytest.fixture(scope="module")
def door(choice: Choice, hopper: bytes, tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("steps")
    photo = EncodedPicture(hopper, 10**6).frame(1.0).pixels
    pictures = [head(photo, number) for number in range(61)]
    camera = Scripted(lambda number: pictures[number % 61].copy(), 1 / 15)
    with Device(
        pool(shipped_engine(choice)),
        source=camera,
        size=(WIDTH, HEIGHT),
        gallery=folder,
        choice=choice,
        keys=folder / keys.FILE,
        rules=Rules(factors=FACTORS),
        listeners=4,
    ) as device:
        add(device.client, "hopper", "Grace Hopper")
        assert_enrolled(device.client.post("/people/hopper/templates", hopper))
        assert until(lambda: device.ring.spaced(4, 0.3))
        assert set_pin(device.client, {"pin": "4711", "duress": "4712"}).status == 200
        yield Door(device, folder)


def set_pin(client: Client, content: object, identity: str = "hopper") -> Answer:
    return client.ask("PUT", f"/people/{identity}/pin", body(content))


def test_a_door_gets_a_step_and_then_one_decision(door: Door) -> None:
    step = door.pending()
    assert step == {
        "handle": step["handle"],
        "kind": "pin",
        "text": "a PIN is required as well",
        "seconds": 20.0,
        "id": False,
        "least": 4,
        "most": 8,
    }
    assert_refusal(
        door.ask("POST", "/access/decide", Scope.DECIDE, {"nonce": "another-nonce-meanwhile"}), 503, "INF-08"
    )
    for wrong in ("471", "471100815", "47i1", "٤٧١١"):
        text = assert_refused(door.proceed(step["handle"], pin=wrong), 400, "INF-01", "invalid_body")
        assert text == "pin: 4 to 8 digits"
    answer = assert_success(door.proceed(step["handle"], pin="4711"), "decision", "token")
    decision = answer["decision"]
    assert (decision["result"], decision["person"]["id"]) == ("granted", "hopper")
    assert decision["nonce"] == f"nonce-of-a-step-{door.count:04d}"
    for handle in (step["handle"], "A" * 22):
        assert_refused(door.proceed(handle, pin="4711"), 404, "INF-02", "no_such_step")


def test_a_display_answers_for_a_door_that_waits_and_gets_no_token(door: Door) -> None:
    step = door.pending()
    with ThreadPoolExecutor(1) as waiting:
        told = waiting.submit(door.proceed, step["handle"])
        shown = assert_success(door.proceed(step["handle"], Scope.KIOSK, pin="4711"), "decision")["decision"]
        answer = assert_success(told.result(), "decision", "token")
    assert shown == {"result": "granted", "reason": "granted", "text": "access granted", "name": "Grace Hopper"}
    assert answer["decision"]["result"] == "granted"


def test_a_cancelled_step_is_denied_without_a_name_for_the_display(door: Door) -> None:
    shown = assert_success(door.proceed(door.pending()["handle"], Scope.KIOSK, cancel=True), "decision")["decision"]
    assert shown == {"result": "denied", "reason": "pin_required", "text": "a PIN is required as well", "name": None}


def test_duress_is_in_the_events_of_an_administrator_and_nowhere_else(
    door: Door, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    paths = {"admin": "/events", Scope.LIVE: "/events", Scope.KIOSK: "/kiosk/events"}
    texts, answers = dict.fromkeys(paths, ""), []
    with ExitStack() as stack:
        wires = {key: stack.enter_context(door.device.elsewhere.wire()) for key in paths}
        for key, wire in wires.items():
            wire.send(request("GET", paths[key], headers=door.head(key)))
        assert until(lambda: door.device.broadcast.listeners >= 3)
        for pin in ("4711", "4712"):
            step = door.pending()
            answers.append(door.proceed(step["handle"], Scope.KIOSK, pin=pin))
        for key, wire in wires.items():
            while texts[key].count("event: decision") < 2 or (key == "admin" and "duress" not in texts[key]):
                texts[key] += wire._reader.readline().decode()
    ordinary, duress = answers
    assert ordinary.document == duress.document
    assert ordinary.headers.keys() == duress.headers.keys()
    assert '"event":"duress"' in texts["admin"]
    for key in (Scope.LIVE, Scope.KIOSK):
        assert "event: pending" in texts[key]
        assert "duress" not in texts[key]
    assert '"handle":"' in texts[Scope.KIOSK]
    assert '"handle"' not in texts[Scope.LIVE]
    listed = json.dumps(door.device.client.get("/access/decisions").document)
    everything = listed + caplog.text + json.dumps(door.device.client.get("/people/hopper").document)
    assert not [secret for secret in ("4711", "4712", "duress") if secret in everything]


def test_a_pin_is_set_and_removed_and_never_shown(door: Door) -> None:
    client = door.device.client
    add(client, "ada", "Ada")
    assert client.get("/people/ada/pin").document["pin"] == {"set": False}
    assert assert_success(set_pin(client, {"pin": "08150"}, "ada"), "pin")["pin"] == {"set": True}
    assert client.get("/people/ada/pin").document["pin"] == {"set": True}
    assert "08150" not in client.get("/people/ada").content.decode()
    assert client.ask("DELETE", "/people/ada/pin").document["pin"] == {"set": False}
    for content, text in (
        ({"pin": "1234"}, "pin: at least 3 different digits, and no run such as 1234 or 4321"),
        ({"pin": "12"}, "pin: 4 to 8 digits"),
        ({"pin": 4711}, "pin: must be a text in quotes"),
        ({"pin": "4711", "duress": "4711"}, "duress: it is the same as the PIN"),
    ):
        assert assert_refused(set_pin(client, content, "ada"), 400, "INF-01", "invalid_body") == text
    assert_refused(set_pin(client, {"pin": "4711"}, "bo"), 404, "INF-02", "no_such_person")
    assert_refused(client.get("/people/bo/pin"), 404, "INF-02", "no_such_person")
