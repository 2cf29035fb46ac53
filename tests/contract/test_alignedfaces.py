"""`POST /alignedfaces`: the answer's shape and what is in the pictures."""

from base64 import b64decode
from typing import Any

import numpy as np
import pytest
from bodies import group, jpeg, opened, png
from client import Client
from document import RAW_BYTES, assert_aligned, assert_faces
from PIL import Image


def pixels(face: dict[str, str]) -> np.ndarray:
    return np.frombuffer(b64decode(face["image_data"], validate=True), np.uint8).reshape(112, 112, 3)


def test_the_answer_has_the_documented_keys_and_types(device: Client, portrait: bytes) -> None:
    assert len(assert_aligned(device.post("/alignedfaces", portrait))) == 1


def test_a_picture_without_a_face_is_a_success(device: Client) -> None:
    assert assert_aligned(device.post("/alignedfaces", png(Image.new("RGB", (640, 480), "grey")))) == []


def test_the_data_are_raw_pixels_in_base64(device: Client, portrait: bytes) -> None:
    (face,) = assert_aligned(device.post("/alignedfaces", portrait))

    assert len(face["image_data"]) == 50_176
    assert len(b64decode(face["image_data"], validate=True)) == RAW_BYTES


def test_the_pixels_are_the_faces_in_rgb(device: Client, portrait: bytes) -> None:
    image = opened(portrait)
    (face,) = assert_aligned(device.post("/alignedfaces", portrait))
    box = face["box"]
    around = (box["x"], box["y"], box["x"] + box["width"], box["y"] + box["height"])

    direct = np.asarray(image.crop(tuple(map(round, around))).resize((112, 112)), float)

    assert pixels(face)[30:82, 30:82].mean((0, 1)) == pytest.approx(direct[30:82, 30:82].mean((0, 1)), abs=20)
    assert pixels(face).reshape(-1, 3).mean(0)[0] > pixels(face).reshape(-1, 3).mean(0)[2] + 10


def test_the_eyes_stand_where_the_embedder_wants_them(device: Client, portrait: bytes) -> None:
    (face,) = assert_aligned(device.post("/alignedfaces", portrait))

    points = found_again(device, face)["landmark"]["lm_points"]

    assert (points[104]["x"], points[104]["y"]) == pytest.approx((38.3, 51.7), abs=6)
    assert (points[105]["x"], points[105]["y"]) == pytest.approx((73.5, 51.5), abs=6)


@pytest.mark.parametrize("clockwise", [-20, 20])
def test_a_leaning_head_comes_out_upright(device: Client, portrait: bytes, clockwise: int) -> None:
    leaning = png(opened(portrait).rotate(-clockwise, expand=True))

    (face,) = assert_aligned(device.post("/alignedfaces", leaning))

    assert found_again(device, face)["pose"]["roll"] == pytest.approx(0, abs=8)


def found_again(device: Client, aligned: dict[str, str]) -> dict[str, Any]:
    """What `/faces` says of an aligned face, its points in aligned pixels."""
    canvas = Image.new("RGB", (896, 896))
    canvas.paste(Image.fromarray(pixels(aligned)).resize((448, 448)), (224, 224))
    (face,) = assert_faces(device.post("/faces", png(canvas)))
    for point in face["landmark"]["lm_points"]:
        point["x"], point["y"] = (point["x"] - 224) / 4, (point["y"] - 224) / 4
    return face


def test_the_boxes_are_those_of_faces(device: Client, portrait: bytes, hopper: bytes) -> None:
    people = jpeg(group([opened(portrait), opened(hopper)], [512, 700]))

    aligned = assert_aligned(device.post("/alignedfaces?detectcount=2", people))

    faces = assert_faces(device.post("/faces?detectcount=2", people))
    assert len(faces) == 2
    assert [face["box"] for face in aligned] == [face["box"] for face in faces]


@pytest.mark.parametrize(("query", "count"), [("detectcount=1", 1), ("minsize=500", 0), ("maxsize=60", 0)])
def test_the_query_limits_the_faces(device: Client, portrait: bytes, hopper: bytes, query: str, count: int) -> None:
    people = jpeg(group([opened(portrait), opened(hopper)], [512, 700]))

    assert len(assert_aligned(device.post(f"/alignedfaces?{query}", people))) == count
