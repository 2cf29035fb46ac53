"""Decisions with further steps, by real frames: a PIN besides the face, an id and a PIN instead of it, and a silent alarm."""

import threading
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import cache

import pytest
from devices import until
from doors import ANY_CLOCK, FourFrames, head, heads
from hypothesis import given
from hypothesis import strategies as st
from situations import ADA, FLAWLESS, NOW, spoilt

from appliance.access.factors import FactorRules, Factors, Given, PinCheck
from appliance.access.log import DOOR
from appliance.access.pins import GUESSES_FILE, PinChecker
from appliance.access.policy import ClockState, Policy, Rules
from appliance.access.steps import PendingStep, StepAnswer
from appliance.access.token import Direction, Trigger
from appliance.events import DoorEvent
from appliance.faults import Fault, Refusal
from appliance.gallery.gallery import Gallery
from appliance.gallery.pin import StoredPin
from appliance.gallery.search import Outcome
from appliance.gallery.vault import SiteKey

DAILY = {"days": ["mon", "tue", "wed", "thu", "fri", "sat", "sun", "holiday"], "begin": "00:00", "end": "24:00"}


def factors(*rules):
    """Factors with their groups, at all times."""
    return FactorRules.of({**DAILY, "factors": words, "groups": groups} for words, *groups in rules)


stored = cache(StoredPin.of)
"""A PIN as it is kept: scrypt is slow by design, and no test changes one."""

WITH_PIN = replace(ANY_CLOCK, factors=factors(("face+pin",)))
OR_PIN = replace(ANY_CLOCK, factors=factors(("face|pin", "staff"), ("face+pin", "vault")))


@pytest.fixture
def at(doorstep, photos):
    """A door that knows Hopper, whose PIN is 4711 and under duress 4712, and Collins, without one; Hopper is before it, or
    another person of the photographs.
    """

    @contextmanager
    def opened(rules, who="hopper", known=("hopper", "portrait"), **more):
        with doorstep(FourFrames(heads(*[photos[who]] * 4)), rules, **more) as door:
            for name in known:
                door.know(name, photos[name], groups=("staff",))
            if "hopper" in known:
                door.gallery.set_pin("hopper", stored("4711", "4712"))
            yield door

    return opened


def asked(door, nonce=None):
    step = door.ask(nonce=nonce)
    assert isinstance(step, PendingStep)
    return step


def answered(door, pin, identity=None):
    """The decision after a PIN, as the door sees it."""
    nonce = door.verifier.challenge()
    signed = door.decider.proceed(asked(door, nonce).handle, StepAnswer(pin, identity))
    decision = door.verifier.verify(signed.token)
    assert (decision.document(), decision.nonce) == (signed.decision.document(), nonce)
    return decision


def outcomes(door):
    """The results and reasons in the record, oldest first."""
    entries = [entry.facts for entry in reversed(door.record.newest(9)) if entry.kind == "decision"]
    return [(facts["result"], facts["reason"]) for facts in entries]


def test_the_face_and_the_pin_are_granted_by_one_decision_about_new_frames(at):
    with at(WITH_PIN) as door:
        step = asked(door, nonce := door.verifier.challenge())
        typed = datetime.now(UTC)
        assert step.document() == {
            "handle": step.handle,
            "kind": "pin",
            "text": "a PIN is required as well",
            "seconds": 60.0,
            "id": False,
            "least": 4,
            "most": 8,
        }
        assert (door.told, outcomes(door)) == ([step], [])
        signed = door.decider.proceed(step.handle, StepAnswer("4711"))
        decision = door.verifier.verify(signed.token)
        assert (decision.granted, decision.person, decision.nonce) == (True, "hopper", nonce)
        assert decision.frames[-1] - typed >= timedelta(seconds=0.99)
        assert outcomes(door) == [("granted", "granted")]
        assert door.told == [step, signed]
        with pytest.raises(Refusal, match="no_such_step"):
            door.decider.proceed(step.handle, StepAnswer("4711"))
        assert door.decider.wait(step.handle) == signed


def test_a_wrong_pin_is_denied_at_once_and_slowed_also_after_a_restart(at):
    with at(WITH_PIN) as door:
        for pin in ("4713", "0000", "471"):
            assert not door.decider._pins.of_person(door.gallery, door.gallery.person("hopper").person, pin).person
        assert answered(door, "4711").reason == "pin_slowed"
        assert outcomes(door) == [("denied", "pin_slowed")]
    with at(WITH_PIN, known=()) as door:
        assert answered(door, "4711").reason == "pin_slowed"


def test_a_person_without_a_pin_is_denied_at_once(at):
    with at(WITH_PIN, "portrait") as door:
        signed = door.ask()
        assert (signed.decision.reason, signed.decision.person) == ("pin_unset", "portrait")


def test_under_duress_everything_looks_the_same_and_the_alarm_is_silent(at):
    with at(WITH_PIN) as door:
        step = asked(door)
        signed = door.decider.proceed(step.handle, StepAnswer("4712"))
        decision = signed.decision
        assert (decision.granted, decision.reason, signed.text) == (True, "granted", "access granted")
        (alarm,) = (event for event in door.told if isinstance(event, DoorEvent))
        assert (alarm.kind, alarm.by) == ("duress", decision.id)
        newest, granted = door.record.newest(2)
        assert (newest.kind, newest.facts) == (DOOR, {"event": "duress", "decision": decision.id})
        assert "duress" not in str(granted) + str(decision.document()) + signed.token


def alarms(door):
    return [(event.kind, event.by) for event in door.told if isinstance(event, DoorEvent)]


@pytest.mark.parametrize("answer", [StepAnswer(cancel=True), StepAnswer("0815", "vera")])
def test_duress_is_not_forgotten_by_a_further_step(at, photos, answer):
    rules = replace(ANY_CLOCK, factors=factors(("face+pin", "staff"), ("face|pin",)))
    with at(rules, known=("hopper",)) as door:
        door.know("vera")
        door.gallery.set_pin("vera", stored("0815"))
        step = asked(door)
        door.camera.show(head(photos["portrait"], 3))
        further = door.decider.proceed(step.handle, StepAnswer("4712"))
        assert further.facts["id"]
        signed = door.decider.proceed(further.handle, answer)
        assert alarms(door) == [("duress", signed.decision.id)]


def test_duress_is_not_forgotten_when_there_is_no_other_look(at):
    with at(WITH_PIN, patience=1.0) as door:
        step = asked(door)
        with door.engines.lease(), pytest.raises(Fault):
            door.decider.proceed(step.handle, StepAnswer("4712"))
        signed = door.decider.proceed(step.handle, StepAnswer(cancel=True))
        assert alarms(door) == [("duress", signed.decision.id)]


def test_another_person_who_steps_up_after_the_pin_is_denied(at, photos):
    with at(WITH_PIN) as door:
        step = asked(door)
        door.camera.show(head(photos["portrait"], 3))
        signed = door.decider.proceed(step.handle, StepAnswer("4711"))
        assert not signed.decision.granted
        assert signed.decision.reason in ("another_person", "not_followed", "unknown")


def test_a_step_that_no_one_answers_is_denied_and_holds_up_others_only_as_long_as_it_lasts(at):
    with at(WITH_PIN, step_s=0.5) as door:
        step = asked(door)
        with pytest.raises(Fault, match="not finished"):
            door.ask()
        denied = door.decider.wait(step.handle)
        assert (denied.decision.reason, denied.decision.frames) == ("pin_required", ())
        late = asked(door)
        assert until(lambda: door.decider._steps.left(door.decider._steps.find(late.handle)) == 0)
        asked(door)  # which ends the one before
        assert outcomes(door) == [("denied", "pin_required")] * 2


def test_it_can_be_cancelled_and_waited_for_by_another_client(at):
    with at(WITH_PIN) as door:
        step, found = asked(door), []
        waiting = threading.Thread(target=lambda: found.append(door.decider.wait(step.handle)))
        waiting.start()
        signed = door.decider.proceed(step.handle, StepAnswer(cancel=True))
        waiting.join()
        assert found == [signed]
        assert signed.decision.reason == "pin_required"


def waiting_for(door, step, found):
    """Threads of two clients that wait for a step."""
    threads = [threading.Thread(target=lambda: found.append(door.decider.wait(step.handle))) for _ in range(2)]
    for thread in threads:
        thread.start()
    return threads


def test_who_waits_gets_the_decision_after_a_pin_that_comes_just_in_time(at):
    with at(WITH_PIN, step_s=0.5) as door:
        found, step = [], asked(door)
        threads = waiting_for(door, step, found)
        signed = door.decider.proceed(step.handle, StepAnswer("4711"))
        for thread in threads:
            thread.join()
        assert (signed.decision.granted, found) == (True, [signed] * 2)


def test_all_who_wait_for_an_answer_that_does_not_come_get_the_same_denial(at):
    with at(WITH_PIN, step_s=0.5) as door:
        found, step = [], asked(door)
        for thread in waiting_for(door, step, found):
            thread.join()
        assert found == [door.decider.wait(step.handle)] * 2
        assert outcomes(door) == [("denied", "pin_required")]


def test_the_device_itself_waits_for_the_display(at):
    with at(WITH_PIN) as door:
        found = []
        door.camera.ask()
        assert until(lambda: door.ring.spaced(4, 0.3))
        question = ("a" * 43, Direction.IN, Trigger.APPROACH, 0.0, lambda: True)
        device = threading.Thread(target=lambda: found.append(door.decider.conclude(*question)))
        device.start()
        assert until(lambda: door.told)
        signed = door.decider.proceed(door.told[0].handle, StepAnswer("4711"))
        device.join()
        assert found == [signed]
        assert (signed.decision.granted, signed.decision.trigger) == (True, Trigger.APPROACH)


def test_a_step_ends_when_the_person_has_left(at):
    with at(WITH_PIN) as door:
        door.camera.ask()
        assert until(lambda: door.ring.spaced(4, 0.3))
        left = iter([True, False])
        signed = door.decider.conclude("a" * 43, Direction.IN, Trigger.APPROACH, 0.0, lambda: next(left))
        assert (signed.decision.granted, signed.decision.reason) == (False, "pin_required")
        assert next(left, "asked twice") == "asked twice"


def test_a_device_that_stops_does_not_wait(at):
    with at(WITH_PIN) as door:
        step = asked(door)
        door.decider.stop()
        with pytest.raises(Fault, match="stops"):
            door.decider.wait(step.handle)


def test_a_face_that_is_recognised_needs_no_pin_where_either_is_enough(at):
    with at(OR_PIN) as door:
        assert door.decide().granted


def test_who_is_not_recognised_may_type_an_id_and_a_pin(at, photos):
    with at(OR_PIN, "portrait", known=("hopper",)) as door:
        step = asked(door)
        assert (step.facts["id"], step.text) == (True, "not recognised: an id and a PIN are required")
        with pytest.raises(Refusal, match="invalid_body"):
            door.decider.proceed(step.handle, StepAnswer("4711"))
        signed = door.decider.proceed(step.handle, StepAnswer("4711", "hopper"))
        assert (signed.decision.granted, signed.decision.person, signed.name) == (True, "hopper", "Hopper")

        door.know("vera", groups=("vault",))
        door.gallery.set_pin("vera", stored("0815"))
        assert [answered(door, pin, name).reason for pin, name in (("0815", "vera"), ("4711", "nobody"))] == [
            "wrong_pin",
            "wrong_pin",
        ]
        assert outcomes(door)[-1] == ("denied", "wrong_pin")


def test_who_is_known_by_id_and_pin_is_looked_up_again_for_the_decision(at):
    with at(OR_PIN) as door:
        typed = Given(PinCheck.RIGHT, replace(door.gallery.person("hopper").person, name="Before"))
        facts, _ = door.decider._facts("a" * 43, Direction.IN, 0.0, typed)
        assert (facts.given.person.name, facts.given.pin) == ("Hopper", PinCheck.RIGHT)
        door.gallery.erase("hopper")
        facts, _ = door.decider._facts("a" * 43, Direction.IN, 0.0, typed)
        assert (facts.given.person, facts.given.pin) == (None, PinCheck.WRONG)


def test_an_id_that_does_not_exist_is_slowed_like_one_that_does(tmp_path):
    gallery = Gallery(tmp_path / "gallery.db", SiteKey(bytes(32)))
    ada = gallery.add(ADA).person
    gallery.set_pin(ADA.id, stored("4711"))
    checker = PinChecker(tmp_path / GUESSES_FILE)
    for person, name in ((ada, ADA.id), (None, "nobody")):
        found = [checker.of_id(gallery, person, name, "1357").pin for _ in range(4)]
        assert found == [PinCheck.WRONG] * 3 + [PinCheck.SLOWED]
    after_a_restart = PinChecker(tmp_path / GUESSES_FILE)
    assert after_a_restart.of_id(gallery, ada, ADA.id, "4711").pin is PinCheck.SLOWED
    assert after_a_restart.of_person(gallery, ada, "4711").pin is PinCheck.SLOWED
    kept = (tmp_path / GUESSES_FILE).read_text()
    pin = gallery.pin(ada.reference)
    assert not [each for each in ("4711", ada.reference, pin.salt.hex(), "nobody") if each in kept]
    gallery.set_pin(ADA.id, StoredPin.of("4711"))
    assert after_a_restart.of_person(gallery, ada, "4711").pin is PinCheck.RIGHT
    gallery.close()


@pytest.mark.logs_errors("pin-guesses.json")
def test_without_room_for_the_count_no_pin_is_compared(at):
    with at(WITH_PIN) as door:
        (door.folder / GUESSES_FILE).mkdir()
        assert answered(door, "4711").reason == "pin_uncounted"


hours = st.integers(0, 23).map("{:02}:00".format)
some = st.builds(
    lambda words, groups, begin, end: {**DAILY, "factors": words, "groups": groups, "begin": begin, "end": end},
    st.sampled_from(list(Factors)),
    st.lists(st.sampled_from(["staff", "vault"]), unique=True),
    hours,
    hours,
)
given_ = st.builds(Given, st.none() | st.sampled_from(PinCheck), st.none() | st.just(ADA), st.booleans())


@given(st.lists(some, max_size=3), given_, st.sampled_from(ClockState), st.sampled_from(Outcome))
def test_it_is_never_granted_with_less_than_is_required(rules, got, clock, outcome):
    table = FactorRules.of(rules)
    identified = outcome is Outcome.IDENTIFIED
    facts = replace(spoilt(outcome=outcome, **({} if identified else {"person": None})), given=got, clock=clock)
    policy = Policy(Rules(factors=table, without_clock=True))
    required = policy.rules.required(ADA, NOW, clock)
    if policy.judge(facts).granted:
        assert identified or required is Factors.FACE_OR_PIN
        assert got.pin is PinCheck.RIGHT or (identified and required is not Factors.FACE_AND_PIN)
    assert policy.judge(facts) == policy.judge(replace(facts, given=replace(got, duress=not got.duress)))


def test_the_first_rule_that_holds_decides_and_an_unset_clock_asks_for_more():
    night = {**DAILY, "begin": "19:00", "end": "07:00", "groups": ["staff"], "factors": "face+pin"}
    rules = Rules(factors=FactorRules.of([night, {**DAILY, "groups": [], "factors": "face|pin"}]))
    evening = NOW.replace(hour=20)
    assert rules.required(ADA, NOW, ClockState.SYNCHRONISED) is Factors.FACE_OR_PIN
    assert rules.required(ADA, evening, ClockState.SYNCHRONISED) is Factors.FACE_AND_PIN
    assert rules.required(ADA, NOW, ClockState.UNSET) is Factors.FACE_AND_PIN
    assert rules.required(replace(ADA, groups=()), evening, ClockState.UNSET) is Factors.FACE_OR_PIN
    result = Policy(rules).judge(replace(FLAWLESS, clock=ClockState.PLAUSIBLE))
    assert (result.decided.rule, result.decided.text) == ("clock", "plausible, required by: factors")
