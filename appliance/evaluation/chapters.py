"""The chapters of a report: of each question its plots and its worst mistakes."""

from functools import singledispatch

import numpy as np

from appliance.evaluation import detection, identification, landmarks, liveness, pose, verification
from appliance.evaluation.detection import Detections, Mistake
from appliance.evaluation.identification import Identification
from appliance.evaluation.landmarks import FAILURE, SHARED_POINTS, LabelledFace, Located, around
from appliance.evaluation.liveness import Judgements
from appliance.evaluation.measures import ErrorCurve, Reals, error_curve, precision_recall
from appliance.evaluation.open_set import MISTAKEN, NOT_FOUND, STRANGERS, Kind, hit_rates, worst
from appliance.evaluation.page import Chapter, Gallery, Plot
from appliance.evaluation.pairs import Pair
from appliance.evaluation.plots import (
    angle_errors,
    det_plot,
    error_distribution,
    histogram,
    precision_recall_plot,
    rank_plot,
    roc_plot,
)
from appliance.evaluation.pose import Poses
from appliance.evaluation.poses import ANGLES
from appliance.evaluation.searches import RANKS, Draw, Search
from appliance.evaluation.thumbnails import Thumbnail, thumbnail
from appliance.evaluation.verification import Comparison, Verification

MOST = 12
"""Mistakes of a kind that are shown."""


@singledispatch
def chapter(outcome: object) -> Chapter:
    """The chapter of what a question has come to. Raises TypeError for anything else."""
    raise TypeError(f"no chapter about {type(outcome).__name__}")


@chapter.register
def _(outcome: Verification) -> Chapter:
    scores, same = outcome.scores, outcome.listed.same
    curves = {"this device": error_curve(scores[same], scores[~same])}
    lost = [path for path, acquired in verification.acquisitions(outcome).items() if not acquired]
    return Chapter(
        outcome.title,
        "Pairs share people and pictures, so the bounds, which take them as independent, are somewhat too narrow."
        " Rates of zero are drawn at the edge.",
        (
            Plot("DET", det_plot(curves, "false match rate", "false non-match rate")),
            Plot("ROC", roc_plot(curves, "false match rate", "true match rate")),
            Plot(
                "Scores",
                histogram(
                    {"one person": scores[same], "two people": scores[~same]},
                    "similarity",
                    verification.OPERATING_POINT,
                ),
            ),
        ),
        (
            Gallery(
                "False non-matches: one person, least alike first",
                tuple(_pair(*mistake) for mistake in verification.worst(outcome, same=True, count=MOST)),
            ),
            Gallery(
                "False matches: two people, most alike first",
                tuple(_pair(*mistake) for mistake in verification.worst(outcome, same=False, count=MOST)),
            ),
            Gallery(
                "No face found",
                tuple(Thumbnail((thumbnail(path, None),), (path.name,)) for path in sorted(lost)[:MOST]),
            ),
        ),
    )


@chapter.register
def _(outcome: Identification) -> Chapter:
    firsts = {f"{count} enrolled": drawn[0] for count, drawn in outcome.draws.items()}
    found = {name: draw for name, draw in firsts.items() if draw.own}
    margin = outcome.setting.margin
    curves = {name: _open_set(draw, margin) for name, draw in found.items() if draw.strangers}
    plots = (
        *([Plot("DET", det_plot(curves, "strangers taken for somebody (FPIR)", "not found (FNIR)"))] if curves else []),
        *([Plot("CMC", rank_plot({name: hit_rates(draw, RANKS) for name, draw in found.items()}))] if found else []),
    )
    return Chapter(
        identification.QUESTION,
        "The plots are of one gallery of each size, at any threshold and the configured margin; the mistakes are those in all"
        " of the largest. Rates of zero are drawn at the edge.",
        plots,
        (
            Gallery("Strangers taken for somebody, most alike first", _searches(outcome, STRANGERS)),
            Gallery("People taken for somebody else, most alike first", _searches(outcome, MISTAKEN)),
            Gallery("People not recognised, least alike first", _searches(outcome, NOT_FOUND)),
        ),
    )


@chapter.register
def _(outcome: Detections) -> Chapter:
    counted = [name for name in outcome.settings if any(picture.counted[name].any() for picture in outcome.pictures)]
    curves = {name: precision_recall(outcome.of(name)) for name in counted if any(outcome.found)}
    hardest = outcome.settings[-1]
    return Chapter(
        detection.QUESTION,
        f"Precision and recall by the rules of WIDER FACE. The mistakes are those of the setting “{hardest}”.",
        (Plot("Precision and recall", precision_recall_plot(curves)),) if curves else (),
        (
            Gallery(
                "False detections, highest score first (some are faces that nobody labelled)",
                tuple(_mistake(each) for each in detection.false_alarms(outcome, MOST)),
            ),
            Gallery(
                "Missed faces, largest first", tuple(_mistake(each) for each in detection.missed_faces(outcome, MOST))
            ),
        ),
    )


@chapter.register
def _(outcome: Located) -> Chapter:
    errors = outcome.errors
    order = np.argsort(-errors, kind="stable")[:MOST]
    return Chapter(
        landmarks.QUESTION,
        "The 20 points that mean the same spot in both schemes; lost faces count as errors of any size.",
        (Plot("Cumulative errors", error_distribution(errors, FAILURE)),),
        (
            Gallery(
                "Largest errors (orange found, green labelled)",
                tuple(_points(outcome, int(place), float(errors[place])) for place in order),
            ),
        ),
    )


@chapter.register
def _(outcome: Poses) -> Chapter:
    errors = outcome.errors
    lost = np.isnan(errors).any(axis=1)
    total = np.abs(np.where(lost[:, None], np.inf, errors)).max(axis=1)
    return Chapter(
        pose.QUESTION,
        "Found less known, in degrees; yaw, pitch, roll.",
        (Plot("Errors", angle_errors(outcome.labelled, errors, ANGLES)),),
        (
            Gallery(
                "Largest errors of any angle", tuple(_pose(outcome, int(place)) for place in np.argsort(-total)[:MOST])
            ),
        ),
    )


@chapter.register
def _(outcome: Judgements) -> Chapter:
    real, attacks = outcome.real, outcome.attacks
    curves = {species: error_curve(real, scores) for species, scores in attacks.items()}
    return Chapter(
        liveness.QUESTION,
        "Each species of attack is told apart; the worst one counts (ISO/IEC 30107-3). Rates of zero are drawn at the edge.",
        (
            Plot("DET", det_plot(curves, "attacks taken for live (APCER)", "real people refused (BPCER)")),
            Plot("Confidence", histogram({"real": real, **attacks}, "confidence", liveness.OPERATING_POINT)),
        ),
        (
            Gallery("Attacks taken for live, most confident first", _sequences(outcome, real=False)),
            Gallery("Real people refused, least confident first", _sequences(outcome, real=True)),
        ),
    )


def _pair(pair: Pair, answered: Comparison) -> Thumbnail:
    similarity = "no face found" if answered.similarity is None else f"similarity {answered.similarity:.3f}"
    shown = zip((pair.image_a, pair.image_b), answered.boxes, strict=True)
    return Thumbnail(
        tuple(thumbnail(path, box) for path, box in shown), (similarity, pair.image_a.name, pair.image_b.name)
    )


def _open_set(draw: Draw, margin: float) -> ErrorCurve:
    """At any threshold: of people who come first, and of strangers, those who are ahead of the second."""

    def score(search: Search) -> float:
        return search.cosine if search.lead >= margin else -1.0

    own = [score(each) if each.rank == 1 else -1.0 for each in draw.own]
    return error_curve(np.array(own), np.array([score(each) for each in draw.strangers]))


def _searches(outcome: Identification, kind: Kind) -> tuple[Thumbnail, ...]:
    shown = []
    for search, enrolled in worst(outcome.draws[max(outcome.draws)], kind, MOST):
        pictures = [each for each in (search.picture, enrolled) if each is not None]
        drawn = tuple(thumbnail(each.path, None if each.box is None else each.box.tolist()) for each in pictures)
        told = search.outcome if kind is NOT_FOUND else f"cosine {search.cosine:.3f}"
        shown.append(Thumbnail(drawn, (told, *(each.path.name for each in pictures))))
    return tuple(shown)


def _mistake(mistake: Mistake) -> Thumbnail:
    box = np.array(mistake.box)
    drawn = thumbnail(mistake.path, mistake.box, **{"labelled" if mistake.score is None else "found": box})
    told = f"{box[2]:.0f} by {box[3]:.0f} px" if mistake.score is None else f"score {mistake.score:.3f}"
    return Thumbnail((drawn,), (told, mistake.path.name))


def _points(outcome: Located, place: int, error: float) -> Thumbnail:
    face: LabelledFace = outcome.faces[place]
    found = outcome.found[place]
    of_68, of_106 = np.array(SHARED_POINTS).T
    drawn = thumbnail(
        face.path,
        [float(value) for value in around(face.points)],
        found=None if found is None else found.points[of_106],
        labelled=face.points[of_68],
    )
    return Thumbnail((drawn,), ("lost" if np.isinf(error) else f"NME {100 * error:.1f} %", face.path.name))


def _pose(outcome: Poses, place: int) -> Thumbnail:
    picture, face = outcome.pictures[place], outcome.faces[place]
    drawn = thumbnail(picture.path, None if face is None else [float(value) for value in face.box])
    told = "lost" if face is None else "found " + _angles(face.pose)
    return Thumbnail((drawn,), (told, "known " + _angles(picture.pose), picture.path.name))


def _angles(angles: Reals) -> str:
    return " ".join(f"{angle:+.0f}°" for angle in angles)


def _sequences(outcome: Judgements, *, real: bool) -> tuple[Thumbnail, ...]:
    return tuple(
        Thumbnail((thumbnail(sequence.paths[0], None),), (f"confidence {confidence:.3f}", sequence.name))
        for sequence, confidence in liveness.mistakes(outcome, real=real, count=MOST)
    )
