"""Overlap and suppression of boxes."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from overlaps import overlap

from appliance.face.alignment import suppress
from appliance.face.types import Box

places = st.floats(-2000, 2000)
sides = st.floats(1, 1000)
boxes = st.builds(Box, places, places, sides, sides)
crowds = st.lists(
    st.tuples(st.integers(0, 60), st.integers(0, 60), st.integers(1, 40), st.integers(1, 40), st.integers(0, 20)),
    max_size=25,
).map(lambda rows: np.array(rows, np.float32).reshape(-1, 5))
thresholds = st.sampled_from([0.0, 0.1, 0.3, 0.5, 0.9])


@given(boxes, boxes)
def test_overlap_does_not_depend_on_the_order(a, b):
    assert overlap(a, b) == overlap(b, a)


@given(boxes, boxes)
def test_overlap_is_a_share(a, b):
    assert 0 <= overlap(a, b) <= 1 + 1e-9


@given(boxes)
def test_a_box_covers_itself_wholly(box):
    assert overlap(box, box) == pytest.approx(1)


@given(boxes, boxes, st.floats(0.1, 10))
def test_overlap_is_the_same_in_a_larger_picture(a, b, factor):
    assert overlap(a.scaled(factor), b.scaled(factor)) == pytest.approx(overlap(a, b), abs=1e-9)


@pytest.mark.parametrize(
    ("other", "share"),
    [
        (Box(5, 0, 10, 10), 1 / 3),
        (Box(0, 5, 10, 10), 1 / 3),
        (Box(5, 5, 10, 10), 1 / 7),
        (Box(2, 2, 5, 4), 1 / 5),
        (Box(10, 0, 10, 10), 0),
        (Box(20, 20, 10, 10), 0),
        (Box(20, -20, 10, 10), 0),
    ],
)
def test_overlap_of_known_boxes(other, share):
    assert overlap(Box(0, 0, 10, 10), other) == pytest.approx(share)


@given(boxes)
def test_squaring_keeps_the_centre_and_takes_the_longer_side(box):
    square = box.squared()
    assert square.width == square.height == max(box.width, box.height)
    assert square.center == pytest.approx(box.center)


@given(crowds, thresholds)
def test_no_two_kept_boxes_overlap_more_than_the_threshold(crowd, threshold):
    kept = [Box(*map(float, row[:4])) for row in crowd[suppress(crowd[:, :4], crowd[:, 4], threshold)]]
    assert all(overlap(a, b) <= threshold + 1e-6 for i, a in enumerate(kept) for b in kept[:i])


@given(crowds, thresholds)
def test_whatever_is_dropped_lies_over_something_kept_and_no_worse(crowd, threshold):
    keep = suppress(crowd[:, :4], crowd[:, 4], threshold)
    for index in set(range(len(crowd))) - set(keep.tolist()):
        rivals = [other for other in keep if crowd[other, 4] >= crowd[index, 4]]
        shares = [overlap(Box(*map(float, crowd[index, :4])), Box(*map(float, crowd[o, :4]))) for o in rivals]
        assert max(shares, default=0) > threshold - 1e-6


@given(crowds, thresholds)
def test_kept_boxes_come_best_first_and_once(crowd, threshold):
    keep = suppress(crowd[:, :4], crowd[:, 4], threshold)
    scores = crowd[keep, 4]
    assert (np.diff(scores) <= 0).all()
    assert len(set(keep.tolist())) == len(keep)
    assert not len(crowd) or scores[0] == crowd[:, 4].max()


def test_nothing_in_nothing_out():
    assert suppress(np.empty((0, 4), np.float32), np.empty(0, np.float32), 0.3).tolist() == []


def test_apart_all_stay_and_on_top_of_each_other_the_best_stays():
    apart = np.array([[0, 0, 10, 10], [20, 0, 10, 10], [40, 0, 10, 10]], np.float32)
    scores = np.array([0.5, 0.9, 0.7], np.float32)
    assert suppress(apart, scores, 0.3).tolist() == [1, 2, 0]
    assert suppress(np.repeat(apart[:1], 3, axis=0), scores, 0.3).tolist() == [1]
