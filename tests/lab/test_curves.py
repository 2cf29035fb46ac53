"""Measures that scikit-learn has in another form against it; the others against cases worked out by hand."""

import math
from importlib import import_module
from types import ModuleType

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from lab.evaluate.measures import (
    DetectedPicture,
    area_under_error_curve,
    average_precision,
    equal_error_rate,
    error_curve,
    match,
    mean_bounds,
    precision_recall,
    threshold_at,
)

from appliance.calibration.rates import Reals

SEEDS = st.integers(0, 2**32 - 1)


def drawn(seed: int) -> tuple[Reals, Reals]:
    """Scores of two kinds without ties that overlap."""
    values = np.random.default_rng(seed)
    return values.normal(1, 1, 60), values.normal(0, 1, 90)


@pytest.fixture(scope="module")
def metrics() -> ModuleType:
    """Those of scikit-learn, which a process takes a second to load."""
    return import_module("sklearn.metrics")


class TestAgainstScikitLearn:
    @given(SEEDS)
    def test_precision_and_recall(self, metrics: ModuleType, seed: int) -> None:
        values = np.random.default_rng(seed)
        order = values.permutation(200) / 199  # two neighbours are further apart than two of the thousand thresholds
        hits = values.random(200) < 0.6
        pictures = [picture(score, hit=hit) for score, hit in zip(order, hits, strict=True)]
        precision, recall = precision_recall(pictures)
        expected_precision, expected_recall, _ = metrics.precision_recall_curve(hits, order)
        faces = hits.sum() / hits.size  # scikit-learn knows of no missed faces: its recall reaches 1
        envelope = np.maximum.accumulate(expected_precision[:-1])  # from the lowest threshold on
        area = float((-np.diff(expected_recall) * envelope).sum())
        assert set(np.round(recall, 9)) >= set(np.round(expected_recall[:-1] * faces, 9))
        assert average_precision(precision, recall) == pytest.approx(area * faces)

    def test_average_precision_where_precision_never_rises(self, metrics: ModuleType) -> None:
        scores = np.linspace(1, 0, 20)
        hits = np.array([True] * 12 + [False] * 8)
        pictures = [picture(score, hit=hit) for score, hit in zip(scores, hits, strict=True)]
        found = average_precision(*precision_recall(pictures))
        assert found == pytest.approx(metrics.average_precision_score(hits, scores) * hits.mean())

    @given(st.lists(st.floats(0, 0.2), min_size=1, max_size=30))
    def test_area_under_the_error_curve(self, metrics: ModuleType, errors: list[float]) -> None:
        limit = 0.08
        below = np.sort([error for error in errors if error < limit])
        at = np.repeat(np.concatenate([[0.0], below, [limit]]), 2)[1:-1]
        height = np.repeat(np.arange(below.size + 1) / len(errors), 2)
        expected = metrics.auc(at, height) / limit
        assert area_under_error_curve(np.array(errors), limit) == pytest.approx(expected, abs=1e-9)


def picture(score: float, *, hit: bool) -> DetectedPicture:
    """One face, and a detection that is or is not there."""
    there = np.array([[0.0, 0, 20, 20]])
    return DetectedPicture(there if hit else there + 100, np.array([score]), there, np.array([True]))


class TestByHand:
    def test_error_rates_at_each_threshold(self) -> None:
        let_through, missed = error_curve(np.array([0.9, 0.4]), np.array([0.4, 0.1, 0.1, 0.0]))
        assert let_through.tolist() == [0.0, 0.0, 0.25, 0.75, 1.0]
        assert missed.tolist() == [1.0, 0.5, 0.0, 0.0, 0.0]

    def test_the_threshold_at_a_false_match_rate(self) -> None:
        different = np.arange(300) / 300
        threshold = threshold_at(0.01, different)
        assert threshold is not None
        assert (different >= threshold).sum() == 3
        assert threshold == np.nextafter(different[296], 1)

    def test_ties_never_let_more_through_than_allowed(self) -> None:
        different = np.repeat([0.0, 1.0], [296, 4])
        threshold = threshold_at(0.01, different)
        assert threshold is not None
        assert threshold > 1

    def test_too_few_impostors_for_a_rate(self) -> None:
        assert threshold_at(0.01, np.zeros(299)) is None
        assert threshold_at(0.01, np.zeros(300)) is not None

    def test_three_thousand_are_enough_for_one_in_a_thousand(self) -> None:
        assert threshold_at(1e-3, np.arange(3000.0)) == np.nextafter(2996.0, 3000)
        assert threshold_at(1e-4, np.arange(3000.0)) is None

    @given(SEEDS)
    def test_the_equal_error_rate_lies_on_the_curve(self, seed: int) -> None:
        let_through, missed = error_curve(*drawn(seed))
        nearest = np.abs(missed - let_through).min()
        at = np.flatnonzero(np.abs(missed - let_through) == nearest)
        middles = (missed[at] + let_through[at]) / 2
        assert equal_error_rate(*drawn(seed)) in middles

    def test_lost_faces_count_in_the_error_curve(self) -> None:
        assert area_under_error_curve(np.array([0.0, 0.04, 0.08, math.inf]), 0.08) == pytest.approx(1.5 / 4)

    def test_bounds_of_a_mean(self) -> None:
        # standard deviation 1, over the root of 4
        assert mean_bounds(np.array([1.0, 1, 1, 3])) == pytest.approx((1.5 - 0.98, 1.5 + 0.98), abs=1e-3)
        assert mean_bounds(np.array([2.0])) == (2.0, 2.0)

    def test_verdicts_on_detections(self) -> None:
        here, there = [0.0, 0, 20, 20], [100.0, 0, 20, 20]
        found = DetectedPicture(
            np.array([there, here, here, [0.0, 200, 9, 9]]),
            np.array([0.1, 0.9, 0.8, 0.7]),
            np.array([here, there, [300.0, 0, 20, 20]]),
            np.array([True, False, True]),
        )
        matching = match(found)
        assert matching.order.tolist() == [1, 2, 3, 0]
        assert matching.verdicts.tolist() == [1, 0, 0, -1]
        assert matching.recalled.tolist() == [True, False, False]
