"""A network that engines share: there when it is asked, gone when nobody asks, one run at a time."""

import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from appliance.vision.manifest import ModelError, Role
from appliance.vision.runtime import LazyNetwork, Network


@pytest.fixture(scope="module")
def file(store):
    """The small square detector: how large the network is does not matter here."""
    return min(store.candidates(Role.DETECTOR, "float16"), key=lambda file: (file.width, -file.height))


@pytest.fixture(scope="module")
def content(store, file):
    return store.content(file)


@pytest.fixture
def shared(file, content):
    return LazyNetwork(file, content, 1)


@pytest.fixture(scope="module")
def inputs(photos):
    """Different pixels, each of the network's input size."""
    return [np.ascontiguousarray(photos["hopper"][top : top + 320, :320]) for top in range(0, 280, 40)]


@pytest.fixture(scope="module")
def answers(file, content, inputs):
    network = Network(file, content, 1)
    return [network.run(pixels) for pixels in inputs]


def same(outputs, others):
    return all(np.array_equal(a, b) for a, b in zip(outputs, others, strict=True))


def test_it_answers_as_a_network_of_one_s_own(shared, inputs, answers):
    assert all(same(shared.run(pixels), expected) for pixels, expected in zip(inputs, answers, strict=True))


def test_it_is_built_when_it_is_first_asked(shared, inputs):
    assert shared._network is None
    shared.run(inputs[0])
    assert shared._network is not None


def test_it_is_freed_when_idle_and_comes_back(shared, inputs, answers):
    shared.give_up(0)
    shared.run(inputs[0])
    shared.give_up(60)
    assert shared._network is not None
    time.sleep(0.02)
    shared.give_up(0.01)
    assert shared._network is None
    assert same(shared.run(inputs[0]), answers[0])


def test_many_threads_get_each_their_own_answer_even_while_it_is_given_up(shared, inputs, answers):
    def ask(number):
        number %= len(inputs)
        if number == 0:
            shared.give_up(0)
        return same(shared.run(inputs[number]), answers[number])

    with ThreadPoolExecutor(4) as threads:
        assert all(threads.map(ask, range(60)))


def test_a_model_that_cannot_be_built_is_reported_to_the_caller(file):
    broken = LazyNetwork(file, bytes(5000), 1)
    for _ in range(2):
        with pytest.raises(ModelError, match=file.file):
            broken.run(np.zeros((320, 320, 3), np.uint8))
