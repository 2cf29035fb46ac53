"""The sections of a report: of each question its plots and its worst mistakes."""

from collections.abc import Iterator, Sequence
from functools import singledispatch
from pathlib import Path

import numpy as np

from appliance.calibration.rates import Reals
from lab.evaluate import detection, identification, landmarks, liveness, pose, verification
from lab.evaluate.datasets import ANGLES
from lab.evaluate.identification import MISTAKEN, NOT_FOUND, RANKS, STRANGERS, Draw, Identification, Kind, Search
from lab.evaluate.landmarks import FAILURE, SHARED_POINTS, around
from lab.evaluate.measures import ErrorCurve, error_curve, precision_recall
from lab.page import Section, Thumbnail, thumbnail
from lab.plots import angle_errors, error_plots, histogram, lines

MOST = 12
"""Mistakes of a kind that are shown."""

ZERO = "Rates of zero are drawn at the edge."


@singledispatch
def sections(_outcome: object) -> Iterator[Section]:
    """The sections of a question's outcome; none of one that has no picture to show."""
    yield from ()


@sections.register
def _(outcome: verification.Verification) -> Iterator[Section]:
    for each in outcome.lists:
        genuine, impostor = each.scores[each.listed.same], each.scores[~each.listed.same]
        curves, kinds = {"": error_curve(genuine, impostor)}, {"one person": genuine, "two people": impostor}
        lost = sorted(path for path, acquired in each.acquired.items() if not acquired)
        yield Section(
            each.title,
            f"Pairs share people and pictures, so the bounds, which take them as independent, are somewhat too narrow. {ZERO}",
            [
                *error_plots(curves, "false match rate", "false non-match rate", "true match rate"),
                histogram("Scores", kinds, "similarity", verification.OPERATING_POINT),
            ],
            [
                ("False non-matches: one person, least alike first", [*_pairs(each, same=True)]),
                ("False matches: two people, most alike first", [*_pairs(each, same=False)]),
                ("No face found", [_shown([(path, None)], "") for path in lost[:MOST]]),
            ],
        )


@sections.register
def _(outcome: identification.Identification) -> Iterator[Section]:
    found = {f"{count} enrolled": drawn[0] for count, drawn in outcome.draws.items() if drawn[0].own}
    curves = {name: _open_set(draw, outcome.setting.margin) for name, draw in found.items() if draw.strangers}
    ranks = {name: identification.hit_rates(draw, RANKS) for name, draw in found.items()}
    yield Section(
        identification.QUESTION,
        "The plots are of one gallery of each size, at any threshold and the configured margin; the mistakes are those in all"
        f" of the largest. {ZERO}",
        [
            *(error_plots(curves, "strangers identified (FPIR)", "not found (FNIR)") if curves else ()),
            *([lines(("CMC", "rank", "found there or before"), ranks, "y")] if ranks else ()),
        ],
        [
            ("Strangers identified as an enrolled person, most alike first", [*_searches(outcome, STRANGERS)]),
            ("People identified as another, most alike first", [*_searches(outcome, MISTAKEN)]),
            ("People not recognised, least alike first", [*_searches(outcome, NOT_FOUND)]),
        ],
    )


@sections.register
def _(outcome: detection.Detections) -> Iterator[Section]:
    counted = [name for name in outcome.settings if any(picture.counted[name].any() for picture in outcome.pictures)]
    curves = {}
    for name in counted if any(outcome.found) else ():
        precision, recall = precision_recall(outcome.of(name))
        curves[name] = np.column_stack([recall, precision])[precision > 0]
    wrong, missed = outcome.mistakes(MOST)
    yield Section(
        detection.QUESTION,
        f"Precision and recall by the rules of WIDER FACE. The mistakes are those of the setting “{outcome.settings[-1]}”.",
        [lines(("Precision and recall", "recall", "precision"), curves, xlim=(0, 1), ylim=(0, 1.01))] if curves else [],
        [
            (
                "False detections, highest score first (some are faces without a label)",
                [_shown([(each.path, each.box)], f"score {each.score:.3f}", np.array(each.box)) for each in wrong],
            ),
            (
                "Missed faces, largest first",
                [
                    _shown([(each.path, each.box)], "{2:.0f} by {3:.0f} px".format(*each.box), None, np.array(each.box))
                    for each in missed
                ],
            ),
        ],
    )


@sections.register
def _(outcome: landmarks.Located) -> Iterator[Section]:
    errors = outcome.errors
    of_68, of_106 = np.array(SHARED_POINTS).T
    shown = []
    for place in np.argsort(-errors, kind="stable")[:MOST]:
        face, found = outcome.faces[place], outcome.found[place]
        points = None if found is None else found.points[of_106]
        error = "lost" if found is None else f"NME {100 * errors[place]:.1f} %"
        shown.append(_shown([(face.path, around(face.points))], error, points, face.points[of_68]))
    below = np.sort(errors[errors <= FAILURE])
    shares = np.column_stack([100 * below, np.arange(1, below.size + 1) / errors.size])
    titles = ("Cumulative errors", "NME, % of the inter-ocular distance", "share of faces")
    yield Section(
        landmarks.QUESTION,
        "The 20 points that mean the same spot in both schemes; lost faces count as errors of any size.",
        [lines(titles, {"line": shares}, "y", xlim=(0, 100 * FAILURE), ylim=(0, 1.01))],
        [("Largest errors (orange found, green labelled)", shown)],
    )


@sections.register
def _(outcome: pose.Poses) -> Iterator[Section]:
    errors = outcome.errors
    greatest = np.where(np.isnan(errors), np.inf, np.abs(errors)).max(axis=1)
    shown = []
    for place in np.argsort(-greatest)[:MOST]:
        picture, face = outcome.pictures[place], outcome.faces[place]
        found = "lost" if face is None else f"found {_angles(face.pose)}"
        line = f"{found}, known {_angles(picture.pose)}"
        shown.append(_shown([(picture.path, None if face is None else face.box)], line))
    yield Section(
        pose.QUESTION,
        "Found less known, in degrees; yaw, pitch, roll.",
        [angle_errors(outcome.labelled, errors, ANGLES)],
        [("Largest errors of any angle", shown)],
    )


@sections.register
def _(outcome: liveness.Judgements) -> Iterator[Section]:
    curves = {species: error_curve(outcome.real, scores) for species, scores in outcome.attacks.items()}
    kinds = {"real": outcome.real, **outcome.attacks}
    mistakes = {
        title: [
            _shown([(sequence.paths[0], None)], f"confidence {confidence:.3f}, {sequence.name}")
            for sequence, confidence in outcome.mistakes(MOST, real=real)
        ]
        for title, real in (
            ("Attacks taken for live, most confident first", False),
            ("Real people refused, least confident first", True),
        )
    }
    yield Section(
        liveness.QUESTION,
        f"Each species of attack has its own curve; the worst one counts (ISO/IEC 30107-3). {ZERO}",
        [
            *error_plots(curves, "attacks taken for live (APCER)", "real people refused (BPCER)"),
            histogram("Confidence", kinds, "confidence", liveness.OPERATING_POINT),
        ],
        [*mistakes.items()],
    )


def _shown(
    pictures: Sequence[tuple[Path, Sequence[float] | Reals | None]],
    line: str,
    found: Reals | None = None,
    labelled: Reals | None = None,
) -> Thumbnail:
    """Pictures, each with the box to show, and a line above their names."""
    drawn = [thumbnail(path, box, found, labelled) for path, box in pictures]
    return Thumbnail(drawn, [line, *(path.name for path, _ in pictures)])


def _pairs(compared: verification.ComparedList, *, same: bool) -> Iterator[Thumbnail]:
    for pair, answered in compared.worst(MOST, same=same):
        similarity = "no face found" if answered.similarity is None else f"similarity {answered.similarity:.3f}"
        yield _shown([*zip((pair.image_a, pair.image_b), answered.boxes, strict=True)], similarity)


def _open_set(draw: Draw, margin: float) -> ErrorCurve:
    """At any threshold: of people who come first, and of strangers, those who are ahead of the second."""

    def score(search: Search) -> float:
        return search.cosine if search.lead >= margin else -1.0

    own = [score(each) if each.rank == 1 else -1.0 for each in draw.own]
    return error_curve(np.array(own), np.array([score(each) for each in draw.strangers]))


def _searches(outcome: Identification, kind: Kind) -> Iterator[Thumbnail]:
    for search, enrolled in identification.worst(outcome.draws[max(outcome.draws)], kind, MOST):
        pictures = [(each.path, each.box) for each in (search.picture, enrolled) if each is not None]
        yield _shown(pictures, search.outcome if kind is NOT_FOUND else f"cosine {search.cosine:.3f}")


def _angles(angles: Reals) -> str:
    return " ".join(f"{angle:+.0f}°" for angle in angles)
