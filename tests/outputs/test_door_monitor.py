"""The state of a door by a scripted clock: a table of situations, and random ones against a second opinion."""

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from appliance.outputs.door import GRACE_SECONDS, DoorMonitor, Signal

PULSE, HELD = 3.0, 30.0

TABLE = {
    "a grant, and the door is opened and shut": (
        [(0, "grant"), (1, "open"), (4, "shut"), (99, "wait")],
        [(1, "opened"), (4, "closed")],
        {0: True, 1: True, 2.9: True, 3: False, 4: False},
    ),
    "opened when the pulse has just ended": (
        [(0, "grant"), (3.9, "open"), (4, "shut")],
        [(3.9, "opened"), (4, "closed")],
        {3.9: False},
    ),
    "a grant, and the door stays shut": ([(0, "grant"), (9, "wait")], [(4, "not_opened d1")], {3: False}),
    "two grants, and the door stays shut": (
        [(0, "grant"), (2, "grant"), (9, "wait")],
        [(6, "not_opened d1"), (6, "not_opened d2")],
        {4.9: True, 5: False},
    ),
    "two grants, and both go through one opening": (
        [(0, "grant"), (1, "open"), (2, "grant"), (5, "shut"), (9, "wait")],
        [(1, "opened"), (5, "closed")],
        {4.9: True, 5: False},
    ),
    "opened without anything": (
        [(5, "open"), (9, "shut")],
        [(5, "opened"), (5, "forced"), (9, "closed")],
        {5: False},
    ),
    "opened long after the grant": (
        [(0, "grant"), (4.5, "open")],
        [(4, "not_opened d1"), (4.5, "opened"), (4.5, "forced")],
        {},
    ),
    "opened a second time after the pulse": (
        [(0, "grant"), (1, "open"), (2, "shut"), (3.5, "open")],
        [(1, "opened"), (2, "closed"), (3.5, "opened"), (3.5, "forced")],
        {},
    ),
    "held": (
        [(0, "grant"), (1, "open"), (40, "wait"), (50, "shut"), (60, "grant"), (61, "open"), (62, "shut")],
        [(1, "opened"), (31, "held"), (50, "closed"), (61, "opened"), (62, "closed")],
        {},
    ),
    "forced and then held": ([(1, "open"), (40, "wait")], [(1, "opened"), (1, "forced"), (31, "held")], {}),
    "the exit button": (
        [(0, "press"), (0.1, "let go"), (2, "open"), (5, "shut")],
        [(0, "exit"), (2, "opened"), (5, "closed")],
        {0: True, 2.9: True, 3: False},
    ),
    "the exit button, and nobody goes": ([(0, "press"), (0.1, "let go"), (9, "wait")], [(0, "exit")], {3: False}),
    "an exit button that sticks releases once and excuses openings": (
        [(0, "press"), (9, "open")],
        [(0, "exit"), (9, "opened")],
        {2.9: True, 3: False, 9: False},
    ),
    "opened from afar": (
        [(0, "release"), (1, "open"), (2, "shut")],
        [(1, "opened"), (2, "closed")],
        {2.9: True, 3: False},
    ),
    "fire": (
        [(0, "fire"), (1, "open"), (90, "wait"), (99, "fire over"), (120, "wait"), (130, "wait")],
        [(0, "fire"), (1, "opened"), (99, "fire_ended"), (129, "held")],
        {0: True, 98.9: True, 99: False},
    ),
    "fire in a pulse, which goes on after it": (
        [(0, "fire"), (5, "grant"), (6, "fire over"), (7.9, "wait"), (8, "wait")],
        [(0, "fire"), (6, "fire_ended")],
        {5: True, 6: True, 7.9: True, 8: False},
    ),
    "the button that starts a decision opens nothing itself": (
        [(0, "ring"), (0.1, "rung"), (1, "open")],
        [(0, "button"), (1, "opened"), (1, "forced")],
        {0: False},
    ),
    "tamper": ([(0, "tamper"), (9, "tamper over")], [(0, "tamper"), (9, "tamper_ended")], {0: False}),
}
INPUTS = {
    "open": (Signal.CONTACT, True),
    "shut": (Signal.CONTACT, False),
    "press": (Signal.EXIT, True),
    "let go": (Signal.EXIT, False),
    "ring": (Signal.BUTTON, True),
    "rung": (Signal.BUTTON, False),
    "fire": (Signal.FIRE, True),
    "fire over": (Signal.FIRE, False),
    "tamper": (Signal.TAMPER, True),
    "tamper over": (Signal.TAMPER, False),
}


class Script:
    """Drives a monitor as its thread does: it looks when something is due."""

    def __init__(self, **changed):
        self.monitor = DoorMonitor(PULSE, HELD, **{"contact": True, **changed})
        self.now, self.grants = 0.0, 0
        self.happened = []

    def until(self, now):
        while (due := self.monitor.due(self.now)) is not None and due <= now:
            self.now = due
            self._note(self.monitor.advance(due))
        self.now = now
        self._note(self.monitor.advance(now))

    def do(self, what):
        if what == "grant":
            self.grants += 1
            self.monitor.grant(self.now, f"d{self.grants}")
        elif what == "release":
            self.monitor.release(self.now)
        elif what != "wait":
            signal, on = INPUTS[what]
            self._note(self.monitor.set(self.now, signal, on=on))

    def _note(self, notices):
        self.happened += [(self.now, f"{kind} {by}" if by else kind.value) for kind, by in notices]


@pytest.mark.parametrize("name", TABLE)
def test_what_happens_at_a_door(name):
    steps, expected, relay = TABLE[name]
    script = Script()
    seen = dict(relay)
    for now, what in steps:
        for moment in [each for each in seen if each < now]:
            script.until(moment)
            assert script.monitor.released(moment) is seen.pop(moment), moment
        script.until(now)
        script.do(what)
    for moment in sorted(seen):
        script.until(max(moment, script.now))
        assert script.monitor.released(moment) is seen[moment], moment
    assert script.happened == expected


def test_until_opened_the_relay_goes_off_with_the_opening_and_the_permission_with_it():
    script = Script(until_opened=True)
    script.do("grant")
    script.until(1)
    assert script.monitor.released(1)
    script.do("open")
    assert not script.monitor.released(1)
    script.do("shut")
    script.until(2)
    script.do("open")
    assert script.happened == [(1, "opened"), (1, "closed"), (2, "opened"), (2, "forced")]


def test_a_door_that_is_open_for_everyone_is_neither_forced_nor_held_until_that_ends():
    script = Script()
    script.monitor.unlock(0, on=True)
    script.until(5)
    script.do("open")
    script.until(100)
    assert script.monitor.released(100)
    script.monitor.unlock(100, on=False)
    assert not script.monitor.released(100)
    script.until(131)
    script.do("shut")
    script.do("open")
    assert script.happened == [(5, "opened"), (130, "held"), (131, "closed"), (131, "opened"), (131, "forced")]


def test_until_opened_a_fire_keeps_the_relay_on():
    script = Script(until_opened=True)
    for what in ("fire", "grant", "open"):
        script.do(what)
    assert script.monitor.released(0)
    assert script.monitor.released(99)


def test_without_a_contact_there_is_no_alarm_about_the_door():
    script = Script(contact=False)
    script.do("grant")
    script.until(99)
    assert script.happened == []
    assert script.monitor.state(relay=False).open is None


def test_a_door_that_is_open_at_the_start_was_not_forced_and_may_be_held():
    script = Script()
    notices = script.monitor.start(0, {Signal.CONTACT, Signal.EXIT, Signal.FIRE, Signal.TAMPER})
    assert [kind.value for kind, _ in notices] == ["opened", "fire", "tamper"]
    assert script.monitor.released(0)
    assert not script.monitor.state(relay=True).forced
    script.do("fire over")
    assert not script.monitor.released(0)  # a button that is pressed at the start is no press
    script.until(31)
    assert script.happened[-1] == (30, "held")


class AnyDoor(RuleBasedStateMachine):
    """Random inputs and decisions, with a second opinion on when the relay is on and on what is an alarm."""

    @initialize(until_opened=st.booleans())
    def begin(self, until_opened):
        self.script = Script(until_opened=until_opened)
        self.until_opened = until_opened
        self.released_at = self.opened_at = None
        self.on, self.free = set(), False

    @rule(seconds=st.sampled_from([0.0, 0.01, 0.5, 0.99, 1.0, 2.0, 2.99, 3.0, 4.0, 29.0, 31.0]))
    def wait(self, seconds):
        self.script.until(self.script.now + seconds)

    @rule(what=st.sampled_from(["grant", "release"]))
    def permit(self, what):
        self.script.do(what)
        self.released_at, self.opened_at = self.script.now, None

    @rule(free=st.booleans())
    def open_to_everyone(self, free):
        self.script.monitor.unlock(self.script.now, on=free)
        self.free = free

    @rule(name=st.sampled_from(sorted(INPUTS)))
    def change(self, name):
        signal, on = INPUTS[name]
        changes, before = (signal in self.on) != on, len(self.script.happened)
        relay = self.script.monitor.released(self.script.now)
        self.script.do(name)
        happened = [what for _, what in self.script.happened[before:]]
        if not changes:
            assert happened == []
            return
        self.on ^= {signal}
        if name == "press":
            self.released_at, self.opened_at = self.script.now, None
            assert "forced" not in happened
        if name == "open":
            if relay or Signal.EXIT in self.on:
                assert "forced" not in happened
            if self.released_at is None or self.script.now > self.released_at + PULSE + GRACE_SECONDS:
                assert ("forced" in happened) == (not relay and Signal.EXIT not in self.on)
            self.opened_at = self.script.now if self.opened_at is None else self.opened_at

    @invariant()
    def relay_is_on_for_a_reason_and_never_off_in_a_fire(self):
        now = self.script.now
        in_pulse = self.released_at is not None and now < self.released_at + PULSE
        if self.until_opened and self.opened_at is not None:
            in_pulse = in_pulse and now < self.opened_at
        assert self.script.monitor.released(now) == (Signal.FIRE in self.on or self.free or in_pulse)

    @invariant()
    def state_says_what_the_inputs_are(self):
        state = self.script.monitor.state(relay=None)
        assert (state.open, state.fire) == (Signal.CONTACT in self.on, Signal.FIRE in self.on)
        assert state.tamper == (Signal.TAMPER in self.on)
        assert state.open or not (state.forced or state.held)

    def teardown(self):
        if hasattr(self, "script"):
            grants = [what for _, what in self.script.happened if what.startswith("not_opened")]
            assert len(grants) == len(set(grants))  # each is said once


TestAnyDoor = pytest.mark.timeout(900)(AnyDoor.TestCase)  # 10,000 take two minutes
TestAnyDoor.settings = settings(max_examples=10_000 if settings.default.max_examples > 100 else 40)  # at night, else
