"""`POST /compare`, `/feature/floats` and `/facefeatures`: whole photographs compared, and embeddings handed out."""

from base64 import b64decode
from typing import Any

import numpy as np
import pytest
from bodies import form, group, jpeg, opened, png
from client import Answer, Client
from document import (
    RAW_BYTES,
    assert_aligned,
    assert_faces,
    assert_floats,
    assert_fraction,
    assert_refusal,
    assert_success,
)
from numpy.typing import NDArray
from PIL import Image

NOBODY = png(Image.new("RGB", (640, 480), "grey"))


def compared(device: Client, a: bytes, b: bytes) -> Answer:
    headers, body = form({"image_a": a, "image_b": b})
    return device.post("/compare", body, headers)


def assert_compared(answer: Answer) -> dict[str, Any]:
    found = assert_success(answer, "similarity", "box_a", "box_b")
    assert type(found["similarity"]) is float
    assert 0 <= found["similarity"] <= 1
    for name in ("box_a", "box_b"):
        assert_floats(found[name], "x", "y", "width", "height")
    return found


def vector(found: dict[str, Any]) -> NDArray[np.float32]:
    """What a client makes of a feature."""
    assert found["feature_size"] == 512
    embedding = np.frombuffer(b64decode(found["feature_data"], validate=True), "<f4")
    assert embedding.shape == (512,)
    assert np.linalg.norm(embedding) == pytest.approx(1, abs=1e-5)
    return embedding


def floats(answer: Answer) -> NDArray[np.float32]:
    return vector(assert_success(answer, "feature_size", "feature_data"))


def features(answer: Answer) -> list[dict[str, Any]]:
    found = assert_success(answer, "count", "face_features")
    assert type(found["count"]) is int
    assert found["count"] == len(found["face_features"])
    for face in found["face_features"]:
        assert set(face) == {"box", "feature_size", "feature_data"}
        assert_floats(face["box"], "x", "y", "width", "height")
        vector(face)
    return found["face_features"]


@pytest.fixture(scope="module")
def people(portrait: bytes, hopper: bytes) -> bytes:
    """Two people in one picture, the one of the portrait larger."""
    return jpeg(group([opened(hopper), opened(portrait)], [240, 640]))


def test_two_photographs_of_one_person_are_above_the_operating_point(device: Client, portrait: bytes) -> None:
    other = jpeg(opened(portrait).resize((300, 300)).rotate(12, expand=True), quality=70)

    assert assert_compared(compared(device, portrait, other))["similarity"] > 0.5


def test_photographs_of_two_persons_are_below_it(device: Client, portrait: bytes, hopper: bytes) -> None:
    assert assert_compared(compared(device, portrait, hopper))["similarity"] < 0.5


def test_the_largest_face_of_each_is_taken(device: Client, portrait: bytes, people: bytes) -> None:
    found = assert_compared(compared(device, people, portrait))

    assert found["similarity"] > 0.5
    assert found["box_a"] == assert_faces(device.post("/faces", people))[0]["box"]
    assert found["box_b"] == assert_faces(device.post("/faces", portrait))[0]["box"]


def test_photographs_compare_much_as_their_aligned_faces_do(device: Client, portrait: bytes, hopper: bytes) -> None:
    """By both networks instead of the strong one alone."""
    headers, body = form(
        {
            name: b64decode(assert_aligned(device.post("/alignedfaces", picture))[0]["image_data"])
            for name, picture in (("image_a", portrait), ("image_b", hopper))
        }
    )
    aligned = assert_fraction(device.post("/similarity", body, headers), "similarity")

    assert assert_compared(compared(device, portrait, hopper))["similarity"] == pytest.approx(aligned, abs=0.02)


@pytest.mark.parametrize("nobody", ["image_a", "image_b"])
def test_a_photograph_without_a_face_cannot_be_compared(device: Client, portrait: bytes, nobody: str) -> None:
    headers, body = form({"image_a": portrait, "image_b": portrait, nobody: NOBODY})

    assert_refusal(device.post("/compare", body, headers), 400, "INF-17")


@pytest.mark.parametrize("broken", ["image_a", "image_b"])
def test_what_is_no_picture_cannot_be_compared(device: Client, portrait: bytes, broken: str) -> None:
    headers, body = form({"image_a": portrait, "image_b": portrait, broken: portrait[:2000]})

    assert_refusal(device.post("/compare", body, headers), 400, "INF-04")


def test_the_features_of_a_picture_are_those_of_its_faces_in_their_order(device: Client, people: bytes) -> None:
    found = features(device.post("/facefeatures", people))

    assert [face["box"] for face in found] == [face["box"] for face in assert_faces(device.post("/faces", people))]
    for face, aligned in zip(found, assert_aligned(device.post("/alignedfaces", people)), strict=True):
        alone = floats(device.post("/feature/floats", b64decode(aligned["image_data"])))
        assert vector(face) == pytest.approx(alone, abs=1e-6)


def test_the_dot_product_of_two_features_tells_people_apart(device: Client, people: bytes, portrait: bytes) -> None:
    larger, smaller = map(vector, features(device.post("/facefeatures", people)))
    (alone,) = map(vector, features(device.post("/facefeatures", portrait)))

    assert larger @ alone > 0.8
    assert smaller @ alone < 0.3


def test_a_picture_without_a_face_is_a_success(device: Client) -> None:
    assert features(device.post("/facefeatures", NOBODY)) == []


def test_the_query_of_the_faces_is_that_of_their_features(device: Client, people: bytes) -> None:
    assert len(features(device.post("/facefeatures?detectcount=1", people))) == 1
    assert features(device.post("/facefeatures?minsize=600", people)) == []
    assert_refusal(device.post("/facefeatures?minsize=x", people), 400, "INF-02")


@pytest.fixture(scope="module")
def aligned(device: Client, portrait: bytes) -> bytes:
    (face,) = assert_aligned(device.post("/alignedfaces", portrait))
    return b64decode(face["image_data"])


def test_an_aligned_face_comes_raw_as_a_picture_or_as_a_part(device: Client, aligned: bytes) -> None:
    picture = png(Image.frombytes("RGB", (112, 112), aligned))
    headers, body = form({"image": aligned})

    raw = floats(device.post("/feature/floats", aligned))

    for answer in (
        device.post("/feature/floats", picture),
        device.post("/feature/floats", picture, {"Content-Type": "image/png"}),
        device.post("/feature/floats", body, headers),
    ):
        assert floats(answer) == pytest.approx(raw, abs=1e-6)


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", "INF-03"),
        (b"hello", "INF-04"),
        (bytes(RAW_BYTES - 1), "INF-04"),
        (png(Image.new("RGB", (111, 112))), "INF-05"),
        (png(Image.new("L", (112, 112))), "INF-05"),
    ],
    ids=["nothing", "text", "a byte short", "narrow", "grey"],
)
def test_what_is_no_aligned_face_has_no_feature(device: Client, body: bytes, code: str) -> None:
    assert_refusal(device.post("/feature/floats", body), 400, code)


@pytest.mark.parametrize(
    ("content_type", "code"),
    [
        ("multipart/form-data; boundary=x", "INF-03"),
        ("multipart/form-data; boundary=another", "INF-01"),
        ("multipart/form-data", "INF-01"),
        ("multipart/mixed; boundary=x", "INF-01"),
    ],
)
def test_a_form_without_the_part_has_no_feature(device: Client, aligned: bytes, content_type: str, code: str) -> None:
    _, body = form({"picture": aligned}, "x")

    assert_refusal(device.post("/feature/floats", body, {"Content-Type": content_type}), 400, code)


def test_a_request_for_a_feature_without_a_length_is_invalid(device: Client) -> None:
    assert_refusal(device.ask("POST", "/feature/floats"), 400, "INF-01")


@pytest.mark.parametrize("path", ["/compare", "/feature/floats", "/facefeatures"])
def test_features_cannot_be_read(device: Client, path: str) -> None:
    assert_refusal(device.get(path), 405, "INF-02")
