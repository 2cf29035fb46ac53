"""Who is it, among many? People of a folder are enrolled; other pictures of them, and strangers, are searched for.

The device gives embeddings, which are searched as it searches its own gallery. The figures are those of open-set
identification (ISO/IEC 19795-1).
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from math import ceil, floor, inf
from pathlib import Path
from typing import Any

import numpy as np

from appliance.access.identify import ABOVE, BELOW, Impostors
from appliance.calibration.rates import Rate, Reals
from appliance.face.embedding import FAST
from appliance.gallery.search import Index, Outcome, Point, Tail, identify, tail_of, threshold
from appliance.sections import GallerySection
from lab.device import UnexpectedAnswerError, Vector
from lab.evaluate.client import Client, central
from lab.evaluate.datasets import LayoutError, read_people
from lab.report import Evaluation, Finding, Mistake, percentage

QUESTION = "identification"

SIZES = (50, 100, 500)
"""People in a gallery."""

LEAST_RANK_1, MOST_MISSED = 97.0, 12.0
"""Percent, of people enrolled with one picture each (98.5 and 7.0 were measured with 500: models/CARDS.md)."""

DRAWS = 20
"""Galleries of a size: their mean varies by less than a fourth of what one of them does."""

SEED = 19795


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture of a person, the face's box in it (4: x, y, width, height) and embedding (512, or 640 of two networks); None
    without a face.
    """

    name: str
    path: Path
    box: Reals | None
    vector: Vector | None


@dataclass(frozen=True, slots=True)
class Setting:
    """How a gallery is searched: operating points of the device, the required FPIR (0..1), the lead over the second person,
    and how many pictures each person is enrolled with.
    """

    tail: Tail
    point: Point
    fpir: float
    margin: float
    templates: int
    both: Impostors | None = None
    """Of the scores of two networks, where the device is asked for a second look."""


@dataclass(frozen=True, slots=True)
class Search:
    """The result of one search: `found` is the nearest person, `cosine` theirs; `first`: it is the right one."""

    picture: Picture
    outcome: Outcome
    found: str
    cosine: float
    first: bool

    @property
    def named(self) -> bool:
        """Whether a person of the gallery was identified."""
        return self.outcome is Outcome.IDENTIFIED

    @property
    def mistaken(self) -> bool:
        """Whether an enrolled person was identified as another."""
        return self.named and not self.first


@dataclass(frozen=True, slots=True)
class Draw:
    """A gallery, with the pictures that each person is enrolled with, the searches of its own people and of strangers."""

    threshold: float
    enrolled: Mapping[str, tuple[Picture, ...]]
    own: tuple[Search, ...]
    strangers: tuple[Search, ...]


def measure(
    client: Client, data: Path, known: GallerySection, models: Path, templates: int = 1, strangers: Path | None = None
) -> Evaluation:
    """`known` has the required FPIR and the margin; `models` is the folder of the models with their statistics, `strangers` one
    of people who are never enrolled; each person is enrolled with so many `templates`.

    Raises LayoutError, UnexpectedAnswerError, CalibrationError.
    """
    points = client.version.get("calibration", {})
    point, both = points.get("fast", points.get("similarity")), points.get("both")
    if point is None:
        raise UnexpectedAnswerError(
            "the device reports no operating point of its embedder: it does not work, or is too old"
        )
    fast, joint = _impostors(point, models), both and _impostors(both, models)
    setting = Setting(fast.tail, fast.point, known.fpir, known.margin, templates, joint)
    named = read_people(data)
    others = read_people(strangers) if strangers else {}
    unlike = {name: paths for name, paths in others.items() if name not in named}
    people = _acquired(client, "embedding people", named)
    unknown = [each for pictures in _acquired(client, "embedding strangers", unlike).values() for each in pictures]
    pictures = [*(each for every in people.values() for each in every), *unknown]
    enrollable = most(people, setting.templates)
    if enrollable < 2:
        raise LayoutError("fewer than two people can be enrolled, so there is nothing to tell apart")
    sizes = tuple(count for count in SIZES if count < enrollable) or (enrollable // 2,)
    drawn = {count: list(draws(people, unknown, count, setting)) for count in sizes}
    findings = [finding for count, each in drawn.items() for finding in figures(count, each, setting)]
    lost = Rate(sum(each.vector is None for each in pictures), len(pictures))
    return Evaluation(
        {"people": len(people), "other strangers": len(unlike), "pictures": len(pictures)},
        [*findings, percentage(QUESTION, "failure to acquire", lost)],
        "Mistakes in all of the largest galleries.",
        mistakes(drawn[max(drawn)]),
    )


def mistakes(draws: Sequence[Draw]) -> dict[str, list[Mistake]]:
    """The mistakes in galleries, each once, with the enrolled picture of the nearest person, or of the right one when that was
    not recognised.
    """
    own = [(each, draw) for draw in draws for each in draw.own]
    strangers = [(each, draw) for draw in draws for each in draw.strangers if each.named]
    mistaken, lost = [each for each in own if each[0].mistaken], [each for each in own if not each[0].named]
    return {
        "Strangers identified as an enrolled person, most alike first": _worst(strangers),
        "People identified as another, most alike first": _worst(mistaken),
        "People not recognised, least alike first": _worst(lost, lost=True),
    }


def draws(
    people: Mapping[str, Sequence[Picture]], others: Sequence[Picture], size: int, setting: Setting
) -> Iterator[Draw]:
    """DRAWS galleries of `size` people, the same each time: of those who have another picture to be found by and, where
    they are too few, of people without. All pictures of everyone else, and `others`, are strangers.
    """
    random = np.random.default_rng(SEED)
    usable = {name: [each for each in pictures if each.vector is not None] for name, pictures in people.items()}
    enough = [name for name, pictures in usable.items() if len(pictures) >= setting.templates]
    more = [name for name in enough if len(people[name]) > setting.templates]
    only = [name for name in enough if len(people[name]) == setting.templates]
    for _ in range(DRAWS):
        names = [str(name) for name in [*random.permutation(more), *random.permutation(only)][:size]]
        enrolled = {
            name: tuple(usable[name][place] for place in random.permutation(len(usable[name]))[: setting.templates])
            for name in names
        }
        yield _draw(people, others, enrolled, setting)


def most(people: Mapping[str, Sequence[Picture]], templates: int) -> int:
    """How many people can be enrolled."""
    return sum(sum(each.vector is not None for each in pictures) >= templates for pictures in people.values())


def figures(count: int, draws: Sequence[Draw], setting: Setting) -> Iterator[Finding]:
    """Of galleries of `count` people: means over the draws; the bounds are those of one draw's trials."""
    single = setting.templates == 1

    def share(measure: str, wrong: Callable[[Search], bool], least: float = -inf, most: float = inf) -> Finding:
        finding = Finding(QUESTION, f"{count}: {measure}", 0.0, "%", at_least=least, at_most=most)
        searches = [draw.strangers if measure == "FPIR" else draw.own for draw in draws]
        return _mean(finding, [(sum(map(wrong, each)), len(each)) for each in searches])

    yield Finding(QUESTION, f"{count} enrolled: from cosine", draws[0].threshold)
    yield share("FPIR", lambda each: each.named, most=100 * setting.fpir)
    yield share("FNIR", lambda search: not search.named or search.mistaken, most=MOST_MISSED if single else inf)
    yield share("… unknown", lambda each: each.outcome is Outcome.UNKNOWN)
    yield share("… ambiguous", lambda each: each.outcome is Outcome.AMBIGUOUS)
    yield share("… taken for another", lambda each: each.mistaken)
    yield share("rank 1", lambda each: each.first, least=LEAST_RANK_1 if single else -inf)


def _worst(searches: Sequence[tuple[Search, Draw]], *, lost: bool = False) -> list[Mistake]:
    """Each search once; most alike first, of lost people least."""
    once = {(search.picture.path, search.found): (search, draw) for search, draw in reversed(searches)}
    mistakes = []
    ordered = sorted(once.values(), key=lambda each: each[0].cosine, reverse=not lost)
    for search, draw in ordered:
        enrolled = draw.enrolled.get(search.picture.name if lost else search.found, ())[:1]
        pictures = [(each.path, each.box) for each in (search.picture, *enrolled)]
        mistakes.append(Mistake(search.outcome if lost else f"cosine {search.cosine:.3f}", pictures))
    return mistakes


def _impostors(point: Mapping[str, Any], models: Path) -> Impostors:
    """By an operating point of the device and the statistics in the folder of the models. Raises CalibrationError."""
    at = Point(point["threshold"], point["wanted"]["fmr"])
    return Impostors(tail_of(models, point["model"], at), at)


def _acquired(client: Client, title: str, people: Mapping[str, Sequence[Path]]) -> dict[str, list[Picture]]:
    def embed(asked: tuple[str, Path]) -> Picture:
        content = asked[1].read_bytes()
        face = central(client.face_features(content, networks="both"), content)
        return Picture(*asked, None, None) if face is None else Picture(*asked, face.box, face.feature)

    acquired: dict[str, list[Picture]] = {name: [] for name in people}
    for picture in client.each(title, embed, [(name, path) for name, paths in people.items() for path in paths]):
        acquired[picture.name].append(picture)
    return acquired


def _draw(
    people: Mapping[str, Sequence[Picture]],
    others: Sequence[Picture],
    enrolled: Mapping[str, tuple[Picture, ...]],
    setting: Setting,
) -> Draw:
    templates = [picture for pictures in enrolled.values() for picture in pictures]
    taken = {picture.path for picture in templates}
    index = Index.build((each.name, each.vector) for each in templates if each.vector is not None)
    least = threshold(setting.tail, setting.point, setting.fpir, index.size)
    own = [each for name in enrolled for each in people[name] if each.path not in taken]
    strangers = [each for name, pictures in people.items() if name not in enrolled for each in pictures]
    return Draw(
        least,
        enrolled,
        tuple(_search(each, index, least, setting) for each in own),
        tuple(_search(each, index, least, setting) for each in [*strangers, *others] if each.vector is not None),
    )


def _search(picture: Picture, index: Index, least: float, setting: Setting) -> Search:
    """As `Identifier.identify` searches a device's own gallery."""
    if picture.vector is None:  # a picture without a face identifies no one
        return Search(picture, Outcome.UNKNOWN, "", -1.0, False)
    ranking = index.ranking(picture.vector[:FAST], 2)
    if setting.both and picture.vector.size > FAST and least - BELOW <= ranking[0].cosine < least + ABOVE:
        handicap, least = least, setting.both.threshold(setting.fpir, index.size)
        ranking = index.ranking(picture.vector, 2, handicap - least)
    outcome, _ = identify(ranking, least, setting.margin)
    return Search(picture, outcome, ranking[0].reference, ranking[0].cosine, ranking[0].reference == picture.name)


def _mean(finding: Finding, counted: Sequence[tuple[int, int]]) -> Finding:
    """The share of all draws together, in percent. They share people: all of them are no more certain than one."""
    events, trials = (sum(column) / len(counted) for column in zip(*counted, strict=True))
    if trials < 1:
        return replace(finding, value=float("nan"), note="nobody")
    whole = floor(trials)
    low, high = (Rate(min(rounded(events), whole), whole).bounds for rounded in (floor, ceil))
    measure = f"{finding.measure} ({events:.3g}/{trials:.0f})"
    return replace(finding, measure=measure, value=100 * events / trials, interval=(100 * low[0], 100 * high[1]))
