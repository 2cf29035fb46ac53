"""The gallery of a running device: before it is open, while it works, and when it cannot be opened."""

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from appliance.faults import Fault, ResultCode
from appliance.gallery.people import GalleryError, GalleryUnavailableError, OtherEmbedderError

if TYPE_CHECKING:  # they bring cryptography along, which a device without a gallery need not have
    from appliance.access_control.identification import Identifier
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
