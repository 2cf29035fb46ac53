"""The challenge by itself: poses and times in, the outcome out."""

import secrets
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.access.challenge import (
    ANSWER_SECONDS,
    BASE_SECONDS,
    DRAWN,
    FRONT_SECONDS,
    STILL_SECONDS,
    TRIES,
    TRIES_SECONDS,
    TURN,
    WAIT_SECONDS,
    Challenge,
    Response,
    Tries,
)
from appliance.access.enrol import Prompt
from appliance.face.types import Pose

PERIOD = 0.1

TURNED = {
    Prompt.LOOK_FRONT: (0, 0),
    Prompt.TURN_LEFT: (40, 3),
    Prompt.TURN_RIGHT: (-40, -3),
    Prompt.LOOK_UP: (2, 30),
    Prompt.LOOK_DOWN: (2, -30),
}


def always(prompt):
    return lambda _: prompt


def challenge_of(count, draw=secrets.choice, wait=0.0):
    """A challenge whose prompts come after so many seconds."""
    return Challenge(count, draw, lambda: wait)


class Head:
    """A head that begins to do what it is asked `reaction` seconds later, and takes `moving` seconds for each way."""

    def __init__(self, base=(0.0, 0.0), reaction=0.5, moving=0.6):
        self.base, self.reaction, self.moving = np.array(base, float), reaction, moving
        self.start = self.goal = self.base
        self.since = -10.0

    def asked(self, prompt, now):
        self.start, self.goal, self.since = self.pose(now), self.base + TURNED[prompt], now

    def pose(self, now):
        share = np.clip((now - self.since - self.reaction) / self.moving, 0, 1)
        return self.start + (self.goal - self.start) * share


def played(challenge, head, period=PERIOD, obeys=lambda prompt: prompt, until=60.0):
    """The challenge after the head has answered it; a list of (time, prompt) as they were shown."""
    shown, now = [(0.0, challenge.prompt)], 0.0
    while challenge.response is None and now < until:
        challenge.see(now, Pose(*head.pose(now), 0), now)
        if challenge.prompt is not shown[-1][1]:
            shown.append((now, challenge.prompt))
            head.asked(obeys(challenge.prompt), now)
        now += period
    return shown


@given(
    st.tuples(st.floats(-14, 14), st.floats(-14, 14)),
    st.floats(0.3, 1.0),
    st.floats(0.3, 1.0),
    st.sampled_from([0.07, 0.1, 0.2]),
    st.lists(st.sampled_from(DRAWN), min_size=1, max_size=2),
    st.floats(0, WAIT_SECONDS),
)
def test_a_person_who_follows_passes(base, reaction, moving, period, asked, wait):
    drawn = iter(asked)
    challenge = challenge_of(len(asked), lambda _: next(drawn), wait)
    shown = played(challenge, Head(base, reaction, moving), period)
    assert challenge.response is Response.PASSED
    turns = [prompt for _, prompt in shown if prompt is not Prompt.LOOK_FRONT]
    assert turns == asked
    assert [prompt for _, prompt in shown][::2] == [Prompt.LOOK_FRONT] * (len(asked) + 1)


@pytest.mark.parametrize("asked", DRAWN)
@pytest.mark.parametrize("done", [prompt for prompt in TURNED if prompt is not Prompt.LOOK_FRONT])
def test_another_direction_fails(asked, done):
    challenge = challenge_of(1, always(asked))
    played(challenge, Head(), obeys=lambda prompt: done if prompt is asked else prompt)
    assert challenge.response is (Response.PASSED if done is asked else Response.OTHER_DIRECTION)


def test_an_answer_that_nobody_can_give_so_fast_fails():
    challenge = challenge_of(1, always(Prompt.TURN_LEFT))
    played(challenge, Head(reaction=0, moving=0.05))
    assert challenge.response is Response.TOO_EARLY


def test_a_head_that_moves_before_its_prompt_fails():
    challenge = challenge_of(1, wait=1.0)
    for number in range(12):
        challenge.see(number * PERIOD, Pose(12 if number > 9 else 0, 0, 0), number * PERIOD)
    assert (challenge.prompt, challenge.response) == (Prompt.LOOK_FRONT, Response.TOO_EARLY)


def test_the_wait_for_a_prompt_is_drawn():
    asked = set()
    for _ in range(50):
        challenge = Challenge(1)
        asked.add(played(challenge, Head())[1][0])
        assert challenge.response is Response.PASSED
    assert len(asked) > 10
    assert BASE_SECONDS <= min(asked) < 1.0
    assert 1.5 < max(asked) <= BASE_SECONDS + WAIT_SECONDS + 2 * PERIOD


def test_a_film_that_turns_by_itself_at_the_moment_of_the_prompt_is_too_early():
    challenge = challenge_of(1, always(Prompt.TURN_LEFT))
    for number in range(20):
        now = number * PERIOD
        challenge.see(now, Pose(0 if now <= BASE_SECONDS + PERIOD else 30, 0, 0), now)
    assert challenge.response is Response.TOO_EARLY


def test_what_was_taken_before_the_prompt_was_shown_is_too_early():
    challenge = challenge_of(1, always(Prompt.TURN_LEFT))
    for number in range(6):
        challenge.see(number * PERIOD, Pose(0, 0, 0), number * PERIOD + 0.4)
    assert challenge.prompt is Prompt.TURN_LEFT
    for number in (6, 7):
        challenge.see(number * PERIOD, Pose(30, 0, 0), number * PERIOD + 0.4)
    assert challenge.response is Response.TOO_EARLY


def test_a_head_that_keeps_still_is_too_slow():
    challenge = challenge_of(1)
    shown = played(challenge, Head(), obeys=always(Prompt.LOOK_FRONT))
    assert challenge.response is Response.TOO_SLOW
    assert [prompt in DRAWN for _, prompt in shown] == [False, True]


def test_a_head_that_never_looks_at_the_camera_is_too_slow():
    challenge = challenge_of(1)
    shown = played(challenge, Head((30, 0)))
    assert challenge.response is Response.TOO_SLOW
    assert shown == [(0.0, Prompt.LOOK_FRONT)]


def test_a_head_that_does_not_come_back_is_too_slow():
    challenge = challenge_of(2, always(Prompt.TURN_LEFT))
    played(challenge, Head(), obeys=always(Prompt.TURN_LEFT))
    assert challenge.response is Response.TOO_SLOW


@pytest.mark.parametrize("lost", [True, False])
def test_a_face_that_is_lost_for_a_frame_or_for_a_second_fails(lost):
    challenge = challenge_of(1)
    challenge.see(0.0, Pose(0, 0, 0), 0.0)
    challenge.see(*((0.1, None, 0.1) if lost else (1.2, Pose(0, 0, 0), 1.2)))
    assert challenge.response is Response.LOST


def test_an_end_stays_an_end_but_a_pass_may_still_be_another_person_s():
    challenge = challenge_of(1)
    challenge.see(0.0, None, 0.0)
    played(challenge, Head())
    challenge.end(Response.ANOTHER_PERSON)
    assert challenge.response is Response.LOST
    passed = challenge_of(1)
    played(passed, Head())
    passed.end(Response.ANOTHER_PERSON)
    assert passed.response is Response.ANOTHER_PERSON


def test_the_directions_are_drawn_one_by_one_and_each_is_possible():
    seen = set()
    for _ in range(200):
        challenge = challenge_of(2)
        seen.add(tuple(prompt for _, prompt in played(challenge, Head()) if prompt is not Prompt.LOOK_FRONT))
        assert challenge.response is Response.PASSED
    assert seen == {(one, other) for one in DRAWN for other in DRAWN}


POSES = [(0, 0), (3, -2), (12, 0), (30, 0), (-30, 0), (0, 28), (0, -28), (26, 26), None]

FRONT = (0, 0), 10, 0.1

runs = st.tuples(st.sampled_from(POSES), st.integers(1, 12), st.sampled_from([0.07, 0.1, 0.2, 0.4]))


@given(st.lists(runs, max_size=8), st.sampled_from(DRAWN), st.integers(1, 2))
def test_what_passes_has_been_shown(taken, asked, count):
    """A film that passes has a base, and for each prompt two frames in a row beyond the limit, in time."""
    challenge = challenge_of(count, always(asked))
    now, film = 0.0, []
    for pose, gap in [(pose, gap) for pose, number, gap in [FRONT, *taken, FRONT] for _ in range(number)]:
        now += gap
        challenge.see(now, pose and Pose(*pose, 0), now)
        film.append((now, pose, challenge.prompt, challenge.response))
        if challenge.response:
            break
    if challenge.response is not Response.PASSED:
        return
    assert all(pose for _, pose, _, _ in film)
    turns = [
        (after[0], before[1], after[1])
        for before, after in pairwise(film)
        if before[2] is asked and after[2] is Prompt.LOOK_FRONT
    ]
    assert len(turns) == count
    axis, sign = (1, 1) if asked is Prompt.LOOK_UP else (0, 1 if asked is Prompt.TURN_LEFT else -1)
    base = min(sign * pose[axis] for _, pose, prompt, _ in film if prompt is Prompt.LOOK_FRONT)
    assert all(sign * pose[axis] >= base + TURN[axis] for _, *two in turns for pose in two)


@given(st.lists(st.tuples(st.floats(-1, 1), st.floats(-1, 1)), min_size=150, max_size=150), st.integers(1, 2))
def test_a_print_that_is_tilted_within_the_limit_never_passes(taken, count):
    challenge, now = challenge_of(count), 0.0
    for yaw, pitch in [(0, 0)] * 6 + taken:
        challenge.see(now, Pose(yaw * (TURN[0] - 0.1), pitch * (TURN[1] - 0.1), 0), now)
        now += PERIOD
    assert challenge.response is Response.TOO_SLOW


def test_a_challenge_takes_a_bounded_time():
    longest = FRONT_SECONDS + 2 * ANSWER_SECONDS + ANSWER_SECONDS + ANSWER_SECONDS + STILL_SECONDS
    challenge = challenge_of(2, always(Prompt.LOOK_UP))
    shown = played(challenge, Head(reaction=2.4 - 0.6, moving=0.6))
    assert challenge.response is Response.PASSED
    assert shown[-1][0] < longest


def test_a_person_who_fails_too_often_is_not_asked_for_a_minute():
    now = [0.0]
    tries = Tries(lambda: now[0])
    for number in range(TRIES):
        assert not tries.used_up("ada")
        now[0] = 10.0 * number
        tries.fail("ada")
    assert [tries.used_up("ada"), tries.used_up("grace")] == [True, False]
    now[0] = TRIES_SECONDS - 0.1
    assert tries.used_up("ada")
    now[0] = TRIES_SECONDS
    assert not tries.used_up("ada")
    tries.fail("grace")
    assert not tries.used_up("ada")
