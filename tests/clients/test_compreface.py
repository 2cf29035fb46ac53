"""CompreFace's API: its official SDKs run their flows, Double Take's requests are answered, and nobody is erased by mistake."""

import base64
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bodies import form, jpeg, opened
from client import Answer, Client
from devices import Device, pool, shipped_engine

from appliance import keys
from appliance.api import compreface
from appliance.api.compreface import ABOVE, BELOW, _similarity
from appliance.api.intake import LONGEST
from appliance.face.embedding import FAST, joined
from appliance.face.types import Embedding
from appliance.gallery.people import Source
from appliance.keys import Scope
from appliance.vision.loading import Choice

ROOT = Path(__file__).parents[2]

API = "/api/v1/recognition"

SDK = Path(sys.prefix) / "compreface"
"""Where scripts/environment has put compreface-sdk."""

IN_PYTHON = """
import json, sys
from compreface import CompreFace

port, key, hopper, portrait = sys.argv[1:]
options = {"limit": 0, "det_prob_threshold": 0.8, "prediction_count": 1, "face_plugins": "calculator,landmarks"}
options["status"] = "true"
client = CompreFace("http://127.0.0.1", port, options)
service = client.init_face_recognition(key)
faces, subjects = service.get_face_collection(), service.get_subjects()
said = [
    subjects.add("Grace Hopper"),
    faces.add(hopper, "Grace Hopper"),
    faces.add(open(portrait, "rb").read(), "Eileen"),
    faces.list(),
    service.recognize(hopper),
    service.recognize(hopper, {"prediction_count": 2}),
]
image = said[1]["image_id"]
said += [
    faces.verify(hopper, image, {"det_prob_threshold": 0.8}),
    client.init_face_verification(key).verify(hopper, portrait),
    client.init_face_detection(key).detect(hopper),
    subjects.update("Eileen", "Eileen Collins"),
    subjects.list(),
    faces.delete(image),
    faces.delete_all("Eileen Collins"),
    subjects.delete("Grace Hopper"),
    subjects.list(),
    faces.delete_all("#2 Ann"),
    subjects.delete("#2 Ann"),
    subjects.list(),
]
print(json.dumps(said))
"""

IN_JAVASCRIPT = """
import { CompreFace } from "@exadel/compreface-js-sdk";
const [port, key, hopper, portrait] = process.argv.slice(2);
const client = new CompreFace("http://127.0.0.1", port, { det_prob_threshold: 0.8, status: "true" });
const service = client.initFaceRecognitionService(key);
const said = [];
said.push(await service.getSubjects().add("Grace Hopper"));
const plain = new CompreFace("http://127.0.0.1", port).initFaceRecognitionService(key);
said.push(await plain.getFaceCollection().add(hopper, "Grace Hopper"));
said.push(await plain.getFaceCollection().add(portrait, "Eileen"));
said.push(await service.getFaceCollection().list());
said.push(await service.recognize(hopper, { face_plugins: "landmarks,calculator", limit: 0 }));
said.push(await service.recognize(hopper, { prediction_count: 2, limit: 0 }));
const image = said[1].image_id;
said.push(await service.getFaceCollection().verify(hopper, image, { limit: 0 }));
said.push(await client.initFaceVerificationService(key).verify(hopper, portrait, { limit: 0 }));
said.push(await client.initFaceDetectionService(key).detect(hopper, { limit: 0, face_plugins: "landmarks,calculator" }));
said.push(await service.getSubjects().rename("Eileen", "Eileen Collins"));
said.push(await service.getSubjects().list());
said.push(await service.getFaceCollection().delete(image));
said.push(await service.getFaceCollection().delete_all_subject("Eileen Collins"));
said.push(await service.getSubjects().delete("Grace Hopper"));
said.push(await service.getSubjects().list());
for (const everyone of [() => service.getFaceCollection().delete_all(), () => service.getSubjects().deleteAll()]) {
  said.push(await everyone().catch((error) => error.response.data));
}
said.push(await service.getSubjects().list());
console.log(JSON.stringify(said));
"""


@pytest.fixture
def keyring(tmp_path: Path) -> dict[str, str]:
    """The keys of Double Take and of a client that recognises only."""
    (tmp_path / "device").mkdir()
    scopes = {"double-take": [Scope.RECOGNISE, Scope.ADMIN], "reader": [Scope.RECOGNISE]}
    return {name: keys.add(tmp_path / "device" / "keys.json", name, scopes[name]) for name in scopes}


@pytest.fixture
def key(keyring: dict[str, str]) -> str:
    return keyring["double-take"]


@pytest.fixture
def device(choice: Choice, tmp_path: Path, keyring: dict[str, str]) -> Iterator[Device]:
    folder = tmp_path / "device"
    with Device(
        pool(shipped_engine(choice)),
        gallery=folder,
        choice=choice,
        keys=folder / "keys.json",
        loopback=False,
        compreface=True,
    ) as running:
        yield running


def python(folder: Path) -> tuple[list[str], Path, dict[str, str]]:
    if not SDK.exists():
        pytest.skip("needs compreface-sdk: scripts/environment .venv test")
    return [sys.executable, "-c", IN_PYTHON], folder, {"PYTHONPATH": str(SDK)}


def javascript(folder: Path) -> tuple[list[str], Path, dict[str, str]]:
    if not (ROOT / "node_modules" / "@exadel").exists() or shutil.which("node") is None:
        pytest.skip("needs @exadel/compreface-js-sdk: scripts/node_packages")
    (folder / "node_modules").symlink_to(ROOT / "node_modules")
    return ["node", "--input-type=module", "--eval", IN_JAVASCRIPT, "--", ""], folder, {}


@pytest.mark.parametrize("sdk", [python, javascript], ids=["compreface-sdk", "@exadel/compreface-js-sdk"])
def test_an_official_sdk_runs_its_flow(
    sdk: Any, device: Device, key: str, portrait: bytes, hopper: bytes, tmp_path: Path
) -> None:
    command, folder, environment = sdk(tmp_path)
    (folder / "hopper.jpg").write_bytes(hopper)
    (folder / "portrait.jpg").write_bytes(portrait)
    done = subprocess.run(
        [*command, str(device.client.port), key, "./hopper.jpg", "./portrait.jpg"],
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
        cwd=folder,
        env={**os.environ, **environment},
    )
    assert done.returncode == 0, done.stderr
    said = [
        {name: value for name, value in each.items() if name != "return_msg"}
        for each in json.loads(done.stdout.splitlines()[-1])
    ]
    (
        subject,
        first,
        second,
        listed,
        known,
        both,
        own,
        other,
        found,
        renamed,
        two,
        gone,
        all_gone,
        erased,
        left,
        *rest,
    ) = said
    assert (subject, erased) == ({"subject": "Grace Hopper"},) * 2
    assert (first["subject"], second["subject"]) == ("Grace Hopper", "Eileen")
    assert {each["image_id"]: each["subject"] for each in listed["faces"]} == {
        first["image_id"]: "Grace Hopper",
        second["image_id"]: "Eileen",
    }
    assert (listed["page_number"], listed["total_elements"], listed["total_pages"]) == (0, 2, 1)
    (face,) = known["result"]
    assert set(face) == {"box", "subjects", "landmarks", "embedding"}
    assert [each["subject"] for each in face["subjects"]] == ["Grace Hopper"]
    assert face["subjects"][0]["similarity"] >= 0.9
    assert (len(face["landmarks"]), len(face["embedding"])) == (5, 512)
    assert face["box"]["x_min"] < face["landmarks"][2][0] < face["box"]["x_max"]
    assert 0.8 <= face["box"]["probability"] <= 1
    assert [each["subject"] for each in both["result"][0]["subjects"]] == ["Grace Hopper", "Eileen"]
    assert both["result"][0]["subjects"][1]["similarity"] < 0.8
    assert (own["result"][0]["subject"], own["result"][0]["similarity"] >= 0.9) == ("Grace Hopper", True)
    (compared,) = other["result"]
    assert compared["face_matches"][0]["similarity"] < 0.8
    assert compared["source_image_face"]["box"] == face["box"]
    assert found["result"][0]["box"] == face["box"]
    assert (renamed, two) == ({"updated": True}, {"subjects": ["Eileen Collins", "Grace Hopper"]})
    assert (gone["image_id"], all_gone, left) == (first["image_id"], {"deleted": 1}, {"subjects": ["Eileen Collins"]})
    for refused in rest[:-1]:  # everyone, on purpose or because the client has cut off the name
        assert {"reason", "text"} <= set(refused)
    assert rest[-1] == left


def ask(client: Client, key: str, method: str, path: str, **parts: bytes) -> Answer:
    headers, body = form(parts) if parts else ({}, None)
    return client.ask(method, path, body, {**headers, "x-api-key": key})


def error(answer: Answer) -> tuple[int, int]:
    assert answer.document["message"]
    return answer.status, answer.document["code"]


def test_double_take_recognises_trains_and_removes(device: Device, key: str, hopper: bytes, portrait: bytes) -> None:
    (page,) = re.findall(r"```yaml\n(.*?)```", (ROOT / "docs" / "api.md").read_text("utf-8"), re.DOTALL)
    settings = dict(re.findall(r"^ +(\w+): (\S+)$", page, re.MULTILINE))
    threshold, sure = settings["det_prob_threshold"], float(settings["confidence"])
    asked = f"{API}/recognize?face_plugins=&det_prob_threshold={threshold}"

    def matches(photo: bytes) -> list[tuple[str, bool]]:
        result = ask(device.client, key, "POST", asked, file=photo).document["result"]
        best = [(face["subjects"] or [{"subject": "unknown", "similarity": 0}])[0] for face in result]
        return [(each["subject"], each["similarity"] * 100 >= sure) for each in best]

    assert matches(hopper) == [("unknown", False)]
    trained = ask(device.client, key, "POST", f"{API}/faces?subject=grace%20hopper", file=hopper)
    assert trained.status == 201
    assert matches(hopper) == [("grace hopper", True)]
    assert matches(portrait) == [("grace hopper", False)]
    nobody = ask(device.client, key, "POST", asked, file=_blank(hopper))
    assert error(nobody) == (400, 28)  # on which Double Take says that there is no face
    assert ask(device.client, key, "DELETE", f"{API}/faces?subject=grace%20hopper").document["deleted"] == 1
    assert matches(hopper) == [("unknown", False)]


def _blank(photo: bytes) -> bytes:
    return jpeg(opened(photo).crop((0, 0, 60, 60)).resize((256, 256)))


def test_people_of_this_device_are_subjects_by_name(device: Device, key: str, hopper: bytes) -> None:
    admin = {"x-api-key": key}

    def subjects() -> list[str]:
        return device.client.get(f"{API}/subjects/", admin).document["subjects"]

    for identity, name in (("staff-17", "Ann Lee"), ("staff-18", "Ann Lee"), ("x", "staff-17"), ("y", "Élodie O'Neil")):
        content = json.dumps({"id": identity, "name": name}).encode()
        assert device.client.post("/people", content, admin).status < 300
    assert subjects() == ["staff-17", "staff-18", "x", "Élodie O'Neil"]
    assert (
        ask(device.client, key, "DELETE", f"{API}/subjects/%C3%89lodie%20O'Neil").document["subject"] == "Élodie O'Neil"
    )
    assert ask(device.client, key, "DELETE", f"{API}/subjects/Ann%20Lee").status == 404
    assert subjects() == ["staff-17", "staff-18", "x"]


def test_a_picture_as_base64(device: Device, key: str, hopper: bytes) -> None:
    body = json.dumps({"file": base64.b64encode(hopper).decode()}).encode()
    headers = {"x-api-key": key, "Content-Type": "application/json"}
    assert device.client.post(f"{API}/faces?subject=Grace", body, headers).status == 201
    (face,) = device.client.post(f"{API}/recognize?face_plugins=age,pose", body, headers).document["result"]
    assert (set(face), face["subjects"][0]["subject"]) == ({"box", "subjects", "pose"}, "Grace")


def test_a_face_has_few_predictions_however_many_are_asked_for(
    device: Device, key: str, hopper: bytes, portrait: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compreface, "MOST_PREDICTED", 1)
    for name, photo in (("Grace", hopper), ("Eileen", portrait)):
        assert ask(device.client, key, "POST", f"{API}/faces?subject={name}", file=photo).status == 201

    (face,) = ask(device.client, key, "POST", f"{API}/recognize?prediction_count=9999", file=hopper).document["result"]

    assert [each["subject"] for each in face["subjects"]] == ["Grace"]


def test_who_is_identified_by_both_networks_comes_first(
    device: Device, key: str, hopper: bytes, portrait: bytes
) -> None:
    """By the fast network alone nobody reaches the threshold, and another is nearer."""
    recognition = device.gallery.recognition()
    if recognition.identifier.both is None:
        pytest.skip("needs the strong embedder")
    headers = {"x-api-key": key}
    assert ask(device.client, key, "POST", f"{API}/faces?subject=Eileen", file=portrait).status == 201
    ((own,),) = (known.templates for known in recognition.gallery.people())
    (face,) = device.client.post("/facefeatures?networks=both", hopper, headers).document["face_features"]
    fast, strong = np.split(np.frombuffer(base64.b64decode(face["feature_data"]), np.float32), [FAST])
    for name, below, its_strong in (("Grace", 0.03, strong), ("Other", 0.01, -strong)):
        assert device.client.post(f"{API}/subjects", json.dumps({"subject": name}).encode(), headers).status == 201
        embedding = joined(_turned(fast, recognition.identifier.threshold - below), its_strong)
        recognition.gallery.enrol(name, embedding, own.model, 0.9, Source.PHOTO, strong=own.strong)

    asked = f"{API}/recognize?prediction_count=2"
    (face,) = ask(device.client, key, "POST", asked, file=hopper).document["result"]

    first, second = face["subjects"]
    assert (first["subject"], second["subject"]) == ("Grace", "Other")
    assert first["similarity"] >= ABOVE > BELOW >= second["similarity"]


def _turned(fast: Embedding, cosine: float) -> Embedding:
    """A unit vector with this cosine to another."""
    across = np.roll(fast, 1) - (np.roll(fast, 1) @ fast) * fast
    return (cosine * fast + np.sqrt(1 - cosine**2) * across / np.linalg.norm(across)).astype(np.float32)


def test_a_long_document_has_pictures_and_little_else(device: Device, key: str, hopper: bytes) -> None:
    headers = {"x-api-key": key, "Content-Type": "application/json"}
    picture = base64.b64encode(hopper).decode()
    assert len(picture) > LONGEST
    cases = [
        (f"{API}/recognize", {"file": picture, "numbers": [1] * 40}),
        (f"{API}/recognize", {"file": picture, **{f"n{number}": 1 for number in range(40)}}),
        (f"{API}/subjects", {"subject": "Grace", "x": " " * LONGEST}),
    ]
    for path, document in cases:
        answer = device.client.post(path, json.dumps(document).encode(), headers)
        assert (answer.status, answer.document["reason"]) == (400, "invalid_body"), path


@pytest.mark.parametrize("similarity", [0, 0.1, 0.49999999, 0.5, 0.50001, 0.9, 1])
def test_every_usual_threshold_means_the_operating_point(similarity: float) -> None:
    mapped = _similarity(similarity)
    assert {mapped >= threshold for threshold in (0.81, 0.85, 0.9)} == {similarity >= 0.5}
    assert _similarity(similarity, sure=False) <= 0.8
    assert 0 <= mapped <= 1


def test_refusals_have_the_codes_of_compreface(device: Device, key: str, hopper: bytes, portrait: bytes) -> None:
    client = device.client
    unknown = "00000000-0000-0000-0000-00000000ffff"
    cases = [
        ("DELETE", f"{API}/subjects/Nobody", {}, (404, 42)),
        ("DELETE", f"{API}/faces/{unknown}", {}, (404, 11)),
        ("DELETE", f"{API}/faces", {}, (400, 33)),
        ("POST", f"{API}/faces", {"file": hopper}, (400, 33)),
        ("POST", f"{API}/faces?subject=Ann%20", {"file": hopper}, (400, 0)),
        ("POST", f"{API}/faces?subject=Ann", {"file": b"no picture"}, (400, 0)),
        ("POST", f"{API}/faces?subject=Ann", {"picture": hopper}, (400, 0)),
        ("POST", f"{API}/recognize?limit=-1", {"file": hopper}, (400, 0)),
        ("POST", f"{API}/recognize?det_prob_threshold=2", {"file": hopper}, (400, 0)),
        ("POST", f"{API}/recognize?det_prob_threshold=1", {"file": hopper}, (400, 28)),
    ]
    for method, path, parts, expected in cases:
        assert error(ask(client, key, method, path, **parts)) == expected, path
    subjects = client.get(f"{API}/subjects", {"x-api-key": key}).document["subjects"]
    assert subjects == []  # a photograph that is refused leaves no person behind
    assert ask(client, key, "POST", f"{API}/faces?subject=Grace", file=hopper).status == 201
    duplicate = ask(client, key, "POST", f"{API}/faces?subject=Twin", file=hopper)
    assert (error(duplicate), duplicate.document["reason"]) == ((400, 0), "duplicate")
    assert client.get(f"{API}/subjects", {"x-api-key": key}).document["subjects"] == ["Grace"]


def test_a_key_without_the_scopes_and_none(device: Device, keyring: dict[str, str], hopper: bytes) -> None:
    reader = keyring["reader"]
    assert ask(device.client, reader, "GET", f"{API}/subjects").status == 403
    assert error(ask(device.client, reader, "POST", f"{API}/recognize", file=_blank(hopper))) == (400, 28)
    assert ask(device.client, "fa_wrong", "GET", f"{API}/subjects").status == 401


def test_it_is_absent_unless_it_is_switched_on(choice: Choice, tmp_path: Path) -> None:
    with Device(pool(shipped_engine(choice)), gallery=tmp_path, choice=choice) as device:
        assert device.client.get(f"{API}/subjects").status == 404
