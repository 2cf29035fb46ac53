"""Is it alive? Four-frame sequences of real people and of attacks, zipped and posted to /liveness/multiframe."""

import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from appliance.evaluation.device import Device, in_parallel
from appliance.evaluation.measures import (
    Reals,
    area_under_curve,
    attack_classification_error,
    bona_fide_classification_error,
    rate,
)
from appliance.evaluation.pictures import recompressed
from appliance.evaluation.report import Finding, percentage

QUESTION = "liveness"

REAL = "real"

OPERATING_POINT = 0.5

LEAST_AUC = {"print": 0.99, "replay": 0.95}
"""Species of attack and the AUC wanted against real people."""

MOST_OF_A_STILL = 0.30
"""The contract's bound on the confidence of a frame that is the same still again."""

STILL_QUALITIES = (95, 85, 75, 65)
"""One still as four files that differ: the JPEG qualities that cameras and messengers use."""

FRAMES = 4


@dataclass(frozen=True, slots=True)
class FrameSequence:
    """Four pictures in time order, and what they show: real, print or replay."""

    name: str
    label: str
    frames: tuple[bytes, ...]


def measure(device: Device, data: Path, workers: int) -> list[Finding]:
    """`data` holds sequences.csv (sequence, label, …) and a folder with 1.jpg … 4.jpg for each.

    A sequence in which the device finds no face counts as confidence 0: a person is turned away, an attack is stopped.
    """
    sequences = read_sequences(data)
    answers = in_parallel("sequences", lambda sequence: device.liveness(sequence.frames), sequences, workers)
    confidences = np.array([0.0 if answer is None else answer for answer in answers])
    labels = np.array([sequence.label for sequence in sequences])
    unanswered = np.array([answer is None for answer in answers])
    real = [sequence for sequence in sequences if sequence.label == REAL]
    attacks = {species: confidences[labels == species] for species in LEAST_AUC}
    return [
        *judge(confidences[labels == REAL], attacks),
        percentage(QUESTION, "real people, no answer", rate(unanswered[labels == REAL])),
        percentage(QUESTION, "attacks, no answer", rate(unanswered[labels != REAL])),
        *stills(device, [sequence.frames[0] for sequence in real], workers),
    ]


def judge(real: Reals, attacks: dict[str, Reals]) -> list[Finding]:
    """The findings from the confidences (0..1) of real people and of each species of attack."""
    worst, errors = attack_classification_error(attacks, OPERATING_POINT)
    return [
        *(
            Finding(QUESTION, f"AUC {species}", area_under_curve(real, attacks[species]), at_least=wanted)
            for species, wanted in LEAST_AUC.items()
        ),
        *(percentage(QUESTION, f"APCER {species} at 0.5", error) for species, error in errors.items()),
        percentage(QUESTION, f"APCER at 0.5, worst ({worst})", errors[worst].value),
        percentage(QUESTION, "BPCER at 0.5", bona_fide_classification_error(real, OPERATING_POINT)),
    ]


def stills(device: Device, pictures: list[bytes], workers: int) -> list[Finding]:
    """The greatest confidence that one picture of a real person reaches when it is sent four times."""

    def copied(picture: bytes) -> float:
        return device.liveness([picture] * FRAMES) or 0.0

    def reencoded(picture: bytes) -> float:
        return device.liveness([recompressed(picture, quality) for quality in STILL_QUALITIES]) or 0.0

    copies = in_parallel("stills, copies", copied, pictures, workers)
    encodings = in_parallel("stills, re-encoded", reencoded, pictures, workers)
    return [
        Finding(QUESTION, "still, 4 copies: greatest", max(copies), at_most=MOST_OF_A_STILL),
        Finding(QUESTION, "still, 4 JPEG qualities: greatest", max(encodings), at_most=MOST_OF_A_STILL),
    ]


def read_sequences(data: Path) -> list[FrameSequence]:
    """The labelled sequences in the file's order."""
    with (data / "sequences.csv").open(newline="", encoding="utf-8") as lines:
        return [
            FrameSequence(
                row["sequence"],
                row["label"],
                tuple((data / row["sequence"] / f"{number}.jpg").read_bytes() for number in range(1, FRAMES + 1)),
            )
            for row in csv.DictReader(lines)
        ]
