"""The report: one HTML page that loads nothing else, from figures, plots and thumbnails."""

from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import jinja2
import numpy as np
from PIL import Image, ImageDraw

from appliance.calibration.rates import Reals
from lab.pictures import GREY, jpeg, upright
from lab.plots import Plot
from lab.report import Finding, interval_text, value_text, wanted_text

TEMPLATE = Path(__file__).with_name("page.html")

SIDE, QUALITY = 168, 80
"""Pixels of a thumbnail (three in a row on a phone, and sharp enough to recognise a person), and its JPEG quality."""

MARGIN = 0.5
"""Share of a face box's side that is shown around it."""

FOUND, LABELLED = (255, 120, 0), (0, 220, 120)
"""Orange is the device's answer, green the label."""


@dataclass(frozen=True, slots=True)
class Thumbnail:
    """Pictures side by side, as data: addresses, and the lines below them."""

    addresses: Sequence[str]
    lines: Sequence[str]


@dataclass(frozen=True, slots=True)
class Section:
    """A remark, plots, and galleries of mistakes by their title, worst first, of one question."""

    question: str
    remark: str = ""
    plots: Sequence[Plot] = ()
    galleries: Sequence[tuple[str, Sequence[Thumbnail]]] = ()


@dataclass(frozen=True, slots=True)
class Page:
    """A page's title, a warning, facts about the measurement, and more tables by their title: headings and rows."""

    title: str
    warning: str
    facts: Mapping[str, object]
    tables: Mapping[str, tuple[Sequence[str], Sequence[Sequence[str]]]]

    def write(self, folder: Path, findings: Sequence[Finding], sections: Sequence[Section]) -> Path:
        """Writes index.html into the folder, which is made if necessary, and returns its path. Raises OSError."""
        folder.mkdir(0o700, parents=True, exist_ok=True)
        environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True)
        environment.filters |= {"value": value_text, "interval": interval_text, "wanted": wanted_text}
        grouped = {question: list(group) for question, group in groupby(findings, lambda finding: finding.question)}
        by_question = {section.question: section for section in sections}
        content = environment.from_string(TEMPLATE.read_text(encoding="utf-8")).render(
            page=self,
            parts=[(name, grouped.get(name, []), by_question.get(name)) for name in {**grouped, **by_question}],
            judged=any(finding.judged for finding in findings),
        )
        path = folder / "index.html"
        path.touch(0o600)  # it shows faces
        path.write_text(content, encoding="utf-8")
        return path


def thumbnail(
    path: Path, box: Sequence[float] | Reals | None, found: Reals | None = None, labelled: Reals | None = None
) -> str:
    """The data: address of a square of SIDE around a box (x, y, width, height), of the whole picture without one.

    `found` and `labelled` are boxes (4) or points (N x 2) to draw. A picture that does not decode is grey.
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
