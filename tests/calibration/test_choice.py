"""Thresholds against cases worked out by hand, and what they keep for any scores."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.calibration import statistics
from appliance.calibration.points import CalibrationError
from appliance.calibration.rates import RULE_OF_THREE

REAL = np.array([-2.0, -1.0, *np.arange(18.0)])
"""Twenty sequences of real people: at most one of them may be refused at a BPCER of 5 %."""

COSINES = st.lists(st.floats(-1, 0.99), min_size=2, max_size=40).map(np.array)
ODDS = st.lists(st.floats(-15, 8), min_size=1, max_size=30).map(np.array)
MANY = st.lists(st.floats(-15, 8), min_size=20, max_size=40).map(np.array)
RATES = st.floats(0.01, 0.5)


def test_the_pairs_that_are_needed_are_those_of_the_rule_of_three():
    assert [statistics.fewest_pairs(fmr) for fmr in (1e-1, 1e-2, 1e-3, 1e-4)] == [30, 300, 3000, 30_000]
    assert statistics.fewest_pairs(0.007) == 429
    assert RULE_OF_THREE / 429 <= 0.007


def test_a_cosine_lies_midway_between_the_last_accepted_and_the_first_refused():
    impostors = np.linspace(0, 0.9, 10)
    assert statistics.cosine(impostors, 0.2) == pytest.approx(0.75)
    assert statistics.cosine(impostors, 0.1) == pytest.approx(0.85)
    assert statistics.cosine(impostors[::-1], 0.19) == pytest.approx(0.85)


def test_where_none_may_be_accepted_it_lies_midway_to_identity():
    assert statistics.cosine(np.array([0.1, 0.2, 0.6]), 0.3) == pytest.approx(0.8)


def test_equal_cosines_are_refused_together():
    assert statistics.cosine(np.array([0.1, 0.5, 0.5, 0.5, 0.7]), 0.4) == pytest.approx(0.6)


def test_identical_photos_of_different_people_cannot_be_distinguished():
    with pytest.raises(CalibrationError, match="two folders"):
        statistics.cosine(np.array([0.1, 1.0, 1.0]), 0.4)


@given(COSINES, RATES)
def test_no_more_impostors_are_accepted_than_is_wanted_and_no_fewer_than_need_be(impostors, fmr):
    threshold = statistics.cosine(impostors, fmr)
    assert -1 < threshold < 1
    assert np.mean(impostors >= threshold) <= fmr + 1e-12
    refused = impostors[impostors < threshold].max()
    assert np.mean(impostors >= refused) > fmr


@pytest.mark.parametrize(
    ("attacks", "apcer", "accepted"),
    [
        ({"print": [-3.0, -2.0, -1.0, 0.0]}, 0.05, 0),
        ({"print": [-3.0, -2.0, -1.0, 0.0]}, 0.25, 1),
        ({"print": [-3.0, -2.0], "replay": [1.0, 2.0]}, 0.05, 0),
        ({"print": [-3.0, -2.0], "replay": [1.0, 2.0]}, 0.5, 1),
    ],
)
def test_the_worst_species_sets_the_lowest_odds(attacks, apcer, accepted):
    species = {name: np.array(odds) for name, odds in attacks.items()}
    low = statistics.lowest_odds(species, apcer)
    assert max(int((odds >= low).sum()) for odds in species.values()) == accepted
    assert max(np.mean(odds >= np.nextafter(low, -np.inf)) for odds in species.values()) > apcer


def test_the_highest_odds_refuse_as_many_real_people_as_may_be():
    assert statistics.highest_odds(REAL, 0.05) == -1
    assert statistics.highest_odds(REAL, 0.04) == -2
    assert statistics.highest_odds(REAL, 0.1) == 0


def test_without_own_attacks_of_every_shipped_species_they_are_not_lowered():
    shipped = {"print": np.array([-5.0]), "replay": np.array([-6.0])}
    many = np.full(statistics.FEWEST_SEQUENCES, -7.0)
    few = {"print": many, "replay": many[1:]}
    for tried in ({}, {"print": many}, {"mask": many}, few):
        assert statistics.odds(REAL, shipped, tried, 0.05, 0.05) == 0
        assert statistics.odds(REAL, {}, tried, 0.05, 0.05) == 0
    enough = {"print": many, "replay": many}
    assert statistics.odds(REAL + 4, shipped, enough, 0.05, 0.05) == pytest.approx((-5 + 3) / 2)


def test_what_was_refused_for_another_reason_than_its_odds_does_not_lower_them():
    refused = np.full(statistics.FEWEST_SEQUENCES, -15.0)
    threshold = statistics.odds(REAL + 5, {}, {"print": refused, "replay": refused}, 0.05, 0.05)
    assert threshold == pytest.approx((statistics.LOWEST + 4) / 2)


def test_nor_raised_above_the_shipped_point_which_others_pass_as_well():
    assert statistics.odds(REAL + 9, {"print": np.array([-5.0])}, {}, 0.05, 0.05) == 0
    assert statistics.odds(REAL + 9, {"print": np.array([-5.0])}, {}, 0.05, 0.05, 0.5) == 0.5


def test_and_never_below_the_shipped_attacks():
    assert statistics.odds(REAL, {"print": np.array([3.0])}, {}, 0.05, 0.05) == pytest.approx(3)
    assert statistics.odds(REAL, {"print": np.array([3.0])}, {}, 0.05, 0.05) > 3


def test_with_own_attacks_they_lie_midway_where_both_rates_can_be_kept():
    assert statistics.odds(REAL + 9, {}, {"print": np.array([-5.0])}, 0.05, 0.05) == pytest.approx(1.5)


def test_and_keep_the_attacks_out_where_not():
    assert statistics.odds(REAL, {}, {"print": np.array([0.5])}, 0.05, 0.05) == pytest.approx(0.5)


def test_a_species_counts_as_it_is_here_and_as_it_was_shipped():
    shipped = {"print": np.array([4.0]), "replay": np.array([-3.0])}
    assert statistics.odds(REAL + 3, shipped, {"print": np.array([-7.0])}, 0.05, 0.05) == pytest.approx(4)
    assert statistics.odds(REAL + 9, shipped, {"print": np.array([-7.0])}, 0.05, 0.05) == pytest.approx(6)
    assert statistics.odds(REAL, shipped, {"mask": np.array([-7.0])}, 0.05, 0.05) == pytest.approx(4)


@pytest.mark.parametrize("count", [0, 1, 19])
def test_too_few_real_people_are_refused(count):
    with pytest.raises(CalibrationError, match=f"{count} sequences of real people, 20 are needed"):
        statistics.odds(REAL[:count], {}, {}, 0.05, 0.05)


@given(MANY, ODDS, ODDS, RATES, RATES)
def test_whatever_is_chosen_keeps_every_apcer_and_the_bpcer_where_it_can(real, print_, replay, bpcer, apcer):
    attacks = {"print": print_, "replay": replay}
    for shipped, tried in ((attacks, {}), ({}, attacks), ({"print": print_}, {"replay": replay})):
        threshold = statistics.odds(real, shipped, tried, bpcer, apcer)
        assert statistics.LOWEST <= threshold <= statistics.HIGHEST
        if threshold < statistics.HIGHEST:
            assert all(np.mean(odds >= threshold) <= apcer + 1e-9 for odds in attacks.values())
        if not statistics.lowerable(tried):
            assert threshold >= 0
        both = statistics.lowest_odds(attacks, apcer) <= statistics.highest_odds(real, bpcer)
        if (
            both
            and threshold > statistics.LOWEST
            and (statistics.lowerable(tried) or statistics.highest_odds(real, bpcer) >= 0)
        ):
            assert np.mean(real < threshold) <= bpcer + 1e-9
