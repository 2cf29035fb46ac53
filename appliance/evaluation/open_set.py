"""Open-set identification (ISO/IEC 19795-1): how many of a gallery's people are not found, how many strangers are."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from math import ceil, floor, inf
from pathlib import Path

from appliance.evaluation.measures import Rate
from appliance.evaluation.report import Finding
from appliance.evaluation.searches import Draw, Picture, Search, Setting
from appliance.gallery.search import Outcome

LEAST_RANK_1, MOST_MISSED = 97.0, 12.0
"""Percent, of people enrolled with one picture each (98.5 and 7.0 were measured with 500: models/CARDS.md)."""

Which = Callable[[Draw], Sequence[Search]]
Event = Callable[[Search], bool]


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of mistake: among which searches, and which of them."""

    which: Which
    wrong: Event


STRANGERS = Kind(lambda draw: draw.strangers, lambda search: search.named)
"""A stranger is taken for somebody."""

MISTAKEN = Kind(lambda draw: draw.own, lambda search: search.named and not search.right)
"""Somebody is taken for somebody else."""

NOT_FOUND = Kind(lambda draw: draw.own, lambda search: not search.named)
"""Somebody is not recognised."""


def figures(question: str, count: int, draws: Sequence[Draw], setting: Setting) -> list[Finding]:
    """Of galleries of `count` people: means over the draws; the bounds are those of one draw's trials."""
    single = setting.templates == 1

    def share(measure: str, which: Which, event: Event, *, at_most: float = inf, at_least: float = -inf) -> Finding:
        counted = [(sum(map(event, which(draw))), len(which(draw))) for draw in draws]
        return _mean(Finding(question, f"{count}: {measure}", 0.0, "%", at_least=at_least, at_most=at_most), counted)

    def own(draw: Draw) -> Sequence[Search]:
        return draw.own

    return [
        Finding(question, f"{count} enrolled: from cosine", draws[0].threshold),
        share("FPIR", STRANGERS.which, STRANGERS.wrong, at_most=100 * setting.fpir),
        share("FNIR", own, lambda search: not search.right, at_most=MOST_MISSED if single else inf),
        share("… unknown", own, lambda search: search.outcome is Outcome.UNKNOWN),
        share("… ambiguous", own, lambda search: search.outcome is Outcome.AMBIGUOUS),
        share("… taken for another", own, MISTAKEN.wrong),
        share("rank 1", own, lambda search: search.rank == 1, at_least=LEAST_RANK_1 if single else -inf),
    ]


def hit_rates(draw: Draw, ranks: int) -> list[tuple[int, float]]:
    """The cumulative match characteristic: of each rank, the share (0..1) of searches whose person is there or before."""
    places = [search.rank for search in draw.own]
    return [(rank, sum(0 < each <= rank for each in places) / len(places)) for rank in range(1, ranks + 1)]


def worst(draws: Sequence[Draw], kind: Kind, count: int) -> list[tuple[Search, Picture | None]]:
    """Mistakes of a kind, each once, and the picture with which the person is enrolled who was nearest (who was not found, of
    NOT_FOUND). Most alike first; of NOT_FOUND, least.
    """
    found: dict[tuple[Path, str], tuple[Search, Picture | None]] = {}
    for draw in draws:
        for each in filter(kind.wrong, kind.which(draw)):
            shown = draw.enrolled.get(each.picture.name if kind is NOT_FOUND else each.found)
            found.setdefault((each.picture.path, each.found), (each, shown[0] if shown else None))
    ordered = sorted(found.values(), key=lambda mistake: mistake[0].cosine, reverse=kind is not NOT_FOUND)
    return ordered[:count]


def _mean(finding: Finding, counted: Sequence[tuple[int, int]]) -> Finding:
    """The share of all draws together, in percent. They share people: all of them are no surer than one."""
    events, trials = (sum(column) / len(counted) for column in zip(*counted, strict=True))
    if trials < 1:
        return replace(finding, value=float("nan"), note="nobody")
    whole = floor(trials)
    low, high = (Rate(min(rounded(events), whole), whole).bounds for rounded in (floor, ceil))
    measure = f"{finding.measure} ({events:.3g}/{trials:.0f})"
    return replace(finding, measure=measure, value=100 * events / trials, interval=(100 * low[0], 100 * high[1]))
