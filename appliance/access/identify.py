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
from appliance.face.types import Embedding
from appliance.faults import Fault, Problem, ResultCode
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
from appliance.gallery.search import Candidate, Outcome, Point, Tail, identify, tail_of, threshold
from appliance.gallery.vault import SiteKey, find_site_key, obtain_site_key, read_site_key
from appliance.vision import loading
from appliance.vision.embedder import similarity
from appliance.vision.loading import Models
from appliance.vision.manifest import ModelFile

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
    gallery, `runner_up` that of the second person, None without one. `similarity` is the cosine on a scale of 0..1 whose 0.5
    is the threshold.
    """

    outcome: Outcome
    person: Person | None
    cosine: float
    similarity: float
    runner_up: float | None


def similarity_point(calibration: CalibrationStore, file: ModelFile) -> Point:
    """The operating point of an embedder: this device's own, or the shipped one."""
    assert file.operating_point is not None
    facts = calibration.facts(Kind.SIMILARITY, file.sha256, loading.shipped_point(Kind.SIMILARITY, file))
    return Point(facts["threshold"], facts["wanted"].get("fmr", file.operating_point.fmr))


@lru_cache(maxsize=8)
def impostor_tail(models: Path, file: ModelFile) -> Tail:
    """How rare false matches of an embedder are, by the statistics in the folder of the models. Raises Fault INF-07 when there
    are none for it.
    """
    shipped = file.operating_point
    assert shipped is not None
    try:
        return tail_of(models, file.sha256, Point(shipped.cosine, shipped.fmr))
    except CalibrationError as error:
        raise Fault(ResultCode.INITIALIZE_EXTENSION, str(error)) from error


@dataclass(frozen=True, slots=True)
class Identifier:
    """Searches a gallery.

    `tail` is the tail of the embedder's impostor distribution, `point` the operating point for two pictures, this device's or
    the shipped one; `fpir` (over 0) the wanted false positive identification rate; `margin` the cosine by which the best person
    must lead the second.
    """

    gallery: Gallery
    tail: Tail
    point: Point
    fpir: float
    margin: float

    @property
    def threshold(self) -> float:
        """The cosine from which a person is identified; it rises with the size of the gallery."""
        return threshold(self.tail, self.point, self.fpir, self.gallery.templates)

    def identify(self, embedding: Embedding) -> Identification:
        """Identifies a face by its embedding (512, unit length). Raises ValueError for an embedding that is not finite."""
        least = self.threshold
        ranking = self._ranking(embedding, 2)
        outcome, best = identify(ranking, least, self.margin)
        known = None if best is None else self.gallery.named(best.reference)
        if outcome is Outcome.IDENTIFIED and known is None:
            outcome = Outcome.UNKNOWN  # erased in this moment
        first, second = [*(each.cosine for each in ranking), None, None][:2]
        cosine = -1.0 if first is None else first
        person = None if known is None else known.person
        return Identification(outcome, person, cosine, similarity(cosine, least, least), second)

    def alike(self, embedding: Embedding, but: Person | None = None) -> list[tuple[Person, Likeness]]:
        """The people who look like one who is to be enrolled, the most alike first, at most MOST_ALIKE. `but` is that person,
        who may have templates already. Raises ValueError for an embedding that is not finite.
        """
        least = self.threshold
        found = []
        for candidate in self._ranking(embedding, MOST_ALIKE + 1):
            known = self.gallery.named(candidate.reference)
            if known is None or candidate.cosine < self.point.cosine:
                continue
            if but is None or candidate.reference != but.reference:
                kind = Likeness.DUPLICATE if candidate.cosine >= least else Likeness.LOOK_ALIKE
                found.append((known.person, kind))
        return found[:MOST_ALIKE]

    def _ranking(self, embedding: Embedding, count: int) -> Sequence[Candidate]:
        if not np.isfinite(embedding).all():
            raise ValueError("an embedding is not finite")
        return self.gallery.ranking(embedding, count)


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
    """What is needed to recognise people: the gallery, the search in it, the sha256 of the embedder in use, and the cosine from
    which two pictures show one person (1:1).
    """

    gallery: Gallery
    identifier: Identifier
    model: str
    least: float

    @classmethod
    def of(
        cls, gallery: Gallery, models: Path, file: ModelFile, calibration: CalibrationStore, fpir: float, margin: float
    ) -> Self:
        """Recognition with the embedder `file` of the folder `models`. Raises Fault INF-07 when there are no statistics for it,
        OtherEmbedderError when the gallery's templates are another embedder's.
        """
        point = similarity_point(calibration, file)
        identifier = Identifier(gallery, impostor_tail(models, file), point, fpir, margin)
        gallery.check_embedder(file.sha256)
        return cls(gallery, identifier, file.sha256, point.cosine)


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
        log.info("gallery: %d people, %d templates", *self.counts())

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
        gallery, file = self.gallery(), self._models.embedder()
        return Recognition.of(gallery, self._models.folder, file, self._models.calibration, self._fpir, self._margin)

    def current(self) -> Recognition:
        """The same, after taking over what the command line has changed."""
        self.refresh()
        return self.recognition()

    def model(self) -> str | None:
        """The sha256 of the embedder in use; None while none works."""
        try:
            return self._models.embedder().sha256
        except Fault:
            return None

    def problem(self) -> GalleryError | None:
        """Why people cannot be recognised, or not be enrolled; None when all is well, and before the first attempt to open."""
        if self._gallery is None:
            return self._trouble
        return self._gallery.problem() or self._mismatch() or self._gallery.rollback()

    def problems(self) -> list[Problem]:
        """The same, for `/healthz`."""
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
        """The numbers of people and templates, for `/metrics`."""
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
