"""Fixtures: a small picture whose every part looks different, and what turns pixels into files and files into pixels."""

from collections.abc import Callable
from io import BytesIO

import cv2
import numpy as np
import pytest
from PIL import Image

from appliance.face.types import Pixels
from appliance.faults import Fault
from appliance.imaging.codec import EncodedPicture


def smooth(height: int, width: int) -> Pixels:
    """A soft, asymmetric colour picture: what JPEG keeps well and what no turn or mirror leaves as it was."""
    seeds = np.random.default_rng(5).integers(0, 256, (5, 7, 3), dtype=np.uint8)
    return np.asarray(cv2.resize(seeds, (width, height), interpolation=cv2.INTER_LINEAR), np.uint8)


def written(pixels: Pixels, file_format: str, mode: str = "RGB", **options: object) -> bytes:
    """A file as Pillow writes it."""
    file = BytesIO()
    Image.fromarray(pixels).convert(mode).save(file, file_format, **options)
    return file.getvalue()


@pytest.fixture(scope="session")
def picture() -> Callable[[int, int], Pixels]:
    return smooth


@pytest.fixture(scope="session")
def write() -> Callable[..., bytes]:
    return written


@pytest.fixture(scope="session")
def decode() -> Callable[[bytes], Pixels]:
    """All pixels of a file. Raises Fault."""
    return lambda content: EncodedPicture(content, max_pixels=10**8).frame(1.0).pixels


@pytest.fixture(scope="session")
def refusal(decode: Callable[[bytes], Pixels]) -> Callable[[bytes], str | None]:
    """The code with which a file is refused; None when it is not."""

    def code(content: bytes) -> str | None:
        try:
            decode(content)
        except Fault as fault:
            return fault.code.text
        return None

    return code
