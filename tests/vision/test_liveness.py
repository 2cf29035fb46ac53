"""The verdict on four frames: high for one person who lives, at most 0.30 for a still or for several persons."""

from dataclasses import replace

import cv2
import numpy as np
import pytest
from living import stirred

from appliance.face.types import Box, DetectLimits
from appliance.faults import Fault
from appliance.vision.evidence import Scene
from appliance.vision.liveness import CONTEXTS, LEAST_ODDS, NOT_ONE_LIVE_PERSON, TEMPERATURE, LivenessCheck
from appliance.vision.manifest import Role
from appliance.vision.runtime import Network

NAMES = ["portrait", "hopper"]

NOWHERE = np.zeros((5, 2), np.float32), np.zeros((106, 2), np.float32)
"""Landmarks and points where they are not looked at."""


@pytest.fixture(scope="module")
def check(store):
    (file,) = store.candidates(Role.LIVENESS, "float16")
    return LivenessCheck(Network(file, store.content(file), 1))


@pytest.fixture(scope="module", params=NAMES)
def photo(request, photos):
    return photos[request.param]


@pytest.fixture(scope="module")
def frames(pictured):
    """Four frames of one photo that stirs in changing light: no still, and nothing moves."""
    return lambda photo, sign=np.asarray: [
        pictured(sign(cv2.convertScaleAbs(stirred(photo, number), alpha=1, beta=4 * number))) for number in range(4)
    ]


@pytest.fixture(scope="module")
def scenes(engine, photos, pictured):
    """The same as the liveness check sees it."""
    (face,) = engine.detect(pictured(photos["hopper"]), DetectLimits())
    scene = Scene(photos["hopper"], face.detection.box, face.detection.landmarks, face.points)
    return [replace(scene, pixels=cv2.convertScaleAbs(stirred(scene.pixels, n), alpha=1, beta=4 * n)) for n in range(4)]


@pytest.mark.parametrize("name", NAMES)
def test_the_same_still_four_times_is_at_most_0_30(engine, photos, pictured, name):
    verdict = engine.liveness([pictured(photos[name])] * 4)
    assert verdict.still
    assert verdict.confidence <= 0.30


def test_so_is_the_still_encoded_anew(engine, photo, pictured):
    verdict = engine.liveness([pictured(photo, quality) for quality in (95, 90, 85, 80)])
    assert verdict.still
    assert verdict.confidence <= 0.30


EDITS = {
    "lighter": lambda photo, n: cv2.convertScaleAbs(photo, alpha=1 + 0.03 * n, beta=-3 * n),
    "shifted": lambda photo, n: warped(photo, right=0.01 * n, down=-0.005 * n),
    "turned and scaled": lambda photo, n: warped(photo, degrees=1.5 * n - 2, scale=1 + 0.015 * n),
    "in perspective, with noise": lambda photo, n: noisy(warped(photo, tilt=0.02 * n), n),
    "everything": lambda photo, n: noisy(
        cv2.convertScaleAbs(warped(photo, 0.01 * n, 0.01, 1.2 * n, 1 + 0.01 * n, 0.01 * n), beta=3 * n), n
    ),
}


def warped(photo, right=0.0, down=0.0, degrees=0.0, scale=1.0, tilt=0.0):
    """The photo shifted (by shares of its side), turned, scaled, and tilted (by a share of its depth)."""
    height, width = photo.shape[:2]
    turn = np.vstack([cv2.getRotationMatrix2D((width / 2, height / 2), degrees, scale), [0, 0, 1]])
    turn[:2, 2] += right * width, down * height
    turn[2, 0] = tilt / width
    return cv2.warpPerspective(photo, turn, (width, height), borderMode=cv2.BORDER_REFLECT_101)


def noisy(photo, number):
    noise = np.random.default_rng(number).normal(0, 2, photo.shape)
    return np.clip(photo + noise, 0, 255).astype(np.uint8)


@pytest.mark.parametrize("kind", EDITS)
def test_so_are_four_edits_of_one_still(engine, photo, pictured, kind):
    verdict = engine.liveness([pictured(np.asarray(EDITS[kind](photo, number), np.uint8)) for number in range(4)])
    assert verdict.still
    assert verdict.confidence <= 0.30


def test_so_is_a_sequence_in_which_one_frame_comes_again(engine, photo, frames):
    first, second, third, _ = frames(photo)
    assert engine.liveness([first, second, second, third]).confidence <= 0.30


def test_four_frames_of_one_person_can_be_live(engine, photo, frames):
    verdict = engine.liveness(frames(photo))
    assert (verdict.still, verdict.coupled, verdict.moire, verdict.blind) == (False, False, False, False)
    assert 0.5 < verdict.confidence <= 1


@pytest.mark.parametrize("stranger", [0, 1, 2, 3])
def test_another_person_in_any_frame_makes_it_at_most_0_30(engine, photos, frames, stranger):
    pictures = frames(photos["hopper"])
    pictures[stranger] = frames(photos["portrait"])[0]
    assert engine.liveness(pictures).confidence <= 0.30


def test_the_largest_face_of_each_frame_is_the_one_that_is_judged(engine, montage, frames):
    assert engine.liveness(frames(montage)).confidence > 0.5


@pytest.mark.parametrize("missing", [0, 3])
def test_a_frame_without_a_face_is_inf_17(engine, photo, frames, pictured, missing):
    pictures = frames(photo)
    pictures[missing] = pictured(np.full((300, 400, 3), 90, np.uint8))
    with pytest.raises(Fault, match="INF-17"):
        engine.liveness(pictures)


def by_the_network_alone(verdict):
    return 1 / (1 + np.exp(-verdict.network / TEMPERATURE))


def test_without_a_sign_the_network_decides(engine, photos, frames):
    verdict = engine.liveness(frames(photos["hopper"]))
    assert verdict.confidence == pytest.approx(by_the_network_alone(verdict))


def test_signs_of_an_attack_lower_the_confidence(engine, photos, frames):
    photo = photos["hopper"]
    rows, columns = np.mgrid[: photo.shape[0], : photo.shape[1]]
    wave = 12 * (np.sin(1.9 * rows) + np.sin(1.9 * columns))[:, :, np.newaxis]
    beside = ((columns // 16 == 3) | (columns // 16 == 29))[:, :, np.newaxis]
    framed = engine.liveness(frames(photo, lambda pixels: np.where(beside, np.uint8(10), pixels)))
    gridded = engine.liveness(frames(photo, lambda pixels: np.clip(pixels + wave, 0, 255).astype(np.uint8)))
    assert framed.bezel > 0.5
    assert framed.confidence < by_the_network_alone(framed)
    assert gridded.moire
    assert gridded.confidence < by_the_network_alone(gridded)


def test_surroundings_glued_to_the_face_lower_it_too(engine, photos, pictured):
    photo = photos["hopper"]
    glued = engine.liveness([pictured(np.roll(photo, 20 * number, axis=1)) for number in range(4)])
    assert glued.coupled
    assert glued.confidence < by_the_network_alone(glued)


def test_several_persons_and_a_still_are_cut_at_the_limit(check, scenes):
    assert check.judge(scenes, one_person=True, covered=False).confidence > 0.5
    assert check.judge(scenes, one_person=False, covered=False).confidence == NOT_ONE_LIVE_PERSON
    assert check.judge(scenes[:1] * 4, one_person=True, covered=False).confidence == NOT_ONE_LIVE_PERSON


def test_a_covered_face_keeps_half_of_what_exceeds_a_half(check, scenes):
    seen = check.judge(scenes, one_person=True, covered=False)
    covered = check.judge(scenes, one_person=True, covered=True)
    assert covered.blind
    assert covered.confidence == pytest.approx(0.5 + (seen.confidence - 0.5) / 2)


def test_so_does_a_blurred_one(check, scenes):
    blurred = [replace(scene, pixels=cv2.GaussianBlur(scene.pixels, (0, 0), 12)) for scene in scenes]
    verdict = check.judge(blurred, one_person=True, covered=False)
    assert verdict.blind
    assert verdict.confidence <= 0.75


@pytest.mark.parametrize("corner", [(0, 0), (440, 0), (0, 520), (440, 520), (-30, -30), (470, 560)])
@pytest.mark.parametrize("context", CONTEXTS)
def test_crops_slide_inside_the_picture_and_are_never_padded_nor_stretched(check, corner, context):
    rows, columns = np.mgrid[:600, :512]
    places = np.dstack([columns / 4, rows / 4, np.full((600, 512), 99)]).astype(np.uint8)
    crop = check._crop(Scene(places, Box(*corner, 80, 80), *NOWHERE), context).astype(int)
    assert (crop[:, :, 2] == 99).all()
    assert np.ptp(crop[:, :, 0]) == pytest.approx(80 * context / 4, abs=2)
    assert np.ptp(crop[:, :, 1]) == pytest.approx(80 * context / 4, abs=2)


def test_a_crop_shows_the_face_in_its_middle_and_context_around_it(check):
    pixels = np.zeros((600, 600, 3), np.uint8)
    pixels[250:350, 250:350] = 255
    scene = Scene(pixels, Box(250, 250, 100, 100), *NOWHERE)
    for context in CONTEXTS:
        rows, columns = np.nonzero(check._crop(scene, context)[:, :, 0] > 127)
        assert np.ptp(rows) + 1 == pytest.approx(128 / context, abs=2)
        assert (rows.mean(), columns.mean()) == pytest.approx((63.5, 63.5), abs=1.5)


@pytest.fixture(scope="module")
def at(store, check, scenes):
    """The verdict on one live person when the operating point is at these log odds."""
    (file,) = store.candidates(Role.LIVENESS, "float16")
    return lambda odds, **facts: check.judge(scenes, **{"one_person": True, **facts}, thresholds={file.sha256: odds})


def test_a_half_is_the_operating_point_of_the_device(check, scenes, at):
    odds = check.judge(scenes, one_person=True).odds
    assert at(odds).confidence == 0.5
    assert at(odds - 1).confidence == pytest.approx(1 / (1 + np.exp(-1 / TEMPERATURE)))
    assert at(0.0) == check.judge(scenes, one_person=True)
    assert {at(each).odds for each in (-8.0, 0.0, 8.0)} == {odds}


def test_that_of_another_model_is_not_taken(check, scenes):
    assert check.judge(scenes, one_person=True, thresholds={"0" * 64: 8.0}) == check.judge(scenes, one_person=True)


@pytest.mark.parametrize("odds", [-8.0, -1.0, 0.0, 8.0])
def test_no_operating_point_lifts_the_limit_of_stills_and_several_persons(at, odds):
    several = at(odds, one_person=False)
    assert several.confidence <= NOT_ONE_LIVE_PERSON
    assert several.odds == LEAST_ODDS


def test_a_covered_face_is_halved_about_the_operating_point(check, scenes, at):
    odds = check.judge(scenes, one_person=True).odds
    assert at(odds + 0.1, covered=True).confidence == at(odds + 0.1).confidence < 0.5
    assert at(odds - 1, covered=True).confidence == pytest.approx(0.5 + (at(odds - 1).confidence - 0.5) / 2)
