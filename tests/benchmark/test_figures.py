"""The bench's arithmetic, by hand."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.benchmark import endpoints, stages
from appliance.benchmark.endpoints import Tried
from appliance.benchmark.figures import Curve, Line, Measured, joined, percentile
from appliance.benchmark.load import Load
from appliance.benchmark.scaling import Timed
from appliance.benchmark.stages import Round
from appliance.evaluation.report import Finding

FINITE = st.floats(-1e6, 1e6)


def test_a_percentile_lies_between_its_neighbours() -> None:
    values = [10.0, 20.0, 30.0, 40.0, 50.0]
    assert [percentile(values, share) for share in (0, 25, 50, 90, 100)] == [10, 20, 30, 46, 50]


@given(st.lists(FINITE, min_size=1), st.floats(0, 100))
def test_no_percentile_lies_outside(values: list[float], share: float) -> None:
    assert min(values) - 1e-6 <= percentile(values, share) <= max(values) + 1e-6


def test_a_line_through_points_that_lie_on_one() -> None:
    line = Line.through([(1, 5), (2, 7), (10, 23)])
    assert (line.intercept, line.slope, line.r_squared) == pytest.approx((3, 2, 1))


def test_what_a_line_leaves_unexplained() -> None:
    # slope 1/2, intercept 1/6; residuals -1/6, 1/3 and -1/6 of y = 0, 1 and 1, whose mean is 2/3
    line = Line.through([(0, 0), (1, 1), (2, 1)])
    assert (line.intercept, line.slope, line.r_squared) == pytest.approx((1 / 6, 1 / 2, 1 - (1 / 6) / (2 / 3)))


def test_level_points_are_explained() -> None:
    assert Line.through([(0, 4), (1, 4)]).r_squared == 1


def test_no_line_goes_straight_up() -> None:
    with pytest.raises(ValueError, match="no line"):
        Line.through([(1, 4), (1, 5)])


def test_a_stage_is_held_against_what_it_needs() -> None:
    assert Round({"detect": [3.0, 6.0, 100.0]}, {"detect": 5.0}).ratio("detect") == 1.2


def test_stages_without_a_model_have_no_ratio() -> None:
    every = Round({"align": [1.0, 3.0]}, {})
    assert [finding.measure for finding in stages._findings("align", [every])] == ["align: p50", "align: p99"]


def test_a_picture_with_many_faces_is_predicted_from_one_with_few() -> None:
    # 20 ms, of which 6 ms for its 2 faces: 14 ms to find them, and 3 ms each
    assert Timed(2, 20.0, 6.0).predicted(50) == 14 + 50 * 3


def test_a_speedup_is_taken_round_by_round() -> None:
    one, two = Tried(rates=[10.0, 20.0, 10.0]), Tried(rates=[16.0, 36.0, 30.0])
    (finding,) = endpoints.speedups({1: one, 2: two})
    assert (finding.value, finding.at_least) == (1.8, 1.6)


def test_a_round_of_clients_is_added_up() -> None:
    tried = Tried()
    tried.add([Load(0.0, 2.0, [5.0, 6.0], [7.0, 8.0], 0), Load(0.0, 4.0, [9.0, 9.0], [10.0, 11.0], 1)])
    assert (tried.rates, tried.served, tried.seen, tried.errors) == ([1.0], [5, 6, 9, 9], [7, 8, 10, 11], [1])


def test_figures_of_each_number_of_clients_are_told() -> None:
    tried = Tried([4.0], list(map(float, range(1, 102))), list(map(float, range(101))), [0])
    told = {each.measure: each.value for each in endpoints.described("/faces", {1: tried, 8: tried})}
    assert told["1 client: seen, p50"] == 51
    assert told["8 clients: seen, p99"] == 100
    assert told["8 clients: server, p99"] == 99
    assert told["errors"] == 0


def test_parts_are_joined_in_order() -> None:
    first, second = Measured([Finding("a", "x", 1)]), Measured([Finding("b", "y", 2)], [Curve("t", "x", "y", {})])
    whole = joined([first, second])
    assert ([each.question for each in whole.findings], len(whole.curves)) == (["a", "b"], 1)
