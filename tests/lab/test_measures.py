"""The measures against cases worked out by hand, and against what must hold for any scores."""

from math import isclose

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from lab.evaluate.datasets import consecutive_folds
from lab.evaluate.landmarks import MIRROR, SHARED_POINTS, mirror
from lab.evaluate.measures import (
    DetectedPicture,
    area_under_curve,
    attack_classification_error,
    average_precision,
    best_threshold,
    equal_error_rate,
    folded_accuracy,
    normalised_mean_error,
    overlaps,
    precision_recall,
)

from appliance.calibration.rates import Rate, Reals, bona_fide_classification_error, rate

SCORES = st.lists(st.floats(0, 1, width=16), min_size=1, max_size=30).map(
    lambda values: np.array(values, dtype=np.float64)
)

COUNTS = st.integers(1, 5000).flatmap(lambda total: st.tuples(st.integers(0, total), st.just(total)))


def ap(*pictures: DetectedPicture) -> float:
    return average_precision(*precision_recall(pictures))


def scores(*values: float) -> Reals:
    return np.array(values, dtype=np.float64)


def picture(
    found: list[tuple[float, ...]], at: list[float], labelled: list[tuple[float, ...]], counted: list[bool]
) -> DetectedPicture:
    return DetectedPicture(
        np.array(found, dtype=np.float64).reshape(-1, 4),
        np.array(at, dtype=np.float64),
        np.array(labelled, dtype=np.float64).reshape(-1, 4),
        np.array(counted, dtype=np.bool_),
    )


HERE, THERE, ELSEWHERE = (0, 0, 20, 20), (100, 0, 20, 20), (0, 100, 20, 20)


class TestRate:
    def test_wilson_bounds_of_ten_in_a_hundred(self) -> None:
        # Newcombe 1998, and any table of the score interval: 10/100 -> 5.52 % ... 17.44 %
        assert Rate(10, 100).bounds == pytest.approx((0.0552, 0.1744), abs=1e-4)

    def test_rule_of_three_when_nothing_happened(self) -> None:
        assert Rate(0, 500).bounds == (0.0, 0.006)

    def test_rule_of_three_when_everything_happened(self) -> None:
        assert Rate(500, 500).bounds == (0.994, 1.0)

    def test_rule_of_three_stays_a_rate(self) -> None:
        assert Rate(0, 1).bounds == (0.0, 1.0)

    @pytest.mark.parametrize(("count", "total"), [(0, 0), (-1, 5), (6, 5)])
    def test_refuses_what_is_no_rate(self, count: int, total: int) -> None:
        with pytest.raises(ValueError, match="is not a rate"):
            Rate(count, total)

    @given(COUNTS)
    def test_bounds_enclose_the_value(self, counted: tuple[int, int]) -> None:
        measured = Rate(*counted)
        low, high = measured.bounds
        assert 0 <= low <= measured.value <= high <= 1

    @given(COUNTS)
    def test_the_opposite_has_the_opposite_bounds(self, counted: tuple[int, int]) -> None:
        count, total = counted
        low, high = Rate(count, total).bounds
        assert Rate(total - count, total).bounds == pytest.approx((1 - high, 1 - low))


class TestVerification:
    same, different = scores(0.5, 0.6, 0.9, 0.2), scores(0.5, 0.4, 0.1, 0.0, 0.3)

    def test_best_threshold(self) -> None:
        # accepting from 0.45 or from 0.55 on decides seven of nine rightly: of two equally good ones, the upper
        assert best_threshold(self.same, self.different) == pytest.approx((0.55, 7 / 9))

    def test_best_threshold_of_separable_scores_lies_between(self) -> None:
        assert best_threshold(scores(0.8, 0.9), scores(0.1, 0.2)) == pytest.approx((0.5, 1.0))

    def test_best_threshold_may_refuse_all(self) -> None:
        threshold, accuracy = best_threshold(scores(0.1), scores(0.5, 0.6, 0.7))
        assert threshold > 0.7
        assert accuracy == 0.75

    def test_folds_are_judged_by_the_others_threshold(self) -> None:
        # the best thresholds, 0.5 and 0.25, judge the other fold: 0.3 < 0.5 is refused, 0.4 > 0.25 accepted
        folds = np.array([0, 1, 0, 1])
        assert folded_accuracy(scores(0.6, 0.3, 0.4, 0.2), np.array([True, True, False, False]), folds) == (0.5, 0.0)

    def test_standard_error_of_unequal_folds(self) -> None:
        # fold 1 has its two the wrong way round, the others agree: accuracies 1, 0 and 1 by thresholds of the others
        same = np.array([True, False] * 3)
        mean, error = folded_accuracy(scores(0.9, 0.1, 0.2, 0.8, 0.9, 0.1), same, np.array([0, 0, 1, 1, 2, 2]))
        assert mean == pytest.approx(2 / 3)
        assert error == pytest.approx(1 / 3)  # standard deviation of 1, 0, 1 is 1/sqrt(3), over sqrt(3)

    def test_folds_of_separable_scores(self) -> None:
        same = np.arange(50) < 20
        mixed = np.where(same, 0.9, 0.1)
        assert folded_accuracy(mixed, same, consecutive_folds(same)) == (1.0, 0.0)

    def test_too_few_for_the_folds(self) -> None:
        same = np.array([True, False])
        with pytest.raises(ValueError, match="do not fill"):
            folded_accuracy(scores(0.8, 0.1), same, consecutive_folds(same))

    def test_consecutive_folds_have_the_same_share_of_both_kinds(self) -> None:
        same = np.array([True] * 20 + [False] * 30)
        folds = consecutive_folds(same)
        assert [int((same & (folds == fold)).sum()) for fold in range(10)] == [2] * 10
        assert [int((~same & (folds == fold)).sum()) for fold in range(10)] == [3] * 10
        assert folds[:20].tolist() == sorted(folds[:20].tolist())

    @given(SCORES, SCORES)
    def test_best_threshold_does_what_it_says(self, same: Reals, different: Reals) -> None:
        threshold, accuracy = best_threshold(same, different)
        right = rate(same >= threshold).count + different.size - rate(different >= threshold).count
        assert isclose(right / (same.size + different.size), accuracy)

    @given(SCORES, SCORES)
    def test_best_threshold_beats_accepting_or_refusing_all(self, same: Reals, different: Reals) -> None:
        _, accuracy = best_threshold(same, different)
        assert accuracy >= max(same.size, different.size) / (same.size + different.size) - 1e-12


class TestAreaUnderCurve:
    def test_by_hand(self) -> None:
        # 0.8 beats both; 0.4 beats 0.1 and ties with 0.4: (1 + 1 + 1 + 0.5) / 4
        assert area_under_curve(scores(0.8, 0.4), scores(0.4, 0.1)) == 0.875

    @given(SCORES, SCORES)
    def test_exchanging_the_sides_turns_it_over(self, positives: Reals, negatives: Reals) -> None:
        assert area_under_curve(positives, negatives) == pytest.approx(1 - area_under_curve(negatives, positives))

    @given(SCORES, SCORES)
    def test_a_rising_scale_changes_nothing(self, positives: Reals, negatives: Reals) -> None:
        assert area_under_curve(4 * positives + 1, 4 * negatives + 1) == area_under_curve(positives, negatives)


class TestEqualErrorRate:
    def test_by_hand(self) -> None:
        # from 0.5 on: one of four positives missed, one of four negatives let through
        assert equal_error_rate(scores(0.9, 0.8, 0.5, 0.3), scores(0.6, 0.4, 0.2, 0.1)) == 0.25

    def test_separable(self) -> None:
        assert equal_error_rate(scores(0.8, 0.9), scores(0.1, 0.2)) == 0.0

    @given(SCORES, SCORES)
    def test_is_a_rate(self, positives: Reals, negatives: Reals) -> None:
        assert 0 <= equal_error_rate(positives, negatives) <= 1


class TestPresentationAttacks:
    def test_the_worst_species_counts(self) -> None:
        attacks = {"print": scores(0.1, 0.2, 0.3, 0.9), "replay": scores(0.5, 0.1)}
        assert attack_classification_error(attacks, 0.5) == ("replay", {"print": Rate(1, 4), "replay": Rate(1, 2)})

    def test_real_people_turned_away(self) -> None:
        assert bona_fide_classification_error(scores(0.49, 0.5, 0.9), 0.5) == Rate(1, 3)


class TestLandmarks:
    def test_mean_distance_over_the_eyes(self) -> None:
        assert normalised_mean_error(np.array([[0.0, 0], [3, 4]]), np.zeros((2, 2)), 50.0) == 0.05

    def test_shared_points_are_twenty_different_ones(self) -> None:
        assert len({of_68 for of_68, _ in SHARED_POINTS}) == len({of_106 for _, of_106 in SHARED_POINTS}) == 20

    def test_mirroring_is_an_involution_of_the_106(self) -> None:
        assert sorted(MIRROR) == list(range(106))
        assert [MIRROR[index] for index in MIRROR] == list(range(106))

    def test_shared_points_mirror_into_shared_points(self) -> None:
        assert {MIRROR[index] for _, index in SHARED_POINTS} == {index for _, index in SHARED_POINTS}

    def test_mirrored_twice_is_the_face_again(self) -> None:
        points = np.random.default_rng(1).uniform(0, 99, (106, 2))
        assert mirror(mirror(points, 99), 99) == pytest.approx(points)


class TestOverlaps:
    def test_counts_both_border_pixels(self) -> None:
        # widths 9 and 9 cover 10 pixels each, 5 of them in common: 50 of 150
        assert overlaps(np.array([[0.0, 0, 9, 9]]), np.array([[5.0, 0, 9, 9]])) == pytest.approx(np.array([[1 / 3]]))

    def test_apart(self) -> None:
        assert overlaps(np.array([[0.0, 0, 9, 9]]), np.array([[50.0, 50, 9, 9]]))[0, 0] == 0


class TestAveragePrecision:
    def test_all_found(self) -> None:
        assert ap(picture([HERE, THERE], [0.9, 0.8], [HERE, THERE], [True, True])) == 1.0

    def test_a_false_alarm_before_the_second_face(self) -> None:
        # precision 1 up to recall 1/2, then 2/3 up to recall 1
        found = picture([HERE, ELSEWHERE, THERE], [0.9, 0.5, 0.1], [HERE, THERE], [True, True])
        assert ap(found) == pytest.approx(0.5 + 0.5 * 2 / 3)

    def test_a_false_alarm_after_the_last_face_costs_nothing(self) -> None:
        assert ap(picture([HERE, ELSEWHERE], [0.9, 0.1], [HERE], [True])) == 1.0

    def test_a_face_found_twice_is_a_false_alarm(self) -> None:
        found = picture([HERE, HERE, THERE], [0.9, 0.5, 0.1], [HERE, THERE], [True, True])
        assert ap(found) == pytest.approx(0.5 + 0.5 * 2 / 3)

    def test_an_ignored_face_is_neither_recalled_nor_a_false_alarm(self) -> None:
        assert ap(picture([THERE, HERE], [0.9, 0.1], [HERE, THERE], [True, False])) == 1.0

    def test_a_missed_face_bounds_the_recall(self) -> None:
        assert ap(picture([HERE], [0.9], [HERE, THERE], [True, True])) == 0.5

    def test_too_little_overlap(self) -> None:
        # 21 x 21 pixels shifted by 8: 13/21 in common, IoU 13 / 29 = 0.448
        found = picture([(8, 0, 20, 20), THERE], [0.9, 0.1], [HERE, THERE], [True, True])
        assert ap(found) == pytest.approx(0.25)

    def test_scores_are_ordered_over_all_pictures(self) -> None:
        right = picture([HERE], [0.5], [HERE], [True])
        wrong = picture([ELSEWHERE], [0.9], [HERE], [True])
        third = picture([], [], [HERE], [True])
        # the false alarm comes first: precision 1/2 at recall 1/3
        assert ap(right, wrong, third) == pytest.approx(1 / 6)

    def test_no_face_counts(self) -> None:
        with pytest.raises(ValueError, match="no average precision"):
            ap(picture([HERE], [0.9], [HERE], [False]))

    @given(st.lists(st.tuples(st.floats(0, 1, width=16), st.booleans()), min_size=1, max_size=30), st.integers(0, 5))
    def test_is_a_rate_and_never_over_the_recall(self, drawn: list[tuple[float, bool]], missed: int) -> None:
        pictures = [picture([HERE if hit else ELSEWHERE], [score], [HERE], [True]) for score, hit in drawn]
        pictures += [picture([], [], [HERE], [True])] * missed
        recall = sum(hit for _, hit in drawn) / len(pictures)
        assert 0 <= ap(*pictures) <= recall + 1e-12
