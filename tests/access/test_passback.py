"""Anti-passback: by direction, and by time."""

from datetime import timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from situations import NOW, moments

from appliance.access.passback import against_direction, against_time, depends_on_time
from appliance.access.token import Direction

IN, OUT = Direction.IN, Direction.OUT


@pytest.mark.parametrize("direction", [IN, OUT])
def test_who_has_never_passed_may_do_either(direction):
    assert against_direction(None, direction) is None
    assert against_time(None, direction, NOW, 86_400) is None


@given(st.lists(st.sampled_from(Direction)))
def test_a_person_who_obeys_it_enters_and_leaves_in_turn(tried):
    passed, last = [], None
    for direction in tried:
        if against_direction(last, direction) is None:
            passed.append(direction)
            last = direction, NOW
    assert all(one is not next_one for one, next_one in pairwise(passed))
    assert passed[:1] == tried[:1]


@pytest.mark.parametrize(
    ("seconds", "reason"), [(0, "too_soon"), (59.999, "too_soon"), (60, None), (-3600, "too_soon")]
)
def test_the_same_direction_has_to_wait_and_a_passage_ahead_was_just_now(seconds, reason):
    last = IN, NOW - timedelta(seconds=seconds)
    assert against_time(last, IN, NOW, 60) == reason
    assert against_time(last, OUT, NOW, 60) is None


@given(st.sampled_from(Direction), st.sampled_from(Direction), moments, moments, st.integers(0, 86_400))
def test_what_does_not_depend_on_the_time_is_never_too_soon(before, now_wanted, then, now, least):
    last = before, then
    if not depends_on_time(last, now_wanted, least):
        assert against_time(last, now_wanted, now, least) is None
