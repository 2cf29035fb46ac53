"""Pixels -> JPEG."""

import simplejpeg

from appliance.face.types import Pixels


def jpeg(pixels: Pixels, quality: int) -> bytes:
    """A JPEG of RGB pixels; `quality` 10..100."""
    encoded: bytes = simplejpeg.encode_jpeg(pixels, quality=quality, colorspace="RGB", colorsubsampling="420")
    return encoded
