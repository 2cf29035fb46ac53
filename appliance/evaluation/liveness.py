"""Is it alive? Four-frame sequences of real people and of attacks, zipped and posted to /liveness/multiframe."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from appliance.evaluation.inquiry import Inquiry
from appliance.evaluation.measures import (
    Flags,
    Reals,
    area_under_curve,
    attack_classification_error,
    bona_fide_classification_error,
    equal_error_rate,
    rate,
)
from appliance.evaluation.pictures import recompressed
from appliance.evaluation.report import Finding, percentage
from appliance.evaluation.sequences import FRAMES, REAL, FrameSequence, read_sequences

QUESTION = "liveness"

OPERATING_POINT = 0.5

LEAST_AUC = {"print": 0.99, "replay": 0.95}
"""Species of attack and the AUC wanted against real people."""

MOST_OF_A_STILL = 0.30
"""The contract's bound on the confidence of a frame that is the same still again."""

STILL_QUALITIES = (95, 85, 75, 65)
"""One still as four files that differ: the JPEG qualities that cameras and messengers use."""


@dataclass(frozen=True, slots=True)
class Judgements:
    """The sequences, the confidence (0..1) of each, None where no face was found, and the greatest that one still of a real
    person, sent four times, reaches: as it is, and as four JPEG qualities.
    """

    sequences: tuple[FrameSequence, ...]
    answers: tuple[float | None, ...]
    of_copies: float
    of_qualities: float

    @property
    def confidences(self) -> Reals:
        """A sequence without an answer counts as 0: a person is turned away, an attack is stopped."""
        return np.array([answer or 0.0 for answer in self.answers], dtype=np.float64)

    @property
    def unanswered(self) -> Flags:
        """Which sequences have no answer."""
        return np.array([answer is None for answer in self.answers], dtype=np.bool_)

    @property
    def labels(self) -> list[str]:
        """Real, or the species of the attack."""
        return [sequence.label for sequence in self.sequences]

    @property
    def real(self) -> Reals:
        """The confidences of real people."""
        return self._of(REAL)

    @property
    def attacks(self) -> Mapping[str, Reals]:
        """The confidences of each species of attack."""
        return {species: self._of(species) for species in sorted(set(self.labels) - {REAL})}

    def _of(self, label: str) -> Reals:
        return np.asarray(self.confidences[np.array(self.labels) == label], dtype=np.float64)


def measure(inquiry: Inquiry, data: Path) -> Judgements:
    """`data` is laid out as sequences.read_sequences wants it. Raises LayoutError, UnexpectedAnswerError."""
    sequences = read_sequences(data)
    answers = inquiry.each("sequences", lambda sequence: inquiry.liveness(sequence.frames), sequences)
    answered = zip(sequences, answers, strict=True)
    real = [sequence for sequence, answer in answered if sequence.label == REAL and answer is not None]

    def of_copies(sequence: FrameSequence) -> float:
        return inquiry.liveness([sequence.frames[0]] * FRAMES) or 0.0

    def of_qualities(sequence: FrameSequence) -> float:
        still = sequence.frames[0]
        return inquiry.liveness([recompressed(still, quality) for quality in STILL_QUALITIES]) or 0.0

    copies = inquiry.each("stills, copies", of_copies, real)
    qualities = inquiry.each("stills, re-encoded", of_qualities, real)
    return Judgements(tuple(sequences), tuple(answers), max(copies, default=0.0), max(qualities, default=0.0))


def findings(outcome: Judgements) -> list[Finding]:
    """APCER of each species and of the worst, BPCER, EER against the worst species, AUC, non-response rates."""
    real, attacks = outcome.real, outcome.attacks
    worst, errors = attack_classification_error(attacks, OPERATING_POINT)
    attack = np.array(outcome.labels) != REAL
    equal = {species: equal_error_rate(real, scores) for species, scores in attacks.items()}
    hardest = max(equal, key=lambda species: equal[species])
    return [
        *(_area(species, real, scores) for species, scores in attacks.items()),
        *(percentage(QUESTION, f"APCER {species} at 0.5", error) for species, error in errors.items()),
        percentage(QUESTION, f"APCER at 0.5, worst: {worst}", errors[worst]),
        percentage(QUESTION, "BPCER at 0.5", bona_fide_classification_error(real, OPERATING_POINT)),
        percentage(QUESTION, f"EER, worst: {hardest}", equal[hardest]),
        percentage(QUESTION, "BPNRR: real, no answer", rate(outcome.unanswered[~attack])),
        percentage(QUESTION, "APNRR: attacks, no answer", rate(outcome.unanswered[attack])),
        Finding(QUESTION, "still, 4 copies: greatest", outcome.of_copies, at_most=MOST_OF_A_STILL),
        Finding(QUESTION, "still, 4 JPEG qualities: greatest", outcome.of_qualities, at_most=MOST_OF_A_STILL),
    ]


def mistakes(outcome: Judgements, *, real: bool, count: int) -> list[tuple[FrameSequence, float]]:
    """Real people refused, or attacks taken for live, at 0.5, with their confidence, worst first."""
    answered = zip(outcome.sequences, outcome.confidences, strict=True)
    wrong = [
        (sequence, float(confidence))
        for sequence, confidence in answered
        if (sequence.label == REAL) == real and (confidence < OPERATING_POINT) == real
    ]
    return sorted(wrong, key=lambda mistake: mistake[1] if real else -mistake[1])[:count]


def _area(species: str, real: Reals, scores: Reals) -> Finding:
    return Finding(
        QUESTION,
        f"AUC {species}",
        area_under_curve(real, scores),
        at_least=LEAST_AUC.get(species, float("-inf")),
    )
