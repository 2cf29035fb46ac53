"""From the bytes of a JPEG or PNG to upright RGB pixels, at full or at reduced size, within limits read from its header."""

import itertools
import math
import re
from collections.abc import Callable, Iterator
from io import BytesIO
from typing import Any

import cv2
import numpy as np
import simplejpeg

from appliance.face.types import Frame, Pixels
from appliance.faults import Fault, ResultCode, failing_as
from appliance.imaging.header import JPEG, PNG, JpegHeader, PngHeader, read_jpeg, read_png
from appliance.stages import stage

ENOUGH_DETAIL = 1280
"""Longer side below which a JPEG is not reduced further: one decode then serves detection and, nearly always, the crops
too, and a second decode costs more than it saves (scripts/bench)."""

WORK_PER_PIXEL = 50
"""Nanoseconds of decoding (header.py counts them) for each pixel of the limit: 2 s on a 2-core x86-64 when the limit is 40
megapixels. The largest PNG costs 33; libjpeg's own progressive files have 10 scans in colour and 18 in CMYK, at 1 each.
"""

MOST_STRAY = 64
"""Bytes between the pixels and a marker that are harmless; cameras write a few. More are what is left of lost pixels."""

MOST_MENDING = 2_000_000_000
"""Nanoseconds of decoding to find the scan that has stray bytes."""

TILE = 512
"""Side in pixels of the tiles in which a decoded picture becomes RGB, so that only one of them is in memory twice; a multiple
of 8, by which pictures are reduced at most.
"""

_STRAY = re.compile(r"(\d+) extraneous bytes before marker 0x(..)")
_END = "d9"
_RARE_SAMPLING = "Could not determine subsampling level"
_TAIL = b"\xaa" * 64

_UPRIGHT: dict[int, Callable[[Pixels], Any]] = {
    2: lambda pixels: cv2.flip(pixels, 1),
    3: lambda pixels: cv2.rotate(pixels, cv2.ROTATE_180),
    4: lambda pixels: cv2.flip(pixels, 0),
    5: cv2.transpose,
    6: lambda pixels: cv2.rotate(pixels, cv2.ROTATE_90_CLOCKWISE),
    7: lambda pixels: cv2.rotate(cv2.transpose(pixels), cv2.ROTATE_180),
    8: lambda pixels: cv2.rotate(pixels, cv2.ROTATE_90_COUNTERCLOCKWISE),
}
"""What makes the pixels upright, by EXIF orientation (Exif 2.32, tag 274)."""


class EncodedPicture:
    """A JPEG or PNG in memory, decoded when pixels are asked for and only as finely as they are."""

    def __init__(self, content: bytes, max_pixels: int) -> None:
        """Reads the header alone. Raises Fault INF-04: not a JPEG or PNG, broken, more than `max_pixels`, or more work than so
        many pixels may cost.
        """
        if not content.startswith((JPEG, PNG)):
            raise Fault(ResultCode.BROKEN_IMAGE, "neither JPEG nor PNG")
        self._header = read_jpeg(content) if content.startswith(JPEG) else read_png(content)
        width, height = self._header.width, self._header.height
        if not 0 < width * height <= max_pixels:
            raise Fault(ResultCode.BROKEN_IMAGE, f"{width}x{height} pixels, the limit is {max_pixels}")
        if self._header.work > WORK_PER_PIXEL * max_pixels:
            raise Fault(ResultCode.BROKEN_IMAGE, f"{width}x{height} pixels in too many scans or rows")
        self._upright = _UPRIGHT.get(self._header.orientation)
        turned = self._header.orientation in (5, 6, 7, 8)
        self.width, self.height = (height, width) if turned else (width, height)
        self._decoded: Frame | None = None

    @property
    def decoded_bytes(self) -> int:
        """Memory that decoding takes at most."""
        return self._header.memory + (3 * self.width * self.height if self._upright else 0)

    @property
    def three_channels(self) -> bool:
        """Whether it is a plain colour picture: no palette, no alpha, not grey, not CMYK."""
        return self._header.three_channels

    def frame(self, detail: float) -> Frame:
        """Upright RGB pixels with at least `detail` frame pixels a picture pixel. Raises Fault INF-04."""
        wanted = self._scale(detail)
        if self._decoded is None or self._decoded.scale < wanted:
            with stage("decode"), failing_as(ResultCode.BROKEN_IMAGE):
                self._decoded = self._decode(wanted)
        return self._decoded

    def _scale(self, detail: float) -> float:
        """The coarsest of 1, 1/2, 1/4, 1/8 that still has `detail`, and enough for the stages to come."""
        detail = max(detail, min(1.0, ENOUGH_DETAIL / max(self.width, self.height)))
        return next(scale for scale in (1 / 8, 1 / 4, 1 / 2, 1.0) if scale >= detail or scale == 1.0)

    def _decode(self, scale: float) -> Frame:
        if isinstance(self._header, PngHeader):
            pixels = _decoded_png(self._header.content, round(1 / scale))
        else:
            pixels = _decoded_jpeg(self._header, scale)
        if self._upright is not None:
            pixels = np.asarray(self._upright(pixels), np.uint8)
        return Frame(pixels, scale)


def _decoded_jpeg(header: JpegHeader, scale: float) -> Pixels:
    """A JPEG's RGB pixels at a scaled decode. Raises ValueError when data are missing or damaged, as far as a decoder can
    tell.
    """
    cmyk = len(header.sampling) == 4
    colours, size = "CMYK" if cmyk else "RGB", (math.ceil(header.width * scale), math.ceil(header.height * scale))
    try:
        pixels = _by_libjpeg(header.content, colours, size)
    except ValueError as error:
        if _RARE_SAMPLING in str(error):
            pixels = _by_pillow(header, colours, size)
        elif (whole := _without_strays(str(error), header, colours)) is not None:
            pixels = _by_libjpeg(whole, colours, size, strict=False)
        else:
            raise
    return _rgb(pixels, inverted=header.adobe) if cmyk else pixels


def _by_libjpeg(content: bytes, colours: str, size: tuple[int, int], *, strict: bool = True) -> Pixels:
    """The smallest scaled decode of at least `size` (width, height). Raises ValueError with the decoder's first warning."""
    pixels = simplejpeg.decode_jpeg(content, colours, min_width=size[0], min_height=size[1], strict=strict)
    return np.asarray(pixels)


def _without_strays(warning: str, header: JpegHeader, colours: str) -> bytes | None:
    """A file that has all its pixels, when the decoder's first warning is of stray bytes and no other is hidden behind it.
    Strays before the end are the last that a decoder reads. Those before a restart marker are not, so every interval is
    decoded by itself. Those behind another scan are cut off where that leaves nothing to warn of.
    """
    count, marker = _stray(warning)
    if not count:
        return None
    if header.restart:
        return header.content if all(_whole(each, colours) for each in header.intervals()) else None
    if marker == _END:
        return header.content
    if len(header.scans) * header.work > MOST_MENDING:
        return None
    return next((content for content in header.shortened(count) if _whole(content, colours)), None)


def _whole(content: bytes, colours: str) -> bool:
    """Whether the decoder warns of nothing but stray bytes before the end."""
    try:
        _by_libjpeg(content, colours, (1, 1))
    except ValueError as error:
        return _stray(str(error))[1] == _END
    return True


def _stray(warning: str) -> tuple[int, str]:
    """The number of stray bytes that a warning is of, and the marker behind them; none when it is another or of too many."""
    found = _STRAY.search(warning)
    return (int(found[1]), found[2]) if found and int(found[1]) <= MOST_STRAY else (0, "")


def _by_pillow(header: JpegHeader, colours: str, size: tuple[int, int]) -> Pixels:
    """The same decode by Pillow, which knows every sampling. It hides missing data; but then what stands behind a scan is
    taken for pixels, so the file is decoded twice, with something there and without. Raises ValueError when that matters.
    """
    pixels, again = (_opened(content, colours, size) for content in (header.content, header.padded(_TAIL)))
    if not np.array_equal(pixels, again):
        raise ValueError("premature end of a scan")
    return np.bitwise_not(pixels) if colours == "CMYK" else pixels  # Pillow takes all CMYK for Adobe's, and inverts it


def _opened(content: bytes, colours: str, size: tuple[int, int]) -> Pixels:
    with _pillow().open(BytesIO(content), formats=("JPEG",)) as image:
        image.draft(colours, size)
        return np.asarray(image if image.size == size else image.resize(size))


def _rgb(cmyk: Pixels, *, inverted: bool) -> Pixels:
    """RGB of CMYK pixels (height x width x 4) without a colour profile. Files with an Adobe marker store them inverted."""
    pixels = np.empty((*cmyk.shape[:2], 3), np.uint8)
    for top, left in _tiles(*cmyk.shape[:2]):
        tile = cmyk[top : top + TILE, left : left + TILE]
        light = tile if inverted else 255 - tile
        pixels[top : top + TILE, left : left + TILE] = light[:, :, :3].astype(np.uint16) * light[:, :, 3:] // 255
    return pixels


def _tiles(height: int, width: int) -> Iterator[tuple[int, int]]:
    """Top and left of each tile."""
    return itertools.product(range(0, height, TILE), range(0, width, TILE))


def _decoded_png(content: bytes, shrink: int) -> Pixels:
    """A PNG of any kind, averaged down `shrink` times in both directions: 16-bit greys by their upper byte, transparency
    dropped.
    """
    with _pillow().open(BytesIO(content), formats=("PNG",)) as image:
        width, height = image.size
        pixels = np.empty((math.ceil(height / shrink), math.ceil(width / shrink), 3), np.uint8)
        for top, left in _tiles(height, width):
            tile = image.crop((left, top, min(width, left + TILE), min(height, top + TILE)))
            if tile.mode.startswith("I"):
                tile = _pillow().fromarray((np.asarray(tile) >> 8).astype(np.uint8))
            if tile.mode == "RGBA":
                tile.putalpha(255)  # reduce() would weigh colours by it, and turn what is transparent black
            elif tile.mode not in ("L", "RGB"):
                tile = tile.convert("RGB")
            reduced = np.asarray(tile.reduce(shrink).convert("RGB"))
            row, column = top // shrink, left // shrink
            pixels[row : row + reduced.shape[0], column : column + reduced.shape[1]] = reduced
        return pixels


def _pillow() -> Any:
    """Pillow's Image, 3 MB that many devices never need."""
    from PIL import Image

    Image.MAX_IMAGE_PIXELS = None  # the limit is each caller's own, and is held against the header before decoding
    return Image


def jpeg(pixels: Pixels, quality: int) -> bytes:
    """A JPEG of RGB pixels; `quality` 10..100."""
    encoded: bytes = simplejpeg.encode_jpeg(pixels, quality=quality, colorspace="RGB", colorsubsampling="420")
    return encoded


def png(pixels: Pixels) -> bytes:
    """A PNG of RGB pixels: the same pixels again when it is decoded."""
    buffer = BytesIO()
    _pillow().fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()
