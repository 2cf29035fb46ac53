"""Who is it, among many? People of a folder are enrolled; others of their pictures, and strangers, are looked for. The device
gives embeddings, which are searched as it searches its own gallery.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import appliance_models
import numpy as np

from appliance.evaluation.asked import UnexpectedAnswerError
from appliance.evaluation.inquiry import Inquiry
from appliance.evaluation.layout import LayoutError
from appliance.evaluation.measures import Rate
from appliance.evaluation.open_set import figures
from appliance.evaluation.people import read_people
from appliance.evaluation.pictures import size
from appliance.evaluation.report import Finding, percentage
from appliance.evaluation.searches import Draw, Picture, Setting, draws, most
from appliance.gallery.search import Point, tail_of

QUESTION = "identification"

SIZES = (50, 100, 500)
"""People in a gallery."""


@dataclass(frozen=True, slots=True)
class Wished:
    """What is measured: FPIR (0..1) and margin of the configuration, pictures that each is enrolled with, a folder of people
    who are never enrolled, and that of the models with their statistics.
    """

    fpir: float = 0.01
    margin: float = 0.05
    templates: int = 1
    strangers: Path | None = None
    models: Path = appliance_models.FOLDER


@dataclass(frozen=True, slots=True)
class Identification:
    """The galleries by their size, and how many people and pictures there were."""

    setting: Setting
    draws: Mapping[int, tuple[Draw, ...]]
    counts: Mapping[str, int]
    lost: Rate


def measure(inquiry: Inquiry, data: Path, wished: Wished) -> Identification:
    """Raises LayoutError, UnexpectedAnswerError, CalibrationError."""
    setting = _setting(inquiry, wished)
    named = read_people(data)
    others = read_people(wished.strangers) if wished.strangers else {}
    unlike = {name: paths for name, paths in others.items() if name not in named}
    people = _acquired(inquiry, "embedding people", named)
    strangers = [each for pictures in _acquired(inquiry, "embedding strangers", unlike).values() for each in pictures]
    pictures = [*(each for every in people.values() for each in every), *strangers]
    drawn = {
        count: tuple(draws(people, strangers, count, setting)) for count in _sizes(most(people, setting.templates))
    }
    counts = {"people": len(people), "other strangers": len(unlike), "pictures": len(pictures)}
    lost = Rate(sum(each.vector is None for each in pictures), len(pictures))
    return Identification(setting, drawn, counts, lost)


def findings(outcome: Identification) -> list[Finding]:
    """The figures of each size, and how many pictures had no face."""
    of_sizes = [
        finding
        for count, drawn in outcome.draws.items()
        for finding in figures(QUESTION, count, drawn, outcome.setting)
    ]
    return [*of_sizes, percentage(QUESTION, "failure to acquire", outcome.lost)]


def _setting(inquiry: Inquiry, wished: Wished) -> Setting:
    """Of the device that is asked."""
    known = inquiry.engine.facts().get("calibration", {}).get("similarity")
    if known is None:
        raise UnexpectedAnswerError(
            "the device tells no operating point of its embedder: it does not work, or is too old"
        )
    point = Point(known["threshold"], known["wanted"]["fmr"])
    tail = tail_of(wished.models, known["model"], point)
    return Setting(tail, point, wished.fpir, wished.margin, wished.templates)


def _sizes(people: int) -> tuple[int, ...]:
    """Those for which there are people enough; half of them where there are few. Raises LayoutError."""
    if people < 2:
        raise LayoutError("fewer than two people can be enrolled: there is nobody to be told apart")
    return tuple(count for count in SIZES if count < people) or (people // 2,)


def _acquired(inquiry: Inquiry, title: str, people: Mapping[str, Sequence[Path]]) -> dict[str, list[Picture]]:
    asked = [(name, path) for name, paths in people.items() for path in paths]
    acquired: dict[str, list[Picture]] = {name: [] for name in people}
    for picture in inquiry.each(title, lambda each: _picture(inquiry, *each), asked):
        acquired[picture.name].append(picture)
    return acquired


def _picture(inquiry: Inquiry, name: str, path: Path) -> Picture:
    """With the face nearest to the picture's centre, whose person is named."""
    content = path.read_bytes()
    faces = inquiry.face_features(content)
    if not faces:
        return Picture(name, path, None, None)
    centre = np.array(size(content)) / 2
    nearest = min(faces, key=lambda face: float(np.linalg.norm(face.box[:2] + face.box[2:] / 2 - centre)))
    return Picture(name, path, nearest.box, nearest.feature)
