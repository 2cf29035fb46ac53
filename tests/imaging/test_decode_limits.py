"""The pixel limit is held against the header, before anything large is in memory."""

import struct
import subprocess
import sys
import tracemalloc
import zlib

import pytest
from PIL import Image

from appliance.faults import Fault
from appliance.imaging.codec import WORK_PER_PIXEL, EncodedPicture
from appliance.imaging.header import MOST_SEGMENTS


def png(width: int, height: int, colour: int = 2, rows: bytes = bytes(1000), *, interlaced: bool = False) -> bytes:
    """A PNG put together by hand; without `rows`, one that has next to nothing behind its header."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, colour, 0, 0, interlaced))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(rows, 1)) + chunk(b"IEND", b"")


@pytest.fixture
def huge_jpeg(write, picture):
    content = bytearray(write(picture(16, 16), "JPEG"))
    frame = content.index(b"\xff\xc0")
    content[frame + 5 : frame + 9] = b"\xff\xff\xff\xff"
    return bytes(content)


@pytest.mark.parametrize("sides", [(100_000, 100_000), (2**31 - 1, 2**31 - 1), (1, 2**31 - 1)])
def test_a_huge_png_is_refused_by_its_header(sides):
    tracemalloc.start()
    try:
        with pytest.raises(Fault, match=r"INF-04 .*the limit is 40000000"):
            EncodedPicture(png(*sides), 40_000_000)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 2**20


def test_a_huge_jpeg_is_refused_by_its_header(huge_jpeg):
    with pytest.raises(Fault, match=r"INF-04 .*65535x65535 pixels, the limit is 40000000"):
        EncodedPicture(huge_jpeg, 40_000_000)


@pytest.mark.parametrize("file_format", ["JPEG", "PNG"])
def test_the_limit_itself_is_allowed_and_one_less_is_not(write, picture, file_format):
    content = write(picture(30, 50), file_format)
    assert EncodedPicture(content, 30 * 50).frame(1.0).width == 50
    with pytest.raises(Fault, match="INF-04"):
        EncodedPicture(content, 30 * 50 - 1)


def test_the_scans_of_a_jpeg_are_bounded_by_its_header(write, picture):
    content = write(picture(16, 16), "JPEG", "L", progressive=True)
    first, last, scans = content.index(b"\xff\xda"), content.rindex(b"\xff\xda"), content.count(b"\xff\xda")
    longest = content[:last] + content[last:-2] * (WORK_PER_PIXEL - scans + 1) + content[-2:]
    assert EncodedPicture(longest, 256).width == 16
    with pytest.raises(Fault, match=r"INF-04 .*too many scans"):
        EncodedPicture(longest[:first] + content[first:last] + longest[first:], 256)
    assert EncodedPicture(longest[:first] + content[first:last] + longest[first:], 1000).width == 16


@pytest.mark.parametrize("interlaced", [False, True])
def test_so_are_the_rows_of_a_png(interlaced):
    assert EncodedPicture(png(100, 100, interlaced=interlaced), 10_000).width == 100
    assert EncodedPicture(png(1, 10_000, interlaced=interlaced), 20_000).height == 10_000
    with pytest.raises(Fault, match=r"INF-04 .*rows"):
        EncodedPicture(png(1, 10_000, interlaced=interlaced), 10_000)


def test_segments_without_end_are_not_read(write, picture):
    jpeg, comment = write(picture(8, 8), "JPEG"), b"\xff\xfe\0\2"
    assert EncodedPicture(jpeg[:2] + comment * 1000 + jpeg[2:], 64).width == 8
    with pytest.raises(Fault, match=r"INF-04 .*segments"):
        EncodedPicture(jpeg[:2] + comment * MOST_SEGMENTS + jpeg[2:], 64)
    with pytest.raises(Fault, match=r"INF-04 .*chunks"):
        EncodedPicture(png(8, 8)[:33] + b"\0\0\0\0teXt1234" * MOST_SEGMENTS, 64)


@pytest.mark.parametrize(("limit", "outcome"), [(7000 * 7000 - 1, "INF-04"), (7000 * 7000, "opened")])
def test_before_pixels_are_asked_for_a_picture_costs_no_memory_for_them(tmp_path, limit, outcome):
    path = tmp_path / "large.png"
    path.write_bytes(png(7000, 7000, colour=0, rows=bytes(7000 * 7001)))
    program = f"""
import re
from pathlib import Path
from appliance.faults import Fault
from appliance.imaging.codec import EncodedPicture

def most_memory():
    return int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1])

content = Path({str(path)!r}).read_bytes()
before = most_memory()
try:
    EncodedPicture(content, {limit})
    outcome = "opened"
except Fault as fault:
    outcome = fault.code.text
print(outcome, (most_memory() - before) // 1024)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    told, grown = done.stdout.split()
    assert (told, int(grown) < 20) == (outcome, True)


LARGEST = r"""
import re, sys
from pathlib import Path
from appliance.imaging.codec import EncodedPicture

def memory(field):
    return int(re.search(field + r":\s+(\d+)", Path("/proc/self/status").read_text())[1]) * 1024

encoded = EncodedPicture(Path(sys.argv[1]).read_bytes(), 10**8)
before = memory("VmRSS")
encoded.frame(0.01)
encoded.frame(1.0)
print(encoded.decoded_bytes, memory("VmHWM") - before)
"""


@pytest.mark.parametrize(
    ("file_format", "mode", "options"),
    [
        ("JPEG", "RGB", {}),
        ("JPEG", "RGB", {"orientation": 6}),
        ("JPEG", "RGB", {"progressive": True, "subsampling": 0}),
        ("JPEG", "CMYK", {"progressive": True}),
        ("PNG", "RGB", {"compress_level": 1}),
        ("PNG", "LA", {"compress_level": 1, "orientation": 8}),
    ],
    ids=str,
)
def test_decoding_takes_the_memory_that_it_says(tmp_path, write, picture, file_format, mode, options):
    exif = Image.Exif()
    exif[0x0112] = options.pop("orientation", 1)
    path = tmp_path / "picture"
    path.write_bytes(write(picture(2000, 3000), file_format, mode, exif=exif, **options))
    done = subprocess.run([sys.executable, "-c", LARGEST, path], capture_output=True, text=True, timeout=60, check=True)
    said, taken = map(int, done.stdout.split())
    assert 0.5 * said < taken < said + 5 * 2**20  # and the code and tables: 4.1 MiB with OpenCV 5, less with 4


@pytest.mark.parametrize(
    ("kind", "begin"),
    [
        (b"zTXt", b"note\0\0"),
        (b"zTXt", b"Raw profile type exif\0\0"),
        (b"iTXt", b"note\0\1\0\0\0"),
        (b"iCCP", b"note\0\0"),
    ],
)
def test_text_that_inflates_without_end_does_not(kind, begin):
    content, body = png(4, 4), begin + zlib.compress(b"a" * 50_000_000, 1)
    bomb = struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
    tracemalloc.start()
    try:
        assert EncodedPicture(content[:33] + bomb + content[33:], 10**6).frame(1.0).width == 4
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 8 * 2**20
