"""Part of the composition root: the gallery of this device, and what is made of it."""

import logging
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from appliance.access import log as receipts
from appliance.access.clock import Clock
from appliance.access.enrol import Enrolment
from appliance.access.identify import Identifier, Recognition, Register
from appliance.access.log import FOLDER, Record
from appliance.access.policy import ClockState
from appliance.api import people
from appliance.api.faces import Live
from appliance.api.intake import Intake
from appliance.api.people import Enrol, Identify, People
from appliance.calibration.points import CalibrationError
from appliance.config import GallerySection
from appliance.events import Broadcast, GalleryChanged
from appliance.faults import Fault, ResultCode
from appliance.gallery import retention
from appliance.gallery.people import GalleryError
from appliance.gallery.search import Point, Tail, tail_of
from appliance.state import audit_log as audit
from appliance.vision.engine import EnginePool
from appliance.vision.loading import Choice
from appliance.vision.manifest import ModelFile, Role

if TYPE_CHECKING:
    from appliance.gallery.gallery import Gallery

log = logging.getLogger(__name__)

RULES = frozenset(
    {people.PEOPLE, people.PERSON, people.TEMPLATE, people.TEMPLATES, people.FROM_CAMERA, people.IDENTIFY}
)
"""The paths that need a gallery."""

TICK_SECONDS = 1.0
"""How often it is looked whether the command line has changed the gallery."""

RETENTION_SECONDS = 3600.0
"""How often it is looked whether something has been kept long enough; the limits are days."""


class Doorway:
    """Who is known to this device, and who asks for them."""

    def __init__(
        self,
        section: GallerySection,
        folder: Path,
        engines: EnginePool,
        choice: Callable[[], Choice],
        models: Path,
        point: Callable[[ModelFile], Point],
        intake: Intake,
        live: Live,
        broadcast: Broadcast,
        clock: Clock,
        *,
        alive: bool,
        good_enough: ClockState = ClockState.SYNCHRONISED,
    ) -> None:
        """`folder` is that of the state, `models` that of the models. `choice` is empty while they load; `point` gives the
        operating point of an embedder. `alive`: whoever is enrolled by the camera must be. Nothing is erased for its age
        while the clock is not SYNCHRONISED, nor in the state that is `good_enough`.
        """
        self._section, self._folder = section, folder
        self._choice, self._models, self._point, self._broadcast = choice, models, point, broadcast
        self._tails: dict[str, Tail] = {}
        self._clock, self._good_enough = clock, good_enough
        self._stopping = threading.Event()
        self._looked, self._waits = float("-inf"), False
        self.register = Register(self._opened, self._recognition, self._changed)
        self._record = Record(folder / FOLDER)
        self.people = People(self.register, self._model, self._record)
        self.enrol = Enrol(self.register, Enrolment(), engines, intake, live, section.min_quality, alive)
        self.identify = Identify(self.register, engines, intake, live)

    @property
    def gauges(self) -> Mapping[str, tuple[str, Callable[[], float]]]:
        """What is told to monitors."""
        return {
            "people": ("People who are known.", lambda: self.register.counts()[0]),
            "templates": ("Their templates.", lambda: self.register.counts()[1]),
        }

    def open(self) -> None:
        """Opens the gallery; see `Register.open`."""
        self.register.open()

    def embedder(self) -> str | None:
        """The sha256 of the embedder that its templates were made with; None without any, or when that cannot be known."""
        try:
            return self.register.gallery().embedder()
        except (GalleryError, Fault):
            return None

    def run(self) -> None:
        """Looks after the gallery until `stop`."""
        while not self._stopping.wait(TICK_SECONDS):
            self.register.refresh()
            if time.monotonic() - self._looked >= RETENTION_SECONDS:
                self.expire()

    def stop(self) -> None:
        """Ends `run`, and lets nobody change the gallery any more."""
        self._stopping.set()
        self.register.close()

    def expire(self) -> None:
        """Erases what has been kept for as long as the configuration says."""
        people_days, template_days = self._section.erase_expired_after_days, self._section.erase_templates_after_days
        if people_days is None and template_days is None:
            return
        reading = self._clock.read()
        if reading.state not in {ClockState.SYNCHRONISED, self._good_enough}:
            self._wait()
            return
        self._looked, self._waits = time.monotonic(), False
        try:
            gallery = self.register.gallery()
            due = retention.expired(gallery.people(), reading.now.date(), people_days, template_days)
            for person in due.people:
                erasure = gallery.erase(person.id)
                audit.info("person %s: erased, %s days after valid_until", erasure.reference, people_days)
                receipts.enter_receipt(self._record, erasure)
            for person, number in due.templates:
                gallery.forget(person.id, number)
                audit.info("person %s: template %d erased, %s days old", person.reference, number, template_days)
            self.register.tell()
        except (GalleryError, Fault) as error:
            log.warning("gallery: not everything is erased for its age now: %s", error)

    def _wait(self) -> None:
        """For a clock that is sure; asked again with each tick."""
        if not self._waits:
            self._waits = True
            log.warning("gallery: nothing is erased for its age before the clock is set by a time service")

    def _opened(self) -> "Gallery":
        from appliance.gallery import vault  # here, because they bring cryptography along
        from appliance.gallery.gallery import FILE, Gallery

        database = self._folder / FILE
        key = vault.obtain_site_key(vault.find_site_key(self._section.key_file), database)
        return Gallery.open(
            database, key, keep_pictures=self._section.pictures, most_templates=self._section.most_templates
        )

    def _recognition(self, gallery: "Gallery") -> Recognition:
        file = self._embedder()
        if file.sha256 not in self._tails:
            self._tails[file.sha256] = tail(self._models, file)
        return recognition(gallery, file, self._point(file), self._tails[file.sha256], self._section)

    def _embedder(self) -> ModelFile:
        """Raises Fault INF-08 while models load, INF-07 when the embedder does not work."""
        chosen = self._choice().get(Role.EMBEDDER)
        if chosen is None:
            raise Fault(ResultCode.NOT_READY, "models are loading", retry_after=1)
        if isinstance(chosen, Fault):
            raise Fault(chosen.code, chosen.detail)
        return chosen.files[0]

    def _model(self) -> str | None:
        try:
            return self._embedder().sha256
        except Fault:
            return None

    def _changed(self, known: int, templates: int) -> None:
        self._broadcast.publish(GalleryChanged(known, templates))


def tail(models: Path, file: ModelFile) -> Tail:
    """How rare false matches of an embedder are, by the statistics in the folder of the models. Raises Fault INF-07 when
    nothing is known of it.
    """
    shipped = file.operating_point
    assert shipped is not None
    try:
        return tail_of(models, file.sha256, Point(shipped.cosine, shipped.fmr))
    except CalibrationError as error:
        raise Fault(ResultCode.INITIALIZE_EXTENSION, str(error)) from error


def recognition(gallery: "Gallery", file: ModelFile, point: Point, tail: Tail, section: GallerySection) -> Recognition:
    """How the people of a gallery are recognised with an embedder that has this operating point and this tail."""
    identifier = Identifier(gallery, tail, point, section.fpir, section.margin)
    return Recognition(gallery, identifier, file.sha256, point.cosine)
