"""The figures as one page that needs nothing beside itself. The only file here that imports jinja2 and matplotlib."""

import io
from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path

import jinja2
from markupsafe import Markup
from matplotlib import rc_context
from matplotlib.figure import Figure

from appliance import __version__
from appliance.benchmark.contest import Row, cells
from appliance.benchmark.figures import Curve
from appliance.benchmark.outcome import Outcome
from appliance.benchmark.protocol import STEPS
from appliance.evaluation.report import Finding

NAME = "index.html"

SIZE = (6.4, 3.6)
"""Inches of a plot."""


def write_page(outcome: Outcome, folder: Path) -> Path:
    """Writes index.html into `folder`, which is made when it is not there; where it is. Raises OSError."""
    folder.mkdir(parents=True, exist_ok=True)
    environment = jinja2.Environment(loader=jinja2.PackageLoader("appliance.benchmark", "."), autoescape=True)
    text = environment.get_template("page.html").render(
        outcome=outcome,
        program=__version__,
        questions=groups(outcome.findings),
        plots=[(curve.title, Markup(svg(curve))) for curve in outcome.curves],  # noqa: S704 (matplotlib's own markup)
        sets=_sets(outcome.rows),
        steps=STEPS,
    )
    path = folder / NAME
    path.write_text(text, encoding="utf-8")
    return path


def groups(findings: Sequence[Finding]) -> Iterator[tuple[str, list[Finding]]]:
    """The findings by question, in their order."""
    for question, group in groupby(findings, lambda finding: finding.question):
        yield question, list(group)


def svg(curve: Curve) -> str:
    """The plot as an <svg> element; the same figures give the same text."""
    figure = Figure(SIZE, layout="constrained")
    axes = figure.subplots()
    for name, points in curve.lines.items():
        x, y = zip(*sorted(points), strict=True)
        axes.plot(x, y, marker="o" if name != "line" else None, linestyle="-" if name else "", label=name or None)
    axes.set(xlabel=curve.x, ylabel=curve.y, ylim=(0, None), xlim=(0, None))
    axes.grid(alpha=0.3)
    if len(curve.lines) > 1:
        axes.legend()
    content = io.StringIO()
    with rc_context({"svg.hashsalt": curve.title, "svg.fonttype": "none"}):
        figure.savefig(content, format="svg", metadata={"Date": None, "Creator": None})
    return content.getvalue()[content.getvalue().index("<svg") :]


def _sets(rows: Sequence[Row]) -> dict[str, list[list[str]]]:
    """The peers' rows as text, by set of pictures."""
    return {title: [cells(row) for row in group] for title, group in groupby(rows, lambda row: row.pictures)}
