"""The queue of an output: bounded, counted, never in the way of who puts something in."""

import logging
import threading
import time

from hypothesis import given
from hypothesis import strategies as st
from told import signed

from appliance.outputs.queue import DecisionQueue, DeliveryCounts, Queued


def test_what_is_put_in_comes_out_in_order():
    waiting, decisions = DecisionQueue("x", 8), [signed() for _ in range(5)]
    for each in decisions:
        waiting.put(each)
    assert [waiting.take().message for _ in decisions] == decisions
    assert waiting.counts() == DeliveryCounts(0, 0, 5)  # taken, and not settled yet


def test_the_oldest_is_dropped_and_that_is_reported_once(caplog):
    waiting, decisions = DecisionQueue("webhook", 3), [signed() for _ in range(9)]
    with caplog.at_level(logging.WARNING):
        for each in decisions:
            waiting.put(each)
    assert [record.message for record in caplog.records] == [
        "webhook: more than 3 messages are waiting: dropping the oldest"
    ]
    assert waiting.counts() == DeliveryCounts(0, 6, 3)
    assert waiting.take().message is decisions[6]
    caplog.clear()
    waiting.settled(delivered=True)
    for each in decisions:
        waiting.put(each)
    assert len(caplog.records) == 1


def test_a_waiting_thread_is_woken_by_a_decision_and_by_the_end():
    waiting, came = DecisionQueue("x", 3), []
    thread = threading.Thread(target=lambda: came.extend([waiting.take(), waiting.take()]))
    thread.start()
    waiting.put(one := signed())
    time.sleep(0.05)
    waiting.close()
    thread.join(5)
    assert [told and told.message for told in came] == [one, None]
    assert waiting.closed_within(60)


def test_time_passes():
    waiting = DecisionQueue("x", 3)
    assert waiting.take(0) is None
    assert waiting.take(0.01) is None
    assert not waiting.closed_within(0.01)


def test_a_decision_is_late_when_it_has_expired_whatever_the_clock_says():
    assert not Queued(signed(), time.monotonic()).expired()
    assert Queued(signed(age=2.0), time.monotonic()).expired()
    assert Queued(signed(age=-100), time.monotonic() - 2.0).expired()  # the clock was set back since
    assert not Queued(signed(age=-100), time.monotonic()).expired()


def test_what_is_late_can_be_dropped():
    waiting = DecisionQueue("x", 8)
    for age in (5, 3, 0):
        waiting.put(signed(age=age))
    waiting.drop_expired()
    assert waiting.counts() == DeliveryCounts(0, 2, 1)


@given(st.lists(st.sampled_from(["put", "take", "delivered", "dropped"]), max_size=60), st.integers(1, 5))
def test_nothing_is_lost_from_the_count(acts, most):
    waiting, put, taken, one = DecisionQueue("x", most), 0, 0, signed()
    for act in acts:
        if act == "put":
            waiting.put(one)
            put += 1
        elif act == "take":
            taken += waiting.take(0) is not None
        elif taken:
            waiting.settled(delivered=act == "delivered")
            taken -= 1
        tally = waiting.counts()
        assert tally.delivered + tally.dropped + tally.waiting == put
        assert tally.waiting <= most + taken
