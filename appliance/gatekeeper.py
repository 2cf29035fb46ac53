"""Part of the composition root: what decides who may pass, and what is kept of it."""

import logging
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from appliance.access import log as recall
from appliance.access.clock import Clock
from appliance.access.identify import GalleryHandle, Recognition
from appliance.access.log import FOLDER, Record, RecordError
from appliance.access.policy import ClockState, Policy, Rules
from appliance.api import door
from appliance.api.door import Door
from appliance.camera.source import Ring
from appliance.events import Broadcast
from appliance.faults import Fault
from appliance.gallery.people import GalleryError
from appliance.outputs.queue import Problem
from appliance.vision.engine import EnginePool

if TYPE_CHECKING:  # they bring cryptography along, which a device without a gallery need not have
    from appliance.access.decide import Decider
    from appliance.access.observe import Camera
    from appliance.access.token import SignedDecision, Signer

log = logging.getLogger(__name__)

PATHS = frozenset({door.DECIDE, door.KEY, door.DECISIONS})
"""What is switched off where no decision is made."""

RULES = "rules"
"""The kind of the record's entry that says by which rules is decided from there on."""

RETENTION_SECONDS = 3600.0
"""How often it is looked whether the record has been kept long enough; the limit is in days."""


class Gatekeeper:
    """Decides, and keeps the record."""

    def __init__(
        self,
        folder: Path,
        key_file: Path | None,
        device: Callable[[], str],
        rules: Rules,
        register: GalleryHandle,
        engines: EnginePool,
        camera: "Camera",
        demonstration: Callable[[], bool],
        ring: Ring,
        clock: Clock,
        broadcast: Broadcast,
        tell: Callable[["SignedDecision"], None],
        *,
        liveness: bool,
        record_days: int,
    ) -> None:
        """`folder` is that of the state, `key_file` the configured site key's. `device` gives the id that decisions name.
        `tell` hears of every decision; it neither blocks nor raises. `demonstration`: whether what the camera shows is one;
        `liveness`: whether it counts on this device.
        """
        self._folder, self._key_file, self._device = folder, key_file, device
        self._rules, self._register = rules, register
        self._engines, self._ring = engines, ring
        self._camera, self._demonstration = camera, demonstration
        self._clock, self._broadcast, self._tell = clock, broadcast, tell
        self._liveness, self._days = liveness, record_days
        self._stopping, self._lock = threading.Event(), threading.Lock()
        self._known_signer: Signer | None = None
        self._unsigned = False
        self._known_decider: Decider | None = None
        self.record = Record(folder / FOLDER)
        self.door = Door(device, self.signer, lambda: self.decider, folder / FOLDER, register)

    @property
    def decider(self) -> "Decider":
        """What decides, the same for everyone who asks: it knows the nonces, and whose turn it is."""
        with self._lock:
            if self._known_decider is None:
                self._known_decider = self._made_decider()
            return self._known_decider

    def problems(self) -> Sequence[Problem]:
        """What is wrong with record and signing key, as `/healthz` says it."""
        found = []
        if self.record.problem() is not None:
            found.append(Problem("record", "record_unavailable", "Decisions cannot be recorded: see the log."))
        if not self._signs():
            found.append(Problem("door", "signing_key_unusable", "Decisions cannot be signed: see the log."))
        return found

    def signer(self) -> "Signer":
        """The device's signature. Raises GalleryError without the gallery's key: a signing key is never made under another."""
        from appliance.access import decide
        from appliance.gallery import vault

        self._register.gallery()
        with self._lock:
            if self._known_signer is None:
                key = vault.read_site_key(vault.find_site_key(self._key_file))
                self._known_signer = decide.obtain_signing_key(self._folder / decide.SIGNING_KEY_FILE, key)
            return self._known_signer

    def _signs(self) -> bool:
        """Whether the signing key is not damaged; while there is no gallery, or no key yet, that is not the question."""
        try:
            self._register.gallery()
        except (GalleryError, Fault):
            return True
        from appliance.access import decide

        try:
            if (self._folder / decide.SIGNING_KEY_FILE).exists():
                self.signer()
        except GalleryError as error:
            if not self._unsigned:
                log.error("no decision is made: %s", error)
            self._unsigned = True
            return False
        self._unsigned = False
        return True

    def run(self) -> None:
        """Looks after the record until `stop`."""
        try:
            if latest := recall.latest_time(self._folder / FOLDER):
                self._clock.not_before(latest)
            self.record.note_change(RULES, {"digest": self._rules.digest()})
        except RecordError as error:
            log.error("record of decisions: %s", error)
        while True:
            self._expire()
            if self._stopping.wait(RETENTION_SECONDS):
                break

    def stop(self) -> None:
        """Ends `run`."""
        self._stopping.set()

    def _made_decider(self) -> "Decider":
        from appliance.access.decide import Circumstances, Decider
        from appliance.access.observe import Footage, Genuine, Witness

        camera = Genuine(self._camera, self._demonstration)
        witness = Witness(self._engines, Footage(camera, self._ring), liveness=self._liveness)
        circumstances = Circumstances(witness, self._recognition, self._clock, self.record)
        tell: Sequence[Callable[[SignedDecision], None]] = [self._broadcast.publish, self._tell]
        return Decider(self._device(), self.signer, circumstances, Policy(self._rules), self.record, tell)

    def _recognition(self) -> Recognition:
        """Who is known at this moment, whatever the command line has just erased or changed."""
        self._register.refresh()
        return self._register.recognition()

    def _expire(self) -> None:
        """Removes what has been kept for long enough, if the clock is to be trusted with that."""
        if self._clock.read().state not in {ClockState.SYNCHRONISED, self._rules.clock}:
            return
        try:
            if removed := self.record.expire(self._days):
                log.info("record of decisions: %d files of more than %d days removed", removed, self._days)
        except RecordError as error:
            log.warning("record of decisions: nothing is removed for its age now: %s", error)
