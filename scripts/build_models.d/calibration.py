"""What each network is shown so that its quantiser knows the ranges of its tensors."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np
from conversion import Tensor
from faces import read_pictures
from mosaics import mosaics
from recipe import Output, Recipe

from appliance.face.types import Pixels
from appliance.imaging.codec import EncodedPicture

SEED = 1
"""Any fixed number: two builds must see the same samples."""

CLOSEST = 0.6
"""Least share of a picture's side in a liveness crop: the face then fills three quarters of it, about as much as the
widest context leaves when the face is near the camera."""


class Calibration:
    """Samples for the quantiser, made from a folder of square pictures with one face in the middle of each."""

    def __init__(self, folder: Path) -> None:
        """Raises BuildError when there is no picture."""
        self._pictures = read_pictures(folder)

    def samples(self, recipe: Recipe, output: Output) -> Iterator[Tensor]:
        """The tensors for one role's network, the same in every build."""
        if recipe.role == "detector":
            pictures = [picture.frame(1.0).pixels for picture in self._pictures]
            pixels = mosaics(pictures, output.width, output.height, recipe.samples, SEED)
        else:
            pixels = _mirrored_too(_closer(self._pictures, output.width), recipe.samples)
        return (tensor(recipe, picture) for picture in pixels)


def tensor(recipe: Recipe, pixels: Pixels) -> Tensor:
    """RGB pixels (height x width x 3) as the network's input."""
    ordered = pixels[:, :, ::-1] if recipe.colour == "BGR" else pixels
    return ((ordered[np.newaxis].astype(np.float32) - recipe.mean) / recipe.scale).astype(np.float32)


def _closer(pictures: Sequence[EncodedPicture], side: int) -> Iterator[Pixels]:
    """The middle of each picture, from all of it down to CLOSEST."""
    random = np.random.default_rng(SEED)
    for picture in pictures:
        pixels = picture.frame(1.0).pixels
        margin = int(pixels.shape[0] * random.uniform(0, 1 - CLOSEST) / 2)
        middle = pixels[margin : pixels.shape[0] - margin, margin : pixels.shape[1] - margin]
        yield np.asarray(cv2.resize(middle, (side, side), interpolation=cv2.INTER_LINEAR), np.uint8)


def _mirrored_too(crops: Iterator[Pixels], most: int) -> Iterator[Pixels]:
    for _, crop in zip(range(most // 2), crops, strict=False):
        yield crop
        yield crop[:, ::-1]
