"""The stages of a request: each counts its own time once, and only for who records."""

import threading
import time

import pytest

from appliance.stages import recording, stage


def test_a_stage_is_timed():
    with recording() as recorder, stage("decode"):
        time.sleep(0.02)
    assert recorder.seconds.keys() == {"decode"}
    assert 0.02 <= recorder.seconds["decode"] < 1


def test_one_inside_another_is_not_counted_twice():
    with recording() as recorder, stage("detect"):
        time.sleep(0.02)
        for _ in range(2):
            with stage("decode"):
                time.sleep(0.03)
        time.sleep(0.02)
    assert recorder.seconds["decode"] == pytest.approx(0.06, abs=0.02)
    assert recorder.seconds["detect"] == pytest.approx(0.04, abs=0.02)


def test_the_same_again_is_added_up():
    with recording() as recorder:
        for _ in range(3):
            with stage("align"):
                time.sleep(0.01)
    assert 0.03 <= recorder.seconds["align"] < 1


def test_a_stage_that_fails_is_timed_too():
    with recording() as recorder:
        with pytest.raises(ZeroDivisionError), stage("embed"):
            raise ZeroDivisionError
        with stage("decode"):
            pass
    assert list(recorder.seconds) == ["embed", "decode"]


def test_without_a_recorder_nothing_happens():
    with stage("decode"):
        pass
    with recording() as recorder:
        pass
    assert recorder.seconds == {}


def test_a_recorder_inside_another_has_its_own_stages():
    with recording() as outer, stage("outer"), recording() as inner, stage("inner"):
        pass
    assert (list(outer.seconds), list(inner.seconds)) == (["outer"], ["inner"])


def test_other_threads_are_not_recorded():
    def work():
        with stage("elsewhere"):
            pass

    with recording() as recorder:
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
    assert recorder.seconds == {}
