"""What a scene gives away: each sign appears where it was put, and is silent where it was not."""

from dataclasses import replace

import cv2
import numpy as np
import pytest

from appliance.face.types import Box, DetectLimits
from appliance.vision import evidence
from appliance.vision.evidence import Scene

NAMES = ["portrait", "hopper"]


@pytest.fixture(scope="module", params=NAMES)
def scene(request, engine, photos, pictured):
    (face,) = engine.detect(pictured(photos[request.param]), DetectLimits())
    return Scene(photos[request.param], face.detection.box, face.detection.landmarks, face.points)


def repainted(scene, pixels):
    return replace(scene, pixels=np.asarray(pixels, np.uint8))


def moved(scene, right):
    """The whole picture, and the face with it, pushed to the right."""
    box = Box(scene.box.x + right, scene.box.y, scene.box.width, scene.box.height)
    pixels, landmarks = np.roll(scene.pixels, right, axis=1), scene.landmarks + np.float32([right, 0])
    return replace(scene, pixels=pixels, box=box, landmarks=landmarks)


def over_wallpaper(scene, face_right, wallpaper_right):
    """The head alone before a patterned wall, each pushed to the right on its own."""
    pattern = np.random.default_rng(1).integers(0, 256, (60, 80, 3), dtype=np.uint8)
    wall = np.roll(cv2.resize(pattern, (640, 480), interpolation=cv2.INTER_CUBIC), wallpaper_right, axis=1)
    box, mask = scene.box, np.zeros(scene.pixels.shape[:2], np.uint8)
    middle = (int(box.x + box.width / 2), int(box.y + box.height / 2))
    cv2.ellipse(mask, middle, (int(box.width * 0.75), int(box.height * 0.85)), 0, 0, 360, 255, -1)
    rows, columns = np.nonzero(mask)
    right, down = 60 + face_right, -20
    inside = (rows + down >= 0) & (rows + down < 480) & (columns + right < 640)
    wall[rows[inside] + down, columns[inside] + right] = scene.pixels[rows[inside], columns[inside]]
    place = Box(box.x + right, box.y + down, box.width, box.height)
    return replace(scene, pixels=wall, box=place, landmarks=scene.landmarks + np.float32([right, down]))


def with_posts(scene, *places, upright=True):
    """Dark bars through the whole picture; places in face widths (heights) from the box's left (top)."""
    pixels = scene.pixels.copy()
    for place in places:
        if upright:
            x = int(scene.box.x + place * scene.box.width)
            pixels[:, max(0, x - 4) : x + 4] = 10
        else:
            y = int(scene.box.y + place * scene.box.height)
            pixels[max(0, y - 4) : y + 4] = 10
    return repainted(scene, pixels)


def test_a_photo_of_a_person_has_no_bezel(scene):
    assert evidence.bezel(scene) == 0


def test_lines_on_both_sides_of_the_face_are_a_bezel(scene):
    assert 0.9 < evidence.bezel(with_posts(scene, -0.5, 1.5)) <= 1.5


@pytest.mark.parametrize(
    ("lines", "seen"),
    [
        ([(200, 0, 200, 479), (440, 0, 440, 479)], True),
        ([(160, 0, 220, 479), (420, 479, 480, 0)], True),
        ([(20, 100, 230, 330), (410, 100, 620, 330)], False),
        ([(20, 230, 230, 230), (410, 230, 620, 230)], False),
        ([(200, 0, 200, 479)], False),
        ([(440, 0, 440, 479)], False),
        ([(150, 0, 150, 479), (200, 0, 200, 479)], False),
        ([(300, 0, 300, 479), (340, 0, 340, 479)], False),
        ([], False),
    ],
)
def test_only_upright_lines_on_both_sides_and_outside_the_face_are_a_bezel(lines, seen):
    wall = np.full((480, 640, 3), 180, np.uint8)
    for x1, y1, x2, y2 in lines:
        cv2.line(wall, (x1, y1), (x2, y2), (20, 20, 20), 6)
    scene = Scene(wall, Box(260, 160, 120, 140), np.zeros((5, 2), np.float32), np.zeros((106, 2), np.float32))
    assert (evidence.bezel(scene) > 0.8) is seen


def test_lines_across_are_none(scene):
    assert evidence.bezel(with_posts(scene, -0.3, 1.4, upright=False)) == 0


def test_the_same_still_does_not_change(scene):
    assert evidence.smallest_change([scene] * 4) == 0


@pytest.mark.parametrize("quality", [95, 85, 75])
def test_nor_does_it_when_it_is_encoded_again(scene, pictured, quality):
    again = repainted(scene, pictured(scene.pixels, quality).frame(1.0).pixels)
    assert 0 < evidence.smallest_change([scene, again]) < evidence.STILL


@pytest.mark.parametrize("change", [1, 2, 8])
def test_a_little_motion_or_light_is_a_change(scene, change):
    assert evidence.smallest_change([scene, moved(scene, change)]) > evidence.STILL
    assert evidence.smallest_change([scene, repainted(scene, cv2.add(scene.pixels, (change,) * 4))]) > evidence.STILL


def test_one_frame_twice_is_enough_to_be_still(scene):
    frames = [scene, moved(scene, 4), moved(scene, 4), moved(scene, 8)]
    assert evidence.smallest_change(frames) == 0


@pytest.mark.parametrize("step", [16, 24])
def test_a_picture_that_moves_as_a_whole_is_glued(scene, step):
    assert evidence.moves_as_one([moved(scene, step * number) for number in range(4)])


@pytest.mark.parametrize("step", [16, 24])
def test_so_is_a_head_that_takes_its_wall_along(scene, step):
    assert evidence.moves_as_one([over_wallpaper(scene, step * n, step * n) for n in range(4)])


@pytest.mark.parametrize("step", [8, 16, 24])
def test_a_head_that_moves_before_a_resting_wall_is_not(scene, step):
    assert not evidence.moves_as_one([over_wallpaper(scene, step * n, 0) for n in range(4)])


def test_what_does_not_move_is_not_glued(scene):
    assert not evidence.moves_as_one([scene] * 4)
    assert not evidence.moves_as_one([over_wallpaper(scene, 0, 16 * n) for n in range(4)])


def test_frames_of_different_sizes_and_without_texture_tell_nothing(scene):
    smaller = replace(scene, pixels=scene.pixels[:-40])
    assert not evidence.moves_as_one([scene, smaller, scene, smaller])
    walls = [repainted(scene, np.full_like(scene.pixels, 120 + n)) for n in range(4)]
    assert not evidence.moves_as_one(walls)


def test_a_photo_of_a_person_has_no_moire(scene):
    assert evidence.moire(scene) < evidence.MOIRE


@pytest.mark.parametrize("frequency", [0.25, 0.3, 0.35])
@pytest.mark.parametrize("strength", [8, 25])
def test_a_fine_grid_over_it_is_moire(scene, frequency, strength):
    rows, columns = np.mgrid[: scene.pixels.shape[0], : scene.pixels.shape[1]]
    wave = strength * (np.sin(2 * np.pi * frequency * rows) + np.sin(2 * np.pi * frequency * columns))
    grid = np.clip(scene.pixels + wave[:, :, np.newaxis], 0, 255)
    assert evidence.moire(repainted(scene, grid)) > evidence.MOIRE + 1


def test_a_face_too_small_for_a_spectrum_has_no_moire(scene):
    tiny = replace(scene, box=Box(scene.box.x, scene.box.y, 20, 20))
    assert evidence.moire(tiny) == 0


def test_a_sharp_face_with_room_about_it_can_be_judged(scene):
    assert not evidence.blind([scene] * 4)


def test_a_blurred_one_cannot(scene):
    blurred = repainted(scene, cv2.GaussianBlur(scene.pixels, (0, 0), scene.box.side / 20))
    assert evidence.blind([blurred] * 4)


def test_nor_can_one_that_fills_the_picture(scene):
    box = scene.box.squared()
    x, y, side = max(0, int(box.x)), max(0, int(box.y)), int(box.side)
    close = replace(scene, pixels=scene.pixels[y : y + side, x : x + side], box=Box(0, 0, side, side))
    assert evidence.blind([close] * 4)


def test_two_blind_frames_of_four_do_not_outvote_the_rest(scene):
    blurred = repainted(scene, cv2.GaussianBlur(scene.pixels, (0, 0), scene.box.side / 20))
    assert not evidence.blind([scene, blurred, scene, scene])


@pytest.mark.parametrize("share", [(0, 0), (1, 0.02), (0.98, 0.98), (0.01, 1)])
def test_a_face_at_the_border_is_looked_at_all_the_same(scene, share):
    height, width = scene.pixels.shape[:2]
    x, y = share[0] * width, share[1] * height
    at_border = replace(scene, box=Box(x - 60, y - 60, 120, 120))
    signs = evidence.bezel(at_border), evidence.moire(at_border), evidence.blind([at_border] * 4)
    assert np.isfinite(signs).all()
