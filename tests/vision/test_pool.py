"""The pool lends each engine once, lets a bounded number wait, and turns the next away."""

import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from math import inf

import pytest

from appliance.face.types import DetectLimits
from appliance.faults import Fault
from appliance.imaging.codec import EncodedPicture
from appliance.vision import loading
from appliance.vision.engine import LOAN_SECONDS, EnginePool
from appliance.vision.manifest import ModelError

pytestmark = pytest.mark.logs_errors("no model works")


def engines(count):
    """Engines without models: what they answer does not matter here."""
    return [loading.build(loading.unusable(ModelError("none")), 1) for _ in range(count)]


def filled(count, *, waiting=16, patience=5.0, memory=inf):
    pool = EnginePool(waiting, patience, memory=memory)
    pool.fill(engines(count))
    return pool


def refused(pool, memory=0):
    with pytest.raises(Fault, match="INF-08") as caught, pool.lease(memory):
        pass
    return caught.value


def until(condition):
    deadline = time.monotonic() + 5
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.002)
    assert condition()


def test_before_the_models_are_loaded_it_is_not_ready():
    fault = refused(EnginePool(16, 5.0))
    assert (fault.status, fault.retry_after) == (500, 1)


def test_each_engine_is_lent_once():
    lent = engines(3)
    pool = EnginePool(0, 0.1)
    pool.fill(lent)
    with pool.lease() as a, pool.lease() as b, pool.lease() as c:
        assert {id(engine) for engine in (a, b, c)} == {id(engine) for engine in lent}
        assert refused(pool).status == 503
    with pool.lease() as again:
        assert again in lent


def test_an_engine_comes_back_after_an_error():
    pool = filled(1, waiting=0)
    with pytest.raises(ZeroDivisionError), pool.lease():
        raise ZeroDivisionError
    with pool.lease():
        pass


def test_with_no_room_to_wait_one_is_turned_away_at_once():
    pool = filled(1, waiting=0, patience=5.0)
    with pool.lease():
        start = time.monotonic()
        fault = refused(pool)
        assert time.monotonic() - start < 0.5
    assert (fault.status, fault.retry_after) == (503, 1)


def test_patience_ends():
    pool = filled(1, patience=0.2)
    with pool.lease():
        start = time.monotonic()
        fault = refused(pool)
        assert 0.19 < time.monotonic() - start < 1.5
    assert (fault.status, fault.retry_after) == (503, 1)


def test_who_waited_in_vain_leaves_the_queue():
    pool = filled(1, waiting=1, patience=0.05)
    with pool.lease():
        for _ in range(3):
            assert "within" in refused(pool).detail
    with pool.lease():
        pass


def test_who_waits_gets_the_engine_that_comes_back():
    pool = filled(1)
    got = threading.Event()

    def borrow():
        with pool.lease():
            got.set()

    with ThreadPoolExecutor(1) as threads:
        with pool.lease():
            waiting = threads.submit(borrow)
            assert not got.wait(0.1)
        waiting.result(timeout=5)
    assert got.is_set()


def test_as_many_wait_as_may_and_the_next_is_turned_away():
    pool = filled(1, waiting=2)

    def borrow():
        with pool.lease():
            return True

    with ThreadPoolExecutor(2) as threads:
        with pool.lease():
            waiting = [threads.submit(borrow) for _ in range(2)]
            until(lambda: pool.queue == 2)
            assert "2 requests wait" in refused(pool).detail
        assert [borrower.result(timeout=5) for borrower in waiting] == [True, True]


def test_many_threads_never_share_an_engine_and_none_is_lost():
    pool = filled(3, waiting=8, patience=30.0)
    lock, lent, most, used = threading.Lock(), Counter(), [], Counter()

    def borrow():
        for _ in range(150):
            with pool.lease() as engine:
                with lock:
                    lent[id(engine)] += 1
                    used[id(engine)] += 1
                    most.append(lent[id(engine)])
                time.sleep(0)
                with lock:
                    lent[id(engine)] -= 1

    with ThreadPoolExecutor(8) as threads:
        for borrower in [threads.submit(borrow) for _ in range(8)]:
            borrower.result(timeout=30)
    assert max(most) == 1
    assert sum(used.values()) == 8 * 150
    assert len(used) == 3
    with pool.lease(), pool.lease(), pool.lease():
        pass


def test_pictures_that_need_more_memory_than_there_is_go_alone():
    pool = filled(3, patience=0.1, memory=100)
    with pool.lease(1):
        assert refused(pool, 101).status == 503
    with pool.lease(), pool.lease(1000):
        assert refused(pool, 1).status == 503
        with pool.lease():
            pass
    with pool.lease(100):
        pass


def test_many_small_pictures_do_not_keep_a_large_one_waiting():
    pool, order = filled(3, memory=100), []

    def borrow(memory):
        with pool.lease(memory):
            order.append(memory)

    with ThreadPoolExecutor(3) as threads, ExitStack() as small:
        small.enter_context(pool.lease(50))
        waiting = [threads.submit(borrow, 200)]
        until(lambda: pool.queue == 1)
        waiting += [threads.submit(borrow, memory) for memory in (10, 20)]
        until(lambda: pool.queue == 3)
        with pool.lease():
            assert order == []
        small.close()
        for each in waiting:
            each.result(timeout=5)
    assert (order[0], {*order}) == (200, {200, 10, 20})


def test_pictures_wait_for_memory_and_smaller_ones_go_on():
    pool = filled(3, patience=0.1, memory=100)
    with pool.lease(60):
        fault = refused(pool, 41)
        with pool.lease(40), pool.lease():
            pass
    assert (fault.status, fault.retry_after) == (503, 1)
    with pool.lease(100):
        pass


def test_who_waits_for_memory_gets_it_when_it_is_free():
    pool = filled(2, memory=100)

    def borrow():
        with pool.lease(80):
            return True

    with ThreadPoolExecutor(1) as threads:
        with pool.lease(30):
            waiting = threads.submit(borrow)
            until(lambda: pool.queue == 1)
        assert waiting.result(timeout=5)


def test_engines_that_are_not_needed_beside_another_are_replaced():
    now = [0.0]
    pool = EnginePool(0, 0.1, lambda: now[0])
    first, second, third, new = (loading.build(loading.unusable(ModelError("none")), 1) for _ in range(4))
    pool.fill([first, second, third])
    assert not pool.replace_idle(10, lambda: new)  # none was lent yet: none has networks
    with pool.lease() as busy, pool.lease() as surplus:
        assert (busy, surplus) == (third, second)
        assert not pool.replace_idle(0, lambda: new)
    now[0] = 9
    with pool.lease() as engine:
        assert engine is third
    now[0] = 10
    assert pool.replace_idle(10, lambda: new)
    now[0] = 1000
    assert not pool.replace_idle(10, lambda: new)
    with pool.lease() as one, pool.lease() as two, pool.lease() as three:
        assert {one, two, three} == {first, third, new}


def test_it_rests_once_after_each_time_of_work():
    now = [0.0]
    pool = EnginePool(0, 0.1, lambda: now[0])
    pool.fill([loading.build(loading.unusable(ModelError("none")), 1) for _ in range(2)])
    assert not pool.rests(0)
    for _ in range(2):
        with pool.lease():
            now[0] += 20
            assert not pool.rests(10)
        now[0] += 9
        assert not pool.rests(10)
        now[0] += 1
        assert [pool.rests(10), pool.rests(10)] == [True, False]


def test_memory_comes_back_after_an_error():
    pool = filled(1, waiting=0, memory=100)
    with pytest.raises(ZeroDivisionError), pool.lease(100):
        raise ZeroDivisionError
    with pool.lease(100):
        pass


def test_many_threads_never_take_more_memory_than_there_is():
    pool = filled(4, waiting=8, patience=30.0, memory=100)
    lock, taken, most = threading.Lock(), [0], []

    def borrow(memory):
        for _ in range(50):
            with pool.lease(memory):
                with lock:
                    taken[0] += memory
                    most.append(taken[0])
                time.sleep(0.0005)
                with lock:
                    taken[0] -= memory

    with ThreadPoolExecutor(8) as threads:
        for borrower in [threads.submit(borrow, memory) for memory in (0, 10, 20, 30, 40, 50, 60, 100)]:
            borrower.result(timeout=60)
    assert 50 < max(most) <= 100
    with pool.lease(100):
        pass


def test_it_is_quiet_while_an_engine_is_idle_and_no_one_waits():
    pool = filled(2)
    assert pool.quiet(0)
    with pool.lease():
        assert pool.quiet(0)
        with pool.lease():
            assert not pool.quiet(0.01)
    assert pool.quiet(0)


def test_it_is_not_quiet_before_the_models_are_loaded():
    assert not EnginePool(16, 5.0).quiet(0.01)


def test_who_waits_for_quiet_never_goes_before_who_waits_for_an_engine():
    pool = filled(1)
    order = []
    asked = threading.Event()

    def politely():
        asked.set()
        pool.quiet(5)
        order.append("polite")

    def borrowing(name):
        with pool.lease():
            time.sleep(0.05)
            order.append(name)

    with ThreadPoolExecutor(4) as threads:
        with pool.lease():
            waiting = [threads.submit(politely)]
            asked.wait()
            waiting += [threads.submit(borrowing, name) for name in "abc"]
            until(lambda: pool.queue == 3)
        for each in waiting:
            each.result()
    assert order[-1] == "polite"
    assert sorted(order[:-1]) == ["a", "b", "c"]


def test_an_engine_that_steps_aside_runs_no_network_while_others_work(choice, portrait):
    """So that what it watches for costs a posted picture one run of a network at most."""
    pool = filled(1)
    runs = []

    def step_aside():
        runs.append(pool.quiet(0.2))

    engine = loading.build(choice, 1, step_aside)
    picture = EncodedPicture(portrait, 2**20)
    assert len(engine.detect(picture, DetectLimits())) == 1
    assert runs == [True, True], "the detector and the mesh"
    runs.clear()
    with pool.lease(), ThreadPoolExecutor(1) as threads:
        begun = time.monotonic()
        found = threads.submit(engine.detect, picture, DetectLimits()).result()
        assert time.monotonic() - begun >= 0.4
    assert len(found) == 1
    assert runs == [False, False]
    runs.clear()
    engine.liveness([picture] * 4)
    assert len(runs) == 4 * 2 + 4 + 4, "each run of the embedder and the liveness network, too"


def test_it_tells_for_how_long_the_first_loan_has_been_out():
    now = 100.0
    pool = EnginePool(0, 0.1, lambda: now)
    assert pool.longest_loan == 0
    pool.fill(engines(2))
    assert pool.longest_loan == 0
    with pool.lease():
        now = 103.0
        with pool.lease():
            now = 104.0
            assert pool.longest_loan == 4
        assert pool.longest_loan == 4
        assert pool.trouble() is None
        now = 100.0 + LOAN_SECONDS + 1
        assert pool.trouble() == "an engine has been lent for 120 s"
    assert pool.longest_loan == 0
    assert pool.trouble() is None
