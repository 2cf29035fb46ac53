"""Is it alive? Four-frame sequences of real people and of attacks, zipped and posted to /liveness/multiframe."""

from collections.abc import Sequence
from math import inf
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
LEAST_AUC = {"print": 0.99, "replay": 0.95}  # species of attack and the AUC required against real people
MOST_OF_A_STILL = 0.30  # the contract's bound on the confidence of a sequence that is one still again
STILL_QUALITIES = (95, 85, 75, 65)  # JPEG qualities that cameras and messengers use: one still as four files


def measure(client: Client, data: Path) -> Evaluation:
    """AUC and APCER of each species and of the worst, BPCER, EER against the worst species, non-response rates, stills. A
    sequence without an answer counts as 0: a person is refused, an attack is stopped. `data` is laid out as
    datasets.read_sequences describes. Raises LayoutError, UnexpectedAnswerError.
    """

    def of_copies(sequence: FrameSequence) -> float:
        return client.liveness([sequence.frames[0]] * FRAMES) or 0.0

    def of_qualities(sequence: FrameSequence) -> float:
        still = sequence.frames[0]
        return client.liveness([recompressed(still, quality) for quality in STILL_QUALITIES]) or 0.0

    sequences = read_sequences(data)
    answers = client.each("sequences", lambda sequence: client.liveness(sequence.frames), sequences)
    label = np.array([sequence.label for sequence in sequences])
    confidence, unanswered = np.array([each or 0.0 for each in answers]), np.array([each is None for each in answers])
    real, seen = confidence[label == REAL], np.flatnonzero((label == REAL) & ~unanswered)
    species = [str(name) for name in np.unique(label[label != REAL])]
    attacks = {name: confidence[label == name] for name in species}
    worst, errors = attack_classification_error(attacks, OPERATING_POINT)
    equal = {name: equal_error_rate(real, scores) for name, scores in attacks.items()}
    hardest = max(equal, key=lambda name: equal[name])
    findings = [
        *(
            Finding(QUESTION, f"AUC {name}", area_under_curve(real, each), at_least=LEAST_AUC.get(name, -inf))
            for name, each in attacks.items()
        ),
        *(percentage(QUESTION, f"APCER {name} at 0.5", error) for name, error in errors.items()),
        percentage(QUESTION, f"APCER at 0.5, worst: {worst}", errors[worst]),
        percentage(QUESTION, "BPCER at 0.5", bona_fide_classification_error(real, OPERATING_POINT)),
        percentage(QUESTION, f"EER, worst: {hardest}", equal[hardest]),
        percentage(QUESTION, "BPNRR: real, no answer", rate(unanswered[label == REAL])),
        percentage(QUESTION, "APNRR: attacks, no answer", rate(unanswered[label != REAL])),
    ]
    for title, ask in (("4 copies", of_copies), ("4 JPEG qualities", of_qualities)):
        greatest = max(client.each(f"stills, {title}", ask, [sequences[place] for place in seen]), default=0.0)
        findings.append(Finding(QUESTION, f"still, {title}: greatest", greatest, at_most=MOST_OF_A_STILL))

    def mistakes(places: Sequence[int]) -> list[Mistake]:
        texts = {place: f"confidence {confidence[place]:.3f}, {sequences[place].name}" for place in places}
        return [Mistake(text, [(sequences[place].paths[0], None)]) for place, text in texts.items()]

    rising, live = np.argsort(confidence, kind="stable"), confidence >= OPERATING_POINT
    kinds = {
        "Attacks taken for live, most confident first": mistakes(
            [p for p in rising[::-1] if label[p] != REAL and live[p]]
        ),
        "Real people refused, least confident first": mistakes([p for p in rising if label[p] == REAL and not live[p]]),
    }
    counts = {name: int((label == name).sum()) for name in sorted({*species, REAL})}
    return Evaluation(counts, findings, "The worst species of attack counts (ISO/IEC 30107-3).", kinds)
