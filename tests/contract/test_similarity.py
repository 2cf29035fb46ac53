"""`POST /similarity/v2` and `POST /similarity`: aligned faces in, one number out."""

from base64 import b64decode

import pytest
from bodies import form, jpeg, opened, png, png16, png_that_claims
from client import Answer, Client
from document import RAW_BYTES, assert_aligned, assert_fraction, assert_refusal
from PIL import Image

PATHS = ("/similarity/v2", "/similarity")


@pytest.fixture(scope="module")
def alice(device: Client, portrait: bytes) -> bytes:
    """An aligned face as `/alignedfaces` returns it."""
    return aligned(device, portrait)


@pytest.fixture(scope="module")
def bob(device: Client, hopper: bytes) -> bytes:
    """That of another person."""
    return aligned(device, hopper)


def aligned(device: Client, picture: bytes) -> bytes:
    (face,) = assert_aligned(device.post("/alignedfaces", picture))
    return b64decode(face["image_data"])


def picture(raw: bytes) -> Image.Image:
    return Image.frombytes("RGB", (112, 112), raw)


def compared(device: Client, a: bytes, b: bytes, path: str = "/similarity/v2") -> Answer:
    headers, body = form({"image_a": a, "image_b": b})
    return device.post(path, body, headers)


@pytest.mark.parametrize("path", PATHS)
def test_what_alignedfaces_returned_can_be_posted_as_it_is(device: Client, alice: bytes, path: str) -> None:
    assert assert_fraction(compared(device, alice, alice, path), "similarity") > 0.99


@pytest.mark.parametrize("path", PATHS)
def test_two_persons_are_below_the_operating_point(device: Client, alice: bytes, bob: bytes, path: str) -> None:
    assert assert_fraction(compared(device, alice, bob, path), "similarity") < 0.5


def test_another_picture_of_the_same_person_is_above_it(device: Client, alice: bytes, portrait: bytes) -> None:
    smaller = opened(portrait).resize((300, 300)).rotate(12, expand=True)

    other = aligned(device, jpeg(smaller, quality=70))

    assert other != alice
    assert assert_fraction(compared(device, alice, other), "similarity") > 0.5


def test_the_order_of_the_two_makes_no_difference(device: Client, alice: bytes, bob: bytes) -> None:
    forth = assert_fraction(compared(device, alice, bob), "similarity")

    assert assert_fraction(compared(device, bob, alice), "similarity") == pytest.approx(forth, abs=1e-6)


@pytest.mark.parametrize("path", PATHS)
def test_a_png_is_the_same_as_the_raw_pixels(device: Client, alice: bytes, bob: bytes, path: str) -> None:
    raw = assert_fraction(compared(device, alice, bob, path), "similarity")

    pngs = compared(device, png(picture(alice)), png(picture(bob)), path)

    assert assert_fraction(pngs, "similarity") == pytest.approx(raw, abs=1e-6)


@pytest.mark.parametrize("path", PATHS)
def test_a_jpeg_is_nearly_the_same(device: Client, alice: bytes, path: str) -> None:
    answer = compared(device, jpeg(picture(alice)), alice, path)

    assert assert_fraction(answer, "similarity") > 0.9


def test_raw_pixels_are_red_green_blue(device: Client, alice: bytes) -> None:
    swapped = Image.merge("RGB", picture(alice).split()[::-1]).tobytes()

    same = assert_fraction(compared(device, png(picture(alice)), alice), "similarity")

    assert same > assert_fraction(compared(device, png(picture(alice)), swapped), "similarity")


def test_a_16_bit_colour_png_works(device: Client, alice: bytes) -> None:
    assert assert_fraction(compared(device, png16(picture(alice)), alice), "similarity") > 0.9


def wrong_inputs(face: Image.Image) -> dict[str, bytes]:
    return {
        "smaller": png(face.resize((111, 112))),
        "larger": jpeg(face.resize((112, 113))),
        "a photo": jpeg(face.resize((640, 480))),
        "grey jpeg": jpeg(face.convert("L")),
        "grey png": png(face.convert("L")),
        "alpha": png(face.convert("RGBA")),
        "palette": png(face.quantize(64)),
        "cmyk": jpeg(face.convert("CMYK")),
        "grey, 16 bits": png(face.convert("I;16")),
    }


@pytest.mark.parametrize("what", wrong_inputs(Image.new("RGB", (112, 112))))
@pytest.mark.parametrize("name", ["image_a", "image_b"])
def test_what_is_not_112_by_112_by_3_is_refused(device: Client, alice: bytes, what: str, name: str) -> None:
    wrong = wrong_inputs(picture(alice))[what]

    headers, body = form({"image_a": alice, "image_b": alice, name: wrong})

    assert_refusal(device.post("/similarity/v2", body, headers), 400, "INF-05")


@pytest.mark.parametrize(
    "wrong",
    [b"GIF89a" + bytes(60), b"hello", bytes(RAW_BYTES - 1), bytes(RAW_BYTES + 1), png_that_claims(6400, 6251)],
    ids=len,
)
def test_what_is_no_picture_is_refused(device: Client, alice: bytes, wrong: bytes) -> None:
    assert_refusal(compared(device, alice, wrong), 400, "INF-04")


def test_a_truncated_picture_is_refused(device: Client, alice: bytes) -> None:
    whole = jpeg(picture(alice))

    assert_refusal(compared(device, whole[: len(whole) // 2], alice), 400, "INF-04")
