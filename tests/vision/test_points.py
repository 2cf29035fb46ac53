"""The 106 points and the pose of real photos: in the contract's order, and following mirror and turn."""

import cv2
import numpy as np
import pytest
from lab.evaluate.landmarks import MIRROR

from appliance.face.alignment import apply, rotated_square
from appliance.face.types import DetectLimits
from appliance.vision.detector import cut

NAMES = ["portrait", "hopper"]
ONE = DetectLimits(count=1)


@pytest.fixture(scope="module")
def face_of(engine, pictured):
    return lambda pixels: engine.detect(pictured(pixels), ONE)[0]


@pytest.fixture(scope="module", params=NAMES)
def face(request, photos, face_of):
    return face_of(photos[request.param])


@pytest.fixture(scope="module", params=NAMES)
def photo(request, photos):
    return photos[request.param]


def rising(values):
    return bool((np.diff(values) > 0).all())


def test_there_are_106_near_the_box(face):
    box = face.detection.box.squared()
    assert face.points.shape == (106, 2)
    assert (face.points > np.array([box.x, box.y]) - 0.1 * box.side).all()
    assert (face.points < np.array([box.x, box.y]) + 1.1 * box.side).all()


def test_eyes_nose_and_mouth_are_inside_the_box(face):
    box = face.detection.box
    inner = face.points[43:]
    assert (inner > [box.x, box.y]).all()
    assert (inner < [box.x + box.width, box.y + box.height]).all()


def test_the_jaw_runs_from_the_left_ear_over_the_chin_to_the_right_ear(face):
    jaw, x = face.points[:33], face.points[:33, 0]
    assert rising(x[2:31])
    assert x[0] == pytest.approx(x.min(), abs=1)
    assert x[32] == pytest.approx(x.max(), abs=1)
    assert jaw[:, 1].argmax() in (15, 16, 17)
    assert face.points[:, 1].argmax() in (15, 16, 17)


def test_the_brows_run_from_the_picture_s_left_to_its_right_above_the_eyes(face):
    points = face.points
    for upper, lower, eye in ((slice(33, 38), slice(64, 68), 72), (slice(38, 43), slice(68, 72), 75)):
        assert rising(points[upper, 0])
        assert rising(points[lower, 0])
        assert points[upper, 1].mean() < points[lower, 1].mean() < points[eye, 1]
    assert points[37, 0] < points[38, 0]


def test_the_nose_runs_down_and_its_base_across(face):
    points = face.points
    assert rising(points[43:47, 1])
    assert rising(points[47:52, 0])
    assert points[49, 1] > points[46, 1]
    assert points[78, 0] < points[43, 0] < points[79, 0]
    assert points[80, 0] < points[46, 0] < points[81, 0]
    assert points[82, 0] < points[46, 0] < points[83, 0]
    assert points[80, 1] < points[82, 1]
    assert points[81, 1] < points[83, 1]


def test_the_eye_rings_run_clockwise_from_their_left_corner(face):
    points = face.points
    for ring in (points[52:58], points[58:64]):
        assert ring[:, 0].argmin() == 0
        assert ring[:, 0].argmax() == 3
        assert ring[1:3, 1].mean() < ring[4:6, 1].mean()
        assert ring[1, 0] < ring[2, 0]
        assert ring[5, 0] < ring[4, 0]


def test_pupils_and_eye_centres_are_between_corners_and_lids(face):
    points = face.points
    for pupil, left, right, top, bottom, centre in ((104, 52, 55, 72, 73, 74), (105, 58, 61, 75, 76, 77)):
        for point in (points[pupil], points[centre]):
            assert points[left, 0] < point[0] < points[right, 0]
            assert points[top, 1] < point[1] < points[bottom, 1]


def test_the_lips_run_clockwise_the_inner_within_the_outer(face):
    points = face.points
    outer, inner = points[84:96], points[96:104]
    assert [ring[:, 0].argmin() for ring in (outer, inner)] == [0, 0]
    assert [ring[:, 0].argmax() for ring in (outer, inner)] == [6, 4]
    assert rising(outer[:7, 0])
    assert rising(inner[:5, 0])
    assert outer[3, 1] < inner[2, 1] <= inner[6, 1] < outer[9, 1]


def test_the_detector_s_five_landmarks_are_where_the_points_are(face):
    eyes_nose_corners = face.points[[104, 105, 46, 84, 90]]
    distance = np.linalg.norm(face.detection.landmarks - eyes_nose_corners, axis=1)
    assert distance.max() < 0.1 * face.detection.box.side


def test_a_mirrored_photo_has_mirrored_points_and_the_opposite_yaw_and_roll(photo, face_of):
    face, mirrored = face_of(photo), face_of(np.ascontiguousarray(photo[:, ::-1]))
    back = mirrored.points[list(MIRROR)] * [-1, 1] + [photo.shape[1] - 1, 0]
    distance = np.linalg.norm(back - face.points, axis=1) / face.detection.box.side
    assert distance.mean() < 0.015
    assert distance.max() < 0.05
    assert mirrored.pose.roll == pytest.approx(-face.pose.roll, abs=1.5)
    assert mirrored.pose.yaw == pytest.approx(-face.pose.yaw, abs=2)
    assert mirrored.pose.pitch == pytest.approx(face.pose.pitch, abs=2.5)


@pytest.mark.parametrize("clockwise", [-15, 15])
def test_a_turned_photo_has_turned_points_and_another_roll(photo, face_of, clockwise):
    face = face_of(photo)
    turn = cv2.getRotationMatrix2D(face.detection.box.center, -clockwise, 1)
    turned = face_of(cv2.warpAffine(photo, turn, photo.shape[1::-1], borderMode=cv2.BORDER_REPLICATE))
    distance = np.linalg.norm(turned.points - apply(turn, face.points), axis=1)
    assert distance.mean() < 0.015 * face.detection.box.side
    assert turned.pose.roll - face.pose.roll == pytest.approx(clockwise, abs=2)
    assert turned.pose.yaw == pytest.approx(face.pose.yaw, abs=5)


def test_these_two_look_nearly_straight_into_the_camera(face):
    assert np.abs(face.pose).max() < 10


def test_points_grow_with_the_picture(photo, face_of):
    face, doubled = face_of(photo), face_of(cv2.resize(photo, None, fx=2, fy=2, interpolation=cv2.INTER_CUBIC))
    distance = np.linalg.norm(doubled.points / 2 - face.points, axis=1)
    assert distance.mean() < 0.015 * face.detection.box.side
    assert doubled.pose == pytest.approx(face.pose, abs=2)


def test_of_two_heads_that_touch_each_has_its_own_points(engine, photos, face_of, pictured):
    """The larger mesh alone lies on both of them, or beside them: 2.8 eye distances from the detector's five points."""
    faces = [engine.detect(pictured(photos[name]), ONE)[0] for name in NAMES]
    crops = [
        cut(
            pictured(photos[name]),
            rotated_square(face.detection.box.center, face.detection.box.side / 0.6, 0, 200),
            200,
        )
        for name, face in zip(NAMES, faces, strict=True)
    ]
    canvas = np.full((300, 280, 3), 110, np.uint8)
    canvas[40:240, :200] = crops[0]
    canvas[70:270, 140:280] = crops[1][:, 60:]
    picture = pictured(canvas)
    for precise in (True, False):
        found = sorted(engine.detect(picture, DetectLimits(), precise=precise), key=lambda each: each.detection.box.x)
        for face, name in zip(found, NAMES, strict=True):
            apart = np.linalg.norm(face.points[[104, 105, 46, 84, 90]] - face.detection.landmarks, axis=1).mean()
            assert apart < 0.25 * np.linalg.norm(face.points[104] - face.points[105])
            (there,) = engine.portray(picture, [face])
            (alone,) = engine.portray(pictured(photos[name]), engine.detect(pictured(photos[name]), ONE))
            assert engine.compare(there.aligned, alone.aligned) > 0.9
