"""The ring of the newest frames."""

import threading
import time
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.camera.source import KEPT, SPACING, CameraFrame, Ring


def grey(value: int, captured: float) -> CameraFrame:
    return CameraFrame(np.full((4, 6, 3), value, np.uint8), captured)


def test_frames_are_numbered_and_the_newest_is_given() -> None:
    ring = Ring()
    assert ring.newest() is None
    assert [ring.publish(grey(value, value)).sequence for value in (7, 8, 9)] == [1, 2, 3]
    newest = ring.newest()
    assert newest is not None
    assert (newest.sequence, newest.pixels[0, 0, 0]) == (3, 9)
    assert ring.newest(after=2) is newest
    assert ring.newest(after=3) is None


def test_a_published_frame_cannot_be_written_to() -> None:
    pixels = np.zeros((4, 6, 3), np.uint8)
    Ring().publish(CameraFrame(pixels, 0))
    with pytest.raises(ValueError, match="read-only"):
        pixels[0, 0, 0] = 1


def test_a_frame_is_not_copied() -> None:
    ring = Ring()
    frame = grey(1, 0)
    ring.publish(frame)
    newest = ring.newest()
    assert newest is not None
    assert newest.pixels is frame.pixels


def test_who_waits_gets_the_next_frame() -> None:
    ring = Ring()
    ring.publish(grey(1, 1))
    timer = threading.Timer(0.05, ring.publish, [grey(2, 2)])
    timer.start()
    found = ring.newest(after=1, timeout=5)
    timer.join()
    assert found is not None
    assert found.sequence == 2


def test_closing_wakes_who_waits() -> None:
    ring = Ring()
    timer = threading.Timer(0.05, ring.close)
    timer.start()
    begun = time.monotonic()
    assert ring.newest(timeout=30) is None
    assert ring.spaced(4, 0.3, timeout=30) == []
    assert time.monotonic() - begun < 10
    timer.join()
    assert ring.closed


def test_cleared_frames_are_gone_and_numbers_go_on() -> None:
    ring = Ring()
    for second in range(5):
        ring.publish(grey(second, second))
    ring.clear()
    assert ring.newest() is None
    assert ring.spaced(4, 0.3) == []
    assert ring.publish(grey(9, 9)).sequence == 6


@given(
    st.lists(st.floats(0.001, 0.5), min_size=1, max_size=80),
    st.integers(1, KEPT),
    st.floats(0.01, SPACING),
)
def test_spaced_frames_keep_their_distance(distances: list[float], count: int, gap: float) -> None:
    ring = Ring()
    now = 0.0
    for number, distance in enumerate(distances):
        now += distance
        ring.publish(grey(number % 256, now))
    found = ring.spaced(count, gap)
    assert len(found) in (0, count)
    assert all(b.captured - a.captured >= gap for a, b in pairwise(found))
    if found:
        assert found[-1] is ring.newest()
    elif now - distances[0] > 2 * count * SPACING + 0.5:
        pytest.fail("there were enough frames")


def test_frames_are_whole_while_one_thread_writes_and_others_read() -> None:
    ring = Ring()
    done = threading.Event()
    torn = []

    def reading() -> None:
        after = 0
        while not done.is_set():
            found = ring.newest(after, 0.1)
            if found is not None:
                after = found.sequence
                if found.pixels.min() != found.pixels.max() or found.pixels[0, 0, 0] != found.captured % 256:
                    torn.append(found.sequence)

    readers = [threading.Thread(target=reading) for _ in range(3)]
    for reader in readers:
        reader.start()
    for number in range(2000):
        ring.publish(CameraFrame(np.full((90, 160, 3), number % 256, np.uint8), float(number)))
    done.set()
    for reader in readers:
        reader.join()
    assert torn == []


def test_the_small_picture_is_taken_where_it_suffices() -> None:
    frame = CameraFrame(np.zeros((720, 1280, 3), np.uint8), 0, np.zeros((360, 640, 3), np.uint8))
    assert (frame.width, frame.height) == (1280, 720)
    assert (frame.frame(0.25).scale, frame.frame(0.25).width) == (0.5, 640)
    assert (frame.frame(0.5).scale, frame.frame(0.5).width) == (0.5, 640)
    assert (frame.frame(0.51).scale, frame.frame(0.51).width) == (1.0, 1280)
