"""The bench's arithmetic, by hand."""

from lab.bench import endpoints, stages
from lab.bench.endpoints import Tried
from lab.bench.load import Load
from lab.bench.scaling import Timed
from lab.bench.stages import Round


def test_a_stage_is_held_against_what_it_needs() -> None:
    assert Round({"detect": [3.0, 6.0, 100.0]}, {"detect": 5.0}).ratio("detect") == 1.2


def test_stages_without_a_model_have_no_ratio() -> None:
    every = Round({"align": [1.0, 3.0]}, {})
    assert [finding.measure for finding in stages.findings("align", [every])] == ["align: p50", "align: p99"]


def test_a_picture_with_many_faces_is_predicted_from_one_with_few() -> None:
    # 20 ms, of which 6 ms for its 2 faces: 14 ms to find them, and 3 ms each
    assert Timed(2, 20.0, 6.0).predicted(50) == 14 + 50 * 3


def test_a_speedup_is_taken_round_by_round() -> None:
    one, two = Tried(rates=[10.0, 20.0, 10.0]), Tried(rates=[16.0, 36.0, 30.0])
    (finding,) = endpoints.speedups({1: one, 2: two})
    assert (finding.value, finding.at_least) == (1.8, 1.6)


def test_a_round_of_clients_is_added_up() -> None:
    tried = Tried()
    tried.add(Load(4.0, [5.0, 6.0, 9.0, 9.0], [7.0, 8.0, 10.0, 11.0], errors={"faces: INF-04": 1}))
    assert (tried.rates, tried.served, tried.seen, tried.errors) == ([1.0], [5, 6, 9, 9], [7, 8, 10, 11], [1])


def test_figures_of_each_number_of_clients_are_told() -> None:
    tried = Tried([4.0], list(map(float, range(1, 102))), list(map(float, range(101))), [0])
    told = {each.measure: each.value for each in endpoints.described("/faces", {1: tried, 8: tried})}
    assert told["1 client: seen, p50"] == 51
    assert told["8 clients: seen, p99"] == 100
    assert told["8 clients: server, p99"] == 99
    assert told["errors"] == 0
