"""The report: one HTML page that asks nothing of anybody, from figures, plots and thumbnails."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import jinja2

from appliance.evaluation.report import Finding, interval_text, value_text, wanted_text
from appliance.evaluation.thumbnails import Thumbnail

TEMPLATE = Path(__file__).with_name("page.html")


@dataclass(frozen=True, slots=True)
class Plot:
    """A drawing: its title, and its <svg> element."""

    title: str
    svg: str


@dataclass(frozen=True, slots=True)
class Gallery:
    """Mistakes of one kind, worst first."""

    title: str
    thumbnails: tuple[Thumbnail, ...]


@dataclass(frozen=True, slots=True)
class Chapter:
    """What there is to see of one question."""

    question: str
    remark: str
    plots: tuple[Plot, ...]
    galleries: tuple[Gallery, ...]


def write_page(
    folder: Path, record: Mapping[str, Any], findings: Sequence[Finding], chapters: Sequence[Chapter]
) -> Path:
    """Writes index.html into the folder, which is made if need be, and returns its path. Raises OSError.

    `record` is what `--json` writes.
    """
    folder.mkdir(0o700, parents=True, exist_ok=True)
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True)
    environment.filters |= {"value": value_text, "interval": interval_text, "wanted": wanted_text}
    content = environment.from_string(TEMPLATE.read_text(encoding="utf-8")).render(
        record=record,
        tables=[(question, list(group)) for question, group in groupby(findings, lambda finding: finding.question)],
        chapters={chapter.question: chapter for chapter in chapters},
        judged=any(finding.judged for finding in findings),
    )
    path = folder / "index.html"
    path.touch(0o600)  # it shows faces
    path.write_text(content, encoding="utf-8")
    return path
