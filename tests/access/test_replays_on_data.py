"""Replays and prints before a door with `challenge = "unsure"`, in real time, and people who turn as they are asked.

Of attacks, camera loop, choice of frames, search, policy, record and signature run whole for each draw. What the engine says of
the pictures is computed once: the faces of a picture, and what four pictures show. Of people, every frame is new, the engine,
search, challenge and policy run whole, and time is counted in frames.
"""

import csv
import json
import random
import threading
import time
from collections import Counter, defaultdict
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace

import cv2
import numpy as np
import pytest
from doors import ANY_CLOCK, Doorstep
from living import stirred
from situations import FLAWLESS

from appliance.access.challenge import ChallengeMode, _direction
from appliance.access.enrol import Prompt
from appliance.access.factors import Given
from appliance.access.observe import PACE_SECONDS, RecentFrames, SubjectObserver
from appliance.access.policy import Policy
from appliance.access.steps import PendingStep
from appliance.camera.source import CameraFrame, Ring
from appliance.face.types import DetectLimits
from appliance.imaging.codec import EncodedPicture
from appliance.observation.mounting import Mounting
from appliance.vision.loading import comparators

pytestmark = [pytest.mark.data, pytest.mark.nightly, pytest.mark.timeout(1800)]

UNSURE, ALWAYS = (Policy(replace(ANY_CLOCK, challenge=each)) for each in (ChallengeMode.UNSURE, ChallengeMode.ALWAYS))

SHOWN, PERIOD = 0.3, 1 / 15
"""Seconds for which each picture is shown, and between two frames."""

DRAWS = {"replay": 200, "print": 20}
"""Of each film, at random offsets."""

TURNS = 8
"""Of each turn of a person."""

REACTION = 0.5


class Film:
    """A camera before which pictures are shown in turn, over and over again."""

    description, demonstration, stored = "film", False, False

    def __init__(self, pictures):
        self._pictures, self._begun, self._due = pictures, 0.0, 0.0

    def open(self):
        self._begun = self._due = time.monotonic()

    def read(self):
        self._due = max(self._due + PERIOD, time.monotonic())
        time.sleep(max(0.0, self._due - time.monotonic()))
        now = time.monotonic()
        return CameraFrame(self.shown(now), now)

    def shown(self, now):
        return self._pictures[int((now - self._begun) / SHOWN) % len(self._pictures)]

    def close(self):
        pass


class Person:
    """A camera before a person who looks ahead, and turns REACTION after each prompt of the challenge `watch`. Time is counted
    in frames here, so that a busy computer changes nothing. No two frames are the same: the light changes, and the face
    stirs.
    """

    demonstration = False

    def __init__(self, ahead, turned, begin):
        self.ring, self.watch, self.now = Ring(), None, 0.0
        self._ahead, self._turned, self._begin, self._count = ahead, turned, begin, 0
        self._asked, self._since, self._shown = Prompt.LOOK_FRONT, float("-inf"), ahead

    def usable(self):
        """As a camera loop is asked before each frame."""
        self.now, self._count = self.now + PACE_SECONDS, self._count + 1
        asked = self.watch.challenge.prompt if self.watch else Prompt.LOOK_FRONT
        if asked is not self._asked:
            self._asked, self._since = asked, self.now
        if self.now - self._since > REACTION:
            self._shown = self._ahead if asked is Prompt.LOOK_FRONT else self._turned
        picture = self._shown[int((self._begin + self.now) / SHOWN) % len(self._shown)]
        pixels = cv2.convertScaleAbs(stirred(picture, self._count), beta=-2.3 * self._count % 9)
        self.ring.publish(CameraFrame(pixels, self.now))

    def four(self):
        """The newest frames, 0.3 s apart, once there are so many new ones."""
        for _ in range(16):
            self.usable()
        return self.ring.spaced(4, 0.3)


class Shared:
    """An engine for several doors at a time."""

    def __init__(self, engine):
        self._engine, self._lock = engine, threading.RLock()

    def __getattr__(self, name):
        part = getattr(self._engine, name)
        return self._alone(part) if callable(part) else part

    def _alone(self, method):
        def run(*arguments, **more):
            with self._lock:
                return method(*arguments, **more)

        return run


class Remembering(Shared):
    """The same, which says of pictures that it has seen what it said before."""

    def __init__(self, engine):
        super().__init__(engine)
        self._known = {}

    def detect(self, picture, limits, upright=(), **more):
        how = limits, tuple(upright), *more.items()
        return self._once(
            "detect", [picture.content], how, lambda: self._engine.detect(picture, limits, upright, **more)
        )

    def examine(self, pictures, faces):
        what = [*(each.content for each in pictures), *faces]
        return self._once("examine", what, (), lambda: self._engine.examine(pictures, faces))

    def feature_of_both(self, face, fast=None):
        return self._once("both", [face], (), lambda: self._engine.feature_of_both(face, fast))

    def _once(self, name, what, how, work):
        """`what` is kept, so that its place in memory is never another's."""
        key = name, *map(id, what), *how
        with self._lock:
            if key not in self._known:
                self._known[key] = work(), what
            return self._known[key][0]


@pytest.fixture(scope="module")
def rows(data):
    with (data / "liveness" / "sequences.csv").open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def pictures(data, rows):
    """The four pictures of each sequence, by its name."""
    folder = data / "liveness"
    files = {row["sequence"]: [folder / row["sequence"] / f"{n}.jpg" for n in (1, 2, 3, 4)] for row in rows}
    return {
        name: [EncodedPicture(file.read_bytes(), 10**7).frame(1.0).pixels for file in four]
        for name, four in files.items()
    }


def films(rows, pictures, label):
    """Subject and pictures of each sequence, and of each video with several, in their order."""
    found, videos = {}, defaultdict(list)
    for row in (each for each in rows if each["label"] == label):
        found[row["sequence"]] = row["subject"], pictures[row["sequence"]]
        video, _, place = row["sequence"].rpartition("_")
        videos[row["subject"], video].append((int(place), row["sequence"]))
    for (subject, video), parts in videos.items():
        if len(parts) > 1 and label != "print":
            found[video] = subject, [picture for _, name in sorted(parts) for picture in pictures[name]]
    return found


@pytest.fixture
def door_before(tmp_path, choice, engine, rows, pictures):
    """A door before a camera, to which a subject is known by a picture of a real sequence where there is one; of a subject of
    attacks alone by an attack, which is the worst case.
    """
    ways, numbers = comparators(choice), iter(range(10**6))

    def made(subject, camera, size, rules, engine=engine):
        door = Doorstep(tmp_path / str(next(numbers)), engine, ways, camera, rules, size)
        theirs = sorted((each for each in rows if each["subject"] == subject), key=lambda each: each["label"] != "real")
        every = (picture for row in theirs for picture in pictures[row["sequence"]])
        limits = DetectLimits(count=1)
        door.know(subject, next(each for each in every if engine.detect(CameraFrame(each, 0.0), limits)))
        return door

    return made


def decided(door):
    """The decision, at the end of all its steps."""
    outcome = door.ask()
    while isinstance(outcome, PendingStep):
        outcome = door.decider.wait(outcome.handle)
    return outcome.decision


def draws(door, count, seed):
    """Reasons of decisions that begin anywhere in a film."""
    draw, found = random.Random(seed), Counter()
    time.sleep(4 * SHOWN + 0.5)
    for _ in range(count):
        time.sleep(draw.uniform(0, 4 * SHOWN))
        found[decided(door).reason] += 1
    return found


@pytest.mark.parametrize("label", ["replay", "print"])
def test_no_attack_is_granted_wherever_a_decision_begins(rows, pictures, engine, door_before, label):
    shown, remembering = films(rows, pictures, label), Remembering(engine)
    with ExitStack() as stack:
        doors = {}
        for name, (subject, film) in shown.items():
            height, width = film[0].shape[:2]
            door = door_before(subject, Film(film), (width, height), UNSURE.rules, remembering)
            doors[name] = stack.enter_context(door)
        with ThreadPoolExecutor(len(doors)) as threads:
            jobs = {name: threads.submit(draws, door, DRAWS[label], name) for name, door in doors.items()}
        found = {name: job.result() for name, job in jobs.items()}
    print(json.dumps(found, indent=1))
    print(label, len(found), "films", json.dumps(sum(found.values(), Counter())))
    assert {each.total() for each in found.values()} == {DRAWS[label]}
    assert sum(each["granted"] for each in found.values()) == 0


@pytest.fixture(scope="module")
def turns(rows, pictures, engine):
    """Subject, prompt, pictures of looking ahead and turned as the prompt says, of each such turn in the real videos."""
    found = {}
    for name, (subject, film) in films(rows, pictures, "real").items():
        seen = [(picture, engine.detect(CameraFrame(picture, 0.0), DetectLimits())) for picture in film]
        posed = [(picture, faces[0].pose) for picture, faces in seen if len(faces) == 1]
        ahead = [(picture, pose) for picture, pose in posed if max(abs(pose.yaw), abs(pose.pitch)) < 8]
        if len(film) == 4 or len(ahead) < 2:
            continue
        base = np.median([pose[:2] for _, pose in ahead], axis=0)
        for prompt in (Prompt.TURN_LEFT, Prompt.TURN_RIGHT, Prompt.LOOK_UP):
            turned = [picture for picture, pose in posed if _direction(np.array(pose[:2]) - base) is prompt]
            if len(turned) > 1:
                found[name, prompt.value] = subject, prompt, [picture for picture, _ in ahead], turned
    return found


def test_people_who_turn_as_asked_are_granted(turns, engine, door_before):
    """Each turn with the waits and the moments of several draws; what is asked is what the video shows."""
    draw, ends, unsure = random.Random(6), Counter(), Counter()
    for (name, _), (subject, prompt, ahead, turned) in turns.items():
        height, width = ahead[0].shape[:2]
        door = door_before(subject, Film(ahead), (width, height), ANY_CLOCK)
        for _ in range(TURNS):
            person = Person(ahead, turned, draw.uniform(0, 10))
            frames = RecentFrames(person, person.ring)
            observer = SubjectObserver(door.engines, frames, Mounting(0, mirror=False), door.passes, liveness=True)
            before = observer._examined(engine, person.four(), door.recognition)
            unsure[UNSURE.judge(replace(FLAWLESS, seen=before)).reason.value] += 1
            watch = person.watch = observer.watch(1, door.recognition, before.subject and before.subject.person)
            watch._clock, watch.challenge._draw = lambda shown=person: shown.now, lambda _, prompt=prompt: prompt
            while watch.challenge.response is None:
                watch.go_on()
            after = observer._examined(engine, person.four(), door.recognition)
            facts = replace(FLAWLESS, seen=after, given=Given(challenge=watch.challenge.response))
            reason = ALWAYS.judge(facts).reason.value
            ends[f"{name}, {prompt}: challenge {watch.challenge.response}, {reason}"] += 1
        door.gallery.close()
    print(len(turns), "turns", json.dumps(ends, indent=1), "first look, unsure:", json.dumps(unsure))
    assert sum(count for end, count in ends.items() if "challenge passed" in end) >= 0.95 * ends.total()
