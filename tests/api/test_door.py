"""The door's endpoints: a decision and its token, the key, and what was decided; and the verifier of docs/door.md."""

import ast
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from cameras import Scripted
from client import Client, request
from devices import DEVICE_ID, Device, pool, shipped_engine, until
from document import assert_refusal, assert_success
from doors import HEIGHT, WIDTH, head
from face_appliance_client.decision import ReusedNonceError
from face_appliance_client.verifier import Verifier
from people import add, assert_enrolled, assert_refused, body

from appliance import keys
from appliance.access import token
from appliance.access.log import DECISION, DOOR, RECORD_FILE, Record
from appliance.access.token import LIFE, PublicKey
from appliance.events import DoorEvent, DoorEventKind, DoorState
from appliance.face.types import Pixels
from appliance.imaging.codec import EncodedPicture
from appliance.vision.loading import Choice

NONCE = "0123456789abcdef"

PAGE = Path(__file__).parent.parent.parent / "docs" / "door.md"

UTC_MS = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")


class Scene(Scripted):
    """Hopper before the camera."""

    def __init__(self, photo: Pixels) -> None:
        pictures = [head(photo, number) for number in range(61)]
        super().__init__(lambda number: pictures[number % 61].copy(), 1 / 15)


@pytest.fixture(scope="module")
def photo(hopper: bytes) -> Pixels:
    return EncodedPicture(hopper, 10**6).frame(1.0).pixels


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("door")


@pytest.fixture(scope="module")
def token_of_a_door(folder: Path) -> str:
    return keys.add(folder / keys.FILE, "door", [keys.Scope.DECIDE])


@pytest.fixture(scope="module")
def door(choice: Choice, photo: Pixels, hopper: bytes, folder: Path) -> Iterator[Device]:
    """A device that knows Hopper, who stands before it."""
    camera, engines = Scene(photo), pool(shipped_engine(choice))
    with Device(
        engines, source=camera, size=(WIDTH, HEIGHT), gallery=folder, choice=choice, keys=folder / keys.FILE
    ) as device:
        add(device.client, "hopper", "Grace Hopper")
        assert_enrolled(device.client.post("/people/hopper/templates", hopper))
        assert until(lambda: device.ring.spaced(4, 0.3))
        yield device


@pytest.fixture
def client(door: Device) -> Client:
    return door.client


def ask(client: Client, **words: object) -> Any:
    return client.ask("POST", "/access/decide", body({"nonce": NONCE, **words}))


def test_the_door_is_opened_from_afar_by_a_relay_that_works_and_recorded(
    choice: Choice, hopper: bytes, tmp_path: Path
) -> None:
    happened: list[DoorEvent] = []
    shut = DoorState(open=False, forced=False, held=False, tamper=False, fire=False, relay=None)
    with Device(pool(), gallery=tmp_path, choice=choice) as device:
        device.broadcast.subscribe(DoorEvent, happened.append)
        for state in (None, shut):  # without any wires, and with inputs alone
            if state:
                device.broadcast.publish(state)
            assert_refused(device.client.ask("POST", "/access/open"), 503, "INF-08", "relay_unavailable")
        device.broadcast.publish(replace(shut, relay=False))
        place = assert_success(device.client.ask("POST", "/access/open"), "record")["record"]
        (entry,) = Record(tmp_path / RECORD_FILE).newest(9)
        assert (entry.kind, dict(entry.facts)) == (DOOR, {"event": "remote_open", "key": "-"})
        assert place == {"sequence": entry.sequence, "hash": entry.hash}
        assert [(each.kind, each.by) for each in happened] == [(DoorEventKind.REMOTE_OPEN, "-")]
        (tmp_path / RECORD_FILE).write_bytes(b"no database" * 99)
        assert_refused(device.client.ask("POST", "/access/open"), 503, "INF-08", "record_unavailable")
        assert len(happened) == 1


def test_the_state_of_the_door_is_in_health_and_in_the_events(choice: Choice, tmp_path: Path) -> None:
    forced = DoorState(open=True, forced=True, held=False, tamper=False, fire=False, relay=None)
    with Device(pool(), gallery=tmp_path, choice=choice) as device:
        assert "door" not in device.client.get("/healthz").document
        with device.client.wire() as wire:
            wire.send(request("GET", "/events"))
            assert until(lambda: device.broadcast.listeners)
            device.broadcast.publish(forced)
            device.broadcast.publish(DoorEvent(DoorEventKind.FORCED, datetime.fromtimestamp(1.5, UTC)))
            text = b""
            while b'1.500Z"}' not in text:
                text += wire.socket.recv(4096)
        assert b'event: door\ndata: {"open":true,"forced":true,' in text
        assert b'event: door_event\ndata: {"event":"forced","by":null,"time":"1970-01-01T00:00:01.500Z"}' in text
        report = device.client.get("/healthz").document
        assert report["door"]["forced"] is True
        assert [each["state"] for each in report["reasons"] if each["part"] == "door"] == ["forced"]
        assert b"appliance_door_forced 1.0" in device.client.get("/metrics").content


def verifier(client: Client) -> Verifier:
    answer = assert_success(client.get("/access/key"), "device", "algorithm", "public_key", "pem")
    key = PublicKey.read(answer["public_key"])
    assert PublicKey.read(answer["pem"]).raw == key.raw
    assert assert_success(client.get("/.well-known/jwks.json"), "keys")["keys"] == [key.jwk]
    assert (answer["device"], answer["algorithm"]) == (DEVICE_ID, "Ed25519")
    return Verifier(key, DEVICE_ID, answer=60 * LIFE, tolerance=60 * LIFE)


def test_a_decision_and_its_token(door: Device, client: Client) -> None:
    doorman = verifier(client)
    nonce = doorman.challenge()

    answer = assert_success(ask(client, nonce=nonce), "decision", "token")

    said = doorman.verify(answer["token"])
    decision = answer["decision"]
    assert decision["result"] == "granted", decision
    assert decision["person"] == {"id": "hopper", "name": "Grace Hopper"}
    assert (decision["nonce"], decision["direction"], decision["device"]) == (nonce, "in", DEVICE_ID)
    assert (said.granted, said.person, said.id, said.reason) == (True, "hopper", decision["id"], decision["reason"])
    assert len(decision["frames"]) == 4
    assert all(UTC_MS.fullmatch(each) for each in [*decision["frames"], decision["issued"], decision["expires"]])
    assert decision["text"]
    assert door.told[-1].token == answer["token"]
    with pytest.raises(ReusedNonceError):
        doorman.verify(answer["token"])


def test_the_same_nonce_again(client: Client) -> None:
    first, second = (ask(client, nonce="again-and-again-123") for _ in range(2))

    assert first.document["decision"]["result"] == "granted"
    decision = assert_success(second, "decision", "token")["decision"]
    assert (decision["result"], decision["reason"], decision["person"]) == ("denied", "nonce_repeated", None)
    assert decision["frames"] == []


def test_the_way_out(client: Client) -> None:
    assert ask(client, nonce="n" * 86, direction="out").document["decision"]["direction"] == "out"


@pytest.mark.parametrize(
    ("content", "field"),
    [
        (b"", "body"),
        (b"none", "body"),
        (b"[]", "body"),
        (b"{}", "nonce"),
        (body({"nonce": "short"}), "nonce"),
        (body({"nonce": "a" * 87}), "nonce"),
        (body({"nonce": "a" * 15 + "="}), "nonce"),
        (body({"nonce": "a" * 16 + "\n"}), "nonce"),
        (body({"nonce": 5}), "nonce"),
        (body({"nonce": NONCE, "direction": "up"}), "direction"),
        (body({"nonce": NONCE, "person": "hopper"}), "person"),
    ],
)
def test_a_question_that_is_none(client: Client, content: bytes, field: str) -> None:
    assert field in assert_refused(client.ask("POST", "/access/decide", content), 400, "INF-01", "invalid_body")


def test_an_invalid_nonce_is_explained(client: Client) -> None:
    text = assert_refused(ask(client, nonce="short"), 400, "INF-01", "invalid_body")
    assert text == "nonce: 16 to 86 letters, digits, '-' and '_'"


def test_decisions_that_were_made(client: Client) -> None:
    made = [ask(client, nonce=f"listed-nonce-{number:04d}").document["decision"] for number in range(3)]

    answer = assert_success(client.get("/access/decisions?count=2"), "count", "decisions")

    assert answer["count"] == 2
    newest, before = answer["decisions"]
    assert newest["sequence"] == before["sequence"] + 1
    assert set(newest) == {"sequence", "id", "time", "result", "reason", "text", "person", "pass", "direction"}
    assert [newest["id"], before["id"]] == [made[-1]["id"], made[-2]["id"]]
    assert newest["pass"] is None
    assert newest["person"] == {"id": "hopper", "name": "Grace Hopper"}
    assert (newest["result"], newest["text"]) == (made[-1]["result"], made[-1]["text"])
    assert UTC_MS.fullmatch(newest["time"])


@pytest.mark.parametrize("count", ["0", "-1", "1001", "many", ""])
def test_a_count_that_is_none(client: Client, count: str) -> None:
    assert_refusal(client.get(f"/access/decisions?count={count}"), 400, "INF-02")


def test_decisions_are_published_as_they_are_made(client: Client) -> None:
    with client.wire() as wire:
        wire.send(request("GET", "/events"))
        said = ask(client, nonce="told-as-it-is-made").document["decision"]
        found = ""
        while "event: decision" not in found or not found.split("event: decision")[1].count("\n\n"):
            found += wire._reader.readline().decode()
    told = json.loads(found.split("event: decision")[1].split("data: ")[1].split("\n")[0])
    assert told == {
        "id": said["id"],
        "time": said["issued"],
        "result": said["result"],
        "reason": said["reason"],
        "text": said["text"],
        "person": said["person"],
        "direction": "in",
    }


def test_many_at_once_are_answered_or_turned_away(client: Client) -> None:
    with ThreadPoolExecutor(8) as doors:
        answers = list(doors.map(lambda number: ask(client, nonce=f"many-at-once-{number:04d}"), range(8)))
    assert {answer.status for answer in answers} <= {200, 503}
    assert any(answer.status == 200 for answer in answers)
    for answer in answers:
        if answer.status == 503:
            assert_refusal(answer, 503, "INF-08")
            assert answer.headers["Retry-After"] == "1"


def test_an_erased_person_is_not_named_in_earlier_decisions(
    choice: Choice, photo: Pixels, hopper: bytes, tmp_path: Path
) -> None:
    with Device(
        pool(shipped_engine(choice)), source=Scene(photo), size=(WIDTH, HEIGHT), gallery=tmp_path, choice=choice
    ) as device:
        add(device.client, "hopper", "Grace Hopper")
        assert_enrolled(device.client.post("/people/hopper/templates", hopper))
        assert until(lambda: device.ring.spaced(4, 0.3))
        assert ask(device.client).document["decision"]["person"]
        assert device.client.ask("DELETE", "/people/hopper").status == 200
        (listed,) = device.client.get("/access/decisions").document["decisions"]
    assert listed["person"] is None


def test_without_a_camera_it_is_denied(choice: Choice, tmp_path: Path) -> None:
    with Device(pool(shipped_engine(choice)), gallery=tmp_path, choice=choice) as device:
        decision = assert_success(ask(device.client), "decision", "token")["decision"]
    assert (decision["result"], decision["reason"], decision["frames"]) == ("denied", "camera_blind", [])


def test_a_replaced_decision_is_listed_as_void_and_a_visitor_s_with_the_pass(choice: Choice, tmp_path: Path) -> None:
    record = Record(tmp_path / RECORD_FILE)
    granted = {"id": "0" * 32, "result": "granted", "reason": "granted", "direction": "in", "person": None}
    record.append(DECISION, granted)
    record.append(DECISION, {**granted, "result": "denied", "reason": "camera_blind", "voids": 1})
    record.append(DECISION, {**granted, "pass": "7f3a"})
    with Device(pool(shipped_engine(choice)), gallery=tmp_path, choice=choice) as device:
        listed = device.client.get("/access/decisions").document["decisions"]
    assert [each["result"] for each in listed] == ["granted", "denied", "void"]
    assert [(each["person"], each["pass"]) for each in listed] == [(None, "7f3a"), (None, None), (None, None)]
    assert listed[2]["text"] == "recorded too late, and replaced by the next decision"


def test_a_demonstration_opens_no_door(choice: Choice, photo: Pixels, hopper: bytes, tmp_path: Path) -> None:
    camera = Scene(photo)
    camera.demonstration = True
    with Device(
        pool(shipped_engine(choice)), source=camera, size=(WIDTH, HEIGHT), gallery=tmp_path, choice=choice
    ) as device:
        add(device.client, "hopper", "Grace Hopper")
        assert_enrolled(device.client.post("/people/hopper/templates", hopper))
        assert until(lambda: device.ring.spaced(4, 0.3))
        decision = ask(device.client).document["decision"]
    assert (decision["result"], decision["reason"]) == ("denied", "camera_blind")


@pytest.mark.logs_errors("the gallery cannot be opened")
def test_without_the_site_key_nothing_is_decided(choice: Choice, tmp_path: Path) -> None:
    with Device(pool(shipped_engine(choice)), gallery=tmp_path, choice=choice):
        pass
    (tmp_path / "site.key").write_text("0" * 64 + "\n", "ascii")
    with Device(pool(shipped_engine(choice)), gallery=tmp_path, choice=choice) as device:
        assert_refused(ask(device.client), 503, "INF-08", "gallery_locked")
        assert_refused(device.client.get("/access/key"), 503, "INF-08", "gallery_locked")
    assert not (tmp_path / "signing.key").exists()


@pytest.mark.logs_errors("no decision is made")
def test_a_damaged_signing_key_is_reported(choice: Choice, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    def told(device: Device) -> list[tuple[str, str]]:
        return [
            (problem.part, problem.state) for problem in [*device.retention.problems(), *device.signing_key.problems()]
        ]

    with Device(pool(shipped_engine(choice)), gallery=tmp_path, choice=choice) as device:
        assert told(device) == []
        assert not (tmp_path / "signing.key").exists()
        assert device.client.get("/access/key").status == 200
        assert told(device) == []
    (tmp_path / "signing.key").write_bytes(b"damaged")
    with Device(pool(shipped_engine(choice)), gallery=tmp_path, choice=choice) as device:
        assert told(device) == told(device) == [("door", "signing_key_unusable")]
        assert device.client.get("/access/key").status == 503
    assert caplog.text.count("no decision is made") == 1


def test_while_models_load(tmp_path: Path) -> None:
    with Device(pool(), gallery=tmp_path, choice={}) as device:
        assert_refusal(ask(device.client), 500, "INF-08")


@pytest.fixture
def program_of_the_page(client: Client, token_of_a_door: str) -> Iterator[dict[str, Any]]:
    """The program of docs/door.md."""
    (found,) = re.findall(r"```python\n([^`]*face_appliance_client.*?)```", PAGE.read_text("utf-8"), re.DOTALL)
    key = client.get("/access/key").document
    for text, ours in (("127.0.0.1:9297", f"127.0.0.1:{client.port}"), ("fa_…", token_of_a_door)):
        assert text in found
        found = found.replace(text, ours)
    found = found.replace("…", key["device"], 1).replace("…", key["public_key"], 1)
    found = found.replace("DEVICE)", "DEVICE, tolerance=None)")  # other tests run, too
    program: dict[str, Any] = {}
    exec(compile(found, "door.md", "exec"), program)
    with program["door"].appliance:
        yield program


def test_the_program_of_the_page(program_of_the_page: dict[str, Any]) -> None:
    assert program_of_the_page["ask"]() == "hopper"
    assert program_of_the_page["ask"]("out") == "hopper"


def test_the_program_of_the_page_opens_for_no_other_device(
    program_of_the_page: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    other = token.Signer.of(b"another device, and its 32 bytes").public.text
    program_of_the_page["door"] = program_of_the_page["door"].appliance.door(other, DEVICE_ID)
    assert program_of_the_page["ask"]() is None
    assert "another device" in capsys.readouterr().out


def test_the_copied_file_needs_cryptography_alone(tmp_path: Path) -> None:
    shutil.copy(token.__file__, tmp_path / "face_decision.py")
    program = (
        "import sys, face_decision\n"
        "face_decision.PublicKey.read(face_decision.Signer.of(bytes(32)).public.pem)\n"
        "print(sorted({name.partition('.')[0] for name in sys.modules}))"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert {"cryptography"} <= set(ast.literal_eval(done.stdout))
    assert not {"appliance", "appliance_models", "numpy", "cv2"} & set(ast.literal_eval(done.stdout))
