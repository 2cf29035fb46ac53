"""Who is it, among all who are known? The only place that decides."""

import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol

import numpy as np

from appliance.calibration.points import CalibrationStore, Kind
from appliance.face.types import Embedding
from appliance.faults import Fault, ResultCode
from appliance.gallery.people import GalleryError, GalleryUnavailableError, Known, OtherEmbedderError, Person
from appliance.gallery.search import Candidate, Outcome, Point, Tail, identify, threshold
from appliance.vision import loading
from appliance.vision.embedder import similarity
from appliance.vision.manifest import ModelFile

MOST_ALIKE = 8
"""People who are named to whoever enrols another one: in a gallery of thousands dozens reach the operating point."""


class Likeness(StrEnum):
    """Of somebody who is known already: so like that the search would take them for the same person; or as like as two pictures
    of one person can be.
    """

    DUPLICATE = "duplicate"
    LOOK_ALIKE = "look-alike"


@dataclass(frozen=True, slots=True)
class Identification:
    """What the search came to, and who is meant: nobody (None) unless the outcome is IDENTIFIED. `cosine` is that of whoever is
    nearest, -1 in an empty gallery, `runner_up` that of the second person, None without one. `similarity` tells the
    cosine on a scale of 0..1 with 0.5 where people begin to be identified.
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


class RankedGallery(Protocol):
    """Those who are known."""

    @property
    def templates(self) -> int: ...

    def ranking(self, embedding: Embedding, count: int) -> Sequence[Candidate]: ...

    def named(self, reference: str) -> Known | None: ...


@dataclass(frozen=True, slots=True)
class Identifier:
    """Looks for people in a gallery.

    `tail` is that of the embedder's impostors, `point` the operating point for two pictures, this device's or the shipped one;
    `fpir` the wanted share of strangers that are taken for somebody (over 0); `margin` the cosine by which the best person must
    be ahead of the second.
    """

    gallery: RankedGallery
    tail: Tail
    point: Point
    fpir: float
    margin: float

    @property
    def threshold(self) -> float:
        """The cosine from which somebody is identified; it rises with the gallery."""
        return threshold(self.tail, self.point, self.fpir, self.gallery.templates)

    def identify(self, embedding: Embedding) -> Identification:
        """Who it is: takes 512 numbers of unit length. Raises ValueError for an embedding that is not finite."""
        least = self.threshold
        ranking = self._ranking(embedding, 2)
        outcome, best = identify(ranking, least, self.margin)
        known = None if best is None else self.gallery.named(best.reference)
        if outcome is Outcome.IDENTIFIED and known is None:
            outcome = Outcome.UNKNOWN  # they were erased in this moment
        first, second = [*(each.cosine for each in ranking), None, None][:2]
        cosine = -1.0 if first is None else first
        person = None if known is None else known.person
        return Identification(outcome, person, cosine, similarity(cosine, least, least), second)

    def alike(self, embedding: Embedding, but: Person | None = None) -> list[tuple[Person, Likeness]]:
        """Who else looks like somebody who is to be enrolled, most alike first, at most MOST_ALIKE; `but` is that person, who
        may have templates already. Raises ValueError for an embedding that is not finite.
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


if TYPE_CHECKING:  # they bring cryptography along, which a device without a gallery need not have
    from appliance.gallery.gallery import Gallery

log = logging.getLogger(__name__)

AGAIN_SECONDS = 10.0
"""How often a gallery that could not be opened is tried again: somebody may have put its key back."""


@dataclass(frozen=True, slots=True)
class Recognition:
    """All it takes to know people again: who is known, how they are told apart, the sha256 of the embedder that works now, and
    the cosine from which two pictures are one person's (1:1).
    """

    gallery: "Gallery"
    identifier: "Identifier"
    model: str
    least: float


class Register:
    """Hands the gallery to those who need it, or says why there is none. Thread-safe."""

    def __init__(
        self,
        opening: Callable[[], "Gallery"],
        recognition: Callable[["Gallery"], Recognition],
        changed: Callable[[int, int], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`opening` opens the gallery or raises GalleryError; `recognition` says how people are recognised with it, or raises
        a Fault while nobody can be; `changed` is told how many people and templates there are when that, or anything about
        them, has changed.
        """
        self._opening, self._recognition, self._changed, self._clock = opening, recognition, changed, clock
        self._lock = threading.Lock()
        self._gallery: Gallery | None = None
        self._trouble: GalleryError | None = None
        self._tried = float("-inf")
        self._told = 0

    def open(self) -> None:
        """Opens the gallery; that it cannot be opened is told by `problem`, and tried again by `refresh`."""
        with self._lock:
            self._tried = self._clock()
            try:
                self._gallery, self._trouble = self._opening(), None
            except GalleryError as error:
                if str(error) != str(self._trouble):
                    log.error("the gallery cannot be opened: %s", error)
                self._trouble = error
                return
            self._told = self._gallery.version
        log.info("gallery: %d people, %d templates", len(self._gallery.people()), self._gallery.templates)

    def close(self) -> None:
        """Closes the gallery: nothing can be changed from here on."""
        if self._gallery is not None:
            self._gallery.close()

    def gallery(self) -> "Gallery":
        """The gallery, though its storage may be in trouble. Raises GalleryError when it could not be opened, Fault INF-08 when
        nobody has tried yet.
        """
        if self._gallery is not None:
            return self._gallery
        if self._trouble is not None:
            raise type(self._trouble)(str(self._trouble))
        raise Fault(ResultCode.NOT_READY, "the gallery is being opened", status=503, retry_after=1)

    def recognition(self) -> Recognition:
        """What people are recognised with. Raises as `gallery`, OtherEmbedderError when the gallery's templates are another
        embedder's, and a Fault when no embedder works.
        """
        found = self._recognition(self.gallery())
        found.gallery.check_embedder(found.model)
        return found

    def problem(self) -> GalleryError | None:
        """Why nobody is recognised, or nobody can be enrolled; None when all is well, and before there is anything to say."""
        if self._gallery is None:
            return self._trouble
        return self._gallery.problem() or self._mismatch()

    def refresh(self) -> None:
        """Takes over what the command line has changed, and tells of it; tries again to open what could not be opened."""
        if self._gallery is None:
            if self._trouble is not None and self._clock() - self._tried >= AGAIN_SECONDS:
                self.open()
            return
        self._gallery.refresh()
        self.tell()

    def tell(self) -> None:
        """Tells of a change, if there was one."""
        gallery = self.gallery()
        with self._lock:
            if gallery.version == self._told:
                return
            self._told = gallery.version
        self._changed(*self.counts())

    def counts(self) -> tuple[int, int]:
        """How many people and templates there are; none while there is no gallery."""
        gallery = self._gallery
        return (len(gallery.people()), gallery.templates) if gallery else (0, 0)

    def _mismatch(self) -> OtherEmbedderError | None:
        try:
            self.recognition()
        except OtherEmbedderError as error:
            return error
        except (Fault, GalleryUnavailableError):  # of which others tell
            return None
        return None
