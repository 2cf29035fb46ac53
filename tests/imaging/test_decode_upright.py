"""The eight orientations of a camera give one upright picture."""

import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from appliance.imaging.codec import EncodedPicture

ORIENTATIONS = {
    1: ("top", "left"),
    2: ("top", "right"),
    3: ("bottom", "right"),
    4: ("bottom", "left"),
    5: ("left", "top"),
    6: ("right", "top"),
    7: ("right", "bottom"),
    8: ("left", "bottom"),
}
"""Exif 2.32, tag 274: which side of the upright picture the first stored row and the first stored column are."""


def as_stored(upright, orientation):
    """The pixels as a camera held like that stores them."""
    first_row, first_column = ORIENTATIONS[orientation]
    sides = {first_row, first_column}
    if "bottom" in sides:
        upright = upright[::-1]
    if "right" in sides:
        upright = upright[:, ::-1]
    turned = first_row in ("left", "right")
    return np.ascontiguousarray(upright.transpose(1, 0, 2) if turned else upright)


def orientation_tag(value):
    exif = Image.Exif()
    exif[0x0112] = value
    return exif


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_a_png_is_upright(picture, write, orientation):
    upright = picture(60, 90)
    content = write(as_stored(upright, orientation), "PNG", exif=orientation_tag(orientation))
    encoded = EncodedPicture(content, 10**6)
    assert (encoded.width, encoded.height) == (90, 60)
    assert np.array_equal(encoded.frame(1.0).pixels, upright)


@pytest.mark.parametrize("orientation", ORIENTATIONS)
@pytest.mark.parametrize("mode", ["RGB", "CMYK"])
def test_a_jpeg_is_upright(picture, write, orientation, mode):
    upright = picture(60, 90)
    stored = as_stored(upright, orientation)
    content = write(stored, "JPEG", mode, quality=95, exif=orientation_tag(orientation))
    encoded = EncodedPicture(content, 10**6)
    assert (encoded.width, encoded.height) == (90, 60)
    assert np.abs(encoded.frame(1.0).pixels.astype(int) - upright).mean() < 2


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_so_is_one_decoded_at_half_its_size(picture, write, orientation):
    stored = as_stored(picture(80, 2700), orientation)
    content = write(stored, "JPEG", quality=95, exif=orientation_tag(orientation))
    frame = EncodedPicture(content, 10**6).frame(0.5)
    assert (frame.width, frame.height, frame.scale) == (1350, 40, 0.5)
    assert np.abs(frame.pixels.astype(int) - picture(40, 1350)).mean() < 3


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_the_pixels_are_in_one_piece(picture, write, orientation):
    stored = as_stored(picture(30, 50), orientation)
    content = write(stored, "PNG", exif=orientation_tag(orientation))
    assert EncodedPicture(content, 10**6).frame(1.0).pixels.flags.c_contiguous


@pytest.mark.parametrize("value", [0, 9, 65535])
def test_an_orientation_that_does_not_exist_is_ignored(picture, write, value):
    upright = picture(30, 50)
    content = write(upright, "PNG", exif=orientation_tag(value))
    assert np.array_equal(EncodedPicture(content, 10**6).frame(1.0).pixels, upright)


@pytest.mark.parametrize(("kind", "count", "value"), [(2, 3, b"up\0\0"), (1, 0, b"\0\0\0\0"), (7, 2, b"\6\6\0\0")])
def test_an_orientation_of_the_wrong_type_is_ignored(picture, write, kind, count, value):
    upright = picture(30, 50)
    tag = struct.pack(">HHHI4sI", 1, 0x0112, kind, count, value, 0)
    content = write(upright, "PNG", exif=b"Exif\0\0MM\0*\0\0\0\x08" + tag)
    assert np.array_equal(EncodedPicture(content, 10**6).frame(1.0).pixels, upright)


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data", "ignore:Tag data larger than file")
@pytest.mark.parametrize("damage", [b"Exif\0\0XX*\0", b"Exif\0\0MM\0*\xff\xff\xff\xff", b"Exif\0\0" + b"\0" * 8])
def test_damaged_metadata_does_not_cost_the_picture(picture, write, decode, damage):
    content = write(picture(30, 50), "JPEG", exif=orientation_tag(6))
    start = content.index(b"Exif\0\0")
    pixels = decode(content[:start] + damage + content[start + len(damage) :])
    assert pixels.shape == (30, 50, 3)


PLACES = ("in front of the pixels", "behind the pixels")


def chunk(kind, body):
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def with_chunk(content, place, kind, body):
    at = content.index(b"IDAT") - 4 if place == PLACES[0] else content.rindex(b"IEND") - 4
    return content[:at] + chunk(kind, body) + content[at:]


def raw_profile(orientation):
    """As ImageMagick writes it: a line feed, the name, the length, and lines of hexadecimal digits."""
    exif = orientation_tag(orientation).tobytes()
    digits = exif.hex()
    lines = [digits[start : start + 72] for start in range(0, len(digits), 72)]
    return "\n".join(["", "exif", f"{len(exif):8d}", *lines, ""]).encode()


XMP = b'<x:xmpmeta><rdf:Description tiff:Orientation="6"/></x:xmpmeta>'
XMP_IN_TEXT = b"XML:com.adobe.xmp\0\0\0\0\0" + XMP


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("orientation", ORIENTATIONS)
@pytest.mark.parametrize("form", ["eXIf", "with the header of a JPEG's", "tEXt", "zTXt", "iTXt", "APP1"])
def test_a_png_says_it_anywhere(picture, write, place, orientation, form):
    upright, profile = picture(6, 9), raw_profile(orientation)
    exif = orientation_tag(orientation).tobytes()
    kind, body = {
        "eXIf": (b"eXIf", exif.removeprefix(b"Exif\0\0")),
        "with the header of a JPEG's": (b"eXIf", b"Exif\0\0" + exif.removeprefix(b"Exif\0\0")),
        "tEXt": (b"tEXt", b"Raw profile type exif\0" + profile),
        "zTXt": (b"zTXt", b"Raw profile type exif\0\0" + zlib.compress(profile)),
        "iTXt": (b"iTXt", b"Raw profile type exif\0\1\0en\0name\0" + zlib.compress(profile)),
        "APP1": (b"zTXt", b"Raw profile type APP1\0\0" + zlib.compress(profile)),
    }[form]
    content = with_chunk(write(as_stored(upright, orientation), "PNG"), place, kind, body)
    assert np.array_equal(EncodedPicture(content, 100).frame(1.0).pixels, upright)


@pytest.mark.parametrize("place", PLACES)
def test_xmp_alone_turns_nothing(picture, write, decode, place):
    png, jpeg = (write(picture(30, 50), file_format) for file_format in ("PNG", "JPEG"))
    assert np.array_equal(decode(with_chunk(png, place, b"iTXt", XMP_IN_TEXT)), decode(png))
    body = b"http://ns.adobe.com/xap/1.0/\0" + XMP
    assert np.array_equal(decode(jpeg[:2] + struct.pack(">HH", 0xFFE1, len(body) + 2) + body + jpeg[2:]), decode(jpeg))


@pytest.mark.parametrize("orientation", [1, 3, 8])
def test_exif_decides_where_xmp_speaks_too(picture, write, decode, orientation):
    exif = orientation_tag(orientation)
    for file_format in ("PNG", "JPEG"):
        content = write(as_stored(picture(30, 50), orientation), file_format, exif=exif)
        both = write(
            as_stored(picture(30, 50), orientation),
            file_format,
            exif=exif,
            **({"xmp": XMP} if file_format == "JPEG" else {}),
        )
        if file_format == "PNG":
            both = with_chunk(both, PLACES[0], b"iTXt", XMP_IN_TEXT)
        assert np.array_equal(decode(both), decode(content))


def test_a_wrong_checksum_of_the_orientation_turns_nothing(picture, write, decode):
    plain = write(picture(30, 50), "PNG")
    turned = bytearray(with_chunk(plain, PLACES[0], b"eXIf", orientation_tag(6).tobytes().removeprefix(b"Exif\0\0")))
    assert decode(bytes(turned)).shape == (50, 30, 3)
    turned[turned.index(b"IDAT") - 5] ^= 1
    assert np.array_equal(decode(bytes(turned)), decode(plain))
