"""Crops: the right pixels at the right size, without jagged shrinking, from a picture that is decoded finely or coarsely."""

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.face.alignment import rotated_square
from appliance.face.types import Frame
from appliance.vision.detector import cut, letterbox, magnification


def difference(a, b):
    return float(np.abs(a.astype(int) - b.astype(int)).mean())


@pytest.fixture(scope="module")
def whole(photos, pictured):
    return pictured(photos["hopper"], 100)


def test_an_upright_square_of_the_crop_s_own_size_is_cut_as_it_is(whole):
    crop = cut(whole, rotated_square((256, 256), 128, 0.0, 128), 128)
    assert difference(crop, whole.frame(1.0).pixels[192:320, 192:320]) < 0.1


@pytest.mark.parametrize("side", [180, 256, 300, 400, 512])
def test_a_larger_square_is_averaged_down(whole, side):
    left, top = 256 - side // 2, 320 - side // 2
    crop = cut(whole, rotated_square((256, 320), side, 0.0, 112), 112)
    region = whole.frame(1.0).pixels[top : top + side, left : left + side]
    assert difference(crop, cv2.resize(region, (112, 112), interpolation=cv2.INTER_AREA)) < 6


def test_fine_stripes_become_grey_instead_of_coarse_stripes(pictured):
    stripes = np.zeros((1024, 1024, 3), np.uint8)
    stripes[:, ::2] = 255
    crop = cut(pictured(stripes, 100), rotated_square((512, 512), 1000, 0.0, 112), 112)
    assert np.abs(crop[4:-4, 4:-4].astype(int) - 127).max() < 30


def test_a_quarter_turn_turns_the_pixels(whole):
    crop = cut(whole, rotated_square((256, 256), 128, np.pi / 2, 128), 128)
    assert difference(crop, np.rot90(whole.frame(1.0).pixels[192:320, 193:321])) < 0.1


def test_beyond_the_border_it_is_black(whole):
    crop = cut(whole, rotated_square((0, 0), 200, 0.0, 100), 100)
    assert crop[:48].max() == crop[:, :48].max() == 0
    assert crop[52:, 52:].mean() > 20


def test_wholly_outside_it_is_all_black(whole):
    for center in ((-5000, 100), (100, 9000), (-900, -900)):
        assert cut(whole, rotated_square(center, 300, 0.3, 112), 112).max() == 0


@given(
    st.tuples(st.floats(-200, 700), st.floats(-200, 800)),
    st.floats(2, 1500),
    st.floats(-3.2, 3.2),
    st.sampled_from([112, 256]),
)
def test_any_square_gives_a_crop_of_the_size_asked_for(whole, center, side, roll, size):
    assert cut(whole, rotated_square(center, side, roll, size), size).shape == (size, size, 3)


def test_a_coarsely_decoded_picture_gives_the_same_crop(photos, pictured):
    large = cv2.resize(photos["hopper"], (2560, 3000), interpolation=cv2.INTER_CUBIC)
    coarse, fine = pictured(large), pictured(large)
    fine.frame(1.0)
    affine = rotated_square((1300, 1100), 1500, 0.1, 256)
    crop = cut(coarse, affine, 256)
    assert coarse.frame(magnification(affine)).scale < 1
    assert difference(crop, cut(fine, affine, 256)) < 2


@given(st.floats(0.01, 100), st.floats(-3.2, 3.2))
def test_magnification_is_the_scale_whatever_the_turn(scale, roll):
    assert magnification(rotated_square((5, 5), 100, roll, 1) * 100 * scale) == pytest.approx(scale)


@pytest.mark.parametrize(("height", "width"), [(100, 320), (320, 100), (320, 320), (1, 320), (320, 1)])
def test_a_letterbox_is_the_picture_in_the_corner_and_black_elsewhere(height, width):
    canvas = letterbox(Frame(np.full((height, width, 3), 200, np.uint8)), 320, 320, 1.0)
    assert canvas.shape == (320, 320, 3)
    assert (canvas[:height, :width] == 200).all()
    assert canvas.sum() == 200 * 3 * height * width


def test_a_letterbox_of_a_coarse_frame_is_that_of_the_fine_one(photos):
    fine = photos["hopper"]
    coarse = cv2.resize(fine, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
    boxes = [letterbox(Frame(pixels, scale), 160, 160, 160 / 600) for pixels, scale in ((fine, 1.0), (coarse, 0.5))]
    assert difference(*boxes) < 1.5
