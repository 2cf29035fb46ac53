"""Faces drawn into a picture: where they are, and nowhere else."""

import numpy as np
import pytest

from appliance.face.types import Box, Detection, Face, Pose
from appliance.imaging.draw import BOX, FORWARD, RIGHT, UP, draw_faces

AHEAD = Pose(0, 0, 0)


def a_face(x=100.0, y=80.0, side=60.0, pose=AHEAD, points=None):
    points = np.tile(np.array([[x + side / 2, y + side / 4]], np.float32), (106, 1)) if points is None else points
    return Face(Detection(Box(x, y, side, side), points[:5], 0.9), points, pose)


@pytest.fixture
def wall():
    return np.full((240, 320, 3), 90, np.uint8)


def changed(before, after):
    """Rows and columns of the pixels that differ."""
    return np.nonzero((before != after).any(axis=2))


def test_the_picture_itself_stays_as_it_was(wall):
    before = wall.copy()
    drawn = draw_faces(wall, [a_face()])
    assert np.array_equal(wall, before)
    assert not np.array_equal(drawn, wall)


def test_no_face_no_change(wall):
    drawn = draw_faces(wall, [])
    assert drawn is not wall
    assert np.array_equal(drawn, wall)


@pytest.mark.parametrize("pose", [AHEAD, Pose(50, -30, 70), Pose(-80, 80, -170)])
def test_only_pixels_at_the_face_change(wall, pose):
    rows, columns = changed(wall, draw_faces(wall, [a_face(pose=pose)]))
    assert 77 <= rows.min() <= 81
    assert 139 <= rows.max() <= 143
    assert 97 <= columns.min() <= 101
    assert 159 <= columns.max() <= 163


def test_the_box_is_drawn_square_and_the_points_where_they_are(wall):
    points = np.tile(np.array([[250, 30]], np.float32), (106, 1))
    drawn = draw_faces(wall, [a_face(points=points)])
    for x, y in [(100, 95), (160, 95), (115, 80), (115, 140)]:
        assert np.abs(drawn[y, x].astype(int) - BOX).max() < 80
    assert (drawn[30, 250] != 90).any()
    assert (drawn[30, 260] == 90).all()


@pytest.mark.parametrize(
    ("colour", "at"), [(RIGHT, (148, 110)), (UP, (130, 92))], ids=["right axis to the right", "up axis upwards"]
)
def test_a_face_that_looks_straight_ahead_has_its_axes_upright(wall, colour, at):
    x, y = at
    points = np.tile(np.array([[105, 135]], np.float32), (106, 1))
    drawn = draw_faces(wall, [a_face(points=points)])
    assert np.abs(drawn[y, x].astype(int) - colour).max() < 60


@pytest.mark.parametrize(
    ("pose", "side"),
    [(Pose(60, 0, 0), (1, 0)), (Pose(-60, 0, 0), (-1, 0)), (Pose(0, 60, 0), (0, -1)), (Pose(0, -60, 0), (0, 1))],
)
def test_the_forward_axis_points_where_the_nose_does(wall, pose, side):
    points = np.tile(np.array([[105, 135]], np.float32), (106, 1))
    drawn = draw_faces(wall, [a_face(pose=pose, points=points)])
    rows, columns = np.nonzero(np.abs(drawn.astype(int) - FORWARD).max(axis=2) < 40)
    middle = np.array([columns.mean() - 130, rows.mean() - 110])
    assert middle @ side > 5


def test_a_head_that_leans_clockwise_has_its_up_axis_to_the_right(wall):
    points = np.tile(np.array([[105, 135]], np.float32), (106, 1))
    drawn = draw_faces(wall, [a_face(pose=Pose(0, 0, 40), points=points)])
    rows, columns = np.nonzero(np.abs(drawn.astype(int) - UP).max(axis=2) < 40)
    assert columns.mean() > 133
    assert rows.mean() < 107


@pytest.mark.parametrize(
    "face", [a_face(-30, -30), a_face(290, 210), a_face(-500, -500), a_face(-200, -200, 1000), a_face(5, 5, 0.5)]
)
def test_a_face_at_or_beyond_the_border_is_drawn_as_far_as_it_is_inside(wall, face):
    assert draw_faces(wall, [face]).shape == wall.shape


def test_larger_faces_have_thicker_lines():
    canvas = np.zeros((1000, 1000, 3), np.uint8)

    def share_drawn(side):
        rows, _ = changed(canvas, draw_faces(canvas, [a_face(50, 50, side)]))
        return len(rows) / side

    assert share_drawn(800) > 2 * share_drawn(80)
