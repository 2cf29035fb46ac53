"""Figures with the bounds required of them: the table on the terminal, the JSON record, the page with the worst mistakes."""

import json
from base64 import b64encode
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from itertools import groupby
from math import inf, isfinite, isnan
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from PIL import Image, ImageDraw
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.progress import track
from rich.table import Column, Table
from rich.text import Text

from appliance.calibration.rates import Rate, Reals
from lab.pictures import GREY, jpeg, upright

Item = TypeVar("Item")

COLUMNS = {"value": 9, "95 % bounds": 13, "wanted": 11, "": 4}  # with the measure's 33, a line of 80 characters
STYLES = {"pass": "green", "FAIL": "bold red"}
SIDE, QUALITY = 168, 80  # pixels of a thumbnail (three in a row on a phone) and its JPEG quality
MARGIN = 0.5  # share of a face box's side that is shown around it
MOST_MISTAKES = 12  # of a kind that are shown
FOUND, LABELLED = (255, 120, 0), (0, 220, 120)  # orange is the device's answer, green the label


@dataclass(frozen=True, slots=True)
class Finding:
    """One figure: its value with 95 % bounds where they are known, and the required bound where there is one.

    Values and bounds are in `unit`: "%" means hundredths, "" a plain number. The value is judged, not its interval. `note` says
    why there is no value (NaN).
    """

    question: str
    measure: str
    value: float
    unit: str = ""
    interval: tuple[float, float] | None = None
    at_least: float = -inf
    at_most: float = inf
    note: str = ""

    @property
    def judged(self) -> bool:
        """Whether there is a bound."""
        return isfinite(self.at_least) or isfinite(self.at_most)

    @property
    def passed(self) -> bool:
        """Whether the value keeps its bound; a figure that could not be measured (NaN) does not."""
        return not self.judged or self.at_least <= self.value <= self.at_most

    @property
    def texts(self) -> tuple[str, str, str, str]:
        """The value with its unit, four digits, or the note; its 95 % bounds; the required ones; the verdict."""
        value = (self.note or "none") if isnan(self.value) else f"{self.value:.4g} {self.unit}".rstrip()
        interval = "" if self.interval is None else "{:.2f} … {:.2f}".format(*self.interval)
        sides = [("≥", self.at_least), ("≤", self.at_most)]
        wanted = " ".join(f"{sign} {bound:g}" for sign, bound in sides if isfinite(bound))
        return value, interval, wanted, ("pass" if self.passed else "FAIL") if self.judged else ""

    def as_json(self) -> dict[str, Any]:
        """A plain JSON object: no infinities, no NaN; `passed` is null without a bound, `note` only where there is one."""
        fields = {key: value for key, value in asdict(self).items() if (key, value) != ("note", "")}
        finite = {key: value for key, value in fields.items() if not isinstance(value, float) or isfinite(value)}
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
    """The answer to a question: what it rests on (pictures, faces, …, with their number), figures, and for the page a remark
    and mistakes by their kind, worst first.
    """

    counts: Mapping[str, int]
    findings: Sequence[Finding]
    remark: str = ""
    mistakes: Mapping[str, Sequence[Mistake]] = field(default_factory=dict)


def percentage(
    question: str, measure: str, share: float | Rate, *, at_least: float = -inf, at_most: float = inf
) -> Finding:
    """A finding of a share 0..1 in percent; `at_least` and `at_most` are in percent."""
    if isinstance(share, float):
        return Finding(question, measure, 100 * share, "%", None, at_least, at_most)
    low, high = share.bounds
    title = f"{measure} ({share.count}/{share.total})"
    return Finding(question, title, 100 * share.value, "%", (100 * low, 100 * high), at_least, at_most)


def unjudged(findings: Sequence[Finding]) -> list[Finding]:
    """The same figures without required bounds."""
    return [replace(finding, at_least=-inf, at_most=inf) for finding in findings]


def write_json(path: Path | None, record: object) -> None:
    """Writes a record into a file, if one is wanted. Raises OSError."""
    if path is not None:
        path.write_text(json.dumps(record, indent=1, allow_nan=False) + "\n", "utf-8")


def print_table(findings: Sequence[Finding]) -> None:
    """A table a question, one line a finding: measure, value with bounds; if any is judged, required bound and verdict."""
    judged, console = any(finding.judged for finding in findings), Console()
    columns = list(COLUMNS.items())[: 4 if judged else 2]
    for question, group in groupby(findings, lambda finding: finding.question):
        measure = Column(Text(question), width=33 if judged else 50)
        others = (Column(title, no_wrap=True, width=width) for title, width in columns)
        table = Table(measure, *others, box=SIMPLE_HEAD, padding=(0, 1, 0, 0), show_edge=False)
        for finding in group:
            cells = (finding.measure, *finding.texts[: len(columns)])
            table.add_row(*(Text(cell, STYLES.get(cell, "")) for cell in cells))
        console.print(table)
        console.print()


def tracked(items: Iterable[Item], title: str, total: int | None = None) -> Iterable[Item]:
    """The items, `total` of them where they have no length, with a progress bar on the error stream if it is a terminal."""
    console = Console(stderr=True)
    return track(items, title, total, console=console, disable=not console.is_terminal)


def write_page(
    folder: Path, facts: Mapping[str, Any], findings: Sequence[Finding], outcomes: Mapping[str, Evaluation]
) -> Path:
    """Writes index.html, which loads nothing else, into the folder, which is made if necessary, and returns its path. `facts`
    are the device's. Raises OSError.
    """
    import jinja2  # here, because build_models has none

    folder.mkdir(0o700, parents=True, exist_ok=True)
    loader = jinja2.FileSystemLoader(Path(__file__).parent)
    page = jinja2.Environment(loader=loader, autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True)
    content = page.get_template("page.html").render(
        date=datetime.now(UTC).isoformat(timespec="seconds"),
        facts=facts,
        thumbnail=thumbnail,
        most=MOST_MISTAKES,
        findings=findings,
        questions=list(dict.fromkeys(finding.question for finding in findings)),
        outcomes=outcomes,
        judged=any(finding.judged for finding in findings),
    )
    path = folder / "index.html"
    path.touch(0o600)  # it shows faces
    path.write_text(content, encoding="utf-8")
    return path


def thumbnail(path: Path, box: Sequence[float] | Reals | None, found: Reals | None, labelled: Reals | None) -> str:
    """The data: address of a square of SIDE around a box (x, y, width, height), of the whole picture without one; grey when
    the picture does not decode.
    """
    try:
        image = upright(path.read_bytes())
    except OSError:
        image = Image.new("RGB", (SIDE, SIDE), GREY)
    x, y, width, height = map(float, (0, 0, *image.size) if box is None else box)
    side = max(1.0, max(width, height) * (1 if box is None else 1 + 2 * MARGIN))
    left, top = x + (width - side) / 2, y + (height - side) / 2
    shown = image.crop((round(left), round(top), round(left + side), round(top + side))).resize((SIDE, SIDE))
    canvas, origin, scale = ImageDraw.Draw(shown), np.array([left, top]), SIDE / side
    for marks, colour in ((labelled, LABELLED), (found, FOUND)):
        if marks is not None and marks.ndim == 1:
            corners = np.concatenate([marks[:2] - origin, marks[:2] + marks[2:] - origin]) * scale
            canvas.rectangle(corners.tolist(), outline=colour, width=2)
        elif marks is not None:
            for point in (marks - origin) * scale:
                canvas.circle(tuple(point), 1.5, fill=colour)
    return f"data:image/jpeg;base64,{b64encode(jpeg(shown, QUALITY)).decode('ascii')}"
