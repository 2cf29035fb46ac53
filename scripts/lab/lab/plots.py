"""Curves and histograms as inline SVG in the colours of the page: the only module that imports matplotlib."""

import io
import itertools
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
import numpy as np
from cycler import cycler
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullFormatter

from appliance.calibration.rates import Reals
from lab.evaluate.measures import ErrorCurve

SIZE = (4.4, 3.5)
"""Inches of 72 CSS pixels; two side by side on a laptop, one on a phone."""

INK = "#010203"
"""Stands for the page's text colour, which replaces it."""

PALETTE = ("#2a78d6", "#e07b20", "#2f9e62", "#b04fc0", "#c23b4b", "#8a7a1f")
"""Readable on white and on near black."""

BINS = 40

MOST_MARKS = 2000
"""Marks from which they are drawn as a picture: each takes a hundred bytes, and a browser slows down over ten thousand."""

INKED = ("text.color", "axes.edgecolor", "axes.labelcolor", "xtick.color", "ytick.color", "grid.color")

STYLE: Any = {
    "svg.fonttype": "none",
    "svg.hashsalt": "lab",
    "font.family": "sans-serif",
    "font.size": 11,
    "text.parse_math": False,
    "axes.grid": True,
    "axes.prop_cycle": cycler(color=PALETTE),
    "grid.alpha": 0.2,
    "grid.linewidth": 0.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "legend.framealpha": 0,
    "legend.fontsize": 10,
    "lines.linewidth": 1.6,
    **dict.fromkeys(INKED, INK),
}

_numbers = itertools.count(1)


@dataclass(slots=True)
class Plot:
    """A title and, once it is drawn, an <svg> element."""

    title: str
    svg: str = ""


def error_plots(curves: Mapping[str, ErrorCurve], let_through: str, missed: str, accepted: str = "") -> Iterator[Plot]:
    """Both error rates against each other on logarithmic axes, with the 95 % band of the second (DET, ISO/IEC 19795-1); and
    the rate of `accepted` positives (ROC) where it has a name. Rates of zero are drawn at half the smallest rate.
    """
    rates = np.concatenate([np.concatenate([curve.let_through, curve.missed]) for curve in curves.values()])
    floor = float(rates[rates > 0].min() / 2)
    with drawn("DET", let_through, missed, percent="xy") as (axes, plot):
        for name, curve in curves.items():
            x = curve.let_through.clip(floor)
            (line,) = axes.plot(x, curve.missed.clip(floor), label=name)
            axes.fill_between(x, *curve.missed_bounds.clip(floor), color=line.get_color(), alpha=0.18, linewidth=0)
        axes.set(xscale="log", yscale="log", xlim=(floor, 1), ylim=(floor, 1))
        axes.plot([floor, 1], [floor, 1], color=INK, linewidth=0.6, linestyle=":", label="equal")
    yield plot
    if not accepted:
        return
    with drawn("ROC", let_through, accepted, percent="xy") as (axes, plot):
        for curve in curves.values():
            x, (low, high) = curve.let_through.clip(floor), 1 - curve.missed_bounds
            (line,) = axes.plot(x, 1 - curve.missed)
            axes.fill_between(x, low, high, color=line.get_color(), alpha=0.18, linewidth=0)
        lowest = min(float(1 - curve.missed[curve.let_through > 0].max(initial=0)) for curve in curves.values())
        axes.set(xscale="log", xlim=(floor, 1), ylim=(max(0.0, lowest - 0.02), 1.002))
    yield plot


def histogram(title: str, scores: Mapping[str, Reals], axis: str, threshold: float) -> Plot:
    """How often each score (0..1) was given, as a share of its kind on a logarithmic axis; the threshold as a line."""
    with drawn(title, axis, "share of its kind", percent="y") as (axes, plot):
        floor = 0.5 / max(values.size for values in scores.values())
        edges = np.linspace(0, 1, BINS + 1)
        for (name, values), colour in zip(scores.items(), itertools.cycle(PALETTE), strict=False):
            heights = np.histogram(values.clip(0, 1), edges)[0] / max(1, values.size)
            axes.stairs(heights.clip(floor), edges, baseline=floor, fill=True, color=colour, alpha=0.45, label=name)
        axes.axvline(threshold, color=INK, linewidth=0.8, linestyle="--")
        axes.set(xlim=(0, 1), yscale="log", ylim=(floor, 1.5))
    return plot


def lines(
    titles: tuple[str, str, str],
    named: Mapping[str, Sequence[tuple[float, float]] | Reals],
    percent: str = "",
    **limits: Any,
) -> Plot:
    """Points (N x 2) of each name, joined, with marks where they are few; alone where the name is empty."""
    with drawn(*titles, percent=percent) as (axes, plot):
        for name, points in named.items():
            mark = "o" if len(points) < BINS and name != "line" else ""
            axes.plot(*np.transpose(points), marker=mark, linestyle="-" if name else "", label=name, markersize=4)
        axes.set(**limits)
    return plot


def angle_errors(labelled: Reals, errors: Reals, names: Sequence[str]) -> Plot:
    """The error of each angle (N x 3, degrees) over the labelled angle."""
    with drawn("Errors", "known, degrees", "error, degrees") as (axes, plot):
        raster = len(errors) > MOST_MARKS
        for place, name in enumerate(names):
            axes.scatter(
                labelled[:, place], errors[:, place], 9, label=name, alpha=0.6, linewidths=0, rasterized=raster
            )
        axes.axhline(0, color=INK, linewidth=0.6)
    return plot


@contextmanager
def drawn(title: str, x: str, y: str, percent: str = "") -> Iterator[tuple[Axes, Plot]]:
    """Axes to draw on, and the plot, complete once they are left; the axes named by `percent` show shares in percent."""
    plot = Plot(title)
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=SIZE, layout="constrained")
        axes = figure.add_subplot()
        axes.set(xlabel=x, ylabel=y)
        yield axes, plot
        for axis in (getattr(axes, f"{name}axis") for name in percent):
            axis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:g} %"))
            axis.set_minor_formatter(NullFormatter())
        if len(axes.get_legend_handles_labels()[1]) > 1:
            axes.legend()
        content = io.StringIO()
        figure.savefig(content, format="svg", dpi=200, transparent=True, metadata={"Date": None, "Creator": None})
    plot.svg = _inline(content.getvalue())


def _inline(document: str) -> str:
    """The <svg> element alone, its names unique within the page, in the colour of the page's text."""
    element = re.sub(r"<metadata>.*?</metadata>", "", document[document.index("<svg") :], flags=re.DOTALL)
    element = re.sub(r'(\bid="|url\(#|href="#)', rf"\g<1>plot{next(_numbers)}-", element)
    element = re.sub(
        r"(?<=<svg )[^>]*", lambda head: re.sub(r'(width|height)="[^"]*" ?', "", head[0]), element, count=1
    )
    return element.replace(INK, "currentColor")
