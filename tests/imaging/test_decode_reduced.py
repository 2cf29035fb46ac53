"""A large JPEG is decoded only as finely as somebody asks for, and looks like the whole one shrunk."""

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.imaging.decode import ENOUGH_DETAIL, EncodedPicture

details = st.floats(0.001, 1.0)


@pytest.fixture(scope="module")
def long_jpeg(picture, write):
    """Long enough for every scale of the decoder; sides that no scale divides."""
    return write(picture(43, ENOUGH_DETAIL * 8 + 5), "JPEG", quality=95)


@given(details)
def test_there_is_at_least_the_detail_that_was_asked_for(long_jpeg, detail):
    frame = EncodedPicture(long_jpeg, 10**7).frame(detail)
    assert frame.scale >= detail
    assert frame.width == pytest.approx(frame.scale * (ENOUGH_DETAIL * 8 + 5), abs=1)
    assert frame.height == pytest.approx(frame.scale * 43, abs=1)


@given(st.lists(details, min_size=2, max_size=4))
def test_also_when_it_was_decoded_coarser_before(long_jpeg, several):
    encoded = EncodedPicture(long_jpeg, 10**7)
    for detail in several:
        assert encoded.frame(detail).scale >= detail


@pytest.mark.parametrize(("detail", "scale"), [(0.01, 1 / 8), (0.13, 1 / 4), (0.3, 1 / 2), (0.5, 1 / 2), (0.51, 1.0)])
def test_no_more_is_decoded_than_needed(long_jpeg, detail, scale):
    assert EncodedPicture(long_jpeg, 10**7).frame(detail).scale == scale


@pytest.mark.parametrize("detail", [0.1, 0.2, 0.4])
@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_a_reduced_picture_is_the_whole_one_shrunk(picture, write, decode, detail, mode):
    content = write(picture(64, ENOUGH_DETAIL * 8), "JPEG", mode, quality=95)
    frame = EncodedPicture(content, 10**7).frame(detail)
    shrunk = cv2.resize(decode(content), (frame.width, frame.height), interpolation=cv2.INTER_AREA)
    assert frame.scale < 1
    assert np.abs(frame.pixels.astype(int) - shrunk).mean() < 1.5


def test_what_was_decoded_is_decoded_once(long_jpeg):
    encoded = EncodedPicture(long_jpeg, 10**7)
    finest = encoded.frame(1.0)
    assert encoded.frame(0.2) is finest
    assert encoded.frame(1.0) is finest


@pytest.mark.parametrize("file_format", ["JPEG", "PNG"])
def test_a_small_picture_is_decoded_whole(picture, write, file_format):
    frame = EncodedPicture(write(picture(50, ENOUGH_DETAIL), file_format), 10**6).frame(0.01)
    assert (frame.scale, frame.width) == (1.0, ENOUGH_DETAIL)


def test_a_large_png_is_averaged_down(picture, write):
    frame = EncodedPicture(write(picture(8, ENOUGH_DETAIL * 8), "PNG"), 10**6).frame(0.1)
    assert (frame.scale, frame.width) == (1 / 8, ENOUGH_DETAIL)
