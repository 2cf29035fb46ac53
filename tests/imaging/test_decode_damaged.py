"""A damaged picture is refused; it never comes out with pixels that nobody took."""

import re
from io import BytesIO

import numpy as np
import pytest
from examples import PARSER
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

KINDS = {
    "baseline": {},
    "progressive": {"progressive": True},
    "grey": {"mode": "L"},
    "grey progressive": {"mode": "L", "progressive": True},
    "cmyk": {"mode": "CMYK"},
    "cmyk progressive": {"mode": "CMYK", "progressive": True},
    "stored as rgb": {"keep_rgb": True},
    "restart markers": {"restart_marker_blocks": 2},
}


def with_odd_scan_header(content: bytes) -> bytes:
    """As some phones write it: the spectral end of the only scan is 0, which decoders warn of and go on."""
    changed = bytearray(content)
    start = content.rindex(b"\xff\xda")
    changed[start + content[start + 3]] = 0
    return bytes(changed)


def with_stray_bytes(content: bytes) -> bytes:
    """As some cameras write it: something between the pixels and the end marker."""
    return content[:-2] + b"\x12\x34\x56\x78" + content[-2:]


@pytest.fixture(scope="session")
def small(picture, write):
    return {name: write(picture(40, 48), "JPEG", **options) for name, options in KINDS.items()}


@pytest.fixture(scope="session")
def progressive_portrait(portrait):
    file = BytesIO()
    Image.open(BytesIO(portrait)).save(file, "JPEG", progressive=True)
    return file.getvalue()


@pytest.mark.parametrize("kind", KINDS)
def test_a_jpeg_cut_anywhere_is_refused(small, refusal, kind):
    content = small[kind]
    passed = [cut for cut in range(len(content)) if refusal(content[:cut]) != "INF-04"]
    assert (refusal(content), passed) == (None, [])


@pytest.mark.parametrize("oddity", [with_odd_scan_header, with_stray_bytes])
def test_so_is_one_that_was_odd_before(small, refusal, oddity):
    content = oddity(small["baseline"])
    passed = [cut for cut in range(len(content)) if refusal(content[:cut]) != "INF-04"]
    assert (refusal(content), passed) == (None, [])


def restarts(content: bytes) -> list[int]:
    """Where the restart markers are."""
    return [found.start() for found in re.finditer(rb"\xff[\xd0-\xd7]", content)]


@pytest.fixture(scope="session", params=["RGB", "L", "CMYK"])
def with_restarts(picture, write, request):
    return write(picture(40, 100), "JPEG", request.param, restart_marker_blocks=3)


@pytest.mark.parametrize("every", [False, True])
def test_stray_bytes_before_a_restart_marker_do_not_matter(with_restarts, decode, every):
    places = restarts(with_restarts)
    content = with_restarts
    for place in reversed(places if every else places[1:2]):
        content = content[:place] + b"\x12" * 20 + content[place:]
    assert np.array_equal(decode(content), decode(with_restarts))


def test_but_they_hide_no_damage_behind_them(with_restarts, refusal):
    first = restarts(with_restarts)[0]
    odd = with_restarts[:first] + b"\x12" * 20 + with_restarts[first:]
    assert refusal(odd) is None
    cuts = range(first + 25, len(odd) - 3, 3)
    assert {refusal(odd[:cut] + b"\xff\xd9") for cut in cuts} == {"INF-04"}
    assert {refusal(odd[: cut - 9] + odd[cut:]) for cut in restarts(odd)[2:]} == {"INF-04"}  # the end of an interval
    assert {refusal(odd[:cut] + odd[cut + 2 :]) for cut in restarts(odd)[2:]} == {"INF-04"}  # a marker
    second, third = restarts(odd)[1:3]
    assert refusal(odd[: second + 2] + bytes(third - second + 2) + odd[third + 2 :]) == "INF-04"


@pytest.mark.parametrize("kind", ["progressive", "grey progressive"])
def test_stray_bytes_between_scans_do_not_matter_and_hide_nothing(small, decode, refusal, kind):
    content = small[kind]
    next_segment = re.compile(rb"\xff[\xc4\xda\xd9]")
    scans = [found.start() for found in re.finditer(rb"\xff\xda", content)]
    last = len(content) - (len(content) - scans[-1] - 10) // 2
    for scan in scans:
        following = next_segment.search(content, scan + 2)
        assert following
        place = following.start()
        odd = content[:place] + b"\x12" * 20 + content[place:]
        assert np.array_equal(decode(odd), decode(content))
        if scan != scans[-1]:
            assert refusal(odd[: last + 20] + b"\xff\xd9") == "INF-04"


def test_many_stray_bytes_are_lost_pixels(small, refusal):
    content = small["baseline"]
    assert refusal(content[:-2] + bytes(64) + content[-2:]) is None
    assert refusal(content[:-2] + bytes(200) + content[-2:]) == "INF-04"


def test_a_component_without_pixels_is_refused(small, refusal):
    content = small["progressive"]
    first, second = (found.start() for found in list(re.finditer(rb"\xff\xda", content))[:2])
    assert refusal(content[:first] + content[content.rindex(b"\xff\xc4", 0, second) :]) == "INF-04"


@pytest.mark.parametrize("kind", [b"IHDR", b"PLTE", b"IDAT"])
def test_a_wrong_checksum_of_what_holds_pixels_is_damage(picture, write, refusal, kind):
    content = bytearray(write(picture(20, 24), "PNG", "P"))
    place = content.index(kind)
    content[place + 4 + int.from_bytes(content[place - 4 : place])] ^= 1
    assert refusal(bytes(content)) == "INF-04"


@given(st.data())
@PARSER
def test_a_photo_cut_anywhere_is_refused(portrait, progressive_portrait, refusal, data):
    content = data.draw(st.sampled_from([portrait, progressive_portrait]))
    assert refusal(content[: data.draw(st.integers(0, len(content) - 1))]) == "INF-04"


@pytest.mark.parametrize("oddity", [with_odd_scan_header, with_stray_bytes])
def test_an_odd_jpeg_that_is_whole_has_all_its_pixels(small, decode, oddity):
    assert np.array_equal(decode(oddity(small["baseline"])), decode(small["baseline"]))


def test_what_follows_the_end_of_a_jpeg_does_not_matter(small, decode):
    assert np.array_equal(decode(small["baseline"] + b"\0" * 500 + b"more"), decode(small["baseline"]))


@pytest.mark.parametrize("kind", [kind for kind in KINDS if "cmyk" not in kind])
def test_an_end_in_the_middle_of_the_pixels_is_refused(small, refusal, kind):
    content = small[kind]
    middle = (content.rindex(b"\xff\xda") + len(content)) // 2
    assert refusal(content[:middle] + b"\xff\xd9" + content[middle + 2 :]) == "INF-04"


@pytest.mark.parametrize("kind", ["baseline", "progressive", "grey", "cmyk"])
def test_a_jpeg_with_fewer_rows_than_its_header_promises_is_refused(small, refusal, kind):
    content = bytearray(small[kind])
    frame = next(content.index(marker) for marker in (b"\xff\xc0", b"\xff\xc2") if marker in content)
    content[frame + 5 : frame + 7] = (400).to_bytes(2, "big")
    assert refusal(bytes(content)) == "INF-04"


@pytest.mark.parametrize("mode", ["RGB", "L", "P", "1", "RGBA", "LA"])
def test_a_png_cut_anywhere_is_refused_or_has_all_its_pixels(picture, write, decode, refusal, mode):
    content = write(picture(14, 16), "PNG", mode)
    whole = decode(content)
    passed = [cut for cut in range(len(content)) if refusal(content[:cut]) is None]
    assert all(np.array_equal(decode(content[:cut]), whole) for cut in passed)
    assert min(passed) > content.rindex(b"IDAT")


@pytest.mark.parametrize("signature", [b"\xff\xd8\xff", b"\xff\xd8\xff\xe0", b"\x89PNG\r\n\x1a\n"])
@given(rest=st.binary(max_size=300))
@PARSER
def test_anything_after_a_signature_is_refused(refusal, signature, rest):
    assert refusal(signature + rest) == "INF-04"


@pytest.mark.filterwarnings("ignore::UserWarning")  # Pillow warns of metadata that makes no sense
@pytest.mark.parametrize("kind", ["baseline", "progressive", "grey", "cmyk", "png", "palette"])
@given(data=st.data())
@PARSER
def test_changed_bytes_are_refused_or_decoded_but_nothing_else_happens(
    small, picture, write, decode, refusal, kind, data
):
    pngs = {"png": write(picture(20, 24), "PNG"), "palette": write(picture(20, 24), "PNG", "P")}
    content = bytearray((small | pngs)[kind])
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(8, len(content) - 1))] = data.draw(st.integers(0, 255))
    code = refusal(bytes(content))
    assert code in (None, "INF-04")
    if code is None:
        pixels = decode(bytes(content))
        assert (pixels.ndim, pixels.shape[2], pixels.dtype) == (3, 3, np.uint8)
