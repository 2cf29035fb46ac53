"""Which face starts a decision by itself, by scripted frames; and what is decided then."""

import threading
import time
from contextlib import contextmanager
from datetime import UTC, datetime
from itertools import pairwise

import numpy as np
import pytest
from decisions import GRANTED, token_of
from devices import until

from appliance.access.token import Direction, SignedDecision, Trigger
from appliance.access.trigger import GONE_SECONDS, Approach, DoorTrigger, StillThere, Zone
from appliance.camera.source import CameraFrame, Ring
from appliance.events import Broadcast, DoorEvent, DoorEventKind, FacesSeen, SeenFace
from appliance.face.types import Box, Detection, Face, Pose
from appliance.faults import Fault, ResultCode
from appliance.vision.quality import Quality

WIDTH, HEIGHT = 1280, 720
SPAN = 1.2
"""Seconds from the oldest frame of a decision to the newest."""

PERIOD = 0.2
QUALITY = Quality(1, 1, 1, 1, 1)


def face(number, x=640.0, y=360.0, side=150.0, *, upright=True):
    box = Box(x - side / 2, y - side / 2, side, side)
    detection = Detection(box, np.zeros((5, 2), np.float32), 0.9)
    return SeenFace(number, Face(detection, np.zeros((106, 2), np.float32), Pose(0, 0, 0), upright), QUALITY)


def seen(*faces):
    return FacesSeen(1, 0.0, WIDTH, HEIGHT, faces)


class Scene:
    """Shows faces to an `Approach`, five times a second, and grants what it starts, or not."""

    def __init__(self, *, granted=True, **changed):
        settings = {"least_side": 96, "region": (0, 0, 1, 1), "pause_s": 5, **changed}
        self.approach = Approach(Zone(settings["least_side"], settings["region"]), settings["pause_s"])
        self.now, self.granted = 100.0, granted
        self.started = []

    def show(self, seconds, *makers):
        """For so long; each maker makes a face of the time since the begin (seconds)."""
        begin = self.now
        while self.now < begin + seconds - 1e-6:
            self.now += PERIOD
            number = self.approach.seen(
                seen(*(make(self.now - begin) for make in makers)),
                self.now,
                [self.now - SPAN * part / 3 for part in (3, 2, 1, 0)],
            )
            if number is not None:
                self.started.append((number, round(self.now - begin, 1)))
                self.approach.decided(number, self.now, granted=self.granted)


def walks_up(number, **where):
    """Comes within a second, from far away to 150 pixels, and stands there."""
    return lambda t: face(number, side=min(150.0, 50 + 100 * t), **where)


def stands(number, x=640.0, side=150.0):
    """Stands there, as a person does: not quite still."""
    return lambda t: face(number, x + 4 * np.sin(5 * t), side=side)


def test_a_person_who_comes_near_and_stands_there_starts_one_decision():
    scene = Scene()
    scene.show(30, walks_up(1))
    assert scene.started == [(1, 1.8)]  # they stand there from 1.0 s on


def test_after_a_grant_it_takes_another_face():
    scene = Scene()
    scene.show(20, walks_up(1))
    scene.show(2)
    scene.show(10, walks_up(2))
    assert [number for number, _ in scene.started] == [1, 2]


def test_a_face_that_is_denied_is_tried_again_and_less_and_less_often():
    scene = Scene(granted=False)
    scene.show(250, walks_up(1))
    times = [moment for _, moment in scene.started]
    pauses = [later - earlier for earlier, later in pairwise(times)]
    assert pauses[:4] == pytest.approx([5, 10, 20, 40], abs=0.5)
    assert pauses[4:] == pytest.approx([60] * len(pauses[4:]), abs=0.5)


def test_there_is_a_pause_between_two_faces():
    scene = Scene(granted=False)
    scene.show(3, walks_up(1))
    scene.show(20, walks_up(2))
    first, second = scene.started[:2]
    assert second == (2, pytest.approx(first[1] - 3 + 5, abs=0.3))


@pytest.mark.parametrize(
    ("makers", "changed"),
    [
        ([lambda t: face(1, side=90)], {}),
        ([lambda t: face(1, side=50 + 10 * t)], {"least_side": 200}),
        ([lambda t: face(1, x=100 + 500 * t)], {}),
        ([lambda t: face(1, x=640 + 0.5 * np.sin(60 * t))], {}),
        ([walks_up(1), walks_up(2, x=900)], {}),
        ([walks_up(1, x=100)], {"region": (0.25, 0, 0.75, 1)}),
        ([walks_up(1, y=700)], {"region": (0, 0, 1, 0.9)}),
        ([walks_up(1, upright=False)], {}),
    ],
    ids=["far", "too small", "walks by", "poster", "two", "beside the region", "below the region", "turned"],
)
def test_it_is_silent(makers, changed):
    scene = Scene(**changed)
    scene.show(4, *makers)
    assert scene.started == []


def test_a_queue_and_a_poster_behind_do_not_matter():
    scene = Scene()
    scene.show(9, walks_up(1), stands(2, x=300, side=80), stands(3, x=1000, side=70))
    assert [number for number, _ in scene.started] == [1]


def test_a_second_one_who_is_near_is_waited_for_until_no_frame_has_them():
    scene = Scene()
    scene.show(4, walks_up(1), stands(2, x=1000))
    scene.show(4, stands(1))
    ((number, moment),) = scene.started
    assert number == 1
    assert moment >= SPAN


def test_who_comes_running_is_waited_for_until_the_frames_follow_them():
    """Four times as large within half a second: a decision would not find one face in its frames."""
    scene = Scene()
    scene.show(5, lambda t: face(1, side=min(240.0, 60 + 360 * t)))
    ((_, moment),) = scene.started
    assert moment >= 0.5 + SPAN - 0.4


def test_without_frames_it_waits():
    approach = Approach(Zone(96), 5)
    make = walks_up(1)
    for step in range(40):
        assert approach.seen(seen(make(step * PERIOD)), step * PERIOD, ()) is None


class Decisions:
    """What is decided, and why not."""

    def __init__(self, fault=None):
        self.asked, self.fault = [], fault

    def __call__(self, nonce, direction, trigger, since, present):
        self.asked.append((nonce, direction, trigger, since))
        if self.fault:
            raise self.fault
        return SignedDecision(GRANTED, token_of(), "access granted", None)


@contextmanager
def at_work(decisions, trigger, pause_s=1.0):
    bus, ring = Broadcast(), Ring()
    made = DoorTrigger(trigger, 96, (0, 0, 1, 1), pause_s, "out", decisions, bus, ring)
    thread = threading.Thread(target=made.run)
    thread.start()
    yield bus, ring
    made.stop()
    thread.join(5)
    assert not thread.is_alive()


def test_a_button_starts_a_decision_and_the_next_one_after_the_pause():
    decisions = Decisions()
    with at_work(decisions, "button") as (bus, _):
        for kind in (DoorEventKind.EXIT, DoorEventKind.BUTTON, DoorEventKind.BUTTON):
            bus.publish(DoorEvent(kind, datetime.now(UTC)))
        assert until(lambda: decisions.asked)
        time.sleep(1.1)
        bus.publish(DoorEvent(DoorEventKind.BUTTON, datetime.now(UTC)))
        assert until(lambda: len(decisions.asked) == 2)
        assert not bus.listeners  # no picture is analysed meanwhile
    (first, direction, trigger, since), (second, *_) = decisions.asked
    assert (direction, trigger) == (Direction.OUT, Trigger.BUTTON)
    assert first != second
    assert len(first) == 43
    assert 0 <= time.monotonic() - since < 5


def test_faces_start_decisions_about_frames_they_are_in(caplog):
    decisions = Decisions(Fault(ResultCode.NOT_READY, "busy"))
    with at_work(decisions, "approach") as (bus, ring):
        assert until(lambda: bus.listeners)
        begin = time.monotonic()
        while not decisions.asked and time.monotonic() - begin < 20:
            t = time.monotonic() - begin
            ring.publish(CameraFrame(np.zeros((2, 2, 3), np.uint8), time.monotonic()))
            bus.publish(seen(walks_up(1)(t)))
            time.sleep(0.1)
    ((_, _, trigger, since),) = decisions.asked
    assert trigger is Trigger.APPROACH
    assert since - begin >= 1.2  # four frames and a moment of standing
    assert [record.message for record in caplog.records if "no decision" in record.message] == [
        "no decision is made: INF-08 FaceSDK not ready. (busy)"
    ]


def test_a_person_is_gone_after_some_seconds_without_a_near_face():
    bus, now = Broadcast(), [100.0]
    with bus.subscribed(FacesSeen) as subscription:
        present = StillThere(subscription, Zone(96), lambda: now[0])
        for faces, seconds, there in (
            ([face(1)], 3, True),
            ([], 5, True),  # 8 s: a PIN of eight digits
            ([face(2)], GONE_SECONDS - 0.1, True),
            ([face(1, side=80)], 0.2, False),
            ([face(1)], 0, True),
        ):
            bus.publish(seen(*faces))
            present()
            now[0] += seconds
            assert present() is there
