"""Rates of pairs that share people, and their bounds."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.calibration.rates import Rate
from appliance.calibration.statistics import Pairs, compared, genuine_bounds, impostor_bounds, measured


def vectors(people, pictures, spread, seed=1):
    """Embeddings of people who each have some pictures, `spread` away from each other; and whose each is."""
    random = np.random.default_rng(seed)
    person = np.repeat(np.arange(people), pictures)
    found = random.normal(size=(people, 16))[person] + spread * random.normal(size=(people * pictures, 16))
    return (found / np.linalg.norm(found, axis=1, keepdims=True)).astype(np.float32), person


def test_every_pair_is_compared_once_and_is_of_one_person_or_of_two():
    embeddings, person = vectors(3, 2, 0.1)
    impostors, genuine = compared(embeddings, person)
    assert (impostors.scores.size, genuine.scores.size) == (12, 3)
    assert (impostors.first != impostors.second).all()
    assert (genuine.first == genuine.second).all()
    assert genuine.scores == pytest.approx([embeddings[2 * n] @ embeddings[2 * n + 1] for n in range(3)])
    assert impostors.people == 3
    assert impostors.pictures.tolist() == [2, 2, 2]


def test_the_rates_are_those_that_are_counted():
    impostors, genuine = compared(*vectors(12, 3, 0.5))
    thresholds = np.array([-1.0, 0.2, 0.5, 1.1])
    for pairs, found in (
        (impostors, impostor_bounds(impostors, thresholds)),
        (genuine, genuine_bounds(genuine, thresholds)),
    ):
        assert [each.count for each in found] == [int((pairs.scores >= t).sum()) for t in thresholds]
        assert {each.total for each in found} == {pairs.scores.size}
        assert all(each.lower <= each.value <= each.upper for each in found)


def test_an_unseen_event_is_bounded_by_the_rule_of_three():
    impostors, _ = compared(*vectors(12, 3, 0.5))
    (found,) = impostor_bounds(impostors, np.array([1.1]))
    assert (found.count, found.lower) == (0, 0)
    assert found.upper == pytest.approx(3 / impostors.scores.size)


def test_one_person_whom_all_resemble_makes_the_bounds_wider_than_independent_pairs_would():
    pictures = np.ones(40, np.int64)
    first, second = np.triu_indices(40, k=1)
    scores = np.where(first == 0, 0.9, 0.1)
    (found,) = impostor_bounds(Pairs(scores, first, second, pictures), np.array([0.5]))
    low, high = Rate(39, 780).bounds
    assert found.lower == 0  # in more than 2.5 % of draws that person is not there
    assert found.upper > 1.5 * high
    assert low > 0.03


def test_independent_pairs_have_about_wilson_s_bounds():
    impostors, _ = compared(*vectors(150, 1, 0, seed=3))
    (found,) = impostor_bounds(impostors, np.array([0.4]))
    low, high = Rate(found.count, found.total).bounds
    assert found.lower <= low
    assert high <= found.upper
    assert found.upper - found.lower < 3 * (high - low)


@given(st.integers(1, 500).flatmap(lambda total: st.tuples(st.integers(0, total), st.just(total))), st.floats(0, 1))
def test_bounds_are_never_narrower_than_wilson_s(counted, other):
    found = measured(Rate(*counted), other, other)
    low, high = Rate(*counted).bounds
    assert found.lower <= low
    assert high <= found.upper
    assert found.lower <= other <= found.upper
    assert found.lower >= 0
    assert found.upper <= 1
