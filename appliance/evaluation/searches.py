"""Galleries drawn from people who are named, and searches in them: of others of their pictures, and of strangers."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from appliance.evaluation.measures import Reals
from appliance.gallery.search import Candidate, Index, Outcome, Point, Tail, identify, threshold

RANKS = 10
"""Places among which the right person is looked for."""

DRAWS = 20
"""Galleries of a size: the mean of so many wavers by less than a fourth of what one of them does."""

SEED = 19795

Vector = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture of a person, the face's box in it (4: x, y, width, height) and embedding (512); None where there is no face."""

    name: str
    path: Path
    box: Reals | None
    vector: Vector | None


@dataclass(frozen=True, slots=True)
class Setting:
    """With what is searched: operating points of the device, the wanted FPIR (0..1), the lead over the second person, and
    how many pictures each is enrolled with.
    """

    tail: Tail
    point: Point
    fpir: float
    margin: float
    templates: int


@dataclass(frozen=True, slots=True)
class Search:
    """What came of one: `found` is the nearest person, `cosine` theirs and `lead` that over the second; `rank` is the place of
    the right one, from 1, 0 when it is none of the first RANKS.
    """

    picture: Picture
    outcome: Outcome
    found: str
    cosine: float
    lead: float
    rank: int

    @property
    def named(self) -> bool:
        """Whether somebody was taken for a person of the gallery."""
        return self.outcome is Outcome.IDENTIFIED

    @property
    def right(self) -> bool:
        return self.named and self.rank == 1


@dataclass(frozen=True, slots=True)
class Draw:
    """A gallery, with the pictures that each is enrolled with, the searches of its own people and those of strangers."""

    threshold: float
    enrolled: Mapping[str, tuple[Picture, ...]]
    own: tuple[Search, ...]
    strangers: tuple[Search, ...]


def draws(
    people: Mapping[str, Sequence[Picture]], others: Sequence[Picture], size: int, setting: Setting
) -> Iterator[Draw]:
    """DRAWS galleries of `size` people, the same each time: of those who have another picture to be found by, and, where
    they are too few, of people without. All pictures of everybody else, and `others`, are strangers.
    """
    random = np.random.default_rng(SEED)
    usable = {name: [each for each in pictures if each.vector is not None] for name, pictures in people.items()}
    enough = [name for name, pictures in usable.items() if len(pictures) >= setting.templates]
    more = [name for name in enough if len(people[name]) > setting.templates]
    only = [name for name in enough if len(people[name]) == setting.templates]
    for _ in range(DRAWS):
        names = [*random.permutation(more), *random.permutation(only)][:size]
        enrolled = {str(name): _chosen(usable[name], setting.templates, random) for name in names}
        yield _draw(people, others, enrolled, setting)


def most(people: Mapping[str, Sequence[Picture]], templates: int) -> int:
    """How many people can be enrolled."""
    return sum(sum(each.vector is not None for each in pictures) >= templates for pictures in people.values())


def _chosen(pictures: Sequence[Picture], count: int, random: np.random.Generator) -> tuple[Picture, ...]:
    return tuple(pictures[place] for place in random.permutation(len(pictures))[:count])


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
        tuple(_search(each, index, least, setting.margin) for each in own),
        tuple(_search(each, index, least, setting.margin) for each in [*strangers, *others] if each.vector is not None),
    )


def _search(picture: Picture, index: Index, least: float, margin: float) -> Search:
    if picture.vector is None:  # nobody is found by a picture without a face
        return Search(picture, Outcome.UNKNOWN, "", -1.0, 0.0, 0)
    ranking = index.ranking(picture.vector, RANKS)
    outcome, _ = identify(ranking[:2], least, margin)
    second = ranking[1].cosine if len(ranking) > 1 else -1.0
    best = ranking[0]
    return Search(picture, outcome, best.reference, best.cosine, best.cosine - second, _rank(ranking, picture.name))


def _rank(ranking: Sequence[Candidate], name: str) -> int:
    return next((place for place, each in enumerate(ranking, 1) if each.reference == name), 0)
