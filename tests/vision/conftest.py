"""Fixtures: the two photos as pixels, the shipped models, and engines of either precision."""

from collections.abc import Callable
from functools import cache

import appliance_models
import cv2
import numpy as np
import pytest

from appliance.face.types import Pixels
from appliance.imaging.codec import EncodedPicture
from appliance.vision import loading
from appliance.vision.engine import FaceEngine
from appliance.vision.loading import Choice
from appliance.vision.manifest import ModelStore, Role

SWITCHABLE = (Role.DETECTOR, Role.LIVENESS)


@pytest.fixture(scope="session")
def photos(portrait: bytes, hopper: bytes) -> dict[str, Pixels]:
    """The photos' pixels by name."""
    files = {"portrait": portrait, "hopper": hopper}
    return {name: EncodedPicture(content, 10**6).frame(1.0).pixels for name, content in files.items()}


@pytest.fixture(scope="session")
def montage(photos: dict[str, Pixels]) -> Pixels:
    """Both persons in one picture: the one with the smaller face on the left."""
    canvas = np.full((600, 1024, 3), 128, np.uint8)
    canvas[:512, :512], canvas[:, 512:] = photos["portrait"], photos["hopper"]
    return canvas


@pytest.fixture(scope="session")
def pictured() -> Callable[..., EncodedPicture]:
    """Pixels as a picture that was sent as a JPEG."""

    def encoded(pixels: Pixels, quality: int = 95) -> EncodedPicture:
        options = [cv2.IMWRITE_JPEG_QUALITY, quality]
        return EncodedPicture(cv2.imencode(".jpg", pixels[:, :, ::-1], options)[1].tobytes(), 10**8)

    return encoded


@pytest.fixture(scope="session")
def store() -> ModelStore:
    """The shipped models."""
    return ModelStore.open(appliance_models.FOLDER)


@pytest.fixture(scope="session")
def chosen(store: ModelStore) -> Callable[[str], Choice]:
    """The files of one precision."""
    return cache(lambda precision: loading.choose(store, dict.fromkeys(SWITCHABLE, precision), 1, "strong"))


@pytest.fixture(scope="session")
def engine(chosen: Callable[[str], Choice]) -> FaceEngine:
    """An engine of the float16 models."""
    return loading.build(chosen("float16"), 1)
