"""What a file says besides its pixels never costs the picture."""

import struct
import zlib
from io import BytesIO

import numpy as np
import pytest
from PIL import Image


def segment(marker: int, body: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(body) + 2) + body


def chunk(kind: bytes, body: bytes, *, sound: bool = True) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body) ^ (not sound))


JPEG_METADATA = {
    "icc of number 0": segment(0xE2, b"ICC_PROFILE\0\0\0" + bytes(200)),
    "icc with a missing part": segment(0xE2, b"ICC_PROFILE\0\1\3" + bytes(200)),
    "icc cut short": segment(0xE2, b"ICC_PROFILE\0"),
    "photoshop cut short": segment(0xED, b"Photoshop 3.0\x008BIM\4"),
    "photoshop without a name": segment(0xED, b"Photoshop 3.0\x008BIM\3\xed"),
    "jfif of another version": segment(0xE0, b"JFIF\0\7\7\0\0\1\0\1\0\0"),
    "jfif cut short": segment(0xE0, b"JFIF\0"),
    "adobe transform that does not exist": segment(0xEE, b"Adobe\0\x64\0\0\0\0\7"),
    "adobe cut short": segment(0xEE, b"Adobe"),
    "exif cut short": segment(0xE1, b"Exif"),
    "flashpix": segment(0xE2, b"FPXR\0"),
    "multi-picture cut short": segment(0xE2, b"MPF\0MM"),
    "a comment of megabytes": segment(0xFE, bytes(65_000)) * 50,
    "xmp of megabytes": segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0" + bytes(65_000)) * 50,
    "a segment of an application of its own": segment(0xEB, b"\xff\xd8\xff\xd9"),
}


@pytest.mark.parametrize("kind", JPEG_METADATA)
def test_of_a_jpeg(portrait, decode, kind):
    plain = decode(portrait)
    assert np.array_equal(decode(portrait[:2] + JPEG_METADATA[kind] + portrait[2:]), plain)
    frame = portrait.index(b"\xff\xc0")
    assert np.array_equal(decode(portrait[:frame] + JPEG_METADATA[kind] + portrait[frame:]), plain)


def test_between_the_segments_of_a_jpeg(portrait, decode):
    frame = portrait.index(b"\xff\xc0")
    assert np.array_equal(decode(portrait[:frame] + b"\x12\x34\xff\x00\xff" + portrait[frame:]), decode(portrait))


@pytest.mark.parametrize(
    "behind", [b"\0\0\0\x18ftypmp42" + bytes(10_000), b"\xff\xd8\xff\xe1 another picture", b"\xff", b"\xff\xda"]
)
def test_behind_a_jpeg(portrait, decode, behind):
    assert np.array_equal(decode(portrait + behind), decode(portrait))


def test_a_cmyk_picture_with_a_transform_that_does_not_exist_is_ycck(picture, write, decode):
    content = bytearray(write(picture(40, 48), "JPEG", "CMYK", quality=95))
    transform = content.index(b"Adobe") + 11
    content[transform] = 2
    ycck = decode(bytes(content))
    content[transform] = 9
    assert np.array_equal(decode(bytes(content)), ycck)


PNG_METADATA = {
    "text with a wrong checksum": chunk(b"tEXt", b"Comment\0hello", sound=False),
    "time with a wrong checksum": chunk(b"tIME", bytes(7), sound=False),
    "time cut short": chunk(b"tIME", b"\7"),
    "gamma cut short": chunk(b"gAMA", b"\0"),
    "srgb without its byte": chunk(b"sRGB", b""),
    "size cut short": chunk(b"pHYs", b"\0\0"),
    "chromaticity cut short": chunk(b"cHRM", b"\0\0"),
    "profile without a name": chunk(b"iCCP", b""),
    "profile of another compression": chunk(b"iCCP", b"icc\0\7abc"),
    "profile that does not inflate": chunk(b"iCCP", b"icc\0\0abc"),
    "transparency cut short": chunk(b"tRNS", b"\0"),
    "text that is no text": chunk(b"iTXt", b"\xff\xfe\0\1\0"),
    "text that does not inflate": chunk(b"zTXt", b"Comment\0\0abc"),
    "text of megabytes": chunk(b"tEXt", b"Comment\0" + b"x" * 3_000_000) * 2,
    "an animation cut short": chunk(b"acTL", b"\0") + chunk(b"fcTL", b"\0"),
    "exif that is none": chunk(b"eXIf", b"hello"),
    "a chunk of its own": chunk(b"apPl", b"hello"),
}


@pytest.fixture(scope="module")
def portrait_png(portrait):
    file = BytesIO()
    Image.open(BytesIO(portrait)).resize((128, 128)).save(file, "PNG")
    return file.getvalue()


@pytest.mark.parametrize("kind", PNG_METADATA)
def test_of_a_png(portrait_png, decode, kind):
    plain, end = decode(portrait_png), portrait_png.rindex(b"IEND") - 4
    assert np.array_equal(decode(portrait_png[:33] + PNG_METADATA[kind] + portrait_png[33:]), plain)
    assert np.array_equal(decode(portrait_png[:end] + PNG_METADATA[kind] + portrait_png[end:]), plain)
    assert np.array_equal(decode(portrait_png + PNG_METADATA[kind]), plain)
