"""The engine's faults: each step that fails has its own code, and a face neither network is sure of is none."""

from dataclasses import replace

import numpy as np
import pytest
from devices import parts_of

from appliance.face.types import AlignedFace, Box, Detection, DetectLimits, Pose
from appliance.faults import Fault, ResultCode
from appliance.vision.engine import FaceEngine
from appliance.vision.landmarks import Fit


class Failing:
    """A part that cannot answer anything."""

    def __init__(self, error=None):
        self._error = error or RuntimeError("out of order")

    def __getattr__(self, name):
        def fail(*_args, **_kwargs):
            raise self._error

        return fail


class Given:
    """A part whose every answer is the one it was given."""

    def __init__(self, answer):
        self._answer = answer

    def __getattr__(self, name):
        return lambda *_args, **_kwargs: self._answer


@pytest.fixture(scope="module")
def engine_with(engine):
    """The real engine with some of its parts exchanged."""
    return lambda **others: FaceEngine(**{**parts_of(engine), **others})


@pytest.fixture(scope="module")
def picture(photos, pictured):
    return pictured(photos["hopper"])


@pytest.fixture(scope="module")
def crop(engine, picture):
    return engine.align(picture, DetectLimits())[0]


def detection(x, score, side=80.0):
    box = Box(x, 50, side, side)
    eyes_nose_mouth = np.array([[0.3, 0.4], [0.7, 0.4], [0.5, 0.6], [0.35, 0.8], [0.65, 0.8]], np.float32)
    return Detection(box, eyes_nose_mouth * side + np.float32([x, 50]), score)


def a_fit(presence, value=1.0):
    return Fit(np.full((106, 2), value, np.float32), Pose(0, 0, 0), presence)


@pytest.mark.parametrize(("part", "code"), [("detector", "INF-11"), ("alignment", "INF-11"), ("aligner", "INF-14")])
def test_a_part_that_fails_in_finding_and_aligning(engine_with, picture, part, code):
    with pytest.raises(Fault, match=rf"{code} .*out of order"):
        engine_with(**{part: Failing()}).align(picture, DetectLimits())


def test_an_embedder_that_fails(engine_with, crop):
    with pytest.raises(Fault, match="INF-12"):
        engine_with(embedder=Failing()).embed(crop)


def test_embeddings_that_cannot_be_compared(engine, crop):
    class NotFinite:
        def embed(self, face: AlignedFace):
            return np.full(512, np.nan, np.float32)

    with pytest.raises(Fault, match="INF-18"):
        FaceEngine(**{**parts_of(engine), "embedder": NotFinite()}).compare(crop, crop)


def test_a_liveness_check_that_fails(engine_with, picture):
    with pytest.raises(Fault, match="INF-19"):
        engine_with(liveness=Failing()).liveness([picture] * 4)


def test_occlusion_and_mask_checks_that_fail(engine, engine_with, picture):
    class MaskCheckFails(Failing):
        def occluded(self, pixels, points):
            return False

    for check, code in ((Failing(), "INF-20"), (MaskCheckFails(), "INF-21")):
        with pytest.raises(Fault, match=code):
            engine_with(occlusion=check).liveness([picture] * 4)


def test_a_fault_of_a_part_is_the_fault_of_the_engine(engine_with, picture):
    fault = Fault(ResultCode.INITIALIZE, "gone")
    with pytest.raises(Fault, match="INF-06") as caught:
        engine_with(detector=Failing(fault)).detect(picture, DetectLimits())
    assert caught.value is fault


@pytest.mark.parametrize("broken", [np.nan, np.inf])
def test_points_that_are_not_finite(engine_with, picture, broken):
    for answer in (a_fit(0.9, broken), a_fit(broken)):
        with pytest.raises(Fault, match="INF-16"):
            engine_with(landmarks=Given(answer)).detect(picture, DetectLimits(), precise=True)


def test_fewer_aligned_faces_than_detected(engine_with, picture):
    with pytest.raises(Fault, match=r"INF-13 .*1 detected, 0 aligned"):
        engine_with(aligner=Given([])).align(picture, DetectLimits())


def test_landmarks_in_one_point_cannot_be_aligned(engine_with, picture):
    flat = replace(a_fit(0.9), points=np.full((106, 2), 100, np.float32))
    with pytest.raises(Fault, match="INF-14"):
        engine_with(detector=Given([detection(100, 0.9)]), alignment=Given(flat)).align(picture, DetectLimits())


@pytest.mark.parametrize(
    ("score", "presence", "kept"), [(0.9, 0.9, True), (0.9, 0.1, True), (0.46, 0.9, True), (0.46, 0.1, False)]
)
def test_a_face_is_one_when_either_network_is_sure(engine_with, picture, score, presence, kept):
    sceptical = engine_with(detector=Given([detection(100, score)]), alignment=Given(a_fit(presence)))
    assert len(sceptical.detect(picture, DetectLimits())) == kept


def test_what_is_no_face_does_not_take_a_place_in_the_count(engine_with, picture):
    class SureOfTheSecond:
        def locate(self, _picture, found):
            return a_fit(0.1 if found.box.x < 200 else 0.9)

    found = [detection(100, 0.46), detection(250, 0.46), detection(400, 0.46)]
    engine = engine_with(detector=Given(found), alignment=SureOfTheSecond())
    (face,) = engine.detect(picture, DetectLimits(count=1))
    assert face.detection.box.x == 250
