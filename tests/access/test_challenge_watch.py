"""A challenge at the camera: real frames of a head that turns, in time that is counted in frames: a busy computer changes
nothing.
"""

import pytest
from devices import pool
from doors import FourFrames, empty, head, heads, side_by_side
from living import stirred
from turning import Head

from appliance.access.challenge import Response
from appliance.access.enrol import Prompt
from appliance.access.observe import ChallengeWatch, RecentFrames
from appliance.camera.source import CameraError, CameraFrame, Ring

PERIOD, REACTION = 0.1, 0.4

WAYS = {
    Prompt.LOOK_FRONT: [(0, 0)],
    Prompt.TURN_LEFT: [(15, 0), (30, 0), (45, 0)],
    Prompt.TURN_RIGHT: [(-15, 0), (-30, 0), (-45, 0)],
    Prompt.LOOK_UP: [(0, 12), (0, 24), (0, 35)],
}


class Mirror:
    """A camera in front of a person who does what the watched challenge asks; each look at it is a new frame."""

    demonstration = False

    def __init__(self, poses, obeys=lambda prompt: prompt):
        self.ring, self.now, self.count = Ring(), 0.0, 0
        self._poses, self._obeys = poses, obeys
        self.watch, self.spoil = None, lambda pixels, _: pixels
        self._asked, self._since, self._pose = Prompt.LOOK_FRONT, 0.0, (0, 0)

    def usable(self):
        prompt = self.watch.challenge.prompt
        if prompt is not self._asked:
            self._asked, self._since = prompt, self.now
        if self.now - self._since > REACTION:
            way = WAYS[self._obeys(prompt)]
            step = min(len(way) - 1, int((self.now - self._since - REACTION) / 0.2))
            self._pose = way[step]
        self.now, self.count = self.now + PERIOD, self.count + 1
        pixels = head(stirred(self._poses[self._pose], self.count), self.count % 7)
        self.ring.publish(CameraFrame(self.spoil(pixels, self.count), self.now))


@pytest.fixture(scope="module")
def poses(engine, photos):
    person = Head.of(photos["hopper"], engine)
    return {pose: person.turned(*pose) for way in WAYS.values() for pose in way}


@pytest.fixture
def watched(engine, poses, doorstep, photos):
    """A challenge for one of two people who are known, Hopper by default, and the camera that watches it."""
    with doorstep(FourFrames(heads(*[photos["hopper"]] * 4))) as door:
        people = {name: door.know(name, photos[name]) for name in ("hopper", "portrait")}

        def made(prompts=1, obeys=lambda prompt: prompt, of="hopper"):
            camera = Mirror(poses, obeys)
            frames = RecentFrames(camera, camera.ring)
            person = people.get(of)
            camera.watch = ChallengeWatch(
                pool(engine), frames, lambda face: True, prompts, door.recognition, person, lambda: camera.now
            )
            return camera

        yield made


def concluded(camera):
    """The prompts in their order, and how the challenge ended."""
    asked = []
    while camera.watch.challenge.response is None:
        asked.append(camera.watch.challenge.prompt)
        camera.watch.go_on()
    return asked, camera.watch.challenge.response


def test_a_person_who_turns_as_asked_passes(watched):
    asked, response = concluded(watched(2))
    assert response is Response.PASSED
    assert asked[::2] == [Prompt.LOOK_FRONT] * 3


def test_somebody_else_cannot_answer_for_the_person_whom_the_decision_is_about(watched):
    asked, response = concluded(watched(of="portrait"))
    assert response is Response.ANOTHER_PERSON
    assert asked == [Prompt.LOOK_FRONT]  # they do not get as far as a turn


def test_for_a_person_without_a_known_face_anybody_s_answers_count(watched):
    assert concluded(watched(of=None))[1] is Response.PASSED


def test_a_person_who_turns_elsewhere_fails(watched):
    other = {Prompt.TURN_LEFT: Prompt.TURN_RIGHT, Prompt.TURN_RIGHT: Prompt.LOOK_UP, Prompt.LOOK_UP: Prompt.TURN_LEFT}
    assert concluded(watched(obeys=lambda prompt: other.get(prompt, prompt)))[1] is Response.OTHER_DIRECTION


def test_a_person_who_does_nothing_fails(watched):
    assert concluded(watched(obeys=lambda _: Prompt.LOOK_FRONT))[1] is Response.TOO_SLOW


@pytest.mark.parametrize("gone", ["away", "two"])
def test_a_person_who_goes_away_or_is_joined_fails(watched, photos, gone):
    camera = watched()
    other = empty(1) if gone == "away" else side_by_side(photos["hopper"], photos["portrait"], 1)
    camera.spoil = lambda pixels, count: pixels if count < 4 else other
    assert concluded(camera)[1] is Response.LOST


def test_another_person_at_the_same_place_fails(watched, engine, photos):
    other = Head.of(photos["portrait"], engine).pixels
    camera = watched()
    camera.spoil = lambda pixels, count: pixels if count < 4 else head(stirred(other, count), count % 7)
    assert concluded(camera)[1] in (Response.ANOTHER_PERSON, Response.LOST)


def test_a_camera_that_fails_loses_the_face(watched):
    camera = watched()

    def failing(pixels, count):
        if count > 3:
            raise CameraError("the cable is pulled")
        return pixels

    camera.spoil = failing
    assert concluded(camera)[1] is Response.LOST
