"""Is it alive? Four-frame sequences of real people and of attacks, zipped and posted to /liveness/multiframe."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from appliance.calibration.rates import Reals, bona_fide_classification_error, rate
from lab.evaluate.client import Client
from lab.evaluate.datasets import FRAMES, REAL, FrameSequence, read_sequences
from lab.evaluate.measures import area_under_curve, attack_classification_error, equal_error_rate
from lab.pictures import recompressed
from lab.report import MOST_MISTAKES, Finding, Mistake, Section, percentage

QUESTION = "liveness"

OPERATING_POINT = 0.5

LEAST_AUC = {"print": 0.99, "replay": 0.95}
"""Species of attack and the AUC required against real people."""

MOST_OF_A_STILL = 0.30
"""The contract's bound on the confidence of a sequence that is one still again."""

STILL_QUALITIES = (95, 85, 75, 65)
"""One still as four files that differ: the JPEG qualities that cameras and messengers use."""


@dataclass(frozen=True, slots=True)
class Judgements:
    """The sequences, the confidence (0..1) of each, None where no face was found, and the greatest confidence of one still
    of a real person, sent four times: as it is, and as four JPEG qualities.
    """

    sequences: tuple[FrameSequence, ...]
    answers: tuple[float | None, ...]
    of_copies: float
    of_qualities: float

    @property
    def counts(self) -> dict[str, int]:
        """How many sequences each label has."""
        labels = [sequence.label for sequence in self.sequences]
        return {label: labels.count(label) for label in sorted(set(labels))}

    @property
    def confidences(self) -> Reals:
        """A sequence without an answer counts as 0: a person is refused, an attack is stopped."""
        return np.array([answer or 0.0 for answer in self.answers], dtype=np.float64)

    @property
    def real(self) -> Reals:
        """The confidences of real people."""
        return self._of(REAL)

    @property
    def attacks(self) -> Mapping[str, Reals]:
        """The confidences of each species of attack."""
        return {species: self._of(species) for species in self.counts if species != REAL}

    def findings(self) -> list[Finding]:
        """APCER of each species and of the worst, BPCER, EER against the worst species, AUC, non-response rates."""
        real, attacks = self.real, self.attacks
        worst, errors = attack_classification_error(attacks, OPERATING_POINT)
        attack = np.array([sequence.label != REAL for sequence in self.sequences])
        unanswered = np.array([answer is None for answer in self.answers])
        equal = {species: equal_error_rate(real, scores) for species, scores in attacks.items()}
        hardest = max(equal, key=lambda species: equal[species])
        areas = {species: area_under_curve(real, scores) for species, scores in attacks.items()}
        return [
            *(
                Finding(QUESTION, f"AUC {species}", area, at_least=LEAST_AUC.get(species, float("-inf")))
                for species, area in areas.items()
            ),
            *(percentage(QUESTION, f"APCER {species} at 0.5", error) for species, error in errors.items()),
            percentage(QUESTION, f"APCER at 0.5, worst: {worst}", errors[worst]),
            percentage(QUESTION, "BPCER at 0.5", bona_fide_classification_error(real, OPERATING_POINT)),
            percentage(QUESTION, f"EER, worst: {hardest}", equal[hardest]),
            percentage(QUESTION, "BPNRR: real, no answer", rate(unanswered[~attack])),
            percentage(QUESTION, "APNRR: attacks, no answer", rate(unanswered[attack])),
            Finding(QUESTION, "still, 4 copies: greatest", self.of_copies, at_most=MOST_OF_A_STILL),
            Finding(QUESTION, "still, 4 JPEG qualities: greatest", self.of_qualities, at_most=MOST_OF_A_STILL),
        ]

    def sections(self) -> list[Section]:
        """Attacks taken for live, and refused real people, at 0.5."""
        answered = sorted(zip(self.confidences.tolist(), self.sequences, strict=True), key=lambda each: each[0])
        refused = [each for each in answered if each[1].label == REAL and each[0] < OPERATING_POINT]
        passed = [each for each in answered[::-1] if each[1].label != REAL and each[0] >= OPERATING_POINT]
        kinds = {
            title: [
                Mistake(f"confidence {c:.3f}, {each.name}", [(each.paths[0], None)])
                for c, each in found[:MOST_MISTAKES]
            ]
            for title, found in (
                ("Attacks taken for live, most confident first", passed),
                ("Real people refused, least confident first", refused),
            )
        }
        return [Section(QUESTION, "The worst species of attack counts (ISO/IEC 30107-3).", kinds)]

    def _of(self, label: str) -> Reals:
        return self.confidences[[sequence.label == label for sequence in self.sequences]]


def measure(client: Client, data: Path) -> Judgements:
    """`data` is laid out as datasets.read_sequences describes. Raises LayoutError, UnexpectedAnswerError."""
    sequences = read_sequences(data)
    answers = client.each("sequences", lambda sequence: client.liveness(sequence.frames), sequences)
    answered = zip(sequences, answers, strict=True)
    real = [sequence for sequence, answer in answered if sequence.label == REAL and answer is not None]

    def of_copies(sequence: FrameSequence) -> float:
        return client.liveness([sequence.frames[0]] * FRAMES) or 0.0

    def of_qualities(sequence: FrameSequence) -> float:
        still = sequence.frames[0]
        return client.liveness([recompressed(still, quality) for quality in STILL_QUALITIES]) or 0.0

    copies = client.each("stills, copies", of_copies, real)
    qualities = client.each("stills, re-encoded", of_qualities, real)
    return Judgements(tuple(sequences), tuple(answers), max(copies, default=0.0), max(qualities, default=0.0))
