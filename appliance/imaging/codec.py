"""From the bytes of a JPEG or PNG to upright RGB pixels, at full or at reduced size, within limits read from its header."""

import math
import re
from collections.abc import Callable
from io import BytesIO
from typing import Any

import cv2
import numpy as np
import simplejpeg
from PIL import Image

from appliance.face.types import Frame, Pixels
from appliance.faults import Fault, ResultCode, failing_as
from appliance.stages import stage

JPEG, PNG = b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n"

ENOUGH_DETAIL = 1280
"""Longer side below which a JPEG is not reduced further: one decode then serves detection and, nearly always, the crops
too, and a second decode costs more than it saves (scripts/bench)."""

_ORIENTATION_TAG = 0x0112
_MENDED = re.compile("extraneous bytes before marker|Invalid SOS parameters")
_START_OF_SCAN, _END_OF_IMAGE = b"\xff\xda", b"\xff\xd9"

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

Image.MAX_IMAGE_PIXELS = None  # the limit is each caller's own, and is held against the header before decoding


class EncodedPicture:
    """A JPEG or PNG in memory, decoded when pixels are asked for and only as finely as they are."""

    def __init__(self, content: bytes, max_pixels: int) -> None:
        """Reads the header alone. Raises Fault INF-04: not a JPEG or PNG, broken, or more than `max_pixels`."""
        if not content.startswith((JPEG, PNG)):
            raise Fault(ResultCode.BROKEN_IMAGE, "neither JPEG nor PNG")
        self._content = content
        with failing_as(ResultCode.BROKEN_IMAGE):
            self._image = Image.open(BytesIO(content), formats=("JPEG", "PNG"))
        width, height = self._image.size
        if width * height > max_pixels:
            raise Fault(ResultCode.BROKEN_IMAGE, f"{width}x{height} pixels, the limit is {max_pixels}")
        with failing_as(ResultCode.BROKEN_IMAGE):
            # of a PNG that has none before its pixels, getexif() decodes them all in search of a late one
            known = self._image.format != "PNG" or "exif" in self._image.info
            orientation = self._image.getexif().get(_ORIENTATION_TAG, 1) if known else 1
        self._upright = _UPRIGHT.get(orientation) if isinstance(orientation, int) else None
        turned = self._upright is not None and orientation >= 5
        self.width, self.height = (height, width) if turned else (width, height)
        self._decoded: Frame | None = None

    @property
    def three_channels(self) -> bool:
        """Whether it is a plain colour picture: no palette, no alpha, not grey, not CMYK."""
        return self._image.mode == "RGB"

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
        if self._image.format == "PNG":
            pixels = _decoded_png(self._content, round(1 / scale))
        else:
            width, height = (math.ceil(side * scale) for side in self._image.size)
            pixels = _decoded_jpeg(self._content, width, height, "CMYK" if self._image.mode == "CMYK" else "RGB")
            if self._image.mode == "CMYK":
                pixels = _rgb(pixels, inverted="adobe" in self._image.info)
        if self._upright is not None:
            pixels = np.asarray(self._upright(pixels), np.uint8)
        return Frame(pixels, scale)


def _decoded_jpeg(content: bytes, width: int, height: int, colours: str) -> Pixels:
    """A JPEG at the smallest scaled decode of at least `width` x `height`. A truncated file raises ValueError; what a
    decoder can mend without inventing pixels (stray bytes before a marker, say) does not. libjpeg tells its first warning
    alone, so a file that is mended must also have its end.
    """
    size = {"min_width": width, "min_height": height}
    try:
        return np.asarray(simplejpeg.decode_jpeg(content, colours, **size))
    except ValueError as error:
        if not _MENDED.search(str(error)) or content.rfind(_END_OF_IMAGE) < content.rfind(_START_OF_SCAN):
            raise
        return np.asarray(simplejpeg.decode_jpeg(content, colours, **size, strict=False))


def _rgb(cmyk: Pixels, *, inverted: bool) -> Pixels:
    """RGB of CMYK pixels (height x width x 4) without a colour profile. Files with an Adobe marker store them inverted."""
    light = cmyk if inverted else 255 - cmyk
    return (light[:, :, :3].astype(np.uint16) * light[:, :, 3:] // 255).astype(np.uint8)


def _decoded_png(content: bytes, shrink: int) -> Pixels:
    """A PNG of any kind, averaged down `shrink` times in both directions (before it is turned into RGB, so that a large one
    is in memory once): 16-bit greys by their upper byte, transparency dropped.
    """
    with Image.open(BytesIO(content), formats=("PNG",)) as image:
        if image.mode.startswith("I"):
            grey = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
            return np.asarray(grey.reduce(shrink).convert("RGB"))
        if image.mode == "RGBA":
            image.putalpha(255)  # reduce() would weigh colours by it, and turn what is transparent black
        if shrink > 1 and image.mode in ("L", "RGB", "RGBA"):
            return np.asarray(image.reduce(shrink).convert("RGB"))
        return np.asarray(image.convert("RGB").reduce(shrink))


def jpeg(pixels: Pixels, quality: int) -> bytes:
    """A JPEG of RGB pixels; `quality` 10..100."""
    encoded: bytes = simplejpeg.encode_jpeg(pixels, quality=quality, colorspace="RGB", colorsubsampling="420")
    return encoded


def png(pixels: Pixels) -> bytes:
    """A PNG of RGB pixels: the same pixels again when it is decoded."""
    buffer = BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()
