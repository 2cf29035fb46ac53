"""The similarity transform that puts a face upright, and the transforms beside it."""

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from appliance.face.alignment import (
    TEMPLATE,
    DegenerateLandmarksError,
    apply,
    inverse,
    rotated_square,
    similarity_transform,
)

angles = st.floats(-np.pi, np.pi)
scales = st.floats(0.05, 20)
shifts = st.tuples(st.floats(-3000, 3000), st.floats(-3000, 3000))
five_points = st.lists(st.tuples(st.floats(0, 1000), st.floats(0, 1000)), min_size=5, max_size=5).map(
    lambda rows: np.array(rows, np.float32)
)


def transform(angle: float, scale: float, shift: tuple[float, float]) -> np.ndarray:
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return np.column_stack([turn * scale, shift])


def spread(points: np.ndarray) -> float:
    return float(np.linalg.norm(points - points.mean(axis=0)))


@given(angles, scales, shifts)
def test_a_known_turn_scale_and_shift_is_found_again(angle, scale, shift):
    known = transform(angle, scale, shift)
    found = similarity_transform(TEMPLATE.astype(np.float64), TEMPLATE @ known[:, :2].T + known[:, 2])
    assert found == pytest.approx(known, rel=1e-6, abs=1e-6 * scale)


@given(five_points)
def test_a_face_is_never_mirrored(landmarks):
    assume(spread(landmarks) > 1)
    found = similarity_transform(landmarks, TEMPLATE)
    assert np.linalg.det(found[:, :2]) >= 0


def test_not_even_a_mirrored_face_is():
    mirrored = TEMPLATE * [-1, 1] + [112, 0]
    found = similarity_transform(mirrored, TEMPLATE)
    assert np.linalg.det(found[:, :2]) > 0


@given(five_points)
def test_the_scale_is_the_same_in_all_directions(landmarks):
    assume(spread(landmarks) > 1)
    (a, b), (c, d) = similarity_transform(landmarks, TEMPLATE)[:, :2]
    assert (a, b) == pytest.approx((d, -c), abs=1e-6)


@given(five_points, angles, st.floats(0.7, 1.4), st.tuples(st.floats(-5, 5), st.floats(-5, 5)))
def test_no_other_similarity_comes_closer(landmarks, angle, scale, shift):
    assume(spread(landmarks) > 1)
    best = similarity_transform(landmarks, TEMPLATE)
    change = transform(angle / 10, scale, shift)
    other = np.column_stack([change[:, :2] @ best[:, :2], change[:, :2] @ best[:, 2] + change[:, 2]])

    def error(affine: np.ndarray) -> float:
        return float(((landmarks @ affine[:, :2].T + affine[:, 2] - TEMPLATE) ** 2).sum())

    assert error(best) <= error(other) * (1 + 1e-6) + 1e-6


@pytest.mark.parametrize("place", [0.0, 7.0, 1234.5])
def test_five_points_in_one_place_are_refused(place):
    with pytest.raises(DegenerateLandmarksError):
        similarity_transform(np.full((5, 2), place, np.float32), TEMPLATE)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("index", [(0, 0), (4, 1)])
def test_points_that_are_not_finite_are_refused(value, index):
    landmarks = TEMPLATE.copy()
    landmarks[index] = value
    with pytest.raises(DegenerateLandmarksError):
        similarity_transform(landmarks, TEMPLATE)


def test_points_on_a_line_still_give_a_transform():
    line = np.array([[100, 100], [120, 100], [110, 100], [102, 100], [118, 100]], np.float32)
    found = similarity_transform(line, TEMPLATE)
    assert np.isfinite(found).all()
    assert np.linalg.det(found[:, :2]) > 0


@given(angles, scales, shifts, five_points)
def test_there_and_back_is_where_it_was(angle, scale, shift, points):
    known = transform(angle, scale, shift)
    back = apply(inverse(known), apply(known, points))
    assert back == pytest.approx(points, abs=0.05)


def test_apply_turns_scales_and_shifts():
    quarter_turn = transform(np.pi / 2, 2, (10, 20))
    moved = apply(quarter_turn, np.array([[1, 0], [0, 1]], np.float32))
    assert moved == pytest.approx(np.array([[10, 22], [8, 20]]), abs=1e-5)


@given(shifts, st.floats(10, 1000), angles, st.sampled_from([112, 128, 256]))
def test_a_rotated_square_fills_its_crop(center, side, roll, size):
    affine = rotated_square(center, side, roll, size)
    right, down = np.array([np.cos(roll), np.sin(roll)]), np.array([-np.sin(roll), np.cos(roll)])
    corners = [np.array(center) + (right * x + down * y) * side / 2 for x, y in [(-1, -1), (1, -1), (-1, 1), (1, 1)]]
    expected = [[0, 0], [size, 0], [0, size], [size, size]]
    assert np.array(corners) @ affine[:, :2].T + affine[:, 2] == pytest.approx(np.array(expected), abs=1e-3)


def test_a_square_leaning_clockwise_comes_out_upright():
    eyes = np.array([[90, 80], [110, 90]], np.float32)
    roll = float(np.arctan2(10, 20))
    (_, left), (_, right) = apply(rotated_square((100, 100), 60, roll, 256), eyes)
    assert left == pytest.approx(right, abs=1e-3)
