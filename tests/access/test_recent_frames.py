"""The frames of a decision: four, apart, of now, the newest of them taken after the question came."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from cameras import frame

from appliance.access.observe import FRESH_SECONDS, PATIENCE_SECONDS, SPAN_SECONDS, RecentFrames
from appliance.camera.source import CameraError, Ring

PIXELS = np.zeros((4, 4, 3), np.uint8)


class Usable:
    """A camera that works, or does not."""

    demonstration = False
    trouble = ""

    def usable(self):
        if self.trouble:
            raise CameraError(self.trouble)


@pytest.fixture
def ring():
    return Ring()


def shown(ring, *ago):
    """Frames that were taken so many seconds ago."""
    now = time.monotonic()
    for seconds in ago:
        ring.publish(frame(PIXELS.copy(), now - seconds))
    return now


def test_the_newest_is_taken_after_the_question(ring):
    asked = shown(ring, 0.93, 0.62, 0.31, 0.0) + 0.0001
    later = threading.Timer(0.05, lambda: ring.publish(frame(PIXELS.copy(), time.monotonic())))
    later.start()
    frames = RecentFrames(Usable(), ring).since(asked)
    later.join()
    assert len(frames) == 4
    assert frames[-1].captured >= asked
    assert frames[-1].sequence == 5


@pytest.mark.parametrize("demonstrates", [False, True])
def test_a_demonstration_counts_only_where_a_decision_opens_nothing(ring, demonstrates):
    camera = Usable()
    camera.demonstration = True
    asked = shown(ring, 0.93, 0.62, 0.31, 0.0)
    frames = RecentFrames(camera, ring, demonstrates=lambda: demonstrates)
    assert frames.demonstration
    if demonstrates:
        assert len(frames.since(asked)) == 4
    else:
        with pytest.raises(CameraError, match="demonstration"):
            frames.since(asked)


def test_the_newest_may_be_there_already(ring):
    asked = shown(ring, 0.93, 0.62, 0.31, 0.0)
    assert [each.sequence for each in RecentFrames(Usable(), ring).since(asked)] == [1, 2, 3, 4]


NEVER_ENOUGH = [
    (0.93, 0.62, 0.0),
    (SPAN_SECONDS + 0.4, 0.62, 0.31, 0.0),
    (FRESH_SECONDS + 0.98, FRESH_SECONDS + 0.67, FRESH_SECONDS + 0.36, FRESH_SECONDS + 0.05),
    (),
]


def test_too_few_or_too_far_apart_or_too_old():
    def is_waited_for_in_vain(ago):
        ring = Ring()
        shown(ring, *ago)
        begun = time.monotonic()
        with pytest.raises(CameraError, match=f"{PATIENCE_SECONDS:g} s"):
            RecentFrames(Usable(), ring).since(begun - 10)
        assert time.monotonic() - begun >= PATIENCE_SECONDS

    with ThreadPoolExecutor(len(NEVER_ENOUGH)) as threads:
        assert len([*threads.map(is_waited_for_in_vain, NEVER_ENOUGH)]) == 4


def test_a_camera_in_trouble_is_not_waited_for(ring):
    camera = Usable()
    camera.trouble = "the cable is pulled"
    with pytest.raises(CameraError, match="the cable is pulled"):
        RecentFrames(camera, ring).since(shown(ring, 0.93, 0.62, 0.31, 0.0))


def test_the_end_of_the_device_is_not_waited_for(ring):
    ring.close()
    begun = time.monotonic()
    with pytest.raises(CameraError):
        RecentFrames(Usable(), ring).since(begun)
    assert time.monotonic() - begun < PATIENCE_SECONDS / 2
