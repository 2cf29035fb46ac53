"""Whether something hides the face: seen where it was painted on, silent on the face as it is."""

import cv2
import numpy as np
import pytest

from appliance.face.types import DetectLimits
from appliance.sections import GallerySection
from appliance.vision import quality
from appliance.vision.quality import OcclusionCheck

NAMES = ["portrait", "hopper"]
CHECK = OcclusionCheck()

BLUE, GREEN, BLACK, WHITE = (60, 110, 200), (40, 150, 90), (12, 12, 12), (244, 244, 244)


@pytest.fixture(scope="module", params=NAMES)
def face(request, engine, photos, pictured):
    """Pixels and the 106 points in them."""
    (found,) = engine.detect(pictured(photos[request.param]), DetectLimits())
    return photos[request.param], found.points


def with_mask(pixels, points, colour):
    """A mask from the bridge of the nose to below the chin, painted along the jaw."""
    outline = np.concatenate([points[4:29], points[44:45]]).astype(np.int32)
    return cv2.fillPoly(pixels.copy(), [outline], colour)


def with_patches(pixels, points, numbers, colour):
    canvas = pixels.copy()
    radius = int(np.linalg.norm(points[2] - points[30]) * 0.17)
    for number in numbers:
        cv2.circle(canvas, tuple(map(int, points[number])), radius, colour, -1)
    return canvas


def test_a_face_as_it_is_is_neither_masked_nor_occluded(face):
    assert not CHECK.masked(*face)
    assert not CHECK.occluded(*face)


@pytest.mark.parametrize("colour", [BLUE, GREEN], ids=["blue", "green"])
def test_a_mask_is_seen(face, colour):
    pixels, points = face
    assert CHECK.masked(with_mask(pixels, points, colour), points)


@pytest.mark.parametrize("numbers", [(84, 90), (16, 84, 49), (74, 77, 46, 43)])
def test_an_object_before_the_face_is_seen(face, numbers):
    pixels, points = face
    assert CHECK.occluded(with_patches(pixels, points, numbers, GREEN), points)


@pytest.mark.parametrize("factor", [0.5, 1.4])
def test_light_is_no_mask(face, factor):
    pixels, points = face
    lit = cv2.convertScaleAbs(pixels, alpha=factor)
    assert not CHECK.masked(lit, points)


def test_without_colour_nothing_is_seen(face):
    pixels, points = face
    grey = cv2.cvtColor(cv2.cvtColor(with_mask(pixels, points, BLACK), cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    assert not CHECK.masked(grey, points)
    assert not CHECK.occluded(grey, points)


def test_the_pixels_stay_as_they_were(face):
    pixels, points = face
    before = pixels.copy()
    CHECK.masked(pixels, points)
    CHECK.occluded(pixels, points)
    assert np.array_equal(pixels, before)


def test_a_larger_picture_gives_the_same_answer(face):
    pixels, points = face
    masked = with_mask(pixels, points, BLUE)
    for picture, answer in ((pixels, False), (masked, True)):
        assert CHECK.masked(cv2.resize(picture, None, fx=2, fy=2), points * 2) is answer


def test_what_the_border_cuts_off_is_not_held_against_a_face(face):
    pixels, points = face
    for check in (CHECK.masked, CHECK.occluded):
        assert not check(pixels, points + np.float32([5000, 0]))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("part", ["without chin", "without left half", "without forehead"])
def test_a_face_that_the_border_cuts_still_gets_a_liveness_verdict(engine, photos, pictured, name, part):
    (found,) = engine.detect(pictured(photos[name]), DetectLimits())
    pixels, points = photos[name], found.points.astype(int)
    cut = {
        "without chin": pixels[: points[49, 1] + 2],
        "without left half": pixels[:, points[74, 0] :],
        "without forehead": pixels[points[72, 1] :],
    }[part]
    assert 0 <= engine.liveness([pictured(np.ascontiguousarray(cut))] * 4).confidence <= 0.30


def aligned_again(engine, pictured, pixels):
    """The face of a picture, found anew, and its aligned picture."""
    picture = pictured(pixels)
    largest = engine.detect(picture, DetectLimits())[0]
    return largest, engine.align(picture, DetectLimits())[0]


def with_glasses(pixels, points, colour):
    """Two lenses about the pupils, and the bridge between them."""
    canvas, (left, right) = pixels.copy(), points[[104, 105]]
    width = np.linalg.norm(right - left)
    for eye in (left, right):
        center = (int(eye[0]), int(eye[1] + 0.08 * width))
        cv2.ellipse(canvas, center, (int(0.41 * width), int(0.31 * width)), 0, 0, 360, colour, -1)
    return cv2.line(canvas, *(tuple(map(int, eye)) for eye in (left, right)), colour, max(1, int(0.06 * width)))


def test_an_uncovered_face_is_wholly_visible(face, engine, pictured):
    assert quality.judge(*aligned_again(engine, pictured, face[0])).visibility == 1


@pytest.mark.parametrize(
    ("cover", "colour"),
    [(with_mask, BLUE), (with_mask, BLACK), (with_mask, WHITE), (with_glasses, BLUE), (with_glasses, BLACK)],
)
def test_a_covered_face_is_worth_less(face, engine, pictured, cover, colour):
    found = quality.judge(*aligned_again(engine, pictured, cover(*face, colour)))
    assert found.weakest == "visibility"
    assert found.overall < GallerySection().min_quality
