"""Identification: which person of the gallery a face is, and access to the gallery of the running device."""

import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from pathlib import Path
from typing import Self

import numpy as np

from appliance.access.log import RECORD_FILE, Record
from appliance.calibration.points import CalibrationError, CalibrationStore, Kind
from appliance.events import Broadcast, GalleryChanged
from appliance.face.embedding import FAST
from appliance.face.types import Embedding
from appliance.faults import Fault, Problem, ResultCode
from appliance.gallery.backup import Count
from appliance.gallery.gallery import FILE, Gallery
from appliance.gallery.people import (
    GalleryDamagedError,
    GalleryError,
    GalleryRolledBackError,
    GalleryUnavailableError,
    NoKeyError,
    OtherEmbedderError,
    Person,
    ReadOnlyError,
    RecordRolledBackError,
    StorageFullError,
)
from appliance.gallery.search import Candidate, Index, Outcome, Point, Tail, identify, tail_of, threshold
from appliance.gallery.vault import SiteKey, find_site_key, obtain_site_key, read_site_key
from appliance.vision import loading
from appliance.vision.embedder import Comparator, Comparators, similarity
from appliance.vision.loading import Models

BELOW, ABOVE = 0.12, 0.08
"""How far below and above its threshold the best cosine of the fast network may lie for both networks to be asked: 10 % of the
searches for enrolled people of LFW and 26 % of those for strangers do; asking for all finds few more (models/CARDS.md).
"""

MOST_ALIKE = 8
"""Look-alikes that an enrolment names at most: in a gallery of thousands dozens reach the operating point."""


class Likeness(StrEnum):
    """How alike an enrolled person is: a DUPLICATE reaches the threshold of the search, a LOOK_ALIKE the operating point of two
    pictures of one person.
    """

    DUPLICATE = "duplicate"
    LOOK_ALIKE = "look-alike"


@dataclass(frozen=True, slots=True)
class Identification:
    """The outcome of a search, and the person if it is IDENTIFIED. `cosine` is that of the nearest person, -1 in an empty
    gallery, `runner_up` that of the second person, None without one; where both networks were asked they are scores of both.
    `similarity` is the cosine on a scale of 0..1 whose 0.5 is the threshold.
    """

    outcome: Outcome
    person: Person | None
    cosine: float
    similarity: float
    runner_up: float | None


@dataclass(frozen=True, slots=True)
class Impostors:
    """What is known of the scores of different people: the tail of their distribution, and the operating point for two
    pictures, this device's or the shipped one.
    """

    tail: Tail
    point: Point

    @classmethod
    def of(cls, models: Path, comparator: Comparator, calibration: CalibrationStore) -> Self:
        """By the statistics in the folder of the models. Raises Fault INF-07 when there are none."""
        shipped = comparator.shipped
        facts = calibration.facts(Kind.SIMILARITY, comparator.model, loading.shipped_point(shipped))
        return cls(_tail(models, comparator), Point(facts["threshold"], facts["wanted"].get("fmr", shipped.fmr)))

    def threshold(self, fpir: float, templates: int) -> float:
        """The score from which a person of a gallery of so many templates is identified."""
        return threshold(self.tail, self.point, fpir, templates)


@lru_cache(maxsize=8)
def _tail(models: Path, comparator: Comparator) -> Tail:
    """Raises Fault INF-07."""
    shipped = comparator.shipped
    try:
        return tail_of(models, comparator.model, Point(shipped.cosine, shipped.fmr))
    except CalibrationError as error:
        raise Fault(ResultCode.INITIALIZE_EXTENSION, str(error)) from error


@dataclass(frozen=True, slots=True)
class Identifier:
    """Searches a gallery by the fast network, and by `both` where that is not sure and the strong one is in use. `fpir` (over
    0) is the wanted false positive identification rate, `margin` the cosine by which the best person must lead the second.
    """

    gallery: Gallery
    fast: Impostors
    fpir: float
    margin: float
    both: Impostors | None = None

    @property
    def threshold(self) -> float:
        """The cosine of the fast network from which a person is identified; it rises with the size of the gallery."""
        return self.fast.threshold(self.fpir, self.gallery.templates)

    def identify(self, embedding: Embedding, second_look: Callable[[], Embedding] | None = None) -> Identification:
        """Identifies a face by its embedding of the fast network (512), or by that of both (640), which `second_look` gives
        and which is asked for where the first is not sure. Raises ValueError for an embedding that is not finite.
        """
        ranking, least = self.ranked(embedding, 2)
        if second_look and self.both and ranking and least - BELOW <= ranking[0].cosine < least + ABOVE:
            ranking, least = self.ranked(second_look(), 2)
        outcome, best = identify(ranking, least, self.margin)
        known = None if best is None else self.gallery.named(best.reference)
        if outcome is Outcome.IDENTIFIED and known is None:
            outcome = Outcome.UNKNOWN  # erased in this moment
        first, second = [*(each.cosine for each in ranking), None, None][:2]
        cosine = -1.0 if first is None else first
        person = None if known is None else known.person
        return Identification(outcome, person, cosine, similarity(cosine, least, least), second)

    def matches(self, embedding: Embedding, person: Person, *, nearest: bool = False) -> bool:
        """Whether the best of a person's templates and this face show one person (1:1); with `nearest` also whether no other
        person is nearer. Raises ValueError for an embedding that is not finite.
        """
        ranking, least = self.ranked(embedding, 1 if nearest else len(self.gallery.people()), two_pictures=True)
        return any(each.reference == person.reference and each.cosine >= least for each in ranking)

    def sure(self, embedding: Embedding, person: Person, margin: float) -> bool:
        """Whether the best of a person's templates that were enrolled by hand exceeds the threshold of the search by `margin`,
        and every other person as well. Raises ValueError for an embedding that is not finite.
        """
        ranking, least = self.ranked(embedding, 2)
        other = max((each.cosine for each in ranking if each.reference != person.reference), default=-1.0)
        handicap = self.threshold - least
        own = self.gallery.score_by_hand(person.reference, embedding, handicap)
        return own is not None and own - max(least, other) >= margin

    def alike(self, embedding: Embedding, but: Person | None = None) -> list[tuple[Person, Likeness]]:
        """The people who look like one who is to be enrolled, the most alike first, at most MOST_ALIKE. `but` is that person,
        who may have templates already. Raises ValueError for an embedding that is not finite.
        """
        ranking, least = self.ranked(embedding, MOST_ALIKE + 1)
        duplicates = {each.reference for each in ranking if each.cosine >= least}
        ranking, least = self.ranked(embedding, MOST_ALIKE + 1, two_pictures=True)
        found = []
        for candidate in ranking:
            known = self.gallery.named(candidate.reference)
            if known is None or candidate.cosine < least:
                continue
            if but is None or candidate.reference != but.reference:
                kind = Likeness.DUPLICATE if candidate.reference in duplicates else Likeness.LOOK_ALIKE
                found.append((known.person, kind))
        return found[:MOST_ALIKE]

    def ranked(
        self, embedding: Embedding, count: int, *, two_pictures: bool = False, among: Index | None = None
    ) -> tuple[Sequence[Candidate], float]:
        """The `count` people nearest to a face, best first, in the gallery or `among` others, and the score from which they
        match: that of the search, or that of `two_pictures`. A template without an embedding of the strong network has the
        fast one's threshold.
        """
        if not np.isfinite(embedding).all():
            raise ValueError("an embedding is not finite")
        templates = self.gallery.templates
        fast, both = (
            None if each is None else each.point.cosine if two_pictures else each.threshold(self.fpir, templates)
            for each in (self.fast, self.both)
        )
        assert fast is not None
        ranking = (self.gallery if among is None else among).ranking
        if both is None or embedding.size == FAST:
            return ranking(embedding[:FAST], count), fast
        return ranking(embedding, count, fast - both), both


log = logging.getLogger(__name__)

RETRY_SECONDS = 10.0
"""How often the device tries to open a gallery that could not be opened: its key may be back."""

STATES: dict[type[GalleryError], tuple[str, str]] = {
    NoKeyError: ("gallery_locked", "The gallery's key is not there, or is not the right one: no person is recognised."),
    GalleryDamagedError: (
        "gallery_damaged",
        "The gallery is damaged: people can be neither enrolled nor erased, see the log.",
    ),
    StorageFullError: ("gallery_full", "The disk is full: no person can be enrolled."),
    ReadOnlyError: ("gallery_read_only", "The gallery cannot be written: people can be neither enrolled nor erased."),
    OtherEmbedderError: (
        "other_embedder",
        "The gallery was made with another embedder: no person is recognised until `appliance people renew` has "
        "embedded the kept pictures again, or all people are enrolled anew.",
    ),
    GalleryRolledBackError: (
        "gallery_rolled_back",
        "The gallery is an older copy: people who were erased may be back. `appliance people accept` ends this.",
    ),
    RecordRolledBackError: (
        "record_rolled_back",
        "The record of decisions is an older copy, or was replaced. `appliance people accept` ends this.",
    ),
    GalleryUnavailableError: ("gallery_unavailable", "The gallery cannot be used just now: see the log."),
}
"""The state and the sentence for each error, the more special errors first."""


def state_of(error: GalleryError) -> tuple[str, str]:
    """The state of a gallery with this error: a word for programs and a sentence for people."""
    return next(state for kind, state in STATES.items() if isinstance(error, kind))


@dataclass(frozen=True, slots=True)
class Recognition:
    """What is needed to recognise people: the gallery, the search in it, and the sha256 of the embedder in use and of the
    strong one, None where that is not in use.
    """

    gallery: Gallery
    identifier: Identifier
    model: str
    strong: str | None

    @classmethod
    def of(
        cls,
        gallery: Gallery,
        models: Path,
        ways: Comparators,
        calibration: CalibrationStore,
        fpir: float,
        margin: float,
    ) -> Self:
        """Recognition with the embedders of the folder `models`. Raises Fault INF-07 when there are no statistics for them,
        OtherEmbedderError when the gallery's templates are another embedder's. Templates of another strong embedder have none.
        """
        fast, strong = Impostors.of(models, ways.fast, calibration), ways.strong_model
        stored = gallery.strong_embedder()
        both = Impostors.of(models, ways.both, calibration) if ways.both and stored in {None, strong} else None
        gallery.check_embedder(ways.fast.model)
        return cls(gallery, Identifier(gallery, fast, fpir, margin, both), ways.fast.model, strong)


class GalleryHandle:
    """Opens the gallery of the device, and hands it out or raises the reason why there is none. Thread-safe."""

    def __init__(
        self,
        folder: Path,
        models: Models,
        broadcast: Broadcast,
        *,
        key_file: Path | None,
        pictures: bool,
        most_templates: int,
        fpir: float,
        margin: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`folder` is that of the state, `key_file` the configured site key. The other arguments are those of `Gallery`
        and `Identifier`.
        """
        self._database, self._record, self._key_file = folder / FILE, Record(folder / RECORD_FILE), key_file
        self._pictures, self._most_templates = pictures, most_templates
        self._models, self._broadcast, self._clock = models, broadcast, clock
        self._fpir, self._margin = fpir, margin
        self._lock = threading.Lock()
        self._gallery: Gallery | None = None
        self._trouble: GalleryError | None = None
        self._tried = float("-inf")
        self._published = 0

    def open(self) -> None:
        """Opens the gallery; `problem` says why that failed, and `refresh` tries again."""
        with self._lock:
            if self._gallery is not None:  # opened by another thread in the meantime
                return
            self._tried = self._clock()
            try:
                key = obtain_site_key(find_site_key(self._key_file), self._database)
                self._gallery = Gallery(
                    self._database,
                    key,
                    keep_pictures=self._pictures,
                    most_templates=self._most_templates,
                    record=self._record,
                )
            except GalleryError as error:
                if str(error) != str(self._trouble):
                    log.error("the gallery cannot be opened: %s", error)
                self._trouble = error
                return
            self._trouble, self._published = None, self._gallery.version
        log.info("gallery: %s", Count(*self.counts()))

    def close(self) -> None:
        """Closes the gallery: nothing can be changed from here on."""
        if self._gallery is not None:
            self._gallery.close()

    def gallery(self) -> Gallery:
        """The gallery, though its storage may be in trouble. Raises GalleryError when it could not be opened, Fault INF-08
        before the first attempt.
        """
        if self._gallery is not None:
            return self._gallery
        if self._trouble is not None:
            raise type(self._trouble)(str(self._trouble))
        raise Fault(ResultCode.NOT_READY, "the gallery is being opened", status=503, retry_after=1)

    def person(self, identity: str) -> Person | None:
        """The person with an id; None if that cannot be known."""
        try:
            return self.gallery().person(identity).person
        except (GalleryError, Fault):
            return None

    def site_key(self) -> SiteKey:
        """The key that seals the gallery. Raises GalleryError when the gallery is not open."""
        self.gallery()
        return read_site_key(find_site_key(self._key_file))

    def recognition(self) -> Recognition:
        """What people are recognised with. Raises as `gallery`, OtherEmbedderError when the gallery's templates are another
        embedder's, and Fault INF-08 or INF-07 when no embedder works.
        """
        gallery, ways = self.gallery(), self._models.comparators()
        return Recognition.of(gallery, self._models.folder, ways, self._models.calibration, self._fpir, self._margin)

    def current(self) -> Recognition:
        """The same, after taking over what the command line has changed."""
        self.refresh()
        return self.recognition()

    def model(self) -> str | None:
        """The sha256 of the embedder in use; None while none works."""
        try:
            return self._models.comparators().fast.model
        except Fault:
            return None

    def problem(self) -> GalleryError | None:
        """Why people cannot be recognised, or not be enrolled; None when all is well, and before the first attempt to open."""
        if self._gallery is None:
            return self._trouble
        return self._gallery.problem() or self._mismatch() or self._gallery.rollback()

    def problems(self) -> list[Problem]:
        error = self.problem()
        return [Problem("gallery", *state_of(error))] if error else []

    def refresh(self) -> None:
        """Takes over what the command line has changed; tries again to open a gallery that could not be opened."""
        if self._gallery is None:
            if self._trouble is not None and self._clock() - self._tried >= RETRY_SECONDS:
                self.open()
            return
        self._gallery.refresh()
        self.publish()

    def publish(self) -> None:
        """Publishes GalleryChanged if the gallery has changed since the last time."""
        gallery = self.gallery()
        with self._lock:
            if gallery.version == self._published:
                return
            self._published = gallery.version
        self._broadcast.publish(GalleryChanged(*self.counts()))

    def counts(self) -> tuple[int, int]:
        """The numbers of people and templates; (0, 0) without a gallery."""
        gallery = self._gallery
        return (len(gallery.people()), gallery.templates) if gallery else (0, 0)

    def gauges(self) -> dict[str, tuple[str, float]]:
        people, templates = self.counts()
        return {"people": ("People who are known.", people), "templates": ("Their templates.", templates)}

    def _mismatch(self) -> OtherEmbedderError | None:
        try:
            self.recognition()
        except OtherEmbedderError as error:
            return error
        except (Fault, GalleryUnavailableError):  # reported by their own checks
            return None
        return None
