"""Which way does a face look? Pictures whose head pose is known."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from appliance.calibration.rates import Reals, rate
from lab.device import FoundFace
from lab.evaluate.client import Client
from lab.evaluate.datasets import ANGLES, PosedPicture, read_posed_pictures
from lab.evaluate.measures import mean_bounds
from lab.report import MOST_MISTAKES, Finding, Mistake, Section, percentage

QUESTION = "pose"

CLOSE = 10.0
"""Degrees within which all three angles must be for a pose to count as correct."""


@dataclass(frozen=True, slots=True)
class Poses:
    """The pictures, and the largest face found in each, None without one."""

    pictures: tuple[PosedPicture, ...]
    faces: tuple[FoundFace | None, ...]

    @property
    def counts(self) -> dict[str, int]:
        """How many pictures there are."""
        return {"pictures": len(self.pictures)}

    @property
    def labelled(self) -> Reals:
        """The known poses (N x 3: yaw, pitch, roll in degrees)."""
        return np.array([picture.pose for picture in self.pictures], dtype=np.float64).reshape(-1, len(ANGLES))

    @property
    def errors(self) -> Reals:
        """Found less known (N x 3), -180..180 degrees; NaN where no face was found."""
        none = np.full(len(ANGLES), np.nan)
        found = np.array([none if face is None else face.pose for face in self.faces], dtype=np.float64)
        return np.asarray((found - self.labelled + 180) % 360 - 180, dtype=np.float64)

    def findings(self) -> Iterator[Finding]:
        """Mean absolute error of each angle with the bounds of its standard error, share close, share lost."""
        errors = np.abs(self.errors)
        lost = np.isnan(errors).any(axis=1)
        for angle, found in zip(ANGLES, errors[~lost].T, strict=True):
            title = f"{angle}: mean absolute error"
            if found.size:
                yield Finding(QUESTION, title, float(found.mean()), "°", mean_bounds(found))
            else:
                yield Finding(QUESTION, title, float("nan"), "°", note="no faces")
        yield percentage(QUESTION, f"all angles within {CLOSE:.0f}°", rate((errors <= CLOSE).all(axis=1)))
        yield percentage(QUESTION, "faces not found", rate(lost))

    def sections(self) -> list[Section]:
        """The largest errors of any angle."""
        greatest = np.where(np.isnan(self.errors), np.inf, np.abs(self.errors)).max(axis=1)
        mistakes = []
        for place in np.argsort(-greatest)[:MOST_MISTAKES]:
            picture, face = self.pictures[place], self.faces[place]
            found = "lost" if face is None else f"found {_angles(face.pose)}"
            box = None if face is None else face.box
            mistakes.append(Mistake(f"{found}, known {_angles(picture.pose)}", [(picture.path, box)]))
        return [Section(QUESTION, "In degrees: yaw, pitch, roll.", {"Largest errors of any angle": mistakes})]


def measure(client: Client, data: Path) -> Poses:
    """`data` is laid out as datasets.read_posed_pictures describes. Raises LayoutError, UnexpectedAnswerError."""
    pictures = read_posed_pictures(data)

    def find(picture: PosedPicture) -> FoundFace | None:
        return next(iter(client.faces(picture.path.read_bytes(), detectcount=1)), None)

    return Poses(tuple(pictures), tuple(client.each("poses", find, pictures)))


def _angles(angles: Reals) -> str:
    return " ".join(f"{angle:+.0f}°" for angle in angles)
