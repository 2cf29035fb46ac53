"""Figures with the bounds required of them: the table on the terminal and the JSON record."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import groupby
from typing import Any, TypeVar

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.progress import track
from rich.table import Column, Table

from appliance.calibration.rates import Rate

Item = TypeVar("Item")

COLUMNS = {"value": 9, "95 % bounds": 13, "wanted": 11, "": 4}
"""Titles and widths: with the measure's 33, a line of 80 characters."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One figure: its value with 95 % bounds where they are known, and the required bound where there is one.

    Values and bounds are in `unit`: "%" means hundredths, "" a plain number. The value is judged, not its interval.
    """

    question: str
    measure: str
    value: float
    unit: str = ""
    interval: tuple[float, float] | None = None
    at_least: float = -math.inf
    at_most: float = math.inf
    note: str = ""
    """Why there is no value, where there is none."""

    @property
    def judged(self) -> bool:
        """Whether there is a bound."""
        return math.isfinite(self.at_least) or math.isfinite(self.at_most)

    @property
    def passed(self) -> bool:
        """Whether the value keeps its bound; a figure that could not be measured (NaN) does not."""
        return not self.judged or self.at_least <= self.value <= self.at_most


def percentage(
    question: str, measure: str, share: float | Rate, *, at_least: float = -math.inf, at_most: float = math.inf
) -> Finding:
    """A finding of a share 0..1 in percent; `at_least` and `at_most` are in percent."""
    if isinstance(share, float):
        return Finding(question, measure, 100 * share, "%", None, at_least, at_most)
    low, high = share.bounds
    title = f"{measure} ({share.count}/{share.total})"
    return Finding(question, title, 100 * share.value, "%", (100 * low, 100 * high), at_least, at_most)


def unjudged(findings: Sequence[Finding]) -> list[Finding]:
    """The same figures without required bounds."""
    return [replace(finding, at_least=-math.inf, at_most=math.inf) for finding in findings]


def print_table(findings: Sequence[Finding], console: Console) -> None:
    """A table a question, one line a finding: measure, value with bounds; if any is judged, required bound and verdict."""
    judged = any(finding.judged for finding in findings)
    columns = COLUMNS if judged else dict(list(COLUMNS.items())[:2])
    for question, group in groupby(findings, lambda finding: finding.question):
        narrow = (Column(title, no_wrap=True, width=width) for title, width in columns.items())
        # without the verdict the measure has its place, too
        table = Table(
            Column(escape(question), width=33 if judged else 50), *narrow, box=SIMPLE_HEAD, padding=(0, 1, 0, 0)
        )
        table.show_edge = False
        for finding in group:
            verdict = "" if not finding.judged else "[green]pass" if finding.passed else "[bold red]FAIL"
            row = (finding.measure, value_text(finding), interval_text(finding), wanted_text(finding))
            table.add_row(*[*map(escape, row), verdict][: 1 + len(columns)])
        console.print(table)
        console.print()


def as_json(findings: Sequence[Finding]) -> list[dict[str, Any]]:
    """The findings as plain JSON objects: no infinities, no NaN; `passed` is null without a bound, `note` only where there
    is one.
    """
    return [
        {key: _finite(value) for key, value in asdict(finding).items() if (key, value) != ("note", "")}
        | {"passed": finding.passed if finding.judged else None}
        for finding in findings
    ]


def _finite(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value


def value_text(finding: Finding) -> str:
    """The value with its unit, four digits; the note where there is no value."""
    if math.isnan(finding.value):
        return finding.note or "none"
    return f"{finding.value:.4g} {finding.unit}".rstrip()


def interval_text(finding: Finding) -> str:
    """The 95 % bounds, "" without any."""
    return "" if finding.interval is None else "{:.2f} … {:.2f}".format(*finding.interval)


def wanted_text(finding: Finding) -> str:
    """The required bounds, "" without any."""
    sides = [("≥", finding.at_least), ("≤", finding.at_most)]
    return " ".join(f"{sign} {bound:g}" for sign, bound in sides if math.isfinite(bound))


def tracked(items: Sequence[Item], title: str) -> Iterable[Item]:
    """The items, with a progress bar on the error stream."""
    return track(items, title, console=Console(stderr=True))
