"""Is it alive? Four-frame sequences of real people and of attacks, zipped and posted to /liveness/multiframe."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from appliance.calibration.rates import bona_fide_classification_error, rate
from lab.evaluate.client import Client
from lab.evaluate.datasets import FRAMES, REAL, FrameSequence, read_sequences
from lab.evaluate.measures import area_under_curve, attack_classification_error, equal_error_rate
from lab.pictures import recompressed
from lab.report import Evaluation, Finding, Mistake, percentage

QUESTION = "liveness"

OPERATING_POINT = 0.5

LEAST_AUC = {"print": 0.99, "replay": 0.95}
"""Species of attack and the AUC required against real people."""

MOST_OF_A_STILL = 0.30
"""The contract's bound on the confidence of a sequence that is one still again."""

STILL_QUALITIES = (95, 85, 75, 65)
"""One still as four files that differ: the JPEG qualities that cameras and messengers use."""


def measure(client: Client, data: Path) -> Evaluation:
    """`data` is laid out as datasets.read_sequences describes. Raises LayoutError, UnexpectedAnswerError."""

    def of_copies(sequence: FrameSequence) -> float:
        return client.liveness([sequence.frames[0]] * FRAMES) or 0.0

    def of_qualities(sequence: FrameSequence) -> float:
        still = sequence.frames[0]
        return client.liveness([recompressed(still, quality) for quality in STILL_QUALITIES]) or 0.0

    sequences = read_sequences(data)
    answers = client.each("sequences", lambda sequence: client.liveness(sequence.frames), sequences)
    answered = zip(sequences, answers, strict=True)
    real = [sequence for sequence, answer in answered if sequence.label == REAL and answer is not None]
    stills = {
        "still, 4 copies: greatest": client.each("stills, copies", of_copies, real),
        "still, 4 JPEG qualities: greatest": client.each("stills, re-encoded", of_qualities, real),
    }
    labels = [sequence.label for sequence in sequences]
    return Evaluation(
        {label: labels.count(label) for label in sorted(set(labels))},
        [
            *findings(labels, answers),
            *(
                Finding(QUESTION, name, max(each, default=0.0), at_most=MOST_OF_A_STILL)
                for name, each in stills.items()
            ),
        ],
        "The worst species of attack counts (ISO/IEC 30107-3).",
        mistakes(sequences, [answer or 0.0 for answer in answers]),
    )


def findings(labels: Sequence[str], answers: Sequence[float | None]) -> Iterator[Finding]:
    """AUC and APCER of each species and of the worst, BPCER, EER against the worst species, non-response rates. A sequence
    without an answer counts as 0: a person is refused, an attack is stopped.
    """
    confidences, label = np.array([answer or 0.0 for answer in answers]), np.array(labels)
    real, unanswered = confidences[label == REAL], np.array([answer is None for answer in answers])
    attacks = {species: confidences[label == species] for species in sorted({*labels} - {REAL})}
    worst, errors = attack_classification_error(attacks, OPERATING_POINT)
    equal = {species: equal_error_rate(real, scores) for species, scores in attacks.items()}
    hardest = max(equal, key=lambda species: equal[species])
    for species, scores in attacks.items():
        least = LEAST_AUC.get(species, float("-inf"))
        yield Finding(QUESTION, f"AUC {species}", area_under_curve(real, scores), at_least=least)
    yield from (percentage(QUESTION, f"APCER {species} at 0.5", error) for species, error in errors.items())
    yield percentage(QUESTION, f"APCER at 0.5, worst: {worst}", errors[worst])
    yield percentage(QUESTION, "BPCER at 0.5", bona_fide_classification_error(real, OPERATING_POINT))
    yield percentage(QUESTION, f"EER, worst: {hardest}", equal[hardest])
    yield percentage(QUESTION, "BPNRR: real, no answer", rate(unanswered[label == REAL]))
    yield percentage(QUESTION, "APNRR: attacks, no answer", rate(unanswered[label != REAL]))


def mistakes(sequences: Sequence[FrameSequence], confidences: Sequence[float]) -> dict[str, list[Mistake]]:
    """Attacks taken for live, and refused real people, at 0.5."""
    answered = sorted(zip(confidences, sequences, strict=True), key=lambda each: each[0])
    refused = [each for each in answered if each[1].label == REAL and each[0] < OPERATING_POINT]
    passed = [each for each in answered[::-1] if each[1].label != REAL and each[0] >= OPERATING_POINT]
    titles = {
        "Attacks taken for live, most confident first": passed,
        "Real people refused, least confident first": refused,
    }
    return {
        title: [Mistake(f"confidence {value:.3f}, {each.name}", [(each.paths[0], None)]) for value, each in found]
        for title, found in titles.items()
    }
