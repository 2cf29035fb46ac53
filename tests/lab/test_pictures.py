"""Pictures made from pictures show what they say."""

import numpy as np
import pytest
from lab.device import FoundFace
from lab.evaluate.landmarks import around, nearest
from lab.pictures import STORED_AS, blank, jpeg, mirrored, oriented, pasted, size, turned, upright
from PIL import Image


@pytest.fixture(scope="module")
def corner() -> bytes:
    """120 x 80, black, with a white block of 24 x 16 in the top-left corner."""
    image = Image.new("RGB", (120, 80))
    image.paste((255, 255, 255), (0, 0, 24, 16))
    return jpeg(image)


def white(picture: bytes) -> np.ndarray:
    """The box (x, y, width, height) of what is white."""
    rows, columns = np.nonzero(np.asarray(upright(picture))[:, :, 0] > 200)
    x, y, width, height = around(np.column_stack([columns, rows]).astype(np.float64))
    return np.array([x, y, width + 1, height + 1])


@pytest.mark.parametrize("orientation", STORED_AS)
def test_every_orientation_is_upright_again(corner: bytes, orientation: int) -> None:
    stored = oriented(corner, orientation)
    assert size(stored) == (120, 80)
    assert white(stored) == pytest.approx(np.array([0, 0, 24, 16]), abs=1)


def test_orientations_differ_as_stored(corner: bytes) -> None:
    assert len({oriented(corner, orientation) for orientation in STORED_AS}) == 8


def test_a_mirror_exchanges_left_and_right(corner: bytes) -> None:
    assert white(mirrored(corner)) == pytest.approx(np.array([96, 0, 24, 16]), abs=1)


@pytest.mark.parametrize("degrees", [15.0, -15.0, 90.0])
def test_positions_turn_with_their_picture(corner: bytes, degrees: float) -> None:
    picture, (expected,) = turned(corner, degrees, np.array([[12.0, 8.0]]))
    box = white(picture)
    assert box[:2] + box[2:] / 2 == pytest.approx(expected, abs=1.5)


def test_a_pasted_box_has_the_height_and_the_place_it_should(corner: bytes) -> None:
    picture = pasted(corner, np.array([0.0, 0.0, 24.0, 16.0]), 160, (640, 360))
    assert size(picture) == (640, 360)
    assert white(picture) == pytest.approx(np.array([200, 100, 240, 160]), abs=3)


def test_blank_has_its_size() -> None:
    assert size(blank(64, 48)) == (64, 48)


def face(x: float) -> FoundFace:
    points = np.array([[x, 0.0], [x + 20, 20.0]])
    return FoundFace(np.array([x, 0, 20, 20]), points, np.zeros(3))


def test_the_face_with_most_overlap_is_the_one() -> None:
    faces = [face(0), face(8), face(40)]
    assert nearest(faces, faces[1].points + 1) is faces[1]


def test_a_neighbour_is_not_the_face() -> None:
    assert nearest([face(0)], face(18).points) is None
    assert nearest([], face(0).points) is None
