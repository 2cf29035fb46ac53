"""Which way to look, and how somebody is brought to look there."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.access.enrol import WINDOWS, Prompt, RequestedPose, nudge
from appliance.face.types import Pose
from appliance.vision.quality import PITCH, YAW, _left

ANGLES = st.floats(-90, 90)

CENTRES = {
    RequestedPose.FRONT: (0, 0),
    RequestedPose.LEFT: (25, 0),
    RequestedPose.RIGHT: (-25, 0),
    RequestedPose.UP: (0, 20),
    RequestedPose.DOWN: (0, -20),
}


@pytest.mark.parametrize("asked", RequestedPose)
def test_each_is_reached_by_who_looks_there(asked):
    yaw, pitch = CENTRES[asked]
    assert nudge(asked, Pose(yaw, pitch, 0)) is None
    assert nudge(asked, Pose(yaw, pitch, 40)) is None, "a leaning head is put upright"


@pytest.mark.parametrize(
    ("asked", "yaw", "pitch", "prompt"),
    [
        (RequestedPose.FRONT, 16, 0, Prompt.LOOK_FRONT),
        (RequestedPose.FRONT, 0, -16, Prompt.LOOK_FRONT),
        (RequestedPose.LEFT, 0, 0, Prompt.TURN_LEFT),
        (RequestedPose.LEFT, 50, 0, Prompt.TURN_RIGHT),
        (RequestedPose.LEFT, 25, 25, Prompt.LOOK_DOWN),
        (RequestedPose.RIGHT, 0, 0, Prompt.TURN_RIGHT),
        (RequestedPose.RIGHT, -50, 0, Prompt.TURN_LEFT),
        (RequestedPose.RIGHT, -25, -25, Prompt.LOOK_UP),
        (RequestedPose.UP, 0, 0, Prompt.LOOK_UP),
        (RequestedPose.UP, 0, 40, Prompt.LOOK_DOWN),
        (RequestedPose.UP, 30, 20, Prompt.TURN_RIGHT),
        (RequestedPose.DOWN, 0, 0, Prompt.LOOK_DOWN),
        (RequestedPose.DOWN, 0, -40, Prompt.LOOK_UP),
    ],
)
def test_a_head_is_brought_there_step_by_step(asked, yaw, pitch, prompt):
    assert nudge(asked, Pose(yaw, pitch, 0)) is prompt


@given(ANGLES, ANGLES, st.sampled_from([each for each in RequestedPose if each is not RequestedPose.FRONT]))
def test_following_the_prompts_reaches_the_pose(yaw, pitch, asked):
    steps = {Prompt.TURN_LEFT: (2, 0), Prompt.TURN_RIGHT: (-2, 0), Prompt.LOOK_UP: (0, 2), Prompt.LOOK_DOWN: (0, -2)}
    for _ in range(200):
        prompt = nudge(asked, Pose(yaw, pitch, 0))
        if prompt is None:
            return
        yaw, pitch = yaw + steps[prompt][0], pitch + steps[prompt][1]
    raise AssertionError("never there")


@given(ANGLES, ANGLES, st.sampled_from(RequestedPose))
def test_left_and_right_are_each_other_s_mirror(yaw, pitch, asked):
    mirror = {
        RequestedPose.LEFT: RequestedPose.RIGHT,
        RequestedPose.RIGHT: RequestedPose.LEFT,
        Prompt.TURN_LEFT: Prompt.TURN_RIGHT,
        Prompt.TURN_RIGHT: Prompt.TURN_LEFT,
    }
    there, mirrored = nudge(asked, Pose(yaw, pitch, 0)), nudge(mirror.get(asked, asked), Pose(-yaw, pitch, 0))
    assert mirrored == mirror.get(there, there)


@pytest.mark.parametrize("asked", RequestedPose)
def test_a_reached_pose_is_worth_enrolling(asked):
    window = WINDOWS[asked]
    far = max(map(abs, window.yaw)), max(map(abs, window.pitch))
    least = _left(YAW, far[0]) * _left(PITCH, far[1])
    assert least > 0.8
    assert (least == 1) == (asked is RequestedPose.FRONT)
