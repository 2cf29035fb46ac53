"""A large JPEG is decoded only as finely as somebody asks for, and looks like the whole one shrunk."""

from math import ceil

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.imaging.codec import ENOUGH_DETAIL, EncodedPicture

details = st.floats(0.001, 1.0)


@pytest.fixture(scope="module")
def long_jpeg(picture, write):
    """Long enough for every scale of the decoder; sides that no scale divides."""
    return write(picture(43, ENOUGH_DETAIL * 8 + 5), "JPEG", quality=95)


@pytest.fixture(scope="module")
def long_png(picture, write):
    return write(picture(43, ENOUGH_DETAIL * 8 + 5), "PNG", compress_level=1)


@given(details)
def test_there_is_at_least_the_detail_that_was_asked_for(long_jpeg, detail):
    frame = EncodedPicture(long_jpeg, 10**7).frame(detail)
    assert frame.scale >= detail
    assert frame.width == pytest.approx(frame.scale * (ENOUGH_DETAIL * 8 + 5), abs=1)
    assert frame.height == pytest.approx(frame.scale * 43, abs=1)


@pytest.mark.parametrize("detail", [0.01, 0.1, 0.125, 0.126, 0.25, 0.3, 0.5, 0.6, 1.0])
def test_so_there_is_of_a_png(long_png, detail):
    frame = EncodedPicture(long_png, 10**7).frame(detail)
    assert frame.scale >= detail
    assert (frame.width, frame.height) == tuple(ceil(side * frame.scale) for side in (ENOUGH_DETAIL * 8 + 5, 43))


@given(st.lists(details, min_size=2, max_size=4))
def test_also_when_it_was_decoded_coarser_before(long_jpeg, several):
    encoded = EncodedPicture(long_jpeg, 10**7)
    for detail in several:
        assert encoded.frame(detail).scale >= detail


@pytest.mark.parametrize(("detail", "scale"), [(0.01, 1 / 8), (0.13, 1 / 4), (0.3, 1 / 2), (0.5, 1 / 2), (0.51, 1.0)])
def test_no_more_is_decoded_than_needed(long_jpeg, detail, scale):
    assert EncodedPicture(long_jpeg, 10**7).frame(detail).scale == scale


@pytest.mark.parametrize("detail", [0.1, 0.2, 0.4])
@pytest.mark.parametrize(
    ("file_format", "mode"),
    [*(("JPEG", mode) for mode in ("RGB", "L", "CMYK")), *(("PNG", mode) for mode in ("RGB", "L", "LA", "P", "1"))],
)
def test_a_reduced_picture_is_the_whole_one_shrunk(picture, write, decode, detail, file_format, mode):
    options = {"quality": 95} if file_format == "JPEG" else {"compress_level": 1}
    content = write(picture(64, ENOUGH_DETAIL * 8), file_format, mode, **options)
    frame = EncodedPicture(content, 10**7).frame(detail)
    shrunk = cv2.resize(decode(content), (frame.width, frame.height), interpolation=cv2.INTER_AREA)
    assert frame.scale < 1
    assert np.abs(frame.pixels.astype(int) - shrunk).mean() < 1.5


@pytest.mark.parametrize("alpha", [0, 1, 128, 255])
def test_transparency_is_dropped_from_a_reduced_picture_too(picture, write, alpha):
    colour = picture(64, ENOUGH_DETAIL * 8)
    veiled = np.dstack([colour, np.full(colour.shape[:2], alpha, np.uint8)])
    frame = EncodedPicture(write(veiled, "PNG", "RGBA", compress_level=1), 10**7).frame(0.4)
    shrunk = cv2.resize(colour, (frame.width, frame.height), interpolation=cv2.INTER_AREA)
    assert frame.scale == 0.5
    assert np.abs(frame.pixels.astype(int) - shrunk).mean() < 1


@pytest.mark.parametrize("channels", [1, 3])
def test_sixteen_bits_are_reduced_like_eight(picture, decode, channels):
    deep = picture(64, ENOUGH_DETAIL * 8)[:, :, :channels].astype(np.uint16) * 256 + 99
    content = cv2.imencode(".png", deep)[1].tobytes()
    frame = EncodedPicture(content, 10**7).frame(0.1)
    shrunk = cv2.resize(decode(content), (frame.width, frame.height), interpolation=cv2.INTER_AREA)
    assert frame.scale == 1 / 8
    assert np.abs(frame.pixels.astype(int) - shrunk).mean() < 1


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
