"""Pictures with a known number of faces, made of the bundled portraits."""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import cycle, islice

from PIL import Image

from appliance.evaluation.measures import Reals
from appliance.evaluation.pictures import GREY, jpeg, pasted

CANVAS, COLUMNS, ROWS = (1920, 1080), 10, 5
"""Width and height of a mosaic, and its tiles."""

MOST_FACES = COLUMNS * ROWS

SHARE = 0.5
"""Height of a face over that of its tile: 108 pixels, over twice the smallest that `/faces` looks for when nothing is said."""


@dataclass(frozen=True, slots=True)
class Subject:
    """A picture with one face, and the box about it (x, y, width, height)."""

    picture: bytes
    box: Reals

    def on(self, canvas: tuple[int, int], height: float) -> bytes:
        """A JPEG of that size with the face in the middle, `height` pixels high."""
        return pasted(self.picture, self.box, height, canvas)


def mosaic(subjects: Sequence[Subject], count: int) -> bytes:
    """A JPEG of 1920 x 1080 with `count` faces (1..50), the subjects in turn, row by row; the other tiles are grey."""
    width, height = CANVAS[0] // COLUMNS, CANVAS[1] // ROWS
    tiles = [Image.open(io.BytesIO(subject.on((width, height), SHARE * height))) for subject in subjects]
    ground = Image.new("RGB", CANVAS, GREY)
    for number, tile in enumerate(islice(cycle(tiles), count)):
        row, column = divmod(number, COLUMNS)
        ground.paste(tile, (column * width, row * height))
    return jpeg(ground)
