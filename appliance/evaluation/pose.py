"""Which way does a face look? Pictures whose head pose is known."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from appliance.evaluation.asked import FoundFace
from appliance.evaluation.inquiry import Inquiry
from appliance.evaluation.measures import Reals, mean_bounds, rate
from appliance.evaluation.poses import ANGLES, PosedPicture, read_posed_pictures
from appliance.evaluation.report import Finding, percentage

QUESTION = "pose"

CLOSE = 10.0
"""Degrees within which all three angles must be for a pose to be taken as right."""


@dataclass(frozen=True, slots=True)
class Poses:
    """The pictures, and the largest face found in each, None without one."""

    pictures: tuple[PosedPicture, ...]
    faces: tuple[FoundFace | None, ...]

    @property
    def found(self) -> Reals:
        """The pose of each face (N x 3: yaw, pitch, roll in degrees); NaN where none was found."""
        none = np.full(len(ANGLES), np.nan)
        return np.array([none if face is None else face.pose for face in self.faces], dtype=np.float64)

    @property
    def labelled(self) -> Reals:
        """The poses that are known (N x 3)."""
        return np.array([picture.pose for picture in self.pictures], dtype=np.float64).reshape(-1, len(ANGLES))

    @property
    def errors(self) -> Reals:
        """Found less known (N x 3), -180..180 degrees; NaN where no face was found."""
        return np.asarray((self.found - self.labelled + 180) % 360 - 180, dtype=np.float64)


def measure(inquiry: Inquiry, data: Path) -> Poses:
    """`data` is laid out as poses.read_posed_pictures wants it. Raises LayoutError, UnexpectedAnswerError."""
    pictures = read_posed_pictures(data)

    def find(picture: PosedPicture) -> FoundFace | None:
        return next(iter(inquiry.faces(picture.path.read_bytes(), detectcount=1)), None)

    return Poses(tuple(pictures), tuple(inquiry.each("poses", find, pictures)))


def findings(outcome: Poses) -> list[Finding]:
    """Mean absolute error of each angle with the bounds of its standard error, share close, share lost."""
    lost = np.isnan(outcome.found).any(axis=1)
    errors = np.abs(outcome.errors[~lost])
    close = np.zeros(lost.size, dtype=np.bool_)
    close[~lost] = (errors <= CLOSE).all(axis=1)
    return [
        *(_mean(f"{angle}: mean absolute error", errors[:, place]) for place, angle in enumerate(ANGLES)),
        percentage(QUESTION, f"all angles within {CLOSE:.0f}°", rate(close)),
        percentage(QUESTION, "faces not found", rate(lost)),
    ]


def _mean(title: str, errors: Reals) -> Finding:
    if not errors.size:
        return Finding(QUESTION, title, float("nan"), "°", note="no faces")
    return Finding(QUESTION, title, float(errors.mean()), "°", mean_bounds(errors))
