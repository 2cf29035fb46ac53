"""Pictures made from pictures."""

import io
from typing import Any

import numpy as np
from PIL import Image, ImageOps
from PIL.Image import Resampling, Transpose

from appliance.calibration.rates import Reals

QUALITY = 95  # JPEG quality of a picture made here; with full colour resolution it changes no measured figure
GREY = (128, 128, 128)  # the ground of a pasted picture
EXIF_ORIENTATION = 0x0112  # tag of the orientation (Exif 2.32, table 4)

STORED_AS: dict[int, Transpose | None] = {
    1: None,
    2: Transpose.FLIP_LEFT_RIGHT,
    3: Transpose.ROTATE_180,
    4: Transpose.FLIP_TOP_BOTTOM,
    5: Transpose.TRANSPOSE,
    6: Transpose.ROTATE_90,
    7: Transpose.TRANSVERSE,
    8: Transpose.ROTATE_270,
}
"""How an upright picture is stored so that its orientation tag (1..8) turns it upright again."""

LYING = (5, 6, 7, 8)  # orientations in which width and height are exchanged


def upright(picture: bytes) -> Image.Image:
    """The picture in RGB, turned upright by its orientation tag. Raises OSError when it does not decode."""
    with Image.open(io.BytesIO(picture)) as image:
        return ImageOps.exif_transpose(image).convert("RGB")


def size(picture: bytes) -> tuple[int, int]:
    """Width and height in pixels, upright; from the header alone. Raises OSError when there is none."""
    with Image.open(io.BytesIO(picture)) as image:
        lies = image.getexif().get(EXIF_ORIENTATION, 1) in LYING
        return (image.height, image.width) if lies else image.size


def jpeg(image: Image.Image, quality: int = QUALITY, **options: Any) -> bytes:
    """The image as JPEG with full colour resolution; `options` are Pillow's."""
    content = io.BytesIO()
    image.save(content, "JPEG", quality=quality, subsampling=0, **options)
    return content.getvalue()


def blank(width: int, height: int) -> bytes:
    """A grey picture."""
    return jpeg(Image.new("RGB", (width, height), GREY))


def mirrored(picture: bytes) -> bytes:
    """The picture with left and right exchanged."""
    return jpeg(ImageOps.mirror(upright(picture)))


def recompressed(picture: bytes, quality: int) -> bytes:
    """The same picture as JPEG of another quality."""
    return jpeg(upright(picture), quality)


def turned(picture: bytes, degrees: float, points: Reals) -> tuple[bytes, Reals]:
    """The picture turned clockwise about its centre, on a canvas that holds all of it, the new corners black; and the positions
    in it, N x 2, of N x 2 `points` of the upright picture.
    """
    image = upright(picture)
    after = image.rotate(-degrees, Resampling.BICUBIC, expand=True)
    sine, cosine = np.sin(np.radians(degrees)), np.cos(np.radians(degrees))
    turn = np.array([[cosine, -sine], [sine, cosine]])
    return jpeg(after), (points - np.array(image.size) / 2) @ turn.T + np.array(after.size) / 2


def oriented(picture: bytes, orientation: int) -> bytes:
    """The same upright picture, stored in another orientation (1..8) with the tag that says so."""
    image = upright(picture)
    turn = STORED_AS[orientation]
    tags = Image.Exif()
    tags[EXIF_ORIENTATION] = orientation
    return jpeg(image if turn is None else image.transpose(turn), exif=tags)


def pasted(picture: bytes, box: Reals, height: float, canvas: tuple[int, int]) -> bytes:
    """The picture scaled so that `box` (x, y, width, height) is `height` pixels high, centred on a grey canvas.

    What reaches beyond the canvas (width, height) is cut off.
    """
    image = upright(picture)
    scale = height / box[3]
    scaled = image.resize((max(1, round(image.width * scale)), max(1, round(image.height * scale))), Resampling.LANCZOS)
    centre = (box[:2] + box[2:] / 2) * scale
    ground = Image.new("RGB", canvas, GREY)
    ground.paste(scaled, (round(canvas[0] / 2 - centre[0]), round(canvas[1] / 2 - centre[1])))
    return jpeg(ground)


def flickering(picture: bytes, number: int) -> bytes:
    """Frame `number` of a film of the picture: the same, with the noise of a sensor (up to 3 grey levels)."""
    pixels = np.asarray(upright(picture)).astype(np.int16)
    noise = np.random.default_rng(number).integers(-3, 4, pixels.shape)
    return jpeg(Image.fromarray(np.clip(pixels + noise, 0, 255).astype(np.uint8)))
