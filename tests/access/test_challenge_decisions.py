"""Decisions with a challenge, by real frames in real time: it is asked for, bound into the decision, and limited."""

import threading
import time
from dataclasses import replace

import pytest
from devices import until
from doors import ANY_CLOCK, FourFrames, empty, head, heads
from turning import Head

from appliance.access.challenge import TRIES, ChallengeMode
from appliance.access.factors import FactorRules
from appliance.access.steps import PendingStep, StepAnswer
from appliance.access.token import Direction, SignedDecision, Trigger
from appliance.gallery.pin import StoredPin
from appliance.sections import DoorSection

ALWAYS = replace(ANY_CLOCK, challenge=ChallengeMode.ALWAYS)
WITH_PIN = replace(ALWAYS, factors=FactorRules.of(DoorSection(factors="face+pin").rules["factors"]))

TURNED = {"turn_left": (45, 0), "turn_right": (-45, 0), "look_up": (0, 35)}

REACTION = 0.4


@pytest.fixture(scope="module")
def turned(engine, photos):
    """Hopper's head, turned for each prompt."""
    person = Head.of(photos["hopper"], engine)
    return {prompt: head(person.turned(*pose), 3) for prompt, pose in TURNED.items()}


@pytest.fixture
def door(doorstep, photos, request):
    """Hopper is known, and at a door with these rules."""
    with doorstep(FourFrames(front := heads(*[photos["hopper"]] * 4)), request.param) as made:
        made.know("hopper", photos["hopper"])
        made.front = front[-1]
        yield made


class Person(threading.Thread):
    """Does at the door what it asks for."""

    def __init__(self, door, turned):
        super().__init__(name="person")
        self._door, self._turned, self.prompts, self.gone = door, turned, [], threading.Event()

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.gone.set()
        self.join()

    def run(self):
        seen = 0
        while not self.gone.wait(0.02):
            told, seen = self._door.told[seen:], len(self._door.told)
            for step in (each for each in told if isinstance(each, PendingStep) and each.kind == "challenge"):
                self.prompts.append(step.facts["prompt"])
                time.sleep(REACTION)
                self._door.camera.show(self._turned.get(step.facts["prompt"], self._door.front))


@pytest.mark.parametrize("door", [ALWAYS], indirect=True)
def test_a_person_who_moves_as_asked_is_granted_also_by_a_decision_that_the_device_starts(door, turned):
    assert until(lambda: door.ring.newest() is not None)
    door.camera.ask()
    begun = time.monotonic()
    with Person(door, turned) as person:
        signed = door.decider.conclude("a" * 43, Direction.IN, Trigger.APPROACH, begun, lambda: True)
    assert (signed.decision.granted, signed.decision.person, signed.decision.nonce) == (True, "hopper", "a" * 43)
    assert (person.prompts[0], person.prompts[1] in TURNED, person.prompts[2:]) == ("look_front", True, ["look_front"])
    assert [type(each) for each in door.told] == [PendingStep] * 3 + [SignedDecision]
    assert len({step.handle for step in door.told[:3]}) == 3
    assert (signed.decision.frames[-1] - signed.decision.frames[0]).total_seconds() < 2.5
    (entry,) = door.record.newest(2)
    assert (entry.facts["result"], entry.facts["trigger"]) == ("granted", "approach")


@pytest.mark.parametrize("door", [WITH_PIN], indirect=True)
def test_after_the_challenge_comes_the_pin_and_one_decision(door, turned):
    door.gallery.set_pin("hopper", StoredPin.of("4711", "4712"))
    nonce = door.verifier.challenge()
    with Person(door, turned):
        step = door.ask(nonce=nonce)
        while step.kind == "challenge":
            step = door.decider.wait(step.handle)
    assert step.kind == "pin"
    decision = door.verifier.verify(door.decider.proceed(step.handle, StepAnswer("4711")).token)
    assert (decision.granted, decision.nonce) == (True, nonce)
    assert len(door.record.newest(9)) == 1


@pytest.mark.parametrize("door", [ALWAYS], indirect=True)
def test_a_person_who_does_not_move_fails_and_tries_are_limited(door):
    step = door.ask()
    assert step.document() == {
        "handle": step.handle,
        "kind": "challenge",
        "text": "Look straight at the camera.",
        "seconds": 7.0,
        "prompt": "look_front",
    }
    prompted = door.decider.wait(step.handle)
    assert (prompted.facts["prompt"] in TURNED, prompted.seconds) == (True, 2.5)
    signed = door.decider.proceed(prompted.handle, StepAnswer())
    assert (signed.decision.granted, signed.decision.reason, signed.decision.frames) == (False, "challenge_failed", ())
    for _ in range(TRIES - 1):
        signed = door.decider.proceed(door.ask().handle, StepAnswer(cancel=True))
        assert (signed.decision.granted, signed.decision.reason) == (False, "challenge_required")
    assert door.decide().reason == "challenge_limit"


@pytest.mark.parametrize("door", [ALWAYS], indirect=True)
def test_another_person_is_not_granted_after_it(door, turned, photos):
    with Person(door, turned):
        step = door.ask()
        while step.facts["prompt"] == "look_front":
            step = door.decider.wait(step.handle)
        door.front = head(photos["portrait"], 3)
        while isinstance(step, PendingStep):
            step = door.decider.wait(step.handle)
    assert not step.decision.granted


class Hiding:
    """Observes at a door from whose camera the person turns away as each look begins, and is back before it at its end."""

    def __init__(self, door):
        self._door, self._observer = door, door.decider._observer
        self.looks, self.watch = 0, self._observer.watch

    def observe(self, moment, recognition):
        self.looks += 1
        self._door.camera.show(empty(3))
        seen = self._observer.observe(time.monotonic() + 0.5, recognition)
        self._door.camera.show(self._door.front)
        return seen


@pytest.mark.parametrize("door", [ALWAYS], indirect=True)
def test_who_is_not_there_right_after_the_challenge_gets_no_other_look(door, turned):
    with Person(door, turned):
        step = door.ask()
        door.decider._observer = hiding = Hiding(door)
        while isinstance(step, PendingStep):
            step = door.decider.wait(step.handle)
    assert (step.decision.granted, hiding.looks) == (False, 1)
    assert step.decision.reason in ("nobody", "not_followed")
