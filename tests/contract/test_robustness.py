"""Odd files from picture libraries' own tests, posted everywhere."""

from pathlib import Path

import pytest
from bodies import form, frames
from client import Client
from document import FORM_PATHS, PICTURE_PATHS, assert_known, assert_refusal

pytestmark = pytest.mark.data

ODD = ("*.jpg", "*.png")


def files(data: Path, *patterns: str) -> list[Path]:
    found = sorted(path for pattern in patterns for path in (data / "robustness").glob(pattern))
    assert found
    return found


@pytest.mark.parametrize("path", PICTURE_PATHS)
def test_any_file_as_a_picture(device: Client, data: Path, path: str) -> None:
    for file in files(data, "*"):
        assert_known(device.post(path, file.read_bytes()))


@pytest.mark.parametrize("path", FORM_PATHS)
def test_any_file_as_a_part(device: Client, data: Path, path: str) -> None:
    for file in files(data, "*"):
        content = file.read_bytes()
        headers, body = form({"image_a": content, "image_b": content, "images": content})

        assert_known(device.post(path, body, headers))


def test_any_file_in_a_zip(device: Client, data: Path) -> None:
    for file in files(data, "*"):
        headers, body = form({"images": frames([file.read_bytes()] * 4, "png")})

        assert_known(device.post("/liveness/multiframe", body, headers))


def test_other_formats_are_no_pictures(device: Client, data: Path) -> None:
    for file in files(data, "*.gif", "*.tif", "*.tiff", "*.webp", "*.bmp"):
        assert_refusal(device.post("/faces", file.read_bytes()), 400, "INF-04")


@pytest.mark.parametrize("name", ["pillow__truncated_jpeg.jpg", "pillow__truncated_image.png", "pillow__broken.png"])
def test_truncated_pictures_are_no_pictures(device: Client, data: Path, name: str) -> None:
    assert_refusal(device.post("/faces", (data / "robustness" / name).read_bytes()), 400, "INF-04")


def test_every_orientation_shows_the_same_face(device: Client, data: Path) -> None:
    for file in files(data, "pillow__hopper_orientation_*.jpg"):
        answer = device.post("/faces?minsize=20", file.read_bytes())

        assert answer.document["count"] == 1, file.name
