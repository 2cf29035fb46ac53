"""The decision, by real frames through the real camera loop: who is let pass, and who never is."""

import json
import time
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import cv2
import numpy as np
import pytest
from cameras import Scripted, noisy, on_canvas
from devices import until
from doors import ANY_CLOCK, FourFrames, empty, head, heads, placed, side_by_side
from face_appliance_client.decision import ReusedNonceError, WrongNonceError

from appliance.access import token
from appliance.access.log import RECORD_FILE, Record
from appliance.access.policy import ClockState, Policy, Rules, Schedule
from appliance.access.token import LIFE, Direction, Trigger
from appliance.gallery.people import GalleryUnavailableError


@pytest.fixture
def before(doorstep, photos):
    """A door that knows Hopper and Collins, and before its camera what the frames show."""

    @contextmanager
    def opened(frames, rules=ANY_CLOCK, *, living=True, **words):
        with doorstep(FourFrames(frames, living=living), rules) as door:
            door.know("hopper", photos["hopper"], **words)
            door.know("collins", photos["portrait"])
            yield door

    return opened


@pytest.fixture
def hopper_four(photos):
    """Four frames of Hopper, as she moves."""
    return heads(*[photos["hopper"]] * 4)


def refused(door, reason, person=None):
    """What is denied, signed and recorded all the same."""
    decision = door.decide()
    (entry,) = door.record.newest(1)
    assert (decision.granted, decision.reason, decision.person) == (False, reason, person)
    assert (entry.facts["result"], entry.facts["reason"]) == ("denied", reason)
    return decision


def test_a_known_living_person_passes(before, hopper_four):
    with before(hopper_four) as door:
        nonce, asked = door.verifier.challenge(), datetime.now(UTC)
        signed = door.ask(nonce=nonce)
        decision = door.verifier.verify(signed.token)
        (entry,) = door.record.newest(1)
        person = door.gallery.person("hopper").person
    assert decision.document() == signed.decision.document()
    assert (decision.granted, decision.person, signed.name, decision.nonce) == (True, "hopper", "Hopper", nonce)
    assert decision.frames[-1] >= asked - timedelta(milliseconds=2)
    assert all(after - earlier >= timedelta(seconds=0.298) for earlier, after in pairwise(decision.frames))
    assert decision.issued >= decision.frames[-1]
    assert entry.facts == {
        "id": decision.id,
        "nonce": nonce,
        "direction": "in",
        "result": "granted",
        "reason": "granted",
        "person": person.reference,
        "frames": tuple(token.milliseconds(each) for each in decision.frames),
        "relaxed": (),
        "trigger": "asked",
    }
    assert door.told == [signed]


def test_other_rules_hold_from_the_next_decision_on(before, hopper_four):
    with before(hopper_four, groups=("staff",)) as door:
        assert door.decide().granted
        door.decider.follow(Policy(replace(ANY_CLOCK, schedules=(Schedule(("visitors",)),))))
        refused(door, "no_schedule", "hopper")


def test_what_started_a_decision_is_in_the_record_and_in_the_token(before, hopper_four):
    with before(hopper_four) as door:
        door.camera.ask()
        assert until(lambda: door.ring.spaced(4, 0.3))
        signed = door.decider.decide("a" * 43, Direction.OUT, Trigger.APPROACH, time.monotonic() - 0.2)
        (entry,) = door.record.newest(1)
    assert (signed.decision.granted, signed.decision.trigger) == (True, Trigger.APPROACH)
    assert entry.facts["trigger"] == "approach"
    assert '"trigger":"approach"' in payload(signed.token)
    assert token.read_token(signed.token, door.signer.public) == signed.decision


@pytest.mark.parametrize(("least_side", "granted"), [(130, True), (60, False)])
def test_a_second_person_who_is_small_enough_does_not_count(doorstep, photos, least_side, granted):
    """Collins' face is about half as large as Hopper's."""
    frames = [side_by_side(photos["hopper"], photos["portrait"], number) for number in range(4)]
    with doorstep(FourFrames(frames), least_side=least_side) as door:
        door.know("hopper", photos["hopper"])
        decision = door.decide()
    assert (decision.granted, decision.reason) == (granted, "granted" if granted else "more_than_one_person")


def test_a_face_that_is_too_small_is_ignored(doorstep, photos, hopper_four):
    with doorstep(FourFrames(hopper_four), least_side=400) as door:
        door.know("hopper", photos["hopper"])
        assert door.decide().reason == "nobody"


def test_the_token_names_its_entry_in_the_record(before, hopper_four):
    with before(hopper_four) as door:
        signed = door.ask()
        (entry,) = door.record.newest(1)
    assert f'"record":{{"sequence":1,"hash":"{entry.hash}"}}' in payload(signed.token)


def payload(text):
    return token.decoded(text.split(".")[1]).decode()


def test_a_stranger(doorstep, photos):
    with doorstep(FourFrames(heads(*[photos["hopper"]] * 4))) as door:
        door.know("collins", photos["portrait"])
        refused(door, "unknown")


def test_an_empty_gallery_grants_no_one(doorstep, hopper_four):
    with doorstep(FourFrames(hopper_four)) as door:
        refused(door, "unknown")


def test_without_a_face_the_decision_is_no_face(before):
    with before([empty(number) for number in range(4)]) as door:
        refused(door, "nobody")


@pytest.mark.parametrize("place", range(4))
def test_a_person_who_is_not_in_all_frames(before, hopper_four, place):
    hopper_four[place] = empty(place)
    with before(hopper_four) as door:
        refused(door, "not_followed")


def test_two_people(before, photos):
    frames = [side_by_side(photos["hopper"], photos["portrait"], number) for number in range(4)]
    with before(frames) as door:
        assert not door.decide().granted
        refused(door, "more_than_one_person", door.told[0].decision.person)


@pytest.mark.parametrize("place", range(4))
def test_a_second_person_in_one_of_the_frames(before, photos, place):
    frames = heads(*[photos["hopper"]] * 4, left=0.1, scale=0.8)
    frames[place] = side_by_side(photos["hopper"], photos["portrait"], place)
    with before(frames) as door:
        refused(door, "more_than_one_person", "hopper")


@pytest.mark.parametrize("known", ["both", "the one", "the other"])
@pytest.mark.parametrize("place", range(4))
def test_a_person_swapped_between_frames(doorstep, engine, photos, place, known):
    shown = [photos["hopper"]] * 4
    shown[place] = placed(engine, photos["portrait"], photos["hopper"])
    with doorstep(FourFrames(heads(*shown))) as door:
        if known != "the other":
            door.know("hopper", photos["hopper"])
        if known != "the one":
            door.know("collins", photos["portrait"])
        refused(door, "another_person")


def test_a_turned_face_is_not_searched_for(before, photos):
    turned = cv2.rotate(photos["portrait"], cv2.ROTATE_90_COUNTERCLOCKWISE)
    with before(heads(*[turned] * 4, living=False), living=False) as door:
        refused(door, "not_upright")


def test_a_person_swapped_halfway(before, engine, photos):
    other = placed(engine, photos["portrait"], photos["hopper"])
    with before(heads(*[photos["hopper"]] * 2, other, other)) as door:
        refused(door, "another_person")


def test_a_still_photograph(before, photos):
    with before([head(photos["hopper"], 1)] * 4, living=False) as door:
        refused(door, "not_live", "hopper")


def test_a_still_photograph_with_the_noise_of_a_sensor_in_changing_light(before, photos):
    still = head(photos["hopper"], 1)
    with before([noisy(cv2.add(still, (3 * n,) * 4))(n) for n in range(4)], living=False) as door:
        refused(door, "not_live", "hopper")


@pytest.mark.parametrize(("name", "identity"), [("portrait", "collins"), ("hopper", "hopper")])
def test_a_photograph_that_is_held_up_and_moved(before, portrait, hopper, name, identity):
    content = {"portrait": portrait, "hopper": hopper}[name]
    small = [on_canvas(content, 640, 432, left=0.4 + number * 0.02) for number in range(4)]
    frames = [
        noisy(cv2.copyMakeBorder(each, 144, 144, 320, 320, cv2.BORDER_CONSTANT, value=(120,) * 3)) for each in small
    ]
    with before([each(number) for number, each in enumerate(frames)], living=False) as door:
        refused(door, "not_live", identity)


def test_a_face_that_cannot_be_seen_well(before, hopper_four):
    blurred = [np.asarray(cv2.GaussianBlur(frame, (0, 0), 9), np.uint8) for frame in hopper_four]
    with before(blurred) as door:
        decision = door.decide()
    assert not decision.granted


TODAY = datetime.now(UTC).astimezone().date()
YESTERDAY, TOMORROW = TODAY - timedelta(days=1), TODAY + timedelta(days=1)


def test_a_person_whose_time_is_over(before, hopper_four):
    with before(hopper_four, valid_until=YESTERDAY) as door:
        refused(door, "no_longer_valid", "hopper")


def test_a_person_whose_time_has_not_come(before, hopper_four):
    with before(hopper_four, valid_from=TOMORROW) as door:
        refused(door, "not_yet_valid", "hopper")


def test_a_nonce_a_second_time(before, hopper_four):
    with before(hopper_four) as door:
        nonce = door.verifier.challenge()
        first, second = door.ask(nonce=nonce), door.ask(nonce=nonce)
        assert first.decision.granted
        assert (second.decision.granted, second.decision.reason) == (False, "nonce_repeated")
        assert (second.decision.person, second.decision.frames) == (None, ())
        assert door.verifier.verify(first.token).granted
        with pytest.raises(ReusedNonceError):
            door.verifier.verify(second.token)


def test_a_nonce_that_this_door_did_not_ask(before, hopper_four):
    with before(hopper_four) as door:
        signed = door.ask(nonce="B" * 22)
        assert signed.decision.granted
        with pytest.raises(WrongNonceError):
            door.verifier.verify(signed.token)


def test_the_same_person_again_too_soon(before, hopper_four):
    with before(hopper_four, Rules(passback_s=60, clock=ClockState.PLAUSIBLE)) as door:
        assert door.decide().granted
        refused(door, "too_soon", "hopper")
        assert door.decide(Direction.OUT).granted


def test_the_same_person_twice_in_and_out(before, hopper_four):
    with before(hopper_four, Rules(passback_strict=True)) as door:
        assert door.decide().granted
        refused(door, "already_in", "hopper")
        assert door.decide(Direction.OUT).granted
        assert door.decide().granted
        assert door.gallery.last_passage(door.gallery.person("hopper").person.reference)[0] == "in"


def test_without_anti_passback_no_passages_are_kept(before, hopper_four):
    with before(hopper_four) as door:
        assert door.decide().granted
        assert door.gallery.last_passage(door.gallery.person("hopper").person.reference) is None


def test_who_is_erased_while_they_are_looked_at(before, hopper_four):
    with before(hopper_four, Rules(passback_strict=True)) as door:
        door.recognition = replace(door.recognition, identifier=Erasing(door))
        refused(door, "unknown")


class Erasing:
    """Recognises people in four frames, and somebody erases them in the same moment."""

    def __init__(self, door):
        self._door, self._identifier = door, door.recognition.identifier
        self.both, self.identify, self._agreed = None, self._identifier.identify, 0

    def matches(self, embedding, person, *, nearest):
        found = self._identifier.matches(embedding, person, nearest=nearest)
        self._agreed += 1
        if self._agreed == 4:
            self._door.gallery.erase(person.id)
        return found


def test_a_gallery_that_cannot_be_opened(before, hopper_four):
    with before(hopper_four) as door:
        door.trouble = GalleryUnavailableError("its key is gone")
        assert refused(door, "gallery_unavailable").frames == ()


def test_denials_that_repeat_one_another_are_one_entry_and_counted(doorstep, hopper_four):
    with doorstep(FourFrames(hopper_four), repeat_s=60) as door:
        door.trouble = GalleryUnavailableError("its key is gone")
        first, *others = (door.ask() for _ in range(3))
        (entry,) = door.record.newest(9)
        assert all(door.verifier.verify(each.token).reason == "gallery_unavailable" for each in (first, *others))
        named = [json.loads(payload(each.token))["record"] for each in (first, *others)]
        assert named == [{"sequence": 1, "hash": entry.hash}] * 3
        door.ask(Direction.OUT)
        assert [each.facts.get("repeats") for each in door.record.newest(9)] == [2, None]
        door.trouble = None
        door.know("hopper", hopper_four[-1])
        assert [door.decide().granted for _ in range(2)] == [True, True]
        assert [each.facts["result"] for each in door.record.newest(2)] == ["granted", "granted"]


def test_a_denial_after_a_while_is_an_entry_again(doorstep, hopper_four):
    with doorstep(FourFrames(hopper_four), repeat_s=0.1) as door:
        door.trouble = GalleryUnavailableError("its key is gone")
        for _ in range(3):
            door.ask()
            time.sleep(0.2)
        assert [each.facts.get("repeats") for each in door.record.newest(9)] == [None] * 3


@pytest.mark.logs_errors("a decision cannot be recorded")
@pytest.mark.parametrize(("relaxed", "reason"), [(False, "record_unavailable"), (True, "granted")])
def test_a_record_that_cannot_be_written(before, hopper_four, relaxed, reason):
    rules = Rules(without_record=relaxed)
    with before(hopper_four, rules) as door:
        (door.folder / RECORD_FILE).mkdir()
        signed = door.ask()
    assert (signed.decision.granted, signed.decision.reason) == (relaxed, reason)
    assert '"record":null' in payload(signed.token)


@pytest.mark.logs_errors("a decision cannot be recorded")
@pytest.mark.parametrize("before_that", [[], [Direction.OUT]])
def test_who_stays_outside_for_want_of_a_record_has_not_passed(before, hopper_four, before_that):
    with before(hopper_four, Rules(passback_strict=True)) as door:
        for direction in before_that:
            assert door.decide(direction).granted
        reference = door.gallery.person("hopper").person.reference
        last = door.gallery.last_passage(reference)
        door.recognition = replace(door.recognition, gallery=Filling(door))
        signed = door.ask()
        assert (signed.decision.granted, signed.decision.reason) == (False, "record_unavailable")
        assert door.gallery.last_passage(reference) == last


class Filling:
    """A gallery beside which the record is lost as soon as a passage is noted."""

    def __init__(self, door):
        self._door = door

    def __getattr__(self, name):
        return getattr(self._door.gallery, name)

    def note_passage(self, *passage):
        before = self._door.gallery.note_passage(*passage)
        path = self._door.folder / RECORD_FILE
        path.unlink(missing_ok=True)
        path.mkdir()
        return before


BOUND = 6.0
"""Seconds, for a computer that runs other tests, too."""


class Slow:
    """An engine that takes its time to examine four frames."""

    def __init__(self, engine):
        self._engine, self.seconds = engine, 0.0

    def __getattr__(self, name):
        return getattr(self._engine, name)

    def examine(self, *what):
        time.sleep(self.seconds)
        return self._engine.examine(*what)


def test_what_was_seen_too_long_ago_is_not_signed_and_health_says_so(doorstep, engine, photos):
    slow = Slow(engine)
    camera = Scripted(lambda number: head(photos["hopper"], number), 1 / 15)
    with doorstep(camera, Rules(passback_strict=True), engine=slow, fresh_s=BOUND) as door:
        person = door.know("hopper", photos["hopper"])
        assert until(lambda: door.loop.state().frames > 15)
        slow.seconds = BOUND
        assert refused(door, "camera_blind").frames == ()
        assert [(problem.part, problem.state) for problem in door.decider.problems()] == [("door", "too_slow")]
        assert door.gallery.last_passage(person.reference) is None
        slow.seconds = 0.0
        assert until(lambda: door.decide().granted, 30)
        assert door.decider.problems() == []


def test_the_life_of_a_decision_begins_with_its_newest_frame(doorstep, engine, photos):
    slow = Slow(engine)
    slow.seconds = 0.5
    with doorstep(FourFrames(heads(*[photos["hopper"]] * 4)), engine=slow) as door:
        door.know("hopper", photos["hopper"])
        decision = door.decide()
    assert decision.granted
    assert decision.issued - decision.frames[-1] >= timedelta(seconds=0.5)
    assert decision.expires == decision.frames[-1] + LIFE


class SlowDisk(Record):
    """A record whose disk takes its time, once."""

    def __init__(self, path):
        super().__init__(path)
        self.seconds = BOUND

    def append(self, kind, facts):
        entry = super().append(kind, facts)
        time.sleep(self.seconds)
        self.seconds = 0.0
        return entry


def test_a_decision_that_is_recorded_too_late_is_denied_and_that_is_recorded(doorstep, photos):
    frames = FourFrames(heads(*[photos["hopper"]] * 4))
    with doorstep(frames, Rules(passback_strict=True), record=SlowDisk, fresh_s=BOUND) as door:
        person = door.know("hopper", photos["hopper"])
        signed = door.ask()
        assert (signed.decision.result, signed.decision.reason) == ("denied", "camera_blind")
        newest, before = door.record.newest(5)
        assert [each.facts["result"] for each in (before, newest)] == ["granted", "denied"]
        assert before.facts["nonce"] == newest.facts["nonce"] == signed.decision.nonce
        assert (newest.facts["voids"], "voids" in before.facts) == (before.sequence, False)
        assert newest.hash in payload(signed.token)
        assert door.gallery.last_passage(person.reference) is None


class SlowGallery:
    """A gallery whose disk takes its time to note a passage."""

    def __init__(self, gallery):
        self._gallery = gallery

    def __getattr__(self, name):
        return getattr(self._gallery, name)

    def note_passage(self, *passage):
        before = self._gallery.note_passage(*passage)
        time.sleep(BOUND)
        return before


def test_a_passage_that_is_noted_too_late_is_taken_back_and_never_recorded_as_granted(doorstep, photos):
    frames = FourFrames(heads(*[photos["hopper"]] * 4))
    with doorstep(frames, Rules(passback_strict=True), fresh_s=BOUND) as door:
        person = door.know("hopper", photos["hopper"])
        door.recognition = replace(door.recognition, gallery=SlowGallery(door.gallery))
        signed = door.ask()
        (entry,) = door.record.newest(5)
        assert (signed.decision.reason, entry.facts["result"]) == ("camera_blind", "denied")
        assert door.gallery.last_passage(person.reference) is None


class Elsewhere:
    """A gallery that gets a passage at another door before it notes its own."""

    def __init__(self, gallery, passage):
        self._gallery, self._passage = gallery, passage

    def __getattr__(self, name):
        return getattr(self._gallery, name)

    def note_passage(self, reference, *passage):
        self._gallery.note_passage(reference, *self._passage)
        return self._gallery.note_passage(reference, *passage)


def test_who_has_just_gone_in_at_another_door_is_not_granted_and_that_passage_stays(before, hopper_four):
    with before(hopper_four, Rules(passback_strict=True)) as door:
        passage, reference = ("in", datetime.now(UTC)), door.gallery.person("hopper").person.reference
        door.recognition = replace(door.recognition, gallery=Elsewhere(door.gallery, passage))
        assert door.decide().reason == "already_in"
        assert door.gallery.last_passage(reference) == passage


@pytest.fixture
def scripted(doorstep, photos):
    """A door before a camera with cable and lens in the test's hands, and Hopper."""
    camera = Scripted(lambda number: head(photos["hopper"], number), 1 / 15)
    with doorstep(camera) as door:
        door.know("hopper", photos["hopper"])
        assert until(lambda: door.loop.state().frames > 15)
        yield door


def test_a_camera_that_is_unplugged(scripted):
    assert scripted.decide().reason == "granted"
    scripted.camera.plugged = False
    assert until(lambda: scripted.loop.state().trouble)
    assert refused(scripted, "camera_blind").frames == ()
    scripted.camera.plugged = True
    assert until(lambda: scripted.ring.spaced(4, 0.3))
    assert scripted.decide().reason == "granted"


def test_a_camera_that_freezes(scripted, photos):
    frozen = head(photos["hopper"], 0)
    scripted.camera.picture = lambda _: frozen.copy()
    assert until(lambda: not scripted.decide().granted, 10)
    assert until(lambda: scripted.loop.state().trouble)
    refused(scripted, "camera_blind")


def test_a_camera_that_falls_silent(scripted):
    scripted.camera.silent = True
    decision = scripted.decide()
    assert not decision.granted
    assert decision.reason == "camera_blind"
