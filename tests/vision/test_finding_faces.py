"""Where the faces of real photos are found: at every size, within the limits, and nowhere else."""

import cv2
import numpy as np
import pytest
from overlaps import overlap

from appliance.face.types import Box, DetectLimits
from appliance.faults import Fault

PLACES = {"portrait": Box(168, 63, 111, 111), "hopper": Box(157, 113, 211, 211)}
"""Brow to chin and cheek to cheek, measured by eye on the photos."""

NAMES = list(PLACES)

TOLERANCE = 0.08
"""Share of the side by which box and photo may part: the detector's own scatter over sizes and places reaches 6.3 %."""

EVERY = DetectLimits(min_size=20)


def box_of(face):
    return face.detection.box.squared()


def resized(pixels, scale):
    interpolation = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    return cv2.resize(pixels, None, fx=scale, fy=scale, interpolation=interpolation)


def deviation(box, other):
    """How far centre and side are apart, in shares of the other's side."""
    (x, y), (other_x, other_y) = box.center, other.center
    return max(abs(x - other_x), abs(y - other_y), abs(box.side - other.side)) / other.side


@pytest.fixture(scope="module")
def known(engine, photos, pictured):
    """The box found in each photo as it is."""
    return {name: box_of(engine.detect(pictured(pixels), EVERY)[0]) for name, pixels in photos.items()}


@pytest.mark.parametrize("name", NAMES)
def test_the_one_face_of_a_photo_is_found_where_it_is(engine, photos, pictured, name):
    (face,) = engine.detect(pictured(photos[name]), EVERY)
    assert overlap(box_of(face), PLACES[name]) > 0.8
    assert 0.8 < face.detection.score <= 1


@pytest.mark.parametrize("scale", [0.3, 0.4, 0.5, 0.75, 1.5, 2, 3, 4])
@pytest.mark.parametrize("name", NAMES)
def test_a_resized_photo_gives_the_same_box(engine, photos, pictured, known, name, scale):
    (face,) = engine.detect(pictured(resized(photos[name], scale)), EVERY if scale < 0.5 else DetectLimits())
    assert deviation(box_of(face).scaled(1 / scale), known[name]) < TOLERANCE


@pytest.mark.parametrize("scale", [2, 3, 4])
@pytest.mark.parametrize("name", NAMES)
def test_a_face_somewhere_in_a_large_picture_gives_the_same_box(engine, photos, pictured, known, name, scale):
    pasted = resized(photos[name], scale)
    canvas = np.full((3000, 4000, 3), 127, np.uint8)
    left, top = 4000 - pasted.shape[1] - 60, max(0, 3000 - pasted.shape[0])
    canvas[top : top + pasted.shape[0], left : left + pasted.shape[1]] = pasted[: 3000 - top]
    (face,) = engine.detect(pictured(canvas), DetectLimits())
    box = box_of(face)
    found = Box((box.x - left) / scale, (box.y - top) / scale, box.width / scale, box.height / scale)
    assert deviation(found, known[name]) < TOLERANCE


@pytest.mark.parametrize("name", NAMES)
def test_the_border_does_not_have_to_be_far(engine, photos, pictured, known, name):
    box = known[name]
    x, y, side = int(box.x), int(box.y), int(box.side)
    (face,) = engine.detect(pictured(photos[name][y : y + side, x : x + side]), EVERY)
    found = Box(box_of(face).x + x, box_of(face).y + y, box_of(face).side, box_of(face).side)
    assert deviation(found, box) < 0.15


def test_faces_come_largest_first(engine, montage, pictured, known):
    larger, smaller = engine.detect(pictured(montage), EVERY)
    assert deviation(box_of(larger), Box(known["hopper"].x + 512, known["hopper"].y, 211, 211)) < TOLERANCE
    assert deviation(box_of(smaller), known["portrait"]) < TOLERANCE


@pytest.mark.parametrize(
    ("limits", "names"),
    [
        (DetectLimits(), ["hopper", "portrait"]),
        (DetectLimits(count=1), ["hopper"]),
        (DetectLimits(min_size=150), ["hopper"]),
        (DetectLimits(max_size=150), ["portrait"]),
        (DetectLimits(min_size=100, max_size=150), ["portrait"]),
        (DetectLimits(max_size=150, count=1), ["portrait"]),
        (DetectLimits(min_size=130, max_size=180), []),
        (DetectLimits(min_size=500), []),
        (DetectLimits(max_size=20), []),
        (DetectLimits(min_size=1), ["hopper", "portrait"]),
        (DetectLimits(min_size=1, count=1000, max_size=65_535), ["hopper", "portrait"]),
    ],
    ids=str,
)
def test_sizes_and_count_limit_what_is_found(engine, montage, pictured, limits, names):
    found = engine.detect(pictured(montage), limits)
    assert ["hopper" if box_of(face).center[0] > 512 else "portrait" for face in found] == names


def test_the_size_limits_are_those_of_the_box_that_is_answered(engine, photos, pictured):
    picture = pictured(photos["portrait"])
    side = box_of(engine.detect(picture, EVERY)[0]).side
    assert len(engine.detect(picture, DetectLimits(min_size=side - 1, max_size=side + 1))) == 1
    assert engine.detect(picture, DetectLimits(min_size=side + 8)) == []
    assert engine.detect(picture, DetectLimits(max_size=side - 8)) == []


@pytest.mark.parametrize(
    ("limits", "code"),
    [
        (DetectLimits(count=1001), "INF-09"),
        (DetectLimits(count=10**18), "INF-09"),
        (DetectLimits(min_size=65_536), "INF-10"),
        (DetectLimits(max_size=65_536), "INF-10"),
        (DetectLimits(max_size=10**18), "INF-10"),
    ],
    ids=str,
)
def test_limits_beyond_the_bound_are_refused(engine, photos, pictured, limits, code):
    with pytest.raises(Fault, match=code):
        engine.detect(pictured(photos["portrait"]), limits)


@pytest.mark.parametrize("shape", [(480, 640), (1, 1), (1, 2000), (2000, 1), (7, 5), (1500, 100)])
def test_an_empty_picture_of_any_shape_has_no_face(engine, pictured, shape):
    assert engine.detect(pictured(np.full((*shape, 3), 127, np.uint8)), EVERY) == []


def test_noise_and_background_have_no_face(engine, photos, pictured):
    noise = np.random.default_rng(2).integers(0, 256, (480, 640, 3), dtype=np.uint8)
    assert engine.detect(pictured(noise), EVERY) == []
    assert engine.detect(pictured(photos["portrait"][200:, :]), EVERY) == []
