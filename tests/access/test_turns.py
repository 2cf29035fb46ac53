"""One decision at a time, and none that has been asked for twice."""

import threading
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import pytest
from decisions import Clocks
from devices import until

from appliance.access.turns import LIFE_SECONDS, MOST, AnsweredNonces, Turns
from appliance.faults import Fault


def test_one_at_a_time():
    turns, inside, most = Turns(waiting=7, patience=10, rest=0.01), [], []

    def turn(_):
        with turns.one():
            inside.append(1)
            most.append(len(inside))
            inside.pop()

    with ThreadPoolExecutor(8) as people:
        list(people.map(turn, range(8)))
    assert most == [1] * 8


def test_who_waits_too_long_and_who_finds_others_waiting():
    turns, leave = Turns(waiting=1, patience=0.3), threading.Event()
    failed = []

    def stay():
        with turns.one():
            leave.wait(10)

    def wait():
        with pytest.raises(Fault) as caught, turns.one():
            pass
        failed.append(caught.value)

    first, second = threading.Thread(target=stay), threading.Thread(target=wait)
    first.start()
    assert until(turns._turn.locked)
    second.start()
    assert until(lambda: turns._places._value == 0)
    with pytest.raises(Fault, match="others wait") as caught, turns.one():
        pass
    second.join()
    leave.set()
    first.join()
    assert "longer than 0.3 s" in str(failed[0])
    for fault in (caught.value, failed[0]):
        assert (fault.code.text, fault.status, fault.retry_after) == ("INF-08", 503, 1)
    with turns.one():
        pass


def test_a_turn_begins_no_sooner_than_something_new_can_be_seen():
    turns, begun = Turns(rest=0.05), []
    for _ in range(4):
        with turns.one():
            begun.append(turns._begun)
    assert all(later - earlier >= 0.05 for earlier, later in pairwise(begun))


def test_whatever_goes_wrong_in_a_turn_ends_it():
    turns = Turns(waiting=0, patience=0.01)
    for _ in range(3):
        with pytest.raises(ZeroDivisionError), turns.one():
            raise ZeroDivisionError


def test_a_nonce_is_remembered_for_its_life():
    clocks = Clocks()
    answered = AnsweredNonces(clocks.monotonic)
    assert "a" not in answered
    answered.add("a")
    clocks.pass_by(LIFE_SECONDS)
    assert "a" in answered
    clocks.pass_by(0.01)
    assert "a" not in answered


def test_an_answer_again_begins_a_new_life():
    clocks = Clocks()
    answered = AnsweredNonces(clocks.monotonic)
    answered.add("a")
    clocks.pass_by(LIFE_SECONDS - 1)
    answered.add("b")
    answered.add("a")
    clocks.pass_by(2)
    assert "a" in answered


def test_nonces_do_not_pile_up():
    clocks = Clocks()
    answered = AnsweredNonces(clocks.monotonic)
    for number in range(MOST + 10):
        answered.add(str(number))
    assert len(answered._answered) == MOST
    assert "9" not in answered
    assert "10" in answered
    clocks.pass_by(LIFE_SECONDS + 1)
    answered.add("later")
    assert list(answered._answered) == ["later"]
