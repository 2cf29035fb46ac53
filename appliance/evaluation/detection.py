"""Where are faces? Labelled pictures, by the rules of WIDER FACE.

AP needs what the HTTP answer does not have: each face's score, and the detector's own rectangle (the contract's box is that
rectangle squared, which no labelled rectangle is).
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from appliance.evaluation.asked import ScoredFace
from appliance.evaluation.boxes import LabelledPicture, read_labelled_pictures
from appliance.evaluation.inquiry import Inquiry
from appliance.evaluation.measures import FALSE, DetectedPicture, average_precision, match, precision_recall
from appliance.evaluation.report import Finding

QUESTION = "detection"

LEAST_AP = {"easy": 0.87, "medium": 0.85, "hard": 0.70}
"""The settings of WIDER FACE and the AP wanted; YuNet's published figures at full size are .884, .866 and .750."""

MINSIZE, DETECTCOUNT = 8, 1000
"""Smaller than the smallest face that counts (10 px), and more faces than any picture has."""


@dataclass(frozen=True, slots=True)
class Detections:
    """The labelled pictures, and the faces found in each."""

    pictures: tuple[LabelledPicture, ...]
    found: tuple[list[ScoredFace], ...]

    @property
    def settings(self) -> tuple[str, ...]:
        """Which faces count: easy, medium and hard where the labels say so."""
        return tuple(self.pictures[0].counted)

    def of(self, setting: str) -> list[DetectedPicture]:
        """What was found and what is there, in one setting."""
        return [detected(picture, found, setting) for picture, found in zip(self.pictures, self.found, strict=True)]


@dataclass(frozen=True, slots=True)
class Mistake:
    """A box (4) in a picture: a face that was missed, or what was taken for one with its score."""

    path: Path
    box: tuple[float, ...]
    score: float | None = None


def measure(inquiry: Inquiry, data: Path) -> Detections:
    """`data` is laid out as boxes.read_labelled_pictures wants it. Raises LayoutError, UnexpectedAnswerError, UnscoredError."""
    pictures = read_labelled_pictures(data)

    def find(picture: LabelledPicture) -> list[ScoredFace]:
        return inquiry.scored_faces(picture.path.read_bytes(), minsize=MINSIZE, detectcount=DETECTCOUNT)

    return Detections(tuple(pictures), tuple(inquiry.each("detecting", find, pictures)))


def detected(picture: LabelledPicture, found: list[ScoredFace], setting: str) -> DetectedPicture:
    """One picture in one setting."""
    return DetectedPicture(
        np.array([face.box for face in found], dtype=np.float64).reshape(-1, 4),
        np.array([face.score for face in found], dtype=np.float64),
        picture.boxes,
        picture.counted[setting],
    )


def findings(outcome: Detections) -> list[Finding]:
    """AP in each setting."""
    return [_precision(outcome, setting) for setting in outcome.settings]


def false_alarms(outcome: Detections, count: int) -> list[Mistake]:
    """What scored highest of all that overlaps no labelled face enough, or one for the second time; in the last setting."""
    wrong = []
    for picture, detected_ in zip(outcome.pictures, outcome.of(outcome.settings[-1]), strict=True):
        matching = match(detected_)
        for place in matching.order[matching.verdicts == FALSE]:
            box = tuple(float(value) for value in detected_.found[place])
            wrong.append(Mistake(picture.path, box, float(detected_.scores[place])))
    return sorted(wrong, key=lambda mistake: -(mistake.score or 0.0))[:count]


def missed_faces(outcome: Detections, count: int) -> list[Mistake]:
    """The largest faces that nothing was found at; in the last setting."""
    missed = []
    for picture, detected_ in zip(outcome.pictures, outcome.of(outcome.settings[-1]), strict=True):
        lost = detected_.counted & ~match(detected_).recalled
        missed += [Mistake(picture.path, tuple(float(value) for value in box)) for box in detected_.labelled[lost]]
    return sorted(missed, key=lambda mistake: -mistake.box[2] * mistake.box[3])[:count]


def _precision(outcome: Detections, setting: str) -> Finding:
    faces = sum(int(picture.counted[setting].sum()) for picture in outcome.pictures)
    title, wanted = f"AP {setting} ({faces} faces)", LEAST_AP.get(setting, float("-inf"))
    try:
        value = average_precision(*precision_recall(outcome.of(setting)))
    except ValueError:
        return Finding(QUESTION, title, float("nan"), at_least=wanted, note="no faces")
    return Finding(QUESTION, title, value, at_least=wanted)
