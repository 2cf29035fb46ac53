"""Pixels -> JPEG or PNG."""

from io import BytesIO

import simplejpeg
from PIL import Image

from appliance.face.types import Pixels


def jpeg(pixels: Pixels, quality: int) -> bytes:
    """A JPEG of RGB pixels; `quality` 10..100."""
    encoded: bytes = simplejpeg.encode_jpeg(pixels, quality=quality, colorspace="RGB", colorsubsampling="420")
    return encoded


def png(pixels: Pixels) -> bytes:
    """A PNG of RGB pixels: the same pixels again when it is decoded."""
    buffer = BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()
