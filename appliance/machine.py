"""Composition root: builds every part, and starts and stops them in order."""

import logging
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any, Literal

from appliance import __version__, identity, keys, state, supervision
from appliance.access.clock import Clock
from appliance.access.decide import Decider
from appliance.access.enrol import Captures
from appliance.access.identify import GalleryHandle
from appliance.access.invitations import Invitations
from appliance.access.log import RECORD_FILE, Record
from appliance.access.observe import RecentFrames, SubjectObserver
from appliance.access.passes import PASSES_FILE, PassBook
from appliance.access.pins import GUESSES_FILE, PinChecker
from appliance.access.policy import ClockState, Policy, Rules
from appliance.access.retention import Retention
from appliance.access.signing_key import SIGNING_KEY_FILE, SigningKey
from appliance.access.templates import TemplateCare
from appliance.access.trigger import DoorTrigger
from appliance.api.access import Access, Attempts, Part, SignIn
from appliance.api.app import FaceApi, Restrictions
from appliance.api.batch import PeopleTables
from appliance.api.compreface import CompreFace
from appliance.api.door import Door, DoorStatus
from appliance.api.faces import API_VERSION, Faces, Live, Subjects
from appliance.api.features import Features
from appliance.api.fleet import Fleet
from appliance.api.intake import Intake
from appliance.api.invitations import SelfEnrolment
from appliance.api.monitoring import Health, Metrics, disk_problems
from appliance.api.origins import Origins
from appliance.api.passes import Passes
from appliance.api.people import People
from appliance.api.server import FRONT_HOST, ExposedError, HttpServer
from appliance.api.sessions import FILE as SESSIONS_FILE
from appliance.api.sessions import Sessions
from appliance.api.streams import Snapshots, Streams
from appliance.calibration import points
from appliance.calibration.points import CalibrationStore
from appliance.camera.condition import Inspector
from appliance.camera.drivers import camera_source
from appliance.camera.loop import Camera, CameraLoop, NoCamera
from appliance.camera.source import Ring
from appliance.config import Config, ConfigError
from appliance.events import Broadcast
from appliance.fleet.handle import FleetHandle
from appliance.keys import KeyStore
from appliance.observation.mounting import Mounting
from appliance.observation.observer import Observer
from appliance.outputs.queue import TABLES, Output, Outputs, configured_outputs
from appliance.supervision import Pulse, ServiceManager, Supervisor, Watchdog
from appliance.vision.engine import EnginePool
from appliance.vision.loading import Models, engine_count

if TYPE_CHECKING:
    from appliance.lan import Advertisement

log = logging.getLogger(__name__)

TICK_SECONDS = 1.0
"""How often the main thread looks after files that may have changed, the watchdog and the status."""

CAMERA_STOP_SECONDS = 0.5
"""How long the camera may take to close at the stop; after that the process ends without it."""

OUTPUTS_STOP_SECONDS = 1.0
"""How long the outputs may take to end: the relay is off at once, MQTT says goodbye in 0.3 s."""

GOODBYE_SECONDS = 1.0
"""How long the goodbye on the LAN may take; its three packets are sent within 0.3 s."""

ASIDE_SECONDS = 0.5
"""How often the live analysis, while it waits for requests to be answered, checks whether it should end."""

ANNOUNCED: Mapping[str, Literal["loading", "ready", "fault"]] = {"starting": "loading", "ok": "ready", "fault": "fault"}
"""The state on the LAN by the status in /healthz."""


class Machine:
    """The whole device."""

    def __init__(
        self, config: Config, *, demonstrate: str | None = None, reread: Callable[[], Config | None] = lambda: None
    ) -> None:
        """Binds the socket. `demonstrate` says when the demonstration stands in for a camera, as `camera_source` takes it.
        `reread` returns the configuration as it is now, None if it is invalid. Raises OSError when the address cannot be had,
        ConfigError when other devices reach it and there is no key.
        """
        supervision.keep_small()
        self._config, self._reread = config, reread
        self._supervisor, self._manager = Supervisor(), ServiceManager()
        self._state = state.folder(config.state.folder)
        self._device_id, self._keys = identity.device_id(self._state), KeyStore(self._state / keys.FILE)
        self._broadcast, self._clock, self._ring = Broadcast(), Clock(), Ring()
        self._camera = self._camera_loop(demonstrate)
        self._mounting = Mounting(config.camera.rotation, mirror=config.camera.mirror)
        self._with_gallery, self._with_door = config.gallery.enabled, config.gallery.enabled and config.door.enabled

        engine, calibration = config.engine, CalibrationStore(self._state / points.FILE)
        enrolling = config.gallery.min_quality, config.liveness.multi, config.gallery.refresh
        self._models = Models(
            engine.folder, engine.precisions, engine.threads, calibration, recognition=engine.recognition
        )
        self._engine_count = engine_count(engine.engines)
        self._engines = EnginePool(config.server.queue, config.server.patience_s, memory=config.server.decoded_bytes)
        self._gallery = GalleryHandle(self._state, self._models, self._broadcast, **config.gallery.handle_settings)
        self._fleet = FleetHandle(self._state, self._device_id, self._gallery, self._about, **config.fleet_settings)
        self._record = Record(self._state / RECORD_FILE, most_bytes=config.door.record_mib * 2**20)
        self._retention = self._made_retention(rules := self._fleet.rules())
        signing_key = SigningKey(self._state / SIGNING_KEY_FILE, self._gallery, lambda: self._usable.demonstration)
        passes = PassBook(self._state / PASSES_FILE, self._gallery.site_key, self._record)
        self._templates = TemplateCare(self._gallery, self._engines, refresh=config.gallery.refresh)
        decider = self._decides = self._decider(signing_key, passes, rules)
        self._trigger = DoorTrigger(
            **config.door.trigger_settings, decide=decider.conclude, bus=self._broadcast, ring=self._ring
        )
        analyser, fps = partial(self._models.engine, self._step_aside), config.live.analysis_fps
        self._observer = Observer(
            self._ring, analyser, self._broadcast, self._mounting, fps, liveness=config.liveness.multi
        )

        door, shots = DoorStatus(self._broadcast), Snapshots(self._ring, config.live.jpeg_quality)
        health = self._health = Health(self._camera, door=door.document, policy=self._fleet.policy)
        self._outputs = Outputs(self._configured_outputs())
        self._outputs.listen(self._broadcast)
        health.register(self._models.problems, self._keys.problems, calibration.problems, self._gallery.problems)
        health.register(partial(disk_problems, self._state), partial(identity.problems, self._state))
        health.register(*([self._camera.problems, self._mounting.problems] if self._camera else []))
        health.register(decider.problems, self._clock.problems, self._fleet.problems)
        health.register(self._outputs.problems, door.problems, self._retention.problems, signing_key.problems)
        streams = Streams(self._usable, self._ring, shots, self._broadcast, health, **config.live.stream_settings)
        metrics = Metrics(self._camera, self._outputs.counts, self._state)
        metrics.register(health.gauges, self._engines.gauges, streams.gauges, self._gallery.gauges, door.gauges)
        metrics.listen(self._broadcast)

        intake = Intake(self._config.server.max_body, int(config.server.max_megapixels * 1e6))
        subjects, self._captures = Subjects(self._engines, intake, Live(self._usable, self._ring)), Captures()
        sessions = Sessions(self._state / SESSIONS_FILE, self._keys)
        invited = Invitations(self._state, self._gallery.site_key)
        access = Access(self._keys, sessions, Attempts(), invited.open, **config.access.exempt_settings)
        parts = (
            Faces(subjects, self._models, config.liveness.mode),
            Features(subjects),
            people := People(
                self._gallery, self._record, subjects, *enrolling, self._fleet.share, captures=self._captures
            ),
            PeopleTables(people),
            SelfEnrolment(people, invited, config.gallery.consent),
            *([CompreFace(people)] if config.compat.compreface else []),
            Door(decider, signing_key, self._record, self._gallery, door),
            Passes(passes),
            Fleet(self._gallery, self._fleet.overview, self._fleet.invite),
            streams,
            health,
            metrics,
            SignIn(access, framed=bool(config.server.frame_ancestors)),
        )
        origins = Origins((*config.access.hosts, self._lan_host), config.access.origins, config.server.frame_ancestors)
        self._http = self._server(
            FaceApi(parts, origins, access, self._restrictions(), metrics, intake), access, metrics, intake
        )
        self._lan = self._advertisement()
        self._pulse = Pulse(self._http.addresses[0], self._http.port, lambda: self._http.full)
        self._watchdog = Watchdog(self._manager, [self._pulse.trouble, self._engines.trouble, self._blind_camera])

    def run(self) -> int:
        """Works until a signal or a dead worker ends it; returns the exit status."""
        start = self._supervisor.start
        self._outputs.start(start)  # first: a relay that a killed process left on goes off
        start("http", self._http.run)
        log.info("listening on http://%s:%d, models are loading", self._config.server.host, self._http.port)
        if self._config.server.front_port is not None:
            log.info("the TLS front is expected at %s:%d", FRONT_HOST, self._http.front_port)
        if self._config.access.open:
            log.warning("access.open: no client needs a key")
        state.audit_configuration(self._state, self._config.model_dump(mode="json"))
        announcing = self._lan and start("lan", self._lan.run)
        start("models", self._load)
        if self._camera:
            start("camera", self._camera.run)
            start("observer", self._observer.run)
            if self._with_door:
                start("trigger", self._trigger.run)
                start("templates", self._templates.run)
        if self._with_gallery:
            start("gallery", self._retention.run)
            self._fleet.start(start, self._broadcast)
        if self._manager.watches:
            start("pulse", self._pulse.run)
        status = self._supervisor.wait(self._tick, TICK_SECONDS)
        self._stop()
        if announcing:
            announcing.join(GOODBYE_SECONDS)
        log.info("stopped")
        return status

    def _stop(self) -> None:
        self._manager.stopping()
        self._pulse.stop()
        if self._lan:
            self._lan.stop()
        self._ring.close()
        self._observer.stop()
        self._trigger.stop()
        self._decides.stop()
        self._templates.stop()
        self._http.stop()
        self._outputs.stop(OUTPUTS_STOP_SECONDS)
        self._retention.stop()
        self._fleet.stop()
        self._gallery.close()
        if self._camera:
            self._camera.stop(CAMERA_STOP_SECONDS)

    def _tick(self) -> None:
        self._keys.refresh()
        self._captures.drop_expired()
        if self._models.tick():
            supervision.give_back()
        self._manager.status(self._health.words())
        if self._manager.watches:
            self._watchdog.tick()
        if self._supervisor.asked_to_reload() and (config := self._reread()):
            self._fleet.configure(config.door.merged_rules)
        if rules := self._fleet.changed_rules():
            self._decides.follow(Policy(rules))
            self._retention.follow(rules)
        lost = self._camera and self._camera.given_up(self._config.camera.restart_after_s)
        if lost:
            self._supervisor.fail(f"camera: {lost}; the process ends so that a new one can begin")

    def _load(self) -> None:
        if self._with_gallery:
            self._gallery.open()
        self._models.load(self._engines, self._engine_count)
        supervision.give_back()
        self._manager.ready()

    def _blind_camera(self) -> str | None:
        trouble = self._camera.state().trouble if self._camera and self._config.camera.watchdog else None
        return trouble.text if trouble and trouble.blinds else None

    def _step_aside(self) -> None:
        """Returns when no request waits for an engine, or at the stop."""
        while not (self._engines.quiet(ASIDE_SECONDS) or self._ring.closed):
            pass

    @property
    def _usable(self) -> Camera:
        return self._camera or NoCamera()

    def _camera_loop(self, demonstrate: str | None) -> CameraLoop | None:
        section = self._config.camera
        source = camera_source(**section.source_settings, demonstrate=demonstrate)
        return CameraLoop(source, self._ring, partial(Inspector, section.width, section.height)) if source else None

    def _made_retention(self, rules: Rules) -> Retention:
        door, days = self._config.door, self._config.gallery.retention_settings
        of_the_door: dict[str, Any] = {"record_days": door.record_days, "rules": rules} if self._with_door else {}
        return Retention(self._gallery, self._record, self._clock, ClockState(door.clock), **days, **of_the_door)

    def _decider(self, signing_key: SigningKey, passes: PassBook, rules: Rules) -> Decider:
        liveness, near = self._config.liveness.multi, self._config.door.near
        frames = RecentFrames(self._usable, self._ring, demonstrates=lambda: self._outputs.empty)
        observer = SubjectObserver(self._engines, frames, self._mounting, passes, liveness=liveness, least_side=near)
        return Decider(
            self._device_id,
            signing_key.signer,
            observer,
            self._fleet.recognition,
            self._clock,
            self._record,
            Policy(rules),
            PinChecker(self._state / GUESSES_FILE),
            passes,
            self._broadcast.publish,
            granted=self._templates.note,
        )

    def _configured_outputs(self) -> Iterator[Output]:
        """Call before there are other threads."""
        introduction = {"name": self._name, "model": identity.board(), "version": __version__}
        report, held_s, bus, name = self._health.report, self._config.door.held_s, self._broadcast, self._device_id
        parts = (report, held_s, bus, self._record, self._gallery, self._state, self._decides.rules, self._clock)
        return configured_outputs(self._config.model_dump(include=TABLES), name, introduction, *parts, self._ring)

    def _restrictions(self) -> Restrictions:
        multi, access, door = self._config.liveness.multi, self._config.access, self._with_door
        on = {Part.LIVENESS: multi, Part.SINGLE: not multi, Part.GALLERY: self._with_gallery, Part.DOOR: door}
        return Restrictions(access.restricted, {part for part in on if not on[part]}, access.expires)

    def _server(self, app: FaceApi, access: Access, metrics: Metrics, intake: Intake) -> HttpServer:
        """Raises OSError, ConfigError."""
        server, live = self._config.server, self._config.live
        try:
            return HttpServer(
                app,
                **server.http_settings,
                workers=self._engine_count.count + server.queue + live.viewers + live.listeners,
                intake=intake,
                refused=metrics.refused,
                known=access.known,
                private=self._keys.empty() and not self._config.access.open,
            )
        except ExposedError as error:
            raise ConfigError(
                f"server.host {error} lets others in and there is no key: `appliance keys add NAME`, or access.open = true"
            ) from error

    def _about(self) -> tuple[str, str, Mapping[str, Any], Record]:
        return self._name, __version__, self._health.report(), self._record

    @property
    def _name(self) -> str:
        return self._config.lan.name or f"Face Appliance {self._device_id[:6]}"

    @property
    def _lan_host(self) -> str:
        return f"face-appliance-{self._device_id[:6]}"

    def _advertisement(self) -> "Advertisement | None":
        """None for a device that is not announced, or is reached from itself only."""
        if not self._config.lan.enabled:
            return None
        if all(ip_address(each).is_loopback for each in self._http.addresses):
            log.info("not announced on the LAN: the server answers this device alone")
            return None
        from appliance import lan  # here, because it brings 6 MB along that others need not have

        facts = partial(
            lan.text,
            api=API_VERSION,
            sdk=__version__,
            device_id=self._device_id,
            model=identity.board(),
            liveness=self._config.liveness.mode,
            auth="none" if self._config.access.open else "key",
            fingerprint=identity.front_fingerprint(self._config.server.front_certificate),
            fleet=self._fleet.id,
        )

        def text() -> dict[str, str]:
            return facts(state=ANNOUNCED[self._health.report()["status"]])

        return lan.Advertisement(self._name, self._lan_host, self._http.addresses, self._http.port, text)
