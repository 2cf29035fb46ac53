"""The page of figures: everything in one file, and nothing in it is markup that should not be."""

from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from lab import plots
from lab.bench.bench import Curve
from lab.bench.board import board
from lab.bench.command import Outcome
from lab.bench.peers import Row
from lab.report import Finding

CURVE = Curve(
    "Time over faces", "faces", "ms", {"measured": [(10.0, 30.0), (1.0, 5.0)], "line": [(1.0, 5.0), (10.0, 30.0)]}
)


@pytest.fixture
def outcome() -> Outcome:
    version = {"runtime": {"name": "tflite-runtime", "version": "2.14.0"}, "models": []}
    findings = [Finding("faces", "ratio", 1.5, at_most=1.35), Finding("faces", "server time", 12.34567, "ms")]
    row = Row(
        "portraits", "odd", "<script>odd</script>", {"detect": 1.0, "align": None, "embed": 2.0, "all": 3.0}, 1.5, 2
    )
    return Outcome({**board(), "load_before": 3.0}, version, findings, [CURVE], [row])


def test_the_page_tells_everything_once(outcome: Outcome, tmp_path: Path) -> None:
    text = outcome.write_page(tmp_path / "new" / "folder").read_text("utf-8")
    for part in (
        "this machine is busy (load 3.00)",
        "tflite-runtime 2.14.0",
        "12.35 ms",
        "≤ 1.35",
        "FAIL",
        "<svg",
        "1.50",
    ):
        assert text.count(part) == 1, part


def test_names_are_text(outcome: Outcome, tmp_path: Path) -> None:
    text = outcome.write_page(tmp_path).read_text("utf-8")
    assert "&lt;script&gt;odd" in text
    assert "<script" not in text


def test_a_plot_is_one_element_with_its_words() -> None:
    plot = plots.lines(("Time over faces", "faces", "ms"), CURVE.lines)
    assert plot.title == "Time over faces"
    assert ET.fromstring(plot.svg).tag.endswith("svg")
    for word in ("faces", "ms", "measured", "line"):
        assert f">{word}<" in plot.svg
