"""The 106 points, and head pose of a rotated canonical face."""

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from lab.evaluate.landmarks import MIRROR

from appliance.face.mesh import FACE_SIZE, MESH_SIZE, PITCH_BIAS, head_pose, points_106
from appliance.face.mesh_tables import POSE_COORDINATES, POSE_VERTICES, POSE_WEIGHTS, WEIGHTS_106

CANONICAL = np.array(POSE_COORDINATES)
LEFT_EYE_OUTER, RIGHT_EYE_OUTER, NOSE_TIP = 33, 263, 4
"""Vertices of the canonical face model; left and right are the picture's."""

yaws, pitches, rolls = st.floats(-60, 60), st.floats(-40, 40), st.floats(-90, 90)


def turned(yaw: float, pitch: float, roll: float) -> np.ndarray:
    """The canonical face (x to the picture's right, y up, z to the viewer) turned by a pose in degrees."""
    axes = ((0, -np.radians(roll), 2), (0, np.radians(yaw), 1), (0, -np.radians(pitch), 0))
    points = CANONICAL
    for _, angle, axis in axes:
        vector = np.zeros(3)
        vector[axis] = angle
        points = points @ cv2.Rodrigues(vector)[0].T
    return points


def mesh_of(points: np.ndarray, scale: float = 12.0, place: tuple[float, float, float] = (300, 200, 0)) -> np.ndarray:
    """Those points as a mesh in pixels: y down, depth away from the viewer."""
    mesh = np.full((MESH_SIZE, 3), np.nan, np.float32)
    mesh[list(POSE_VERTICES)] = points * [scale, -scale, -scale] + place
    return mesh


def swapped(mesh: np.ndarray) -> np.ndarray:
    """Left and right vertices change places."""
    places = {tuple(point): vertex for point, vertex in zip(POSE_COORDINATES, POSE_VERTICES, strict=True)}
    other = np.full_like(mesh, np.nan)
    for (x, y, z), vertex in places.items():
        other[places[-x, y, z]] = mesh[vertex]
    return other


def mirrored(mesh: np.ndarray, width: float = 640) -> np.ndarray:
    """The mesh of the mirrored picture."""
    return swapped(mesh) * np.float32([-1, 1, 1]) + np.float32([width, 0, 0])


def test_there_are_106_points_and_each_is_a_weighted_mean():
    assert len(WEIGHTS_106) == len(MIRROR) == 106
    for number, weights in enumerate(WEIGHTS_106):
        assert sum(weights.values()) == pytest.approx(1), number
        assert min(weights.values()) > 0, number
        assert all(0 <= vertex < MESH_SIZE for vertex in weights), number


def test_the_mirror_of_the_mirror_is_the_point_itself():
    assert [MIRROR[other] for other in MIRROR] == list(range(106))


def test_only_points_on_the_midline_are_their_own_mirror():
    assert [point for point in range(106) if MIRROR[point] == point] == [
        16, 43, 44, 45, 46, 49, 87, 93, 98, 102,
    ]  # fmt: skip


def test_mirrored_points_have_the_same_weights():
    for point, other in enumerate(MIRROR):
        assert sorted(WEIGHTS_106[point].values()) == pytest.approx(sorted(WEIGHTS_106[other].values())), point


def test_the_pupils_are_iris_centres_and_the_outer_eye_corners_where_they_are_named():
    assert (WEIGHTS_106[104], WEIGHTS_106[105]) == ({468: 1}, {473: 1})
    assert (WEIGHTS_106[52], WEIGHTS_106[61]) == ({LEFT_EYE_OUTER: 1}, {RIGHT_EYE_OUTER: 1})


def test_points_follow_the_mesh_and_ignore_its_depth():
    rng = np.random.default_rng(1)
    mesh = rng.uniform(0, 500, (MESH_SIZE, 3)).astype(np.float32)
    points = points_106(mesh)
    assert points.shape == (106, 2)
    assert points[49] == pytest.approx((mesh[94, :2] + mesh[2, :2]) / 2)
    assert points_106(mesh[:, :2]) == pytest.approx(points)
    assert points_106(mesh * 2 + 3) == pytest.approx(points * 2 + 3, rel=1e-4)


def test_the_canonical_face_is_mirror_symmetric_in_places_and_weights():
    weights = dict(zip(POSE_COORDINATES, POSE_WEIGHTS, strict=True))
    for (x, y, z), weight in weights.items():
        assert weights[-x, y, z] == weight


@given(yaws, pitches, rolls)
def test_the_pose_of_a_turned_face_is_found_again(yaw, pitch, roll):
    pose = head_pose(mesh_of(turned(yaw, pitch, roll)))
    assert (pose.yaw, pose.pitch - PITCH_BIAS, pose.roll) == pytest.approx((yaw, pitch, roll), abs=0.1)


@given(yaws, pitches, rolls, st.floats(1, 60), st.floats(-4000, 4000), st.floats(-4000, 4000))
def test_pose_does_not_depend_on_size_and_place(yaw, pitch, roll, scale, x, y):
    points = turned(yaw, pitch, roll)
    assert head_pose(mesh_of(points, scale, (x, y, 50))) == pytest.approx(head_pose(mesh_of(points)), abs=0.1)


@given(yaws, pitches, rolls)
def test_a_mirrored_face_has_the_opposite_yaw_and_roll(yaw, pitch, roll):
    mesh = mesh_of(turned(yaw, pitch, roll))
    pose = head_pose(mesh)
    assert head_pose(mirrored(mesh)) == pytest.approx((-pose.yaw, pose.pitch, -pose.roll), abs=0.1)


def test_a_mesh_without_irises_has_the_eye_centres_for_pupils_and_else_the_same_points():
    mesh = np.random.default_rng(1).uniform(0, 500, (MESH_SIZE, 3)).astype(np.float32)
    whole, without = points_106(mesh), points_106(mesh[:FACE_SIZE])
    assert (without[:104] == whole[:104]).all()
    assert without[104:] == pytest.approx(whole[[74, 77]])


def test_a_nose_that_moves_right_up_and_a_head_that_leans_clockwise_have_positive_angles():
    still = mesh_of(turned(0, 0, 0))
    assert mesh_of(turned(20, 0, 0))[NOSE_TIP, 0] > still[NOSE_TIP, 0]
    assert head_pose(mesh_of(turned(20, 0, 0))).yaw == pytest.approx(20, abs=0.1)
    assert mesh_of(turned(0, 20, 0))[NOSE_TIP, 1] < still[NOSE_TIP, 1]
    assert head_pose(mesh_of(turned(0, 20, 0))).pitch == pytest.approx(20 + PITCH_BIAS, abs=0.1)
    leaning = mesh_of(turned(0, 0, 20))
    assert leaning[LEFT_EYE_OUTER, 1] < leaning[RIGHT_EYE_OUTER, 1]
    assert head_pose(leaning).roll == pytest.approx(20, abs=0.1)


@given(yaws, pitches, rolls, st.integers(0, 2**32 - 1))
def test_a_little_noise_changes_the_pose_a_little(yaw, pitch, roll, seed):
    points = turned(yaw, pitch, roll)
    noise = np.random.default_rng(seed).normal(0, 0.05, points.shape)
    pose = head_pose(mesh_of(points + noise))
    assert (pose.yaw, pose.pitch - PITCH_BIAS) == pytest.approx((yaw, pitch), abs=5)
