"""Every kind of JPEG and PNG that clients send comes out as the RGB pixels that went in."""

import re
import struct
import zlib
from io import BytesIO
from math import ceil

import cv2
import numpy as np
import pytest
from PIL import Image

from appliance.faults import Fault
from appliance.imaging.codec import ENOUGH_DETAIL, EncodedPicture


def png(width: int, height: int, bits: int, colour: int, rows: bytes, before: bytes = b"") -> bytes:
    """A PNG put together by hand; `rows` begin with their filter byte."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + before + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def difference(a, b) -> float:
    return float(np.abs(a.astype(int) - b).mean())


@pytest.fixture(scope="module")
def colour(picture):
    return picture(80, 112)


@pytest.fixture(scope="module")
def grey(colour):
    return cv2.cvtColor(colour, cv2.COLOR_RGB2GRAY)[:, :, np.newaxis]


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"progressive": True},
        {"subsampling": 0},
        {"subsampling": 1},
        {"keep_rgb": True},
        {"restart_marker_rows": 1},
        {"optimize": True},
    ],
    ids=str,
)
def test_colour_jpegs(colour, write, decode, options):
    pixels = decode(write(colour, "JPEG", quality=95, **options))
    assert (pixels.shape, pixels.dtype) == (colour.shape, np.uint8)
    assert difference(pixels, colour) < 2


@pytest.mark.parametrize("options", [{}, {"progressive": True}], ids=str)
def test_grey_jpegs_have_three_equal_channels(colour, grey, write, decode, options):
    pixels = decode(write(colour, "JPEG", "L", quality=95, **options))
    assert difference(pixels, grey) < 2
    assert np.ptp(pixels, axis=2).max() == 0


RARE = [((4, 2), (1, 1), (1, 1)), ((2, 4), (1, 1), (1, 1)), ((2, 2), (2, 2), (1, 1)), ((3, 1), (1, 1), (1, 1))]


def sampled(colour, factors):
    """A JPEG with these sampling factors: each component is a grey JPEG, and its data a scan of its own."""
    height, width = colour.shape[:2]
    most = [max(each) for each in zip(*factors, strict=True)]
    planes = []
    for plane, (wide, high) in zip(Image.fromarray(colour).convert("YCbCr").split(), factors, strict=True):
        size = (ceil(width * wide / most[0]), ceil(height * high / most[1]))
        planes.append(cv2.imencode(".jpg", np.asarray(plane.resize(size)), [cv2.IMWRITE_JPEG_QUALITY, 95])[1].tobytes())
    first = planes[0]
    frame, tables, scan = (first.index(marker) for marker in (b"\xff\xc0", b"\xff\xc4", b"\xff\xda"))
    components = b"".join(bytes([number, wide << 4 | high, 0]) for number, (wide, high) in enumerate(factors, 1))
    content = first[:frame] + struct.pack(">HHBHHB", 0xFFC0, 17, 8, height, width, 3) + components + first[tables:scan]
    for number, plane in enumerate(planes, 1):
        content += bytes([255, 0xDA, 0, 8, 1, number, 0, 0, 63, 0]) + plane[plane.index(b"\xff\xda") + 10 : -2]
    return content + b"\xff\xd9"


@pytest.mark.parametrize("factors", [((2, 2), (1, 1), (1, 1)), *RARE], ids=str)
def test_jpegs_of_any_sampling(colour, decode, factors):
    assert difference(decode(sampled(colour, factors)), colour) < 6  # a third or a quarter of the colours are left


@pytest.mark.parametrize("factors", RARE, ids=str)
def test_those_of_a_rare_sampling_are_reduced_too(picture, factors):
    long = picture(43, 2 * ENOUGH_DETAIL + 5)
    frame = EncodedPicture(sampled(long, factors), 10**7).frame(0.1)
    shrunk = cv2.resize(long, (ENOUGH_DETAIL + 3, 22), interpolation=cv2.INTER_AREA)
    assert (frame.scale, frame.pixels.shape) == (0.5, shrunk.shape)
    assert difference(frame.pixels, shrunk) < 6


@pytest.mark.parametrize("factors", RARE, ids=str)
def test_and_refused_when_data_are_missing(colour, refusal, factors):
    content = sampled(colour, factors)
    scans = [found.end() + 8 for found in re.finditer(rb"\xff\xda", content)]
    assert refusal(content) is None
    for start, stop in zip(scans, [*(scan - 10 for scan in scans[1:]), len(content) - 2], strict=True):
        middle = (start + stop) // 2
        assert refusal(content[:middle] + content[stop:]) == "INF-04"


@pytest.mark.parametrize("options", [{}, {"progressive": True}], ids=str)
def test_cmyk_jpegs_of_adobe_which_store_ink_inverted(colour, write, decode, options):
    content = write(colour, "JPEG", "CMYK", quality=95, **options)
    assert b"Adobe" in content
    assert difference(decode(content), colour) < 2


def test_cmyk_jpegs_without_the_marker_of_adobe_store_ink_as_it_is(colour, write, decode):
    inverted = Image.merge(
        "CMYK", [Image.fromarray(255 - np.asarray(c)) for c in Image.fromarray(colour).convert("CMYK").split()]
    )
    file = BytesIO()
    inverted.save(file, "JPEG", quality=95)
    content = file.getvalue()
    start = content.index(b"\xff\xee")
    length = int.from_bytes(content[start + 2 : start + 4], "big")
    assert difference(decode(content[:start] + content[start + 2 + length :]), colour) < 2


def test_ycck_jpegs_of_adobe(colour, write, decode):
    brightness_and_colour = Image.fromarray(255 - colour).convert("YCbCr")
    stored = [Image.fromarray(255 - np.asarray(channel)) for channel in brightness_and_colour.split()]
    file = BytesIO()
    Image.merge("CMYK", [*stored, Image.new("L", stored[0].size, 0)]).save(file, "JPEG", quality=95)
    content = bytearray(file.getvalue())
    content[content.index(b"Adobe") + 11] = 2  # the colour transform: YCCK
    assert difference(decode(bytes(content)), colour) < 3


def test_a_photo_with_a_second_picture_inside_is_its_first_picture(colour, write, decode):
    content = write(colour, "MPO", quality=95, save_all=True, append_images=[Image.new("RGB", (60, 40))])
    assert difference(decode(content), colour) < 2


def test_a_small_picture_in_the_metadata_is_not_taken_for_the_photo(colour, write, decode):
    exif = Image.Exif()
    exif.get_ifd(0x8769)[0x927C] = write(255 - colour[:16, :16], "JPEG")  # a maker's note
    content = write(colour, "JPEG", quality=95, exif=exif)
    assert content.count(b"\xff\xd8\xff") == 2
    assert difference(decode(content), colour) < 2


def test_a_colour_png_is_exact(colour, write, decode):
    assert np.array_equal(decode(write(colour, "PNG")), colour)


def test_a_grey_png_is_exact(grey, decode):
    content = cv2.imencode(".png", grey)[1].tobytes()
    assert np.array_equal(decode(content), np.repeat(grey, 3, axis=2))


def test_transparency_is_dropped_and_leaves_the_colours(colour, decode, write):
    rows, columns = np.mgrid[: colour.shape[0], : colour.shape[1]]
    veiled = np.dstack([colour, (rows * 2 + columns) % 256]).astype(np.uint8)
    assert np.array_equal(decode(write(veiled, "PNG", "RGBA")), colour)


def test_a_grey_png_with_transparency(grey, colour, write, decode):
    pixels = decode(write(colour, "PNG", "LA"))
    assert difference(pixels, grey) < 1


def test_a_palette_is_looked_up(decode):
    palette = struct.pack(">I", 6) + b"PLTE" + bytes([10, 20, 30, 200, 150, 100])
    palette += struct.pack(">I", zlib.crc32(palette[4:]))
    pixels = decode(png(3, 1, 8, 3, bytes([0, 1, 0, 1]), palette))
    assert pixels[0].tolist() == [[200, 150, 100], [10, 20, 30], [200, 150, 100]]


def test_a_palette_with_transparency(colour, write, decode):
    content = write(colour, "PNG", "P", transparency=3)
    assert b"tRNS" in content
    assert difference(decode(content), colour) < 40  # Pillow's web palette; black or grey differ by far more


def test_few_bits_fill_the_whole_range(decode):
    assert decode(png(8, 1, 1, 0, bytes([0, 0b01100001])))[0, :, 0].tolist() == [0, 255, 255, 0, 0, 0, 0, 255]
    assert decode(png(4, 1, 2, 0, bytes([0, 0b00011011])))[0, :, 0].tolist() == [0, 85, 170, 255]
    assert decode(png(2, 1, 4, 0, bytes([0, 0xF8])))[0, :, 0].tolist() == [255, 136]


def test_sixteen_bits_a_colour_keep_their_upper_byte(colour, decode):
    deep = colour[:, :, ::-1].astype(np.uint16) * 256 + 77
    assert np.array_equal(decode(cv2.imencode(".png", deep)[1].tobytes()), colour)


def test_sixteen_bit_grey_keeps_its_upper_byte(grey, decode):
    deep = grey.astype(np.uint16) * 256 + 77
    assert np.array_equal(decode(cv2.imencode(".png", deep)[1].tobytes()), np.repeat(grey, 3, axis=2))


def test_sixteen_bit_grey_with_transparency(decode):
    pixels = decode(png(2, 1, 16, 4, bytes([0, 200, 7, 255, 255, 100, 7, 0, 0])))
    assert pixels[0].tolist() == [[200] * 3, [100] * 3]


def test_an_interlaced_png_is_like_any_other(decode):
    # Adam7 of 2 x 2: pass 1 has (0,0), pass 6 (0,1), pass 7 the second row
    content = bytearray(png(2, 2, 8, 0, bytes([0, 11, 0, 22, 0, 33, 44])))
    content[28] = 1
    content[29:33] = struct.pack(">I", zlib.crc32(content[12:29]))
    assert decode(bytes(content))[:, :, 0].tolist() == [[11, 22], [33, 44]]


@pytest.mark.parametrize(
    ("file_format", "mode", "plain"),
    [("JPEG", "RGB", True), ("PNG", "RGB", True), ("JPEG", "L", False), ("JPEG", "CMYK", False)]
    + [("PNG", mode, False) for mode in ("L", "RGBA", "P", "1", "LA")],
)
def test_only_plain_colour_has_three_channels(colour, write, file_format, mode, plain):
    assert EncodedPicture(write(colour, file_format, mode), 10**6).three_channels is plain


@pytest.mark.parametrize("file_format", ["GIF", "BMP", "TIFF", "WEBP", "PPM", "JPEG2000"])
def test_other_formats_are_refused_whatever_pillow_could_read(colour, write, refusal, file_format):
    assert refusal(write(colour, file_format)) == "INF-04"


@pytest.mark.parametrize("content", [b"", b"\xff", b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"hello", b"\0" * 100])
def test_what_is_no_picture_is_refused(content):
    with pytest.raises(Fault, match="INF-04"):
        EncodedPicture(content, 10**6)
