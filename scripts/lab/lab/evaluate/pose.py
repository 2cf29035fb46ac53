"""Which way does a face look? Pictures whose head pose is known."""

from math import nan
from pathlib import Path

import numpy as np

from appliance.calibration.rates import Reals, rate
from lab.device import FoundFace
from lab.evaluate.client import Client
from lab.evaluate.datasets import ANGLES, read_posed_pictures
from lab.evaluate.measures import mean_bounds
from lab.report import Evaluation, Finding, Mistake, percentage

QUESTION = "pose"
CLOSE = 10.0  # degrees within which all three angles must be for a pose to count as correct


def measure(client: Client, data: Path) -> Evaluation:
    """Mean absolute error of each angle with the bounds of its standard error, share close, share lost. `data` is laid out as
    datasets.read_posed_pictures describes. Raises LayoutError, UnexpectedAnswerError.
    """

    def find(path: Path) -> FoundFace | None:
        return next(iter(client.faces(path.read_bytes(), detectcount=1)), None)

    paths, labelled = read_posed_pictures(data)
    faces = client.each("poses", find, paths)
    found = np.array([[nan] * len(ANGLES) if face is None else face.pose for face in faces], dtype=np.float64)
    errors = np.abs((found - labelled + 180) % 360 - 180)
    lost = np.isnan(errors).any(axis=1)
    findings = [
        Finding(QUESTION, f"{angle}: mean absolute error", float(each.mean()), "°", mean_bounds(each))
        if each.size
        else Finding(QUESTION, f"{angle}: mean absolute error", nan, "°", note="no faces")
        for angle, each in zip(ANGLES, errors[~lost].T, strict=True)
    ]
    findings.append(percentage(QUESTION, f"all angles within {CLOSE:.0f}°", rate((errors <= CLOSE).all(axis=1))))
    findings.append(percentage(QUESTION, "faces not found", rate(lost)))
    mistakes = []
    for place in np.argsort(-np.where(lost, np.inf, errors.max(axis=1))):
        face = faces[place]
        seen, box = ("lost", None) if face is None else (f"found {_angles(face.pose)}", face.box)
        mistakes.append(Mistake(f"{seen}, known {_angles(labelled[place])}", [(paths[place], box)]))
    kinds = {"Largest errors of any angle": mistakes}
    return Evaluation({"pictures": len(paths)}, findings, "In degrees: yaw, pitch, roll.", kinds)


def _angles(angles: Reals) -> str:
    return " ".join(f"{angle:+.0f}°" for angle in angles)
