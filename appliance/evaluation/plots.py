"""Curves and histograms as inline SVG that takes the colours of the page: the only file here that imports matplotlib."""

import io
import itertools
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Literal

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullFormatter

from appliance.evaluation.measures import ErrorCurve, Reals

SIZE = (4.4, 3.5)
"""Inches of 72 CSS pixels; two beside each other on a laptop, one on a phone."""

INK = "#010203"
"""Stands for the page's own text colour, which is put in its place."""

PALETTE = ("#2a78d6", "#e07b20", "#2f9e62", "#b04fc0", "#c23b4b", "#8a7a1f")
"""Readable on white and on near black."""

BINS = 40

MOST_MARKS = 2000
"""Marks from which they are drawn as a picture: each costs a hundred bytes, and a browser slows down over ten thousand."""

_numbers = itertools.count(1)


def det_plot(curves: Mapping[str, ErrorCurve], let_through: str, missed: str) -> str:
    """Both error rates against each other on logarithmic axes, with the 95 % band of the second (ISO/IEC 19795-1: DET)."""
    with _figure(let_through, missed) as (axes, drawn):
        floor = min(_floor(curve) for curve in curves.values())
        for (name, curve), colour in zip(curves.items(), itertools.cycle(PALETTE), strict=False):
            x = curve.let_through.clip(floor)
            axes.fill_between(x, *curve.missed_bounds.clip(floor), color=colour, alpha=0.18, linewidth=0)
            axes.plot(x, curve.missed.clip(floor), color=colour, label=name)
        axes.set(xscale="log", yscale="log", xlim=(floor, 1), ylim=(floor, 1))
        axes.plot([floor, 1], [floor, 1], color=INK, linewidth=0.6, linestyle=":", label="equal")
        _percent(axes, "xy")
        _legend(axes)
    return drawn[0]


def roc_plot(curves: Mapping[str, ErrorCurve], let_through: str, accepted: str) -> str:
    """Rate of positives accepted over the rate of negatives accepted, the latter on a logarithmic axis, with a 95 % band."""
    with _figure(let_through, accepted) as (axes, drawn):
        floor = min(_floor(curve) for curve in curves.values())
        for (name, curve), colour in zip(curves.items(), itertools.cycle(PALETTE), strict=False):
            x, (low, high) = curve.let_through.clip(floor), 1 - curve.missed_bounds
            axes.fill_between(x, low, high, color=colour, alpha=0.18, linewidth=0)
            axes.plot(x, 1 - curve.missed, color=colour, label=name)
        lowest = min(float(1 - curve.missed[curve.let_through > 0].max(initial=0)) for curve in curves.values())
        axes.set(xscale="log", xlim=(floor, 1), ylim=(max(0.0, lowest - 0.02), 1.002))
        _percent(axes, "xy")
        if len(curves) > 1:
            _legend(axes)
    return drawn[0]


def histogram(scores: Mapping[str, Reals], title: str, threshold: float) -> str:
    """How often each score (0..1) was given, as a share of its kind on a logarithmic axis; the threshold as a line."""
    with _figure(title, "share of its kind") as (axes, drawn):
        floor = 0.5 / max(values.size for values in scores.values())
        edges = np.linspace(0, 1, BINS + 1)
        for (name, values), colour in zip(scores.items(), itertools.cycle(PALETTE), strict=False):
            heights = np.histogram(values.clip(0, 1), edges)[0] / max(1, values.size)
            axes.stairs(heights.clip(floor), edges, baseline=floor, fill=True, color=colour, alpha=0.45, label=name)
        axes.axvline(threshold, color=INK, linewidth=0.8, linestyle="--")
        axes.set(xlim=(0, 1), yscale="log", ylim=(floor, 1.5))
        _percent(axes, "y")
        _legend(axes)
    return drawn[0]


def precision_recall_plot(curves: Mapping[str, tuple[Reals, Reals]]) -> str:
    """Precision over recall of each setting."""
    with _figure("recall", "precision") as (axes, drawn):
        for (name, (precision, recall)), colour in zip(curves.items(), itertools.cycle(PALETTE), strict=False):
            some = precision > 0
            axes.plot(recall[some], precision[some], color=colour, label=name)
        axes.set(xlim=(0, 1), ylim=(0, 1.01))
        _legend(axes, "lower left")
    return drawn[0]


def rank_plot(curves: Mapping[str, Sequence[tuple[int, float]]]) -> str:
    """The share of searches whose person is among the first, over how many (CMC: cumulative match characteristic)."""
    with _figure("rank", "found there or before") as (axes, drawn):
        for (name, points), colour in zip(curves.items(), itertools.cycle(PALETTE), strict=False):
            axes.plot(*zip(*points, strict=True), color=colour, label=name, marker=".")
        lowest = min(share for points in curves.values() for _, share in points)
        axes.set(ylim=(max(0.0, lowest - 0.02), 1.002))
        _percent(axes, "y")
        _legend(axes)
    return drawn[0]


def error_distribution(errors: Reals, limit: float) -> str:
    """The share of faces whose error (in hundredths, infinite where lost) is at or under each value up to `limit`."""
    with _figure("NME, % of the inter-ocular distance", "share of faces") as (axes, drawn):
        below = np.sort(errors[errors <= limit])
        steps = np.concatenate([[0.0], below, [limit]])
        shares = np.concatenate([[0], np.arange(1, below.size + 1), [below.size]]) / errors.size
        axes.step(100 * steps, shares, where="post", color=PALETTE[0])
        axes.set(xlim=(0, 100 * limit), ylim=(0, 1.01))
        _percent(axes, "y")
    return drawn[0]


def angle_errors(labelled: Reals, errors: Reals, names: Sequence[str]) -> str:
    """The error of each angle (N x 3, degrees) over what is known."""
    with _figure("known, degrees", "error, degrees") as (axes, drawn):
        for place, (name, colour) in enumerate(zip(names, PALETTE, strict=False)):
            style: Any = {
                "s": 9,
                "color": colour,
                "alpha": 0.6,
                "linewidths": 0,
                "rasterized": len(errors) > MOST_MARKS,
            }
            axes.scatter(labelled[:, place], errors[:, place], label=name, **style)
        axes.axhline(0, color=INK, linewidth=0.6)
        _legend(axes)
    return drawn[0]


@contextmanager
def _figure(horizontal: str, vertical: str) -> Iterator[tuple[Axes, list[str]]]:
    """Axes to draw on, and where the SVG is once they are left."""
    style: Any = {
        "svg.fonttype": "none",
        "svg.hashsalt": "appliance",
        "font.family": "sans-serif",
        "font.size": 11,
        "text.parse_math": False,
        "axes.grid": True,
        "grid.alpha": 0.2,
        "grid.linewidth": 0.5,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "legend.framealpha": 0,
        "lines.linewidth": 1.6,
        **dict.fromkeys(("text.color", "axes.edgecolor", "axes.labelcolor", "xtick.color", "ytick.color"), INK),
        "grid.color": INK,
    }
    drawn: list[str] = []
    with mpl.rc_context(style):
        figure = Figure(figsize=SIZE, layout="constrained")
        axes = figure.add_subplot()
        axes.set(xlabel=horizontal, ylabel=vertical)
        yield axes, drawn
        content = io.StringIO()
        figure.savefig(content, format="svg", dpi=200, transparent=True, metadata={"Date": None, "Creator": None})
    drawn.append(_inline(content.getvalue()))


def _inline(document: str) -> str:
    """The <svg> element alone, its names its own within the page, in the colour of the page's text."""
    element = document[document.index("<svg") :]
    element = re.sub(r"<metadata>.*?</metadata>", "", element, flags=re.DOTALL)
    prefix = f"plot{next(_numbers)}-"
    element = re.sub(r'\bid="', f'id="{prefix}', element)
    element = re.sub(r"url\(#", f"url(#{prefix}", element)
    element = re.sub(r'href="#', f'href="#{prefix}', element)
    element = re.sub(r'(<svg [^>]*?) ?height="[^"]*"', r"\1", element, count=1)
    element = re.sub(r'(<svg [^>]*?) ?width="[^"]*"', r"\1", element, count=1)
    return element.replace(INK, "currentColor")


def _floor(curve: ErrorCurve) -> float:
    """Half the smallest rate that there is to see: where rates of zero are drawn."""
    rates = np.concatenate([curve.let_through, curve.missed])
    return float(rates[rates > 0].min() / 2)


def _percent(axes: Axes, which: str) -> None:
    for name in which:
        axis = axes.xaxis if name == "x" else axes.yaxis
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:g} %"))
        axis.set_minor_formatter(NullFormatter())


def _legend(axes: Axes, place: Literal["best", "lower left"] = "best") -> None:
    axes.legend(loc=place, fontsize=10)
