"""Small pictures of single faces for a report, as data: addresses; what is wrong is drawn into them."""

from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from appliance.evaluation.measures import Reals
from appliance.evaluation.pictures import jpeg, upright

SIDE = 168
"""Pixels; three in a row on a phone, and sharp enough to tell who it is."""

QUALITY = 80

MARGIN = 0.5
"""Of a face box's side, that is shown around it."""

FOUND, LABELLED = (255, 120, 0), (0, 220, 120)
"""Orange is what the device says, green what the labels say."""


@dataclass(frozen=True, slots=True)
class Thumbnail:
    """Pictures side by side, as data: addresses, and the lines below them."""

    addresses: tuple[str, ...]
    lines: tuple[str, ...]


def thumbnail(
    path: Path, box: Sequence[float] | None, found: Reals | None = None, labelled: Reals | None = None
) -> str:
    """The data: address of what lies around a box (x, y, width, height), of the whole picture without one; a square of SIDE.

    `found` and `labelled` are boxes (4) or points (N x 2) to draw. A picture that does not decode is grey.
    """
    try:
        image = upright(path.read_bytes())
    except OSError:
        return address(Image.new("RGB", (SIDE, SIDE), (128, 128, 128)))
    left, top, side = _around(image.size, box)
    shown = image.crop((round(left), round(top), round(left + side), round(top + side))).resize((SIDE, SIDE))
    for marks, colour in ((labelled, LABELLED), (found, FOUND)):
        if marks is not None:
            _draw(ImageDraw.Draw(shown), (marks, colour), (left, top, SIDE / side))
    return address(shown)


def address(image: Image.Image) -> str:
    """The image itself as a data: address."""
    return f"data:image/jpeg;base64,{b64encode(jpeg(image, QUALITY)).decode('ascii')}"


def _around(size: tuple[int, int], box: Sequence[float] | None) -> tuple[float, float, float]:
    """Left, top and side of the square that is shown."""
    x, y, width, height = (0.0, 0.0, *map(float, size)) if box is None else box
    side = max(1.0, max(width, height) * (1 if box is None else 1 + 2 * MARGIN))
    return x + (width - side) / 2, y + (height - side) / 2, side


def _draw(
    canvas: ImageDraw.ImageDraw, marks: tuple[Reals, tuple[int, int, int]], view: tuple[float, float, float]
) -> None:
    positions, colour = marks
    left, top, scale = view
    if positions.ndim == 1:
        x, y, width, height = positions
        corners = (np.array([x, y, x + width, y + height]) - [left, top, left, top]) * scale
        canvas.rectangle([float(corner) for corner in corners], outline=colour, width=2)
        return
    for x, y in (positions - [left, top]) * scale:
        canvas.ellipse((x - 1.5, y - 1.5, x + 1.5, y + 1.5), fill=colour)
