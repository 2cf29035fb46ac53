"""The questions that can be asked of a folder of labelled pictures, and what comes of each."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from appliance.evaluation import detection, identification, landmarks, liveness, pose, verification
from appliance.evaluation.identification import Wished
from appliance.evaluation.inquiry import Inquiry
from appliance.evaluation.report import Finding


@dataclass(frozen=True, slots=True)
class Measured:
    """The figures, how much they rest on, and the outcomes they were made from, each a chapter of a report."""

    findings: list[Finding]
    counts: Mapping[str, int]
    outcomes: tuple[Any, ...] = ()


Question = Callable[[Inquiry, Path], Measured]
"""From a face engine and a folder; raises LayoutError, OSError, HTTPException, UnexpectedAnswerError, UnscoredError."""


def _verification(inquiry: Inquiry, data: Path) -> Measured:
    outcomes = verification.measure(inquiry, data)
    found = [finding for outcome in outcomes for finding in verification.findings(outcome)]
    counts = {
        "pairs": sum(len(outcome.listed.pairs) for outcome in outcomes),
        "pictures": len({path for outcome in outcomes for path in verification.acquisitions(outcome)}),
    }
    return Measured(found, counts, tuple(outcomes))


def _detection(inquiry: Inquiry, data: Path) -> Measured:
    outcome = detection.measure(inquiry, data)
    counts = {
        "pictures": len(outcome.pictures),
        "labelled faces": sum(len(picture.boxes) for picture in outcome.pictures),
        "detections": sum(len(found) for found in outcome.found),
    }
    return Measured(detection.findings(outcome), counts, (outcome,))


def _landmarks(inquiry: Inquiry, data: Path) -> Measured:
    outcome = landmarks.measure(inquiry, data)
    return Measured(landmarks.findings(outcome), {"faces": len(outcome.faces)}, (outcome,))


def _pose(inquiry: Inquiry, data: Path) -> Measured:
    outcome = pose.measure(inquiry, data)
    return Measured(pose.findings(outcome), {"pictures": len(outcome.pictures)}, (outcome,))


def _liveness(inquiry: Inquiry, data: Path) -> Measured:
    outcome = liveness.measure(inquiry, data)
    counts = {label: outcome.labels.count(label) for label in sorted(set(outcome.labels))}
    return Measured(liveness.findings(outcome), counts, (outcome,))


def identified(inquiry: Inquiry, data: Path, wished: Wished) -> Measured:
    """The question that takes more than a folder. Raises CalibrationError, too."""
    outcome = identification.measure(inquiry, data, wished)
    return Measured(identification.findings(outcome), outcome.counts, (outcome,))


QUESTIONS: Mapping[str, Question] = {
    verification.QUESTION: _verification,
    detection.QUESTION: _detection,
    landmarks.QUESTION: _landmarks,
    pose.QUESTION: _pose,
    liveness.QUESTION: _liveness,
}
"""All that any face engine can be asked of a folder alone."""
