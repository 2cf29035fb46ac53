"""The report: one HTML page that loads nothing else, from figures and the worst mistakes as thumbnails."""

from base64 import b64encode
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
from PIL import Image, ImageDraw

from appliance.calibration.rates import Reals
from lab.pictures import GREY, jpeg, upright
from lab.report import Evaluation, Finding

SIDE, QUALITY = 168, 80
"""Pixels of a thumbnail (three in a row on a phone, and sharp enough to recognise a person), and its JPEG quality."""

MARGIN = 0.5
"""Share of a face box's side that is shown around it."""

MOST_MISTAKES = 12
"""Of a kind that are shown."""

FOUND, LABELLED = (255, 120, 0), (0, 220, 120)
"""Orange is the device's answer, green the label."""


def write(
    folder: Path, facts: Mapping[str, Any], findings: Sequence[Finding], outcomes: Mapping[str, Evaluation]
) -> Path:
    """Writes index.html into the folder, which is made if necessary, and returns its path. `facts` are the device's. Raises
    OSError.
    """
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
