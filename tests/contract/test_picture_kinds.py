"""Every kind of JPEG and PNG that cameras and programs write is the same picture to the device."""

from base64 import b64decode
from collections.abc import Callable
from functools import cache
from io import BytesIO

import numpy as np
import pytest
from bodies import (
    black_png,
    jpeg,
    jpeg_that_claims,
    opened,
    oriented,
    png,
    png16,
    png_that_claims,
)
from client import Client
from devices import Device, pool, shipped_engine
from document import PICTURE_PATHS, assert_aligned, assert_faces, assert_refusal
from overlaps import overlap
from PIL import Image

from appliance.face.types import Box
from appliance.vision.loading import Choice
from appliance.vision.manifest import Role

KINDS: dict[str, Callable[[Image.Image], bytes]] = {
    "jpeg": jpeg,
    "progressive jpeg": lambda image: jpeg(image, progressive=True),
    "optimised jpeg": lambda image: jpeg(image, optimize=True),
    "jpeg 4:4:4": lambda image: jpeg(image, subsampling=0),
    "jpeg 4:2:0": lambda image: jpeg(image, subsampling=2),
    "jpeg with restart markers": lambda image: jpeg(image, restart_marker_rows=1),
    "grey jpeg": lambda image: jpeg(image.convert("L")),
    "progressive grey jpeg": lambda image: jpeg(image.convert("L"), progressive=True),
    "cmyk jpeg": lambda image: jpeg(image.convert("CMYK")),
    "jpeg with a thumbnail and comment": lambda image: jpeg(image, comment=b"\xff\xd8\xff\xd9" * 9, dpi=(300, 300)),
    "png": png,
    "large jpeg": lambda image: jpeg(image.resize((1500, 1500), Image.Resampling.LANCZOS)),
    "large png": lambda image: png(image.resize((1500, 1500), Image.Resampling.LANCZOS)),
    "grey png": lambda image: png(image.convert("L")),
    "grey png with alpha": lambda image: png(image.convert("LA")),
    "png with alpha": lambda image: png(image.convert("RGBA")),
    "palette png": lambda image: png(image.quantize(256)),
    "palette png with transparency": lambda image: png(image.quantize(255), transparency=0),
    "16 bit grey png": lambda image: png16(image.convert("L")),
    "16 bit colour png": png16,
}

ORIENTATIONS = range(1, 9)

SAME_BOX = {"float16": 0.98, "int8": 0.8}
SAME_CROP = {
    "float16": 6,
    "int8": 20,
}  # mean grey levels; the worst is 15.8 with int8, whose embedding has a cosine of .991
"""Intersection over union of a face's boxes in two orientations, at least; of this portrait .992 and .848 were measured: a
mirrored JPEG has its blocks elsewhere, which moves what int8 rounds.
"""


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_jpeg_and_png_shows_the_face(device: Client, portrait: bytes, kind: str) -> None:
    content = KINDS[kind](opened(portrait))
    (wanted,) = assert_faces(device.post("/faces", portrait))

    (face,) = assert_faces(device.post("/faces", content))

    scale = Image.open(BytesIO(content)).width / 512
    for key, value in wanted["box"].items():
        assert face["box"][key] / scale == pytest.approx(value, abs=8), key


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_boxes_and_points_are_those_of_the_upright_picture(
    device: Client, choice: Choice, hopper: bytes, orientation: int
) -> None:
    image = opened(hopper)
    (wanted,) = assert_faces(device.post("/faces", jpeg(image)))

    (face,) = assert_faces(device.post("/faces", oriented(image, orientation)))

    assert overlap(Box(**face["box"]), Box(**wanted["box"])) >= SAME_BOX[choice[Role.DETECTOR].files[0].precision]
    for found, point in zip(face["landmark"]["lm_points"], wanted["landmark"]["lm_points"], strict=True):
        assert (found["x"], found["y"]) == pytest.approx((point["x"], point["y"]), abs=6)


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_aligned_faces_are_upright_whatever_the_orientation(
    device: Client, choice: Choice, hopper: bytes, orientation: int
) -> None:
    image = opened(hopper)
    (wanted,) = assert_aligned(device.post("/alignedfaces", jpeg(image)))

    (face,) = assert_aligned(device.post("/alignedfaces", oriented(image, orientation)))

    raw, upright = (np.frombuffer(b64decode(each["image_data"]), np.uint8).astype(float) for each in (face, wanted))
    assert np.abs(raw - upright).mean() < SAME_CROP[choice[Role.DETECTOR].files[0].precision]


@pytest.mark.parametrize("orientation", [0, 9, 65_535])
def test_an_orientation_that_does_not_exist_is_none(device: Client, portrait: bytes, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation

    (face,) = assert_faces(device.post("/faces", jpeg(opened(portrait), exif=exif.tobytes())))

    assert face["box"]["x"] == pytest.approx(168, abs=8)


def test_exif_that_is_garbage_is_none(device: Client, portrait: bytes) -> None:
    assert len(assert_faces(device.post("/faces", jpeg(opened(portrait), exif=b"Exif\0\0" + b"\xff" * 100)))) == 1


@pytest.mark.parametrize("path", PICTURE_PATHS)
@pytest.mark.parametrize("kind", ["GIF", "TIFF", "WEBP", "BMP", "PPM", "JPEG2000", "ICO"])
def test_other_formats_are_refused(device: Client, portrait: bytes, kind: str, path: str) -> None:
    content = BytesIO()
    opened(portrait).resize((128, 128)).save(content, kind)

    assert_refusal(device.post(path, content.getvalue()), 400, "INF-04")


@pytest.mark.parametrize("share", [0.001, 0.02, 0.5, 0.9, 0.995])
@pytest.mark.parametrize("kind", ["jpeg", "progressive jpeg", "cmyk jpeg", "png", "16 bit colour png"])
def test_a_truncated_picture_is_no_grey_face(device: Client, portrait: bytes, kind: str, share: float) -> None:
    whole = whole_picture(portrait, kind)

    assert_refusal(device.post("/faces", whole[: int(len(whole) * share)]), 400, "INF-04")


@cache
def whole_picture(portrait: bytes, kind: str) -> bytes:
    return KINDS[kind](opened(portrait))


@pytest.mark.parametrize("path", PICTURE_PATHS)
@pytest.mark.parametrize("claim", [png_that_claims, jpeg_that_claims])
def test_a_header_of_more_pixels_than_the_limit_is_refused(
    device: Client, claim: Callable[[int, int], bytes], path: str
) -> None:
    assert_refusal(device.post(path, claim(6400, 6251)), 400, "INF-04")


def test_exactly_the_limit_is_a_picture(portrait: bytes, choice: Choice) -> None:
    with Device(pool(shipped_engine(choice)), max_pixels=512 * 512) as device:
        assert device.client.post("/faces", portrait).status == 200
        assert_refusal(device.client.post("/faces", black_png(513, 512)), 400, "INF-04")
