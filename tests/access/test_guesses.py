"""How wrong PINs are slowed down: a state machine against the bounds that the module promises."""

import json
from math import inf

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from appliance.access.guesses import (
    BLOCKED,
    CAPACITY,
    DEVICE_CAPACITY,
    DEVICE_LEAK_SECONDS,
    FIRST_SECONDS,
    FREE,
    LEAK_SECONDS,
    LONGEST_SECONDS,
    Guesses,
)

PEOPLE = ("ada", "bo", "cy")


class SlowDown(RuleBasedStateMachine):
    """Somebody types PINs, time passes, and the device restarts."""

    @initialize()
    def begin(self):
        self.now = 1000.0
        self.guesses = Guesses(lambda: self.now)
        self.wrong = dict.fromkeys(PEOPLE, 0)
        self.last = dict.fromkeys(PEOPLE, -inf)
        self.compared = {True: [], False: []}
        self.started = self.now

    @rule(person=st.sampled_from(PEOPLE), recognised=st.booleans(), right=st.booleans())
    def type(self, person, recognised, right):
        wait = self.guesses.wait(person, recognised=recognised)
        if wait:
            if self.wrong[person] >= BLOCKED:
                assert wait == inf
            return
        assert self.wrong[person] < BLOCKED
        if self.wrong[person] >= FREE:
            pause = min(FIRST_SECONDS * 2 ** (self.wrong[person] - FREE), LONGEST_SECONDS)
            assert self.now - max(self.last[person], self.started) >= pause - 1e-6
        self.guesses.begin(person, recognised=recognised)
        if right:
            self.guesses.succeed(person, recognised=recognised)
            self.wrong[person] = 0
        else:
            self.wrong[person] += 1
            self.last[person] = self.now
            self.compared[recognised].append(self.now)

    @rule(seconds=st.sampled_from([0.5, 5.0, FIRST_SECONDS, LEAK_SECONDS, LONGEST_SECONDS, 86_400.0]))
    def pass_by(self, seconds):
        self.now += seconds

    @rule(person=st.sampled_from(PEOPLE), recognised=st.booleans())
    def wait_as_long_as_is_said(self, person, recognised):
        wait = self.guesses.wait(person, recognised=recognised)
        if wait < inf:
            self.now += wait + 1e-6
            assert self.guesses.wait(person, recognised=recognised) == 0

    @rule(back=st.floats(-1000.0, 1000.0))
    def restart(self, back):
        """The monotonic clock begins anywhere: nothing kept refers to it."""
        kept, waits = json.loads(json.dumps(self.guesses.document())), self.waits()
        moved = 5000.0 + back - self.now
        self.now += moved
        for each in self.compared.values():
            each[:] = [time + moved for time in each]
        self.last = {person: time + moved for person, time in self.last.items()}
        self.guesses = Guesses(lambda: self.now)
        self.guesses.load(kept, PEOPLE)
        self.started = self.now
        for before, after in zip(waits, self.waits(), strict=True):
            assert after >= before - 1.0  # levels are kept to a thousandth of a guess

    def waits(self):
        return [self.guesses.wait(person, recognised=each) for person in PEOPLE for each in (True, False)]

    @invariant()
    def no_more_are_compared_than_the_bounds_allow(self):
        for recognised, capacity, leak in (
            (False, CAPACITY, LEAK_SECONDS),
            (True, DEVICE_CAPACITY, DEVICE_LEAK_SECONDS),
        ):
            times = getattr(self, "compared", {}).get(recognised, [])
            for window in (60.0, 3600.0, 86_400.0):
                recent = [time for time in times if time > self.now - window]
                assert len(recent) <= capacity + window / leak + 1


SlowDown.TestCase.settings = settings(max_examples=60, stateful_step_count=60, deadline=None)
TestSlowDown = SlowDown.TestCase


def test_ten_wrong_ones_in_a_row_are_the_end_of_a_pin_and_not_of_another():
    now = [0.0]
    guesses = Guesses(lambda: now[0])
    waited = []
    for _ in range(BLOCKED):
        waited.append(wait := guesses.wait("old", recognised=True))
        now[0] += wait
        guesses.begin("old", recognised=True)
    assert waited == [0, 0, 0, 30, 60, 120, 240, 480, 960, 1920]
    assert guesses.wait("old", recognised=True) == inf
    assert guesses.wait("new", recognised=True) == 0


def test_what_is_kept_of_a_pin_that_is_no_longer_set_is_dropped():
    guesses = Guesses(lambda: 0.0)
    for key in ("set", "removed"):
        guesses.begin(key, recognised=False)
    again = Guesses(lambda: 0.0)
    again.load(guesses.document(), {"set"})
    assert again.document() == {"wrong": {"set": 1}, "levels": [2.0, 0.0]}
