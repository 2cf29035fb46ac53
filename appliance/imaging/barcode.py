"""QR codes: read from pixels, written as PNG and SVG. The only door to zxing-cpp, which is loaded when it is needed."""

from typing import Any

import numpy as np

from appliance.face.types import Pixels
from appliance.imaging import codec

SCALE = 8
"""Pixels of a module in a written code: a pass has 45 modules and a margin of 4 on each side, together 424 pixels."""


def read(pixels: Pixels) -> list[str]:
    """The texts of the QR codes in a picture (RGB)."""
    import zxingcpp

    green = np.ascontiguousarray(pixels[:, :, 1])  # it has most of the light, and needs no conversion
    kinds = zxingcpp.BarcodeFormats(zxingcpp.BarcodeFormat.QRCode)
    return [found.text for found in zxingcpp.read_barcodes(green, formats=kinds)]


def png(text: str) -> bytes:
    """A QR code as a PNG. Raises ValueError for a text that is too long."""
    return codec.png(np.array(_made(text).to_image(scale=SCALE)))


def svg(text: str) -> bytes:
    """A QR code as an SVG, as `png`."""
    content: str = _made(text).to_svg(scale=SCALE)
    return content.encode()


def _made(text: str) -> Any:
    import zxingcpp

    return zxingcpp.create_barcode(text, zxingcpp.BarcodeFormat.QRCode, ec_level="M")
