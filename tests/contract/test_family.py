"""The rest of the vendor's family: features in bytes and of covered faces, with images, masks, and liveness of one or ten."""

from base64 import b64decode, b64encode
from collections.abc import Iterator
from typing import Any

import cv2
import numpy as np
import pytest
from bodies import form, frames, group, jpeg, moving, opened, png, zipped
from client import Answer, Client
from devices import Device, pool, shipped_engine
from document import assert_aligned, assert_fraction, assert_refusal, assert_success
from numpy.typing import NDArray
from PIL import Image

from appliance.vision.loading import STRONG, Choice

NOBODY = png(Image.new("RGB", (640, 480), "grey"))


@pytest.fixture(scope="module")
def aligned(device: Client, portrait: bytes) -> bytes:
    (face,) = assert_aligned(device.post("/alignedfaces", portrait))
    return b64decode(face["image_data"])


@pytest.fixture(scope="module")
def single(choice: Choice) -> Iterator[Client]:
    """A client of a device whose liveness mode is SINGLE."""
    with Device(pool(shipped_engine(choice)), choice=choice, liveness="single") as running:
        yield running.client


def masked(picture: bytes, points: list[dict[str, float]], colour: tuple[int, int, int]) -> bytes:
    """The picture with a mask painted along the jaw, from the bridge of the nose to the chin."""
    outline = np.array([[point["x"], point["y"]] for point in (*points[4:29], points[44])], np.int32)
    return jpeg(Image.fromarray(cv2.fillPoly(np.array(opened(picture)), [outline], colour)))


def points(device: Client, picture: bytes) -> list[dict[str, float]]:
    return device.post("/faces", picture).document["faces"][0]["landmark"]["lm_points"]


def vector(found: dict[str, Any], kind: str = "<f4") -> NDArray[Any]:
    assert found["feature_size"] == 512
    return np.frombuffer(b64decode(found["feature_data"], validate=True), kind)


def feature(device: Client, path: str, face: bytes, kind: str = "<f4") -> NDArray[Any]:
    return vector(assert_success(device.post(path, face), "feature_size", "feature_data"), kind)


def features(answer: Answer, *members: str) -> list[dict[str, Any]]:
    found = assert_success(answer, "count", "face_features")
    assert found["count"] == len(found["face_features"])
    for face in found["face_features"]:
        assert set(face) == {"box", "feature_size", "feature_data", *members}
    return found["face_features"]


def compared(device: Client, a: str, b: str, filename: str | None = "") -> float:
    headers, body = form({"feature_a": a.encode(), "feature_b": b.encode()}, filename=filename)
    return assert_fraction(device.post("/compare/feature", body, headers), "similarity")


def test_a_feature_in_bytes_points_where_the_floats_do(device: Client, aligned: bytes) -> None:
    floats = feature(device, "/feature/floats", aligned)
    numbers = feature(device, "/feature/bytes", aligned, "i1").astype(np.float32)

    assert np.abs(numbers).max() == 127
    assert floats @ (numbers / np.linalg.norm(numbers)) > 0.999


@pytest.fixture(scope="module")
def fast(choice: Choice) -> Iterator[Client]:
    """A client of a device with the fast embedder alone, whose numbers `/feature/floats` gives."""
    alone = {role: each for role, each in choice.items() if role not in STRONG}
    with Device(pool(shipped_engine(alone)), choice=alone) as running:
        yield running.client


def test_features_compare_as_their_photographs_do(fast: Client, portrait: bytes, hopper: bytes) -> None:
    headers, body = form({"image_a": portrait, "image_b": hopper})
    photographs = fast.post("/compare", body, headers).document["similarity"]
    (a,), (b,) = (features(fast.post("/facefeatures", picture)) for picture in (portrait, hopper))

    assert compared(fast, a["feature_data"], b["feature_data"]) == pytest.approx(photographs, abs=1e-5)
    assert compared(fast, a["feature_data"], a["feature_data"], None) > 0.99


def test_features_in_bytes_compare_with_floats(device: Client, aligned: bytes) -> None:
    a, b = (device.post(path, aligned).document["feature_data"] for path in ("/feature/floats", "/feature/bytes"))

    assert compared(device, a, b) > 0.99


@pytest.mark.parametrize(
    "other",
    [
        b"hello",
        b"!" * 100,
        b64encode(bytes(2048)),
        b64encode(bytes(511)),
        b64encode(np.full(512, np.nan, "<f4")),
        b64encode(np.full(512, np.inf, "<f4")),
        b64encode(np.ones(513, "<f4")),
    ],
    ids=["text", "no base64", "zeros", "short", "not a number", "infinite", "long"],
)
def test_what_is_no_feature_is_not_compared(device: Client, aligned: bytes, other: bytes) -> None:
    good = device.post("/feature/floats", aligned).document["feature_data"].encode()
    headers, body = form({"feature_a": good, "feature_b": other})
    answer = device.post("/compare/feature", body, headers)

    assert_refusal(answer, 400, "INF-01")
    assert answer.document["reason"] == "invalid_feature"


def test_a_missing_feature_is_named_as_missing(device: Client) -> None:
    headers, body = form({"feature_a": b"AAAA"})

    assert_refusal(device.post("/compare/feature", body, headers), 400, "INF-03")


def test_features_come_with_the_aligned_faces(device: Client, portrait: bytes, hopper: bytes) -> None:
    people = jpeg(group([opened(hopper), opened(portrait)], [240, 640]))
    crops = assert_aligned(device.post("/alignedfaces", people))
    found = features(
        device.post("/facefeatures/withimages", people), "image_height", "image_width", "image_channel", "image_data"
    )

    plain = features(device.post("/facefeatures", people))
    assert [{**face, **crop} for face, crop in zip(plain, crops, strict=True)] == found


@pytest.mark.parametrize("path", ["/feature/masking", "/facefeatures/masking"])
def test_covered_features_are_not_offered(device: Client, portrait: bytes, path: str) -> None:
    answer = device.post(path, portrait)

    assert_refusal(answer, 406, "INF-25")
    assert answer.document["reason"] == "not_offered"


@pytest.mark.parametrize("name", ["portrait", "hopper"])
def test_a_mask_is_seen_and_its_absence_too(device: Client, name: str, request: pytest.FixtureRequest) -> None:
    picture = request.getfixturevalue(name)
    for worn, answer in ((picture, False), (masked(picture, points(device, picture), (60, 110, 200)), True)):
        found = assert_success(device.post("/masks", worn), "count", "masks")
        (mask,) = found["masks"]
        assert set(mask) == {"box", "masked", "confidence"}
        assert mask["masked"] is answer
        assert (mask["confidence"] >= 0.5) is answer
        assert 0 <= mask["confidence"] <= 1


def test_nobody_wears_no_mask(device: Client) -> None:
    assert assert_success(device.post("/masks", NOBODY), "count", "masks")["masks"] == []


def test_a_face_of_which_too_little_is_seen_has_no_answer(device: Client, portrait: bytes) -> None:
    chin = points(device, portrait)[49]
    cut = jpeg(opened(portrait).crop((0, 0, 512, int(chin["y"]))))

    answer = device.post("/masks", cut)

    assert (answer.status, answer.code) in ((200, "INF-00"), (500, "INF-21"))


def test_one_picture_is_judged_where_the_mode_is_single(single: Client, portrait: bytes) -> None:
    for field in ("image", "image_a"):  # the two forms of the vendor's own load scripts
        headers, body = form({field: portrait})
        found = assert_success(single.post("/liveness", body, headers), "confidence", "is_live")
        assert 0 <= found["confidence"] <= 1
        assert found["is_live"] is (found["confidence"] >= 0.5)
    assert_refusal(single.post("/liveness", NOBODY), 400, "INF-17")
    assert single.get("/version").document["liveness_mode"] == "SINGLE"


def test_each_mode_has_its_own_path(single: Client, device: Client, portrait: bytes) -> None:
    assert_refusal(device.post("/liveness", portrait), 406, "INF-25")
    for path in ("/liveness/multiframe", "/liveness/multiframe/v2"):
        assert_refusal(single.post(path, portrait), 406, "INF-25")


def many(pictures: list[bytes], count: bytes | None = None, extension: bytes = b"jpg") -> tuple[dict[str, str], bytes]:
    fields = {"images": frames(pictures), "frame_counts": count or b"%d" % len(pictures)}
    return form({**fields, "filename_extension": extension}, filename="")


def test_four_frames_are_judged_as_without_the_version(device: Client, portrait: bytes) -> None:
    four = moving(opened(portrait))
    headers, body = many(four)
    found = assert_success(device.post("/liveness/multiframe/v2", body, headers), "confidence", "is_live")
    headers, body = form({"images": frames(four)})

    assert found["confidence"] == assert_fraction(device.post("/liveness/multiframe", body, headers), "confidence")
    assert found["is_live"] is (found["confidence"] >= 0.5)


def test_of_ten_frames_four_are_judged_that_are_spread_evenly(device: Client, portrait: bytes) -> None:
    four = moving(opened(portrait))
    ten = [NOBODY] * 10
    for place, picture in zip((0, 3, 6, 9), four, strict=True):
        ten[place] = picture
    headers, body = many(ten)
    found = assert_success(device.post("/liveness/multiframe/v2", body, headers), "confidence", "is_live")
    headers, body = many(four)

    assert found == device.post("/liveness/multiframe/v2", body, headers).document


@pytest.mark.parametrize(
    ("count", "extension", "code"),
    [
        (b"5", b"jpg", "INF-24"),
        (b"3", b"jpg", "INF-24"),
        (b"11", b"jpg", "INF-24"),
        (b"x", b"jpg", "INF-24"),
        (b"-4", b"jpg", "INF-24"),
        (b"004", b"jpg", "INF-24"),
        (b"9" * 5000, b"jpg", "INF-24"),
        (b"4", b"png", "INF-23"),
        (b"4", b"gif", "INF-23"),
        (b"4", b"\xff", "INF-23"),
    ],
)
def test_number_and_names_of_the_frames_are_as_they_are_said_to_be(
    device: Client, portrait: bytes, count: bytes, extension: bytes, code: str
) -> None:
    headers, body = many([portrait] * 4, count, extension)

    assert_refusal(device.post("/liveness/multiframe/v2", body, headers), 400, code)


def test_zeros_before_the_number_of_the_frames_let_no_more_in(device: Client) -> None:
    headers, body = many([NOBODY] * 40, b"0040")

    assert_refusal(device.post("/liveness/multiframe/v2", body, headers), 400, "INF-24")


def test_what_is_missing_of_the_frames_is_missing(device: Client, portrait: bytes) -> None:
    headers, body = form({"images": zipped({"1.jpg": portrait})})

    assert_refusal(device.post("/liveness/multiframe/v2", body, headers), 400, "INF-03")


def test_the_vendors_load_scripts_are_answered(device: Client, single: Client, portrait: bytes, aligned: bytes) -> None:
    """As github.com/AlcheraInc/FaceServer-Performance asks: bodies without a type, text fields as files without a name."""
    face = png(Image.frombytes("RGB", (112, 112), aligned))
    for path in ("/feature/floats", "/feature/bytes"):
        assert device.post(path, face).status == 200, path
    for path in (
        "/faces",
        "/facefeatures",
        "/facefeatures/withimages",
        "/alignedfaces",
        "/masks",
    ):
        assert device.post(path, portrait).status == 200, path
    pair = [("image_a", portrait), ("image_a_validate", b"N"), ("image_b", portrait), ("image_b_validate", b"N")]
    headers, body = form(pair, filename="")
    assert device.post("/compare", body, headers).status == 200
    headers, body = form({f"image_{letter}": portrait for letter in "abc"})
    assert single.post("/liveness", body, headers).status == 200
    assert device.get("/").status == 200
    assert single.get("/version").status == 200
