"""`POST /identify` and `GET /identify`: who is it, among all who are known?"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from bodies import group, jpeg, opened, png
from cameras import HEIGHT, WIDTH, Scripted, noisy, on_canvas
from client import Answer, Client
from devices import Device, pool, shipped_engine, until
from document import assert_faces, assert_floats, assert_refusal, assert_success
from people import QUALITY, add, assert_enrolled
from PIL import Image

from appliance.vision.loading import Choice

NOBODY = png(Image.new("RGB", (640, 480), "grey"))


def assert_identified(answer: Answer) -> list[dict[str, Any]]:
    """The answer key by key; returns its faces."""
    found = assert_success(answer, "count", "faces")
    assert found["count"] == len(found["faces"])
    for face in found["faces"]:
        assert set(face) == {"box", "pose", "quality", "result", "person", "similarity"}
        assert_floats(face["box"], "x", "y", "width", "height")
        assert_floats(face["pose"], "yaw", "pitch", "roll")
        assert set(face["quality"]) == QUALITY
        assert face["result"] in ("identified", "unknown", "ambiguous")
        assert 0 <= face["similarity"] <= 1
        assert (face["person"] is None) == (face["result"] != "identified")
        if face["person"]:
            assert set(face["person"]) == {"id", "name", "groups"}
            assert face["similarity"] >= 0.5
    return found["faces"]


@pytest.fixture(scope="module")
def device(choice: Choice, tmp_path_factory: pytest.TempPathFactory, portrait: bytes) -> Iterator[Client]:
    """A client of a device that knows Eileen Collins, and somebody whose picture it has never seen."""
    folder = tmp_path_factory.mktemp("identify")
    with Device(pool(shipped_engine(choice), shipped_engine(choice)), gallery=folder, choice=choice) as running:
        add(running.client, "eileen", "Eileen Collins", groups=["crew", "pilots"])
        add(running.client, "unseen")
        assert_enrolled(running.client.post("/people/eileen/templates", portrait))
        yield running.client


def test_who_is_known_is_identified(device: Client, portrait: bytes) -> None:
    other = jpeg(opened(portrait).resize((400, 400)).rotate(8, expand=True), quality=75)

    (face,) = assert_identified(device.post("/identify", other))

    assert face["result"] == "identified"
    assert face["person"] == {"id": "eileen", "name": "Eileen Collins", "groups": ["crew", "pilots"]}
    assert face["similarity"] > 0.9


def test_a_stranger_is_unknown(device: Client, hopper: bytes) -> None:
    (face,) = assert_identified(device.post("/identify", hopper))

    assert (face["result"], face["person"]) == ("unknown", None)
    assert face["similarity"] < 0.5


def test_a_turned_face_is_not_searched_for(device: Client, portrait: bytes) -> None:
    answer = device.post("/identify", jpeg(opened(portrait).rotate(180)))
    (face,) = assert_success(answer, "count", "faces")["faces"]

    assert (face["result"], face["person"], face["similarity"]) == ("unknown", None, 0)
    assert (face["reason"], face["text"]) == ("not_upright", "the face is not upright")
    assert abs(face["pose"]["roll"]) > 170


def test_faces_are_those_of_the_picture_in_their_order(device: Client, portrait: bytes, hopper: bytes) -> None:
    both = jpeg(group([opened(hopper), opened(portrait)], [240, 640]))

    faces = assert_identified(device.post("/identify", both))

    assert [face["box"] for face in faces] == [face["box"] for face in assert_faces(device.post("/faces", both))]
    assert [face["result"] for face in faces] == ["identified", "unknown"]
    assert len(assert_identified(device.post("/identify?detectcount=1", both))) == 1


def test_a_picture_without_a_face_is_a_success(device: Client) -> None:
    assert assert_identified(device.post("/identify", NOBODY)) == []


def test_the_query_and_the_body_are_read_as_everywhere(device: Client, portrait: bytes) -> None:
    assert_refusal(device.post("/identify?minsize=x", portrait), 400, "INF-02")
    assert_refusal(device.post("/identify", b"hello"), 400, "INF-04")
    assert_refusal(device.post("/identify", b""), 400, "INF-03")
    assert_refusal(device.ask("POST", "/identify"), 400, "INF-01")
    assert_refusal(device.ask("PUT", "/identify", portrait), 405, "INF-02")


def test_everyone_is_unknown_to_an_empty_gallery(choice: Choice, tmp_path: Path, portrait: bytes) -> None:
    with Device(pool(shipped_engine(choice)), gallery=tmp_path, choice=choice) as running:
        (face,) = assert_identified(running.client.post("/identify", portrait))

    assert (face["result"], face["person"]) == ("unknown", None)
    assert face["similarity"] < 0.01


def test_two_people_who_look_the_same_are_ambiguous(choice: Choice, tmp_path: Path, portrait: bytes) -> None:
    with Device(pool(shipped_engine(choice)), gallery=tmp_path, choice=choice) as running:
        for identity in ("one", "other"):
            add(running.client, identity)
            assert_enrolled(running.client.post(f"/people/{identity}/templates?allow_duplicate=1", portrait))

        (face,) = assert_identified(running.client.post("/identify", portrait))
        assert (face["result"], face["person"]) == ("ambiguous", None)

        running.client.ask("DELETE", "/people/other")
        (face,) = assert_identified(running.client.post("/identify", portrait))
        assert face["person"]["id"] == "one"


def test_a_person_at_the_camera_is_identified(choice: Choice, tmp_path: Path, portrait: bytes) -> None:
    camera = Scripted(noisy(on_canvas(portrait)), 1 / 30)
    with Device(
        pool(shipped_engine(choice)), source=camera, size=(WIDTH, HEIGHT), gallery=tmp_path, choice=choice
    ) as running:
        add(running.client, "eileen")
        assert_enrolled(running.client.post("/people/eileen/templates", portrait))
        assert until(lambda: running.client.get("/faces").status == 200)

        answer = running.client.get("/identify")

        (face,) = assert_identified(answer)
        assert face["person"]["id"] == "eileen"
        assert answer.headers["Cache-Control"] == "no-store"
        assert int(answer.headers["X-Frame-Sequence"]) > 0
        assert float(answer.headers["X-Frame-Age"]) >= 0
        assert_refusal(running.client.get("/identify?maxsize=0"), 400, "INF-02")


def test_a_device_without_a_camera_cannot_identify_with_it(device: Client) -> None:
    assert_refusal(device.get("/identify"), 503, "INF-08")
