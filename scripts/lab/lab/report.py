"""Figures with the bounds required of them: the table on the terminal and the JSON record."""

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from itertools import groupby
from pathlib import Path
from typing import Any, TypeVar

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.progress import track
from rich.table import Column, Table

from appliance.calibration.rates import Rate, Reals

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

    @property
    def value_text(self) -> str:
        """The value with its unit, four digits; the note where there is no value."""
        return (self.note or "none") if math.isnan(self.value) else f"{self.value:.4g} {self.unit}".rstrip()

    @property
    def interval_text(self) -> str:
        """The 95 % bounds, "" without any."""
        return "" if self.interval is None else "{:.2f} … {:.2f}".format(*self.interval)

    @property
    def wanted_text(self) -> str:
        """The required bounds, "" without any."""
        sides = [("≥", self.at_least), ("≤", self.at_most)]
        return " ".join(f"{sign} {bound:g}" for sign, bound in sides if math.isfinite(bound))

    def as_json(self) -> dict[str, Any]:
        """A plain JSON object: no infinities, no NaN; `passed` is null without a bound, `note` only where there is one."""
        fields = {key: value for key, value in asdict(self).items() if (key, value) != ("note", "")}
        finite = {key: value for key, value in fields.items() if not isinstance(value, float) or math.isfinite(value)}
        return {**dict.fromkeys(fields), **finite, "passed": self.passed if self.judged else None}


@dataclass(frozen=True, slots=True)
class Mistake:
    """A line about pictures, each with the box (4) to show of it, all of it without one; and boxes (4) or points (N x 2) to
    draw: the device's answer and the label.
    """

    text: str
    pictures: Sequence[tuple[Path, Sequence[float] | Reals | None]]
    found: Reals | None = None
    labelled: Reals | None = None


@dataclass(frozen=True, slots=True)
class Evaluation:
    """The answer to a question: what it rests on (pictures, faces, …, with their number), figures, and for the report a remark
    and mistakes by their kind, worst first.
    """

    counts: Mapping[str, int]
    findings: Sequence[Finding]
    remark: str = ""
    mistakes: Mapping[str, Sequence[Mistake]] = field(default_factory=dict)


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


def write_json(path: Path | None, record: object) -> None:
    """Writes a record into a file, if one is wanted. Raises OSError."""
    if path is not None:
        path.write_text(json.dumps(record, indent=1, allow_nan=False) + "\n", "utf-8")


def print_table(findings: Sequence[Finding]) -> None:
    """A table a question, one line a finding: measure, value with bounds; if any is judged, required bound and verdict."""
    judged, console = any(finding.judged for finding in findings), Console()
    columns = list(COLUMNS.items())[: 4 if judged else 2]
    for question, group in groupby(findings, lambda finding: finding.question):
        measure = Column(escape(question), width=33 if judged else 50)
        others = (Column(title, no_wrap=True, width=width) for title, width in columns)
        table = Table(measure, *others, box=SIMPLE_HEAD, padding=(0, 1, 0, 0), show_edge=False)
        for finding in group:
            verdict = "" if not finding.judged else "[green]pass" if finding.passed else "[bold red]FAIL"
            row = (finding.measure, finding.value_text, finding.interval_text, finding.wanted_text)
            table.add_row(*[*map(escape, row), verdict][: 1 + len(columns)])
        console.print(table)
        console.print()


def tracked(items: Iterable[Item], title: str, total: int | None = None) -> Iterable[Item]:
    """The items, `total` of them where they have no length, with a progress bar on the error stream if it is a terminal."""
    console = Console(stderr=True)
    return track(items, title, total, console=console, disable=not console.is_terminal)
