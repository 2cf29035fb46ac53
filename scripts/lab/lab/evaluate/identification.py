"""Who is it, among many? People of a folder are enrolled; other pictures of them, and strangers, are searched for.

The device gives embeddings of both networks, picture by picture. They are enrolled in galleries and searched for there as a
device does it. The figures are those of open-set identification (ISO/IEC 19795-1).
"""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import chain, starmap
from math import ceil, floor, inf
from pathlib import Path
from secrets import token_bytes
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from appliance.access.identify import Identifier, Impostors
from appliance.calibration.rates import Rate, Reals
from appliance.calibration.statistics import Pairs, compared, cosine, fewest_pairs, genuine_bounds
from appliance.face.embedding import FAST, weighted
from appliance.face.types import Embedding
from appliance.gallery.gallery import FILE, Gallery
from appliance.gallery.people import Person, PersonExport, Source, Template, TemplateExport
from appliance.gallery.search import Outcome, Point, Tail, tail_of
from appliance.gallery.vault import SiteKey
from appliance.sections import GallerySection
from lab.device import UnexpectedAnswerError, Vector
from lab.evaluate.client import Client, central
from lab.evaluate.datasets import LayoutError, read_people
from lab.impostors import tabulated
from lab.report import Evaluation, Finding, Mistake, percentage, tracked

QUESTION = "identification"

SIZES = (50, 100, 500)
"""People in a gallery."""

LEAST_RANK_1, MOST_MISSED = 97.0, 12.0
"""Percent, of people enrolled with one picture each, by the fast network (98.5 and 7.0 were measured with 500)."""

WANTED = {(500, 1): 3.7, (100, 2): 1.0}
"""Most FNIR by both networks, in percent, by the people of a gallery and the pictures of each."""

DRAWS = 20
"""Galleries of a size: their mean varies by less than a fourth of what one of them does."""

FOLDS, REPETITIONS = 5, 4
"""Parts of the people who are held out one after another, and how often people are divided anew: DRAWS galleries of a size."""

FRESH = ", held out"

RARE = 1e-5
"""A false match rate that a million pairs of different people still measure."""

LOOSEST = 0.005
"""Highest false match rate of the tables of a fold; a tail begins at .001."""

LEAST_RARE = 96.0
"""Percent: the true match rate of both networks at FMR RARE (97.4 with the people whose pairs gave the threshold)."""

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
    """How a gallery is searched: what is known of impostors' scores, the required FPIR (0..1), the lead over the second person,
    and how many pictures each person is enrolled with.
    """

    fast: Impostors
    fpir: float
    margin: float
    templates: int
    both: Impostors | None = None
    """Of the scores of two networks, where the device is asked for a second look."""

    def found_on(self, people: Mapping[str, Sequence[Picture]]) -> "FoundSetting":
        """The same with what the pictures of these people say. Raises CalibrationError."""
        pictures = [(each.vector, name) for name, every in people.items() for each in every if each.vector is not None]
        person = np.unique([name for _, name in pictures], return_inverse=True)[1].astype(np.int64)

        def impostors(vectors: Sequence[Embedding], point: Point) -> tuple[Impostors, float]:
            different, same = compared(np.stack(vectors), person)
            tail = Tail.fitted(tabulated("0" * 64, "held out", different, same, LOOSEST))
            rare = cosine(different.scores, RARE) if different.scores.size >= fewest_pairs(RARE) else inf
            return Impostors(tail, Point(cosine(different.scores, point.fmr), point.fmr)), rare

        fast, rare = impostors([vector[:FAST] for vector, _ in pictures], self.fast.point)
        both = None
        if self.both:
            both, rare = impostors([weighted(vector) for vector, _ in pictures], self.both.point)
        return FoundSetting(replace(self, fast=fast, both=both), rare)


@dataclass(frozen=True, slots=True)
class FoundSetting:
    """A setting, and the score of two pictures that has the false match rate RARE; inf with too few pairs."""

    setting: Setting
    rare: float


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
    client: Client,
    data: Path,
    known: GallerySection,
    models: Path,
    templates: int = 1,
    strangers: Path | None = None,
    *,
    held_out: bool = False,
) -> Evaluation:
    """`known` has the required FPIR and the margin; `models` is the folder of the models with their statistics, `strangers` one
    of people who are never enrolled; each person is enrolled with so many `templates`. With `held_out` also by thresholds
    that were found on the other people of both folders, who are all enrolled then.

    Raises LayoutError, UnexpectedAnswerError, CalibrationError.
    """
    points = client.version.get("calibration", {})
    point, both = points.get("fast", points.get("similarity")), points.get("both")
    if point is None:
        raise UnexpectedAnswerError(
            "the device reports no operating point of its embedder: it does not work, or is too old"
        )
    fast, joint = _impostors(point, models), both and _impostors(both, models)
    setting = Setting(fast, known.fpir, known.margin, templates, joint)
    named = read_people(data)
    others = read_people(strangers) if strangers else {}
    unlike = {name: paths for name, paths in others.items() if name not in named}
    people = _acquired(client, "embedding people", named)
    unlike_people = _acquired(client, "embedding strangers", unlike)
    unknown = [each for pictures in unlike_people.values() for each in pictures]
    pictures = [*(each for every in people.values() for each in every), *unknown]
    enrollable = most(people, setting.templates)
    if enrollable < 2:
        raise LayoutError("fewer than two people can be enrolled, so there is nothing to tell apart")
    sizes = tuple(count for count in SIZES if count < enrollable) or (enrollable // 2,)
    drawn = {count: list(draws(people, unknown, count, setting)) for count in sizes}
    findings = [finding for count, each in drawn.items() for finding in figures(count, each, setting)]
    if held_out:
        findings += held_out_figures({**people, **unlike_people}, sizes, setting)
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
    more, only = _enrollable(people, setting)
    for _ in range(DRAWS):
        names = [*random.permutation(more), *random.permutation(only)][:size]
        yield _draw(people, others, _templates(random, people, names, setting), setting)


def _enrollable(people: Mapping[str, Sequence[Picture]], setting: Setting) -> tuple[list[str], list[str]]:
    """Those who have another picture to be found by beside those that they are enrolled with, and those who have not."""
    enough = [name for name, pictures in people.items() if len(_usable(pictures)) >= setting.templates]
    more = [name for name in enough if len(people[name]) > setting.templates]
    return more, [name for name in enough if name not in set(more)]


def _usable(pictures: Sequence[Picture]) -> list[Picture]:
    return [each for each in pictures if each.vector is not None]


def _templates(
    random: np.random.Generator, people: Mapping[str, Sequence[Picture]], names: Sequence[str], setting: Setting
) -> dict[str, tuple[Picture, ...]]:
    """The pictures that people are enrolled with."""
    usable = {str(name): _usable(people[str(name)]) for name in names}
    return {
        name: tuple(pictures[place] for place in random.permutation(len(pictures))[: setting.templates])
        for name, pictures in usable.items()
    }


def held_out_figures(
    people: Mapping[str, Sequence[Picture]], sizes: Sequence[int], setting: Setting
) -> Iterator[Finding]:
    """The figures of `figures` for people of whom the thresholds know nothing: those of each fold are enrolled and searched for
    by what the others show. The others fill the galleries up. The last figure is that of pairs of pictures. Raises
    CalibrationError.
    """
    random = np.random.default_rng(SEED)
    drawn: dict[int, list[Draw]] = defaultdict(list)
    margins: list[tuple[Pairs, Pairs]] = []
    for repetition in range(REPETITIONS):
        rounds: dict[int, list[Draw]] = defaultdict(list)
        for part in tracked(np.array_split(random.permutation(sorted(people)), FOLDS), "held out", FOLDS):
            fresh = {str(name): people[str(name)] for name in part}
            others = {name: pictures for name, pictures in people.items() if name not in fresh}
            fit = setting.found_on(others)
            for size in sizes:
                more, _ = _enrollable(fresh, setting)
                names = [*random.permutation(more), *random.permutation([*chain(*_enrollable(others, setting))])][:size]
                rounds[size].append(_draw(fresh, [], _templates(random, people, names, setting), fit.setting))
            if repetition == 0:
                margins.append(_margins(fresh, fit))
        for size in sizes:
            drawn[size].append(_together(rounds[size]))
    for size in sizes:
        yield from figures(size, drawn[size], setting, FRESH)
    yield from _pairs(margins)


def _pairs(margins: Sequence[tuple[Pairs, Pairs]]) -> Iterator[Finding]:
    """TMR with bounds by drawing people, and FMR, of the held out people's pairs at the thresholds of FMR RARE."""
    people = np.cumsum([0, *(same.people for _, same in margins)])
    joined = Pairs(
        np.concatenate([same.scores for _, same in margins]),
        np.concatenate([same.first + start for (_, same), start in zip(margins, people, strict=False)]),
        np.concatenate([same.second + start for (_, same), start in zip(margins, people, strict=False)]),
        np.concatenate([same.pictures for _, same in margins]),
    )
    if not joined.scores.size or not np.isfinite(joined.scores).all():
        return
    (matched,) = genuine_bounds(joined, np.zeros(1))
    title = f"pairs{FRESH}: TMR at FMR {100 * RARE:g} % ({matched.count}/{matched.total})"
    yield Finding(
        QUESTION, title, 100 * matched.value, "%", (100 * matched.lower, 100 * matched.upper), at_least=LEAST_RARE
    )
    false = Rate(
        sum(int((each.scores >= 0).sum()) for each, _ in margins), sum(each.scores.size for each, _ in margins)
    )
    yield percentage(QUESTION, f"pairs{FRESH}: FMR there", false)


def _margins(people: Mapping[str, Sequence[Picture]], fit: FoundSetting) -> tuple[Pairs, Pairs]:
    """By how much the scores of these people's impostor and genuine pairs exceed the threshold of a fit."""
    pictures = [(each.vector, name) for name, every in people.items() for each in every if each.vector is not None]
    person = np.unique([name for _, name in pictures], return_inverse=True)[1].astype(np.int64)
    vectors = [weighted(vector) if fit.setting.both else vector[:FAST] for vector, _ in pictures]
    different, same = compared(np.stack(vectors), person)
    return replace(different, scores=different.scores - fit.rare), replace(same, scores=same.scores - fit.rare)


def _together(rounds: Sequence[Draw]) -> Draw:
    """The searches of all folds; the threshold is their mean."""
    enrolled = {name: pictures for each in rounds for name, pictures in each.enrolled.items()}
    own = tuple(search for each in rounds for search in each.own)
    strangers = tuple(search for each in rounds for search in each.strangers)
    return Draw(float(np.mean([each.threshold for each in rounds])), enrolled, own, strangers)


def most(people: Mapping[str, Sequence[Picture]], templates: int) -> int:
    """How many people can be enrolled."""
    return sum(sum(each.vector is not None for each in pictures) >= templates for pictures in people.values())


def figures(count: int, draws: Sequence[Draw], setting: Setting, which: str = "") -> Iterator[Finding]:
    """Of galleries of `count` people: means over the draws; the bounds are those of one draw's trials."""
    single = setting.templates == 1
    missed = WANTED.get((count, setting.templates), inf) if setting.both else inf

    def share(measure: str, wrong: Callable[[Search], bool], least: float = -inf, most: float = inf) -> Finding:
        finding = Finding(QUESTION, f"{count}{which}: {measure}", 0.0, "%", at_least=least, at_most=most)
        searches = [draw.strangers if measure == "FPIR" else draw.own for draw in draws]
        return _mean(finding, [(sum(map(wrong, each)), len(each)) for each in searches])

    yield Finding(QUESTION, f"{count} enrolled{which}: from cosine", draws[0].threshold)
    yield share("FPIR", lambda each: each.named, most=100 * setting.fpir)
    yield share(
        "FNIR", lambda search: not search.named or search.mistaken, most=min(missed, MOST_MISSED if single else inf)
    )
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
    taken = {picture.path for pictures in enrolled.values() for picture in pictures}
    own = [each for name in enrolled for each in people.get(name, ()) if each.path not in taken]
    strangers = [each for name, pictures in people.items() if name not in enrolled for each in pictures]
    with TemporaryDirectory() as folder:
        gallery, names = Gallery(Path(folder) / FILE, SiteKey(token_bytes(32))), list(enrolled)
        try:
            gallery.replace(starmap(_export, enumerate(enrolled.values())))
            identifier = Identifier(gallery, setting.fast, setting.fpir, setting.margin, setting.both)
            return Draw(
                identifier.threshold,
                enrolled,
                tuple(_search(each, identifier, names) for each in own),
                tuple(_search(each, identifier, names) for each in [*strangers, *others] if each.vector is not None),
            )
        finally:
            gallery.close()


def _export(number: int, pictures: Sequence[Picture]) -> PersonExport:
    """A person as an archive has them; the number stands for the name, which need not be one that a gallery takes."""
    now = datetime.now(UTC)
    templates = tuple(
        TemplateExport(
            Template(
                0, "0" * 64, 1.0, Source.PHOTO, now, pictured=False, strong="1" * 64 if vector.size > FAST else None
            ),
            vector,
            None,
        )
        for vector in (each.vector for each in pictures)
        if vector is not None
    )
    return PersonExport(Person(f"p{number}", "p", (), None, None, f"{number:016x}", now), templates)


def _search(picture: Picture, identifier: Identifier, names: Sequence[str]) -> Search:
    """As a device identifies a face; the nearest person is that of the network or networks that were asked last. `names` are
    those of the gallery's people by their number.
    """
    vector = picture.vector
    if vector is None:  # a picture without a face identifies no one
        return Search(picture, Outcome.UNKNOWN, "", -1.0, False)
    asked = [vector[:FAST]]

    def second_look() -> Embedding:
        asked.append(vector)
        return vector

    result = identifier.identify(asked[0], second_look if vector.size > FAST else None)
    (nearest,), _ = identifier.ranked(asked[-1], 1)
    found = names[int(nearest.reference, 16)]
    return Search(picture, result.outcome, found, result.cosine, found == picture.name)


def _mean(finding: Finding, counted: Sequence[tuple[int, int]]) -> Finding:
    """The share of all draws together, in percent. They share people: all of them are no more certain than one."""
    events, trials = (sum(column) / len(counted) for column in zip(*counted, strict=True))
    if trials < 1:
        return replace(finding, value=float("nan"), note="nobody")
    whole = floor(trials)
    low, high = (Rate(min(rounded(events), whole), whole).bounds for rounded in (floor, ceil))
    measure = f"{finding.measure} ({events:.3g}/{trials:.0f})"
    return replace(finding, measure=measure, value=100 * events / trials, interval=(100 * low[0], 100 * high[1]))
