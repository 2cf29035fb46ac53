"""The observer, on a real engine and a real ring."""

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from cameras import noisy, on_canvas
from devices import shipped_engine, until

from appliance.camera.source import CameraFrame, Ring
from appliance.events import BACKLOG, Appeared, Broadcast, Event, FacesSeen, Left, LivenessJudged, Subscription
from appliance.face.types import Pixels
from appliance.faults import Fault, ResultCode
from appliance.observation.mounting import Mounting
from appliance.observation.observer import Observer
from appliance.vision import loading
from appliance.vision.engine import FaceEngine
from appliance.vision.loading import Choice
from appliance.vision.manifest import Role


class Stage:
    """An observer on a thread, before a ring that a test fills."""

    def __init__(self, engine: Callable[[], FaceEngine | None]) -> None:
        self.ring, self.broadcast = Ring(), Broadcast()
        self.made = 0
        self._engine = engine
        self.observer = Observer(self.ring, self._make, self.broadcast, Mounting(0, mirror=False), 30, liveness=True)
        self._thread = threading.Thread(target=self.observer.run, name="observer")
        self._thread.start()

    def _make(self) -> FaceEngine | None:
        self.made += 1
        return self._engine()

    def play(self, picture: Callable[[int], Pixels], seconds: float, period: float = 0.05) -> None:
        for number in range(round(seconds / period)):
            self.ring.publish(CameraFrame(picture(number), time.monotonic()))
            time.sleep(period)

    def end(self) -> None:
        self.observer.stop()
        self._thread.join()


@pytest.fixture
def stage(choice: Choice) -> Iterator[Stage]:
    started = Stage(lambda: shipped_engine(choice))
    yield started
    started.end()


def heard(subscription: Subscription) -> list[Event]:
    events = []
    while (event := subscription.next(0.1)) is not None:
        events.append(event)
    return events


def of(events: list[Event], kind: type[Any]) -> list[Any]:
    return [event for event in events if isinstance(event, kind)]


def test_liveness_is_not_judged_for_those_who_do_not_listen_to_it(stage: Stage, portrait: bytes) -> None:
    judged: list[LivenessJudged] = []
    stage.broadcast.subscribe(LivenessJudged, judged.append)
    with stage.broadcast.subscribed(FacesSeen) as subscription:
        stage.play(noisy(on_canvas(portrait)), 2.5)
        events = heard(subscription)
    assert len(of(events, FacesSeen)) == len(events) > 0
    assert judged == []


def test_a_face_appears_is_judged_and_leaves(stage: Stage, portrait: bytes) -> None:
    room = np.random.default_rng(0).integers(90, 130, (360, 640, 3), np.uint8)
    with stage.broadcast.subscribed() as subscription:
        stage.play(noisy(on_canvas(portrait)), 2.5)
        stage.play(noisy(room), 1.6)
        events = heard(subscription)
    assert of(events, Appeared) == [Appeared(1)]
    seen = of(events, FacesSeen)
    assert [face.number for face in seen[0].faces] == [1]
    assert 0.2 < seen[0].faces[0].quality.overall <= 1
    assert (seen[0].width, seen[0].height) == (640, 360)
    assert 0 <= seen[0].age_s < 2
    assert seen[-1].faces == ()
    assert events.index(Appeared(1)) < events.index(seen[0])
    judged = of(events, LivenessJudged)
    assert judged
    assert all(event.number == 1 and 0 <= event.confidence <= 1 for event in judged)
    (left,) = of(events, Left)
    assert left.number == 1
    assert 1.5 < left.seconds < 4


def test_at_one_frame_a_second_a_face_is_still_one_face(stage: Stage, portrait: bytes) -> None:
    with stage.broadcast.subscribed() as subscription:
        stage.play(noisy(on_canvas(portrait)), 5.4, 0.9)
        events = heard(subscription)
    assert of(events, Appeared) == [Appeared(1)]
    assert of(events, LivenessJudged)


def test_a_fault_is_reported_once(choice: Choice, portrait: bytes, caplog: pytest.LogCaptureFixture) -> None:
    broken = loading.build({**choice, Role.DETECTOR: Fault(ResultCode.INITIALIZE, "damaged")}, 1)
    stage = Stage(lambda: broken)
    try:
        with stage.broadcast.subscribed():
            stage.play(noisy(on_canvas(portrait)), 1)
    finally:
        stage.end()
    assert [record.message for record in caplog.records if "damaged" in record.message] == [
        "the live picture cannot be analysed: INF-06 FaceSDK - Initialize Error. (damaged)"
    ]


def test_nothing_is_done_while_no_one_listens(stage: Stage, portrait: bytes) -> None:
    stage.play(noisy(on_canvas(portrait)), 0.5)
    assert stage.made == 0
    with stage.broadcast.subscribed() as subscription:
        stage.play(noisy(on_canvas(portrait)), 0.5)
        assert of(heard(subscription), FacesSeen)
    time.sleep(0.7)
    stage.play(noisy(on_canvas(portrait)), 0.3)
    with stage.broadcast.subscribed() as late:
        assert not of([event for event in [late.next(0.05)] if event], Left)
    assert until(lambda: stage.made == 2), "it makes an engine anew for a new listener"


def test_it_waits_for_models(portrait: bytes, choice: Choice) -> None:
    ready = threading.Event()
    stage = Stage(lambda: shipped_engine(choice) if ready.is_set() else None)
    try:
        with stage.broadcast.subscribed() as subscription:
            stage.play(noisy(on_canvas(portrait)), 0.3)
            assert heard(subscription) == []
            ready.set()
            stage.play(noisy(on_canvas(portrait)), 1.5)
            assert of(heard(subscription), FacesSeen)
    finally:
        stage.end()


def test_it_ends_while_a_frame_is_awaited(stage: Stage) -> None:
    with stage.broadcast.subscribed():
        assert until(lambda: stage.made == 1)
        begun = time.monotonic()
        stage.end()
        assert time.monotonic() - begun < 2


def test_a_slow_listener_keeps_the_newest() -> None:
    broadcast = Broadcast()
    with broadcast.subscribed() as slow:
        for number in range(BACKLOG + 10):
            broadcast.publish(Appeared(number))
        assert [event.number for event in of(heard(slow), Appeared)] == list(range(10, BACKLOG + 10))


def test_of_the_faces_a_slow_listener_gets_the_newest_alone() -> None:
    broadcast = Broadcast()
    with broadcast.subscribed() as slow:
        broadcast.publish(Appeared(1))
        for number in range(100):
            broadcast.publish(FacesSeen(number, 0.0, 4, 4, ()))
        broadcast.publish(Appeared(2))
        broadcast.publish(FacesSeen(100, 0.0, 4, 4, ()))
        events = heard(slow)
    assert [getattr(event, "sequence", None) for event in events] == [None, 99, None, 100]


def test_each_listener_receives_everything_and_only_while_it_listens() -> None:
    broadcast = Broadcast()
    with broadcast.subscribed() as a:
        broadcast.publish(Appeared(1))
        with broadcast.subscribed() as b:
            assert broadcast.listeners == 2
            broadcast.publish(Appeared(2))
            assert heard(b) == [Appeared(2)]
        broadcast.publish(Appeared(3))
        assert heard(a) == [Appeared(1), Appeared(2), Appeared(3)]
        assert b.next(0.01) is None
    assert broadcast.listeners == 0
    assert not broadcast.listened_to(0.01)
