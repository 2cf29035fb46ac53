"""Faces followed from frame to frame."""

from itertools import pairwise

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from appliance.face.types import Box, Detection, Face, Frame, Pose
from appliance.observation.tracking import GROWTH, LOST_SECONDS, REACH, Tracker, followed, match

PICTURE = Frame(np.zeros((4, 4, 3), np.uint8))


class Shown:
    """A picture of nothing: the tracker only keeps it."""

    width = height = 4

    def frame(self, detail: float) -> Frame:
        return PICTURE


def face(x: float, y: float = 100, side: float = 100) -> Face:
    box = Box(x, y, side, side)
    return Face(Detection(box, np.zeros((5, 2), np.float32), 0.9), np.zeros((106, 2), np.float32), Pose(0, 0, 0))


BOXES = st.lists(
    st.builds(Box, st.floats(0, 1000), st.floats(0, 600), st.floats(10, 200), st.floats(10, 200)), max_size=6
)


@given(BOXES, BOXES)
def test_a_match_is_one_to_one_and_within_reach(before: list[Box], after: list[Box]) -> None:
    pairs = match(before, after)
    assert len(set(pairs.values())) == len(pairs)
    for i, j in pairs.items():
        a, b = before[i], after[j]
        assert max(a.side, b.side) <= GROWTH * min(a.side, b.side)
        away = np.hypot(a.center[0] - b.center[0], a.center[1] - b.center[1])
        assert away <= REACH * min(a.side, b.side) * 1.0001


@given(BOXES)
def test_boxes_that_stay_match_themselves_or_their_twin(boxes: list[Box]) -> None:
    pairs = match(boxes, boxes)
    assert all(boxes[i].center == boxes[j].center for i, j in pairs.items())
    assert len(pairs) == len(boxes)


def test_a_face_that_moves_keeps_its_number() -> None:
    tracker = Tracker()
    for step in range(10):
        current, appeared, left = tracker.update(Shown(), [face(100 + 30 * step)], step * 0.2)
        assert [track.number for track in current] == [1]
        assert (len(appeared), left) == (step == 0, [])


def test_two_faces_that_pass_keep_theirs_and_their_order_is_the_frame_s() -> None:
    tracker = Tracker()
    tracker.update(Shown(), [face(0), face(500)], 0)
    current, _, _ = tracker.update(Shown(), [face(480), face(20)], 0.2)
    assert [track.number for track in current] == [2, 1]


def test_a_face_that_is_gone_for_a_moment_is_the_same_and_for_long_another() -> None:
    tracker = Tracker()
    tracker.update(Shown(), [face(100)], 0)
    assert tracker.update(Shown(), [], LOST_SECONDS * 0.9)[2] == []
    assert tracker.update(Shown(), [face(100)], LOST_SECONDS * 0.95)[0][0].number == 1
    left = tracker.update(Shown(), [], LOST_SECONDS * 2.5)[2]
    assert [(track.number, track.since, track.seen) for track in left] == [(1, 0, LOST_SECONDS * 0.95)]
    assert tracker.update(Shown(), [face(100)], LOST_SECONDS * 3)[1][0].number == 2


def test_sightings_are_four_and_spaced() -> None:
    tracker = Tracker()
    for step in range(40):
        (track,), _, _ = tracker.update(Shown(), [face(100 + step)], step * 0.1)
    places = [sighting.detection.box.x for _, sighting in track.sightings]
    assert len(places) == 4
    assert all(b - a >= 3 for a, b in pairwise(places))


def test_followed_is_the_largest_that_is_in_all_frames() -> None:
    frames = [
        [face(0, side=100), face(500, side=150)],
        [face(520, side=150), face(10, side=100), face(900, side=300)],
        [face(20, side=100), face(900, side=300)],
    ]
    found = followed(frames)
    assert found is not None
    assert [each.detection.box.x for each in found] == [0, 10, 20]
    frames[2].append(face(540, side=150))
    found = followed(frames)
    assert found is not None
    assert [each.detection.box.x for each in found] == [500, 520, 540]


def test_a_face_is_not_followed_through_a_frame_without_it() -> None:
    assert followed([[face(0)], [], [face(0)], [face(0)]]) is None
    assert followed([[face(0)], [face(900)], [face(0)], [face(0)]]) is None
    assert followed([[], [], [], []]) is None
