"""The bench's arithmetic, by hand."""

from collections import Counter

import pytest
from lab.bench.load import Load
from lab.bench.parts import described
from lab.device import Answer


def test_throughput_is_compared_round_by_round() -> None:
    one, two = ([Load(1.0, [1.0] * answers) for answers in counts] for counts in ((10, 20, 10), (16, 36, 30)))
    found = {each.measure: each for each in described("/faces", {1: one, 2: two})}
    assert (found["2 clients over one"].value, found["2 clients over one"].at_least) == (1.8, 1.8)
    assert found["2 clients: answers"].value == 30
    assert not {each.measure: each for each in described("/similarity/v2", {1: one, 2: two})}[
        "2 clients over one"
    ].judged


def test_figures_of_each_number_of_clients() -> None:
    loads = {
        1: [Load(1.0, list(map(float, range(1, 51)))), Load(1.0, list(map(float, range(51, 102))))],
        8: [Load(1.0, list(map(float, range(101))), errors=Counter({"faces: INF-04": 3})), Load(1.0, [50.0])],
    }
    found = {each.measure: each.value for each in described("/faces", loads)}
    assert (found["1 clients: p50"], found["1 clients: p99"], found["8 clients: p50"]) == (51, 100, 50)
    assert found["errors"] == 3


@pytest.mark.parametrize("broken", ["", "total", "detect;dur="])
def test_stages_that_are_not_timed_are_left_out(broken: str) -> None:
    assert Answer(200, {"server-timing": f"{broken}, total;dur=2.5"}, b"").stages == {"total": 2.5}
