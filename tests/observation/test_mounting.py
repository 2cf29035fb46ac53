"""A camera that shows nothing but turned faces is reported, with the setting that makes them upright."""

from collections.abc import Sequence

import cv2
import pytest
from devices import shipped_engine

from appliance.face.types import DetectLimits, Face
from appliance.imaging.codec import EncodedPicture, png
from appliance.observation.mounting import GAP_SECONDS, LEAST_LOOKS, LEAST_SECONDS, Mounting
from appliance.vision.loading import Choice

TURNS = {90: cv2.ROTATE_90_CLOCKWISE, 180: cv2.ROTATE_180, 270: cv2.ROTATE_90_COUNTERCLOCKWISE}
"""How far a face leans, clockwise."""


class Watch:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture(scope="module")
def faces(choice: Choice, portrait: bytes) -> dict[int, list[Face]]:
    """The face of the portrait by its lean."""
    engine = shipped_engine(choice)
    pixels = EncodedPicture(portrait, 10**6).frame(1.0).pixels
    turned = {0: pixels, **{degrees: cv2.rotate(pixels, turn) for degrees, turn in TURNS.items()}}
    return {
        degrees: engine.detect(EncodedPicture(png(each), 10**6), DetectLimits()) for degrees, each in turned.items()
    }


def noted(
    shown: Sequence[list[Face]], rotation: int = 0, seconds: float = LEAST_SECONDS, *, mirror: bool = False
) -> str:
    """What the health says after these frames, the last of them `seconds` after the first."""
    watch = Watch()
    mounting = Mounting(rotation, mirror=mirror, clock=watch)
    for each in shown:
        mounting.note(each)
        watch.now += seconds / (len(shown) - 1)
    problems = mounting.problems()
    assert all((problem.part, problem.state) == ("camera", "turned") for problem in problems)
    return " ".join(problem.text for problem in problems)


@pytest.mark.parametrize(
    ("lean", "rotation", "mirror", "wanted"),
    [
        (180, 0, False, 180),
        (90, 0, False, 270),
        (270, 0, False, 90),
        (90, 180, False, 90),
        (180, 180, False, 0),
        (90, 0, True, 90),
    ],
)
def test_the_setting_that_is_wanted_is_named(faces, lean, rotation, mirror, wanted):
    text = noted([faces[lean]] * LEAST_LOOKS, rotation, mirror=mirror)
    assert f"camera.rotation is {rotation}, set it to {wanted}." in text


def test_a_few_looks_or_a_short_time_are_not_enough(faces):
    assert not noted([faces[180]] * (LEAST_LOOKS - 1))
    assert not noted([faces[180]] * LEAST_LOOKS, seconds=LEAST_SECONDS / 2)


def test_frames_without_a_face_say_nothing(faces):
    assert not noted([[]] * 20)
    assert noted([faces[180], []] * LEAST_LOOKS, seconds=LEAST_SECONDS + 5)


def test_an_upright_face_ends_it(faces):
    assert not noted([*[faces[180]] * LEAST_LOOKS, faces[0]])
    assert not noted([faces[180] + faces[0]] * LEAST_LOOKS)


def test_it_ends_when_no_face_is_seen_for_a_while(faces):
    watch = Watch()
    mounting = Mounting(0, mirror=False, clock=watch)
    for _ in range(LEAST_LOOKS):
        mounting.note(faces[180])
        watch.now += 2
    assert mounting.problems()
    watch.now += GAP_SECONDS
    assert not mounting.problems()
    mounting.note(faces[180])
    assert not mounting.problems()


def test_turned_faces_far_apart_are_not_counted_together(faces):
    assert not noted([faces[180]] * LEAST_LOOKS, seconds=LEAST_LOOKS * (GAP_SECONDS + 1))
