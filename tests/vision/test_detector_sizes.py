"""Which of the detector's networks search a picture: by its shape, and by the smallest wanted face."""

import numpy as np
import pytest

from appliance.face.types import DetectLimits, Frame
from appliance.vision.detector import Detector
from appliance.vision.manifest import Role
from appliance.vision.runtime import Network


class Noting:
    """A network that notes that it ran."""

    def __init__(self, network, ran):
        self.file, self._network, self._ran = network.file, network, ran

    def run(self, pixels):
        self._ran.append(pixels.shape[1::-1])
        return self._network.run(pixels)


class Still:
    """A picture that is decoded."""

    def __init__(self, pixels):
        self.pixels, (self.height, self.width) = pixels, pixels.shape[:2]

    def frame(self, _detail):
        return Frame(self.pixels)


@pytest.fixture(scope="module")
def networks(store):
    return [Network(file, store.content(file), 1) for file in store.candidates(Role.DETECTOR, "float16")]


@pytest.fixture
def searched(networks):
    """The detections, and the sizes of the networks that searched a picture."""

    def search(picture, min_size):
        ran = []
        detections = Detector([Noting(network, ran) for network in networks]).detect(
            picture, DetectLimits(min_size, lying=False)
        )
        return detections, ran

    return search


@pytest.mark.parametrize(
    ("size", "min_size", "wanted"),
    [
        ((1280, 720), 48, [(320, 192)]),
        ((1366, 768), 64, [(320, 192)]),
        ((1920, 1080), 48, [(640, 352)]),
        ((1280, 720), 16, [(640, 352), (1280, 1280)]),
        ((640, 480), 48, [(320, 320)]),
        ((2592, 1944), 48, [(640, 640), (1280, 1280)]),
        ((720, 1280), 48, [(320, 320)]),
        ((2000, 900), 80, [(320, 160)]),
        ((1, 1), 1, [(320, 320)]),
    ],
)
def test_the_network_has_the_picture_s_shape_and_the_size_that_the_smallest_face_needs(
    searched, size, min_size, wanted
):
    picture = Still(np.zeros((size[1], size[0], 3), np.uint8))
    assert searched(picture, min_size)[1] == wanted


def test_a_network_of_another_shape_sees_all_of_a_picture_when_there_is_no_better(networks, photos):
    wide = [network for network in networks if network.file.height == 192]
    (found,) = Detector(wide).detect(Still(photos["portrait"]), DetectLimits())
    (wanted,) = Detector(networks).detect(Still(photos["portrait"]), DetectLimits())
    assert found.box.overlap(wanted.box) > 0.8


def test_a_face_is_found_in_the_same_place_at_either_shape(networks, photos):
    """In a picture of 16:9 and in the same with a strip below."""
    canvas = np.full((720, 1280, 3), 120, np.uint8)
    canvas[100:612, 700:1212] = photos["portrait"]
    (wide,) = Detector(networks).detect(Still(canvas), DetectLimits())
    (square,) = Detector(networks).detect(Still(np.vstack([canvas, canvas[:200]])), DetectLimits())
    assert wide.box.overlap(square.box) > 0.9
    assert np.linalg.norm(wide.landmarks - square.landmarks, axis=1).max() < 0.05 * wide.box.side
