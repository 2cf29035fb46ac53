"""Who is it, among many? People of a folder are enrolled; other pictures of them, and strangers, are searched for.

The device gives embeddings of both networks, picture by picture. They are enrolled in galleries and searched for there as a
device does it. The figures are those of open-set identification (ISO/IEC 19795-1).
"""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import chain
from math import ceil, floor, inf, nan
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
from lab.report import Evaluation, Finding, Mistake, percentage, tracked
from lab.statistics import tabulated

QUESTION = "identification"
SIZES = (50, 100, 500)  # people in a gallery
LEAST_RANK_1, MOST_MISSED = 97.0, 12.0  # percent, one picture each, fast network (98.5, 7.0 were measured with 500)
WANTED = {(500, 1): 3.7, (100, 2): 1.0}  # most FNIR by both networks, percent, by people and pictures of each
DRAWS = 20  # galleries of a size: their mean varies by less than a fourth of what one of them does
FOLDS, REPETITIONS = 5, 4  # parts of the people, held out in turn, and how often people are divided: DRAWS galleries
FRESH = ", held out"
RARE = 1e-5  # a false match rate that a million pairs of different people still measure
LOOSEST = 0.005  # highest false match rate of the tables of a fold; a tail begins at .001
LEAST_RARE = 96.0  # percent, of TMR by both networks at FMR RARE (97.4 with the people whose pairs gave the threshold)
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


People = Mapping[str, Sequence[Picture]]


@dataclass(frozen=True, slots=True)
class Setting:
    """How a gallery is searched: what is known of impostors' scores, the required FPIR (0..1), the lead over the second person,
    how many pictures each person is enrolled with, and, where the device is asked for a second look, what is known of the
    scores of both networks.
    """

    fast: Impostors
    fpir: float
    margin: float
    templates: int
    both: Impostors | None = None

    def found_on(self, people: People) -> "tuple[Setting, float]":
        """The same with what the pictures of these people say; and the score of two pictures that has the false match rate
        RARE, inf with too few pairs. Raises CalibrationError.
        """

        def impostors(way: Callable[[Vector], Vector], point: Point) -> tuple[Impostors, float]:
            different, same = _compared(people, way)
            tail = Tail.fitted(tabulated("0" * 64, "held out", different, same, LOOSEST))
            rare = cosine(different.scores, RARE) if different.scores.size >= fewest_pairs(RARE) else inf
            return Impostors(tail, Point(cosine(different.scores, point.fmr), point.fmr)), rare

        fast, rare = impostors(_fast, self.fast.point)
        if self.both is None:
            return replace(self, fast=fast), rare
        both, rare = impostors(weighted, self.both.point)
        return replace(self, fast=fast, both=both), rare


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
    enrolled: Mapping[str, Sequence[Picture]]
    own: Sequence[Search]
    strangers: Sequence[Search]


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
    fast, joint = _impostors(point, models), _impostors(both, models) if both else None
    setting = Setting(fast, known.fpir, known.margin, templates, joint)
    named = read_people(data)
    others = {name: paths for name, paths in read_people(strangers).items() if name not in named} if strangers else {}
    people, unlike = _acquired(client, "embedding people", named), _acquired(client, "embedding strangers", others)
    enrollable = sum(map(len, enrollable_of(people, templates)))
    if enrollable < 2:
        raise LayoutError("fewer than two people can be enrolled, so there is nothing to tell apart")
    sizes = tuple(count for count in SIZES if count < enrollable) or (enrollable // 2,)
    drawn = {count: list(draws(people, [*chain(*unlike.values())], count, setting)) for count in sizes}
    findings = [finding for count, each in drawn.items() for finding in figures(count, each, setting)]
    if held_out:
        findings += held_out_figures({**people, **unlike}, sizes, setting)
    pictures = [*chain(*people.values(), *unlike.values())]
    lost = Rate(sum(each.vector is None for each in pictures), len(pictures))
    return Evaluation(
        {"people": len(people), "other strangers": len(unlike), "pictures": len(pictures)},
        [*findings, percentage(QUESTION, "failure to acquire", lost)],
        "Mistakes in all of the largest galleries.",
        mistakes(drawn[max(drawn)]),
    )


def draws(people: People, others: Sequence[Picture], size: int, setting: Setting) -> Iterator[Draw]:
    """DRAWS galleries of `size` people, the same each time: of those who have another picture to be found by and, where
    they are too few, of people without. All pictures of everyone else, and `others`, are strangers.
    """
    random = np.random.default_rng(SEED)
    more, only = enrollable_of(people, setting.templates)
    for _ in range(DRAWS):
        names = [*random.permutation(more), *random.permutation(only)][:size]
        yield _draw(people, others, _templates(random, people, names, setting), setting)


def held_out_figures(people: People, sizes: Sequence[int], setting: Setting) -> Iterator[Finding]:
    """The figures of `figures` for people of whom the thresholds know nothing: those of each fold are enrolled and searched for
    by what the others show. The others fill the galleries up. The last figures are those of pairs of pictures: TMR, with bounds
    by drawing people, and FMR at the thresholds of FMR RARE. Raises CalibrationError.
    """
    random = np.random.default_rng(SEED)
    drawn: dict[int, list[Draw]] = defaultdict(list)
    margins: list[tuple[Pairs, Pairs]] = []
    for repetition in range(REPETITIONS):
        rounds: dict[int, list[Draw]] = defaultdict(list)
        for part in tracked(np.array_split(random.permutation(sorted(people)), FOLDS), "held out", FOLDS):
            fresh = {str(name): people[str(name)] for name in part}
            others = {name: pictures for name, pictures in people.items() if name not in fresh}
            fit, rare = setting.found_on(others)
            for size in sizes:
                more, _ = enrollable_of(fresh, setting.templates)
                rest = [*chain(*enrollable_of(others, setting.templates))]
                names = [*random.permutation(more), *random.permutation(rest)][:size]
                rounds[size].append(_draw(fresh, [], _templates(random, people, names, setting), fit))
            if repetition == 0:
                different, same = _compared(fresh, weighted if setting.both else _fast)
                above = replace(different, scores=different.scores - rare), replace(same, scores=same.scores - rare)
                margins.append(above)
        for size, each in rounds.items():
            drawn[size].append(_together(each))
    for size, each in drawn.items():
        yield from figures(size, each, setting, FRESH)
    starts = np.cumsum([0, *(same.people for _, same in margins)])
    columns = [
        (same.scores, same.first + start, same.second + start, same.pictures)
        for (_, same), start in zip(margins, starts, strict=False)
    ]
    joined = Pairs(*map(np.concatenate, zip(*columns, strict=True)))
    if joined.scores.size and np.isfinite(joined.scores).all():
        (matched,) = genuine_bounds(joined, np.zeros(1))
        title = f"pairs{FRESH}: TMR at FMR {100 * RARE:g} % ({matched.count}/{matched.total})"
        bounds = 100 * matched.lower, 100 * matched.upper
        yield Finding(QUESTION, title, 100 * matched.value, "%", bounds, at_least=LEAST_RARE)
        above_it = np.concatenate([different.scores >= 0 for different, _ in margins])
        yield percentage(QUESTION, f"pairs{FRESH}: FMR there", Rate(int(above_it.sum()), above_it.size))


def figures(count: int, draws: Sequence[Draw], setting: Setting, which: str = "") -> Iterator[Finding]:
    """Of galleries of `count` people: means over the draws; the bounds are those of one draw's trials."""
    single = setting.templates == 1
    missed = min(WANTED.get((count, setting.templates), inf) if setting.both else inf, MOST_MISSED if single else inf)

    def share(measure: str, wrong: Callable[[Search], bool], least: float = -inf, most: float = inf) -> Finding:
        finding = Finding(QUESTION, f"{count}{which}: {measure}", nan, "%", at_least=least, at_most=most)
        searches = [draw.strangers if measure == "FPIR" else draw.own for draw in draws]
        return _mean(finding, [(sum(map(wrong, each)), len(each)) for each in searches])

    yield Finding(QUESTION, f"{count} enrolled{which}: from cosine", draws[0].threshold)
    yield share("FPIR", lambda each: each.named, most=100 * setting.fpir)
    yield share("FNIR", lambda search: not search.named or search.mistaken, most=missed)
    yield share("… unknown", lambda each: each.outcome is Outcome.UNKNOWN)
    yield share("… ambiguous", lambda each: each.outcome is Outcome.AMBIGUOUS)
    yield share("… taken for another", lambda each: each.mistaken)
    yield share("rank 1", lambda each: each.first, least=LEAST_RANK_1 if single else -inf)


def mistakes(draws: Sequence[Draw]) -> dict[str, list[Mistake]]:
    """The mistakes in galleries, each once, with the enrolled picture of the nearest person, or of the right one when that was
    not recognised.
    """

    def worst(wrong: Callable[[Search], bool], *, strangers: bool = False, lost: bool = False) -> list[Mistake]:
        """Most alike first, of lost people least."""
        searches = [
            (each, draw) for draw in draws for each in (draw.strangers if strangers else draw.own) if wrong(each)
        ]
        once = {(search.picture.path, search.found): (search, draw) for search, draw in reversed(searches)}
        mistakes = []
        for search, draw in sorted(once.values(), key=lambda each: each[0].cosine, reverse=not lost):
            enrolled = draw.enrolled.get(search.picture.name if lost else search.found, ())[:1]
            pictures = [(each.path, each.box) for each in (search.picture, *enrolled)]
            mistakes.append(Mistake(search.outcome if lost else f"cosine {search.cosine:.3f}", pictures))
        return mistakes

    return {
        "Strangers identified as an enrolled person, most alike first": worst(lambda each: each.named, strangers=True),
        "People identified as another, most alike first": worst(lambda each: each.mistaken),
        "People not recognised, least alike first": worst(lambda each: not each.named, lost=True),
    }


def _acquired(client: Client, title: str, people: Mapping[str, Sequence[Path]]) -> dict[str, list[Picture]]:
    def embed(asked: tuple[str, Path]) -> Picture:
        content = asked[1].read_bytes()
        face = central(client.face_features(content, networks="both"), content)
        return Picture(*asked, None, None) if face is None else Picture(*asked, face.box, face.feature)

    acquired: dict[str, list[Picture]] = {name: [] for name in people}
    for picture in client.each(title, embed, [(name, path) for name, paths in people.items() for path in paths]):
        acquired[picture.name].append(picture)
    return acquired


def _impostors(point: Mapping[str, Any], models: Path) -> Impostors:
    """By an operating point of the device and the statistics in the folder of the models. Raises CalibrationError."""
    at = Point(point["threshold"], point["wanted"]["fmr"])
    return Impostors(tail_of(models, point["model"], at), at)


def _compared(people: People, way: Callable[[Vector], Vector]) -> tuple[Pairs, Pairs]:
    """The impostor and the genuine pairs of these people's pictures, with the scores of a way to compare embeddings."""
    seen = [(way(each.vector), name) for name, every in people.items() for each in every if each.vector is not None]
    person = np.unique([name for _, name in seen], return_inverse=True)[1].astype(np.int64)
    return compared(np.stack([vector for vector, _ in seen]), person)


def _fast(vector: Vector) -> Vector:
    return vector[:FAST]


def _usable(pictures: Sequence[Picture]) -> list[Picture]:
    return [each for each in pictures if each.vector is not None]


def enrollable_of(people: People, templates: int) -> tuple[list[str], list[str]]:
    """Those who have another picture to be found by beside those that they are enrolled with, and those who have not."""
    enough = [name for name, pictures in people.items() if len(_usable(pictures)) >= templates]
    more = [name for name in enough if len(people[name]) > templates]
    return more, [name for name in enough if name not in set(more)]


def _templates(
    random: np.random.Generator, people: People, names: Sequence[str], setting: Setting
) -> dict[str, list[Picture]]:
    """The pictures that people are enrolled with."""
    usable = {str(name): _usable(people[str(name)]) for name in names}
    return {
        name: [pictures[place] for place in random.permutation(len(pictures))[: setting.templates]]
        for name, pictures in usable.items()
    }


def _draw(people: People, others: Sequence[Picture], enrolled: People, setting: Setting) -> Draw:
    taken = {picture.path for pictures in enrolled.values() for picture in pictures}
    own = [each for name in enrolled for each in people.get(name, ()) if each.path not in taken]
    strangers = chain(*(pictures for name, pictures in people.items() if name not in enrolled), others)
    with TemporaryDirectory() as folder:
        gallery, names = Gallery(Path(folder) / FILE, SiteKey(token_bytes(32))), list(enrolled)
        try:
            gallery.replace(_export(*each) for each in enumerate(enrolled.values()))
            identifier = Identifier(gallery, setting.fast, setting.fpir, setting.margin, setting.both)
            return Draw(
                identifier.threshold,
                enrolled,
                [_search(each, identifier, names) for each in own],
                [_search(each, identifier, names) for each in strangers if each.vector is not None],
            )
        finally:
            gallery.close()


def _together(rounds: Sequence[Draw]) -> Draw:
    """The searches of all folds; the threshold is their mean."""
    return Draw(
        float(np.mean([each.threshold for each in rounds])),
        {name: pictures for each in rounds for name, pictures in each.enrolled.items()},
        [*chain(*(each.own for each in rounds))],
        [*chain(*(each.strangers for each in rounds))],
    )


def _export(number: int, pictures: Sequence[Picture]) -> PersonExport:
    """A person as an archive has them; the number stands for the name, which need not be one that a gallery takes."""
    now = datetime.now(UTC)
    templates = []
    for vector in (each.vector for each in pictures if each.vector is not None):
        strong = "1" * 64 if vector.size > FAST else None
        template = Template(0, "0" * 64, 1.0, Source.PHOTO, now, pictured=False, strong=strong)
        templates.append(TemplateExport(template, vector, None))
    return PersonExport(Person(f"p{number}", "p", (), None, None, f"{number:016x}", now), tuple(templates))


def _search(picture: Picture, identifier: Identifier, names: Sequence[str]) -> Search:
    """As a device identifies a face; the nearest person is that of the network or networks that were asked last. `names` are
    those of the gallery's people by their number.
    """
    vector = picture.vector
    if vector is None:  # a picture without a face identifies no one
        return Search(picture, Outcome.UNKNOWN, "", -1.0, False)
    asked = [_fast(vector)]

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
        return replace(finding, note="no searches")
    whole = floor(trials)
    low, high = (Rate(min(rounded(events), whole), whole).bounds for rounded in (floor, ceil))
    measure = f"{finding.measure} ({events:.3g}/{trials:.0f})"
    return replace(finding, measure=measure, value=100 * events / trials, interval=(100 * low[0], 100 * high[1]))
