"""Composition root: builds every part, and starts and stops them in order."""

import logging
from collections.abc import Iterator, Mapping
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any, Literal

from appliance import __version__, gatekeeper, identity, keys, state, supervision
from appliance.access.clock import Clock
from appliance.access.enrol import Enrolment
from appliance.access.identify import GalleryHandle
from appliance.access.log import FOLDER, Record
from appliance.access.policy import ClockState, Rules
from appliance.access.retention import Retention
from appliance.api import people
from appliance.api.access import Access, Attempts
from appliance.api.app import API_VERSION, FaceApi, Page, Restrictions
from appliance.api.faces import Documented, Features, Live, NoCamera
from appliance.api.intake import Intake
from appliance.api.monitoring import Health, Metrics
from appliance.api.origins import Origins
from appliance.api.server import FRONT_HOST, ExposedError, HttpServer
from appliance.api.streams import Snapshots, Streams
from appliance.calibration import points as calibration_file
from appliance.calibration.points import CalibrationStore
from appliance.camera.condition import Inspector
from appliance.camera.drivers import camera_source
from appliance.camera.loop import CameraLoop
from appliance.camera.source import Ring
from appliance.config import Config, ConfigError
from appliance.events import Broadcast
from appliance.gatekeeper import Gatekeeper
from appliance.keys import KeyStore
from appliance.observation.observer import Observer
from appliance.outputs.queue import Output, Outputs, configured_outputs
from appliance.supervision import Pulse, ServiceManager, Supervisor, Watchdog
from appliance.vision.engine import EnginePool
from appliance.vision.loading import Models, engine_count
from appliance.vision.runtime import RUNTIME, RUNTIME_VERSION

if TYPE_CHECKING:
    from appliance.lan import Advertisement

log = logging.getLogger(__name__)

TICK_SECONDS = 1.0
"""How often the main thread looks after things."""

LOAN_SECONDS = 120.0
"""An engine that has been out for so long hangs: a thousand faces, the most a request may ask for, take a busy x86-64 core
11 s, and a Pi some times that; clients give up after 30 s."""

CAMERA_STOP_SECONDS = 0.5
"""How long the camera may take to close at the stop; the process ends without it otherwise."""

OUTPUTS_STOP_SECONDS = 1.0
"""How long the ways out may take to end: the relay is off at once, MQTT says goodbye in 0.3 s."""

GOODBYE_SECONDS = 1.0
"""How long the LAN may take to hear that the device is gone; three packets within 0.3 s do it."""

ASIDE_SECONDS = 0.5
"""How often the live analysis, while it waits for requests to be answered, looks whether it should end."""

ANNOUNCED: Mapping[str, Literal["loading", "ready", "fault"]] = {"starting": "loading", "ok": "ready", "fault": "fault"}
"""The state on the LAN by the status in /healthz."""


class Machine:
    """The whole device."""

    def __init__(self, config: Config, *, demonstrate: bool = False) -> None:
        """Binds the socket. With `demonstrate`, bundled pictures stand in for a camera that is neither configured nor there.
        Raises OSError when the address cannot be had, ConfigError when others reach it and nobody has a key.
        """
        supervision.keep_small()
        self._supervisor = Supervisor()
        self._manager = ServiceManager()
        self._config = config
        self._engines = EnginePool(config.server.queue, config.server.patience_s)
        max_body = config.server.max_body_mib * 2**20
        intake = Intake(max_body, int(config.server.max_megapixels * 1e6))
        multi = config.liveness.mode == "multi"
        restricted = {
            *config.access.restricted,
            *([] if multi else ["/liveness/multiframe"]),
            *([] if config.gallery.enabled else people.RULES),
            *([] if config.gallery.enabled and config.door.enabled else gatekeeper.PATHS),
        }
        self._ring = Ring()
        self._camera = self._camera_loop(demonstrate=demonstrate)
        camera_state = self._camera.state if self._camera else None
        broadcast = Broadcast()
        self._observer = Observer(
            self._ring,
            lambda: self._models.engine(self._step_aside),
            broadcast,
            config.live.analysis_fps,
            liveness=multi,
        )
        self._state = state.folder(config.state.folder)
        self._keys = KeyStore(self._state / keys.FILE)
        usable = self._camera or NoCamera()
        live = Live(self._engines, usable, self._ring)
        self._clock = Clock()
        engine, known = config.engine, config.gallery
        self._models = Models(
            engine.folder, engine.precisions, engine.threads, CalibrationStore(self._state / calibration_file.FILE)
        )
        self._gallery = GalleryHandle(
            self._state,
            self._models,
            broadcast,
            **known.model_dump(include={"key_file", "pictures", "most_templates", "fpir", "margin"}),
        )
        record = Record(self._state / FOLDER)
        self._retention = Retention(
            self._gallery,
            record,
            self._clock,
            ClockState(config.door.clock),
            people_days=known.erase_expired_after_days,
            template_days=known.erase_templates_after_days,
        )
        self._gatekeeper = Gatekeeper(
            self._state,
            config.gallery.key_file,
            lambda: identity.device_id(self._state),
            Rules.of(**config.door.rules),
            self._gallery,
            self._engines,
            usable,
            lambda: camera_state is not None and camera_state().demonstration,
            self._ring,
            self._clock,
            broadcast,
            lambda signed: self._outputs.tell(signed),
            liveness=multi,
            record_days=config.door.record_days,
        )
        health = self._health = Health(
            camera_state,
            self._models.problems,
            self._keys.problem,
            lambda: state.full(self._state),
            points=self._models.calibration.problem,
            outputs=lambda: [*self._outputs.problems(), *self._gatekeeper.problems()],
            gallery=self._gallery.problem,
        )
        streams = Streams(
            usable,
            self._ring,
            Snapshots(self._ring, config.live.jpeg_quality),
            broadcast,
            health,
            viewers=config.live.viewers,
            listeners=config.live.listeners,
            fps=config.live.stream_fps,
        )
        metrics = Metrics(
            camera_state,
            {
                "healthy": ("1 when everything works.", lambda: float(health.report()["status"] == "ok")),
                "engine_queue": ("Requests that wait for an engine.", lambda: self._engines.queue),
                "stream_viewers": ("Open picture streams.", lambda: streams.viewers.taken),
                "event_listeners": ("Open event streams.", lambda: streams.listeners.taken),
                "people": ("People who are known.", lambda: self._gallery.counts()[0]),
                "templates": ("Their templates.", lambda: self._gallery.counts()[1]),
            },
            lambda: self._outputs.tallies(),
        )
        access = Access(self._keys, Attempts(), everyone=config.access.open, loopback=config.access.loopback)
        app = FaceApi(
            Documented(self._engines, intake, self._facts),
            Features(self._engines, intake),
            people.People(self._gallery, record),
            people.Enrol(self._gallery, Enrolment(), self._engines, intake, live, known.min_quality, multi),
            people.Identify(self._gallery, self._engines, intake, live),
            self._gatekeeper.door,
            live,
            streams,
            health,
            metrics,
            Page(),
            Origins(config.access.hosts, config.access.origins),
            access,
            Restrictions(restricted, config.access.expires),
        )
        try:
            self._http = HttpServer(
                app,
                config.server.host,
                config.server.port,
                workers=engine_count(config.engine.engines)
                + config.server.queue
                + config.live.viewers
                + config.live.listeners,
                max_body=max_body,
                connections=config.server.connections,
                refused=metrics.refused,
                known=access.known,
                front_port=config.server.front_port,
                private=self._keys.empty() and not config.access.open,
            )
        except ExposedError as error:
            raise ConfigError(
                f"server.host {error} lets others in and there is no key: `appliance keys add NAME`, or access.open = true"
            ) from error
        self._lan = self._advertisement()
        self._outputs: Outputs = Outputs(self._configured_outputs())
        self._pulse = Pulse(self._http.addresses[0], self._http.port)
        self._watchdog = Watchdog(self._manager, [self._pulse.trouble, self._hanging_engine, self._blind_camera])

    def run(self) -> int:
        """Works until a signal or a dead worker ends it; returns the exit status."""
        self._outputs.start(self._supervisor.start)  # first: a relay that a killed process left on goes off
        self._supervisor.start("http", self._http.run)
        log.info("listening on http://%s:%d, models are loading", self._config.server.host, self._http.port)
        if self._config.server.front_port is not None:
            log.info("the TLS front is expected at %s:%d", FRONT_HOST, self._http.front_port)
        if self._config.access.open:
            log.warning("access.open: nobody needs a key")
        state.audit_configuration(self._state, self._config.model_dump(mode="json"))
        announcing = self._lan and self._supervisor.start("lan", self._lan.run)
        self._supervisor.start("models", self._load)
        if self._camera:
            self._supervisor.start("camera", self._camera.run)
            self._supervisor.start("observer", self._observer.run)
        if self._config.gallery.enabled:
            self._supervisor.start("gallery", self._retention.run)
        if self._config.gallery.enabled and self._config.door.enabled:
            self._supervisor.start("record", self._gatekeeper.run)
        if self._manager.watches:
            self._supervisor.start("pulse", self._pulse.run)
        status = self._supervisor.wait(self._tick, TICK_SECONDS)
        self._manager.stopping()
        self._pulse.stop()
        if self._lan:
            self._lan.stop()
        self._ring.close()
        self._observer.stop()
        self._http.stop()
        self._outputs.stop(OUTPUTS_STOP_SECONDS)
        self._retention.stop()
        self._gallery.close()
        self._gatekeeper.stop()
        if self._camera:
            self._camera.stop(CAMERA_STOP_SECONDS)
        if announcing:
            announcing.join(GOODBYE_SECONDS)
        log.info("stopped")
        return status

    def _tick(self) -> None:
        self._keys.refresh()
        self._models.tick()
        self._manager.status(self._health.words())
        if self._manager.watches:
            self._watchdog.tick()
        lost = self._camera and self._camera.given_up(self._config.camera.restart_after_s)
        if lost:
            self._supervisor.fail(f"camera: {lost}; ending, so that a new process can begin")

    def _hanging_engine(self) -> str | None:
        return f"an engine has been out for {LOAN_SECONDS:g} s" if self._engines.longest_loan > LOAN_SECONDS else None

    def _blind_camera(self) -> str | None:
        trouble = self._camera.state().trouble if self._camera and self._config.camera.watchdog else None
        return trouble.text if trouble and trouble.blinds else None

    def _step_aside(self) -> None:
        """Returns when no request waits for an engine, or at the stop."""
        while not (self._engines.quiet(ASIDE_SECONDS) or self._ring.closed):
            pass

    def _camera_loop(self, *, demonstrate: bool) -> CameraLoop | None:
        section = self._config.camera
        source = camera_source(**section.source_settings, demonstrate=demonstrate)
        return CameraLoop(source, self._ring, lambda: Inspector(section.width, section.height)) if source else None

    def _configured_outputs(self) -> Iterator[Output]:
        config, device_id = self._config, identity.device_id(self._state)
        name = config.lan.name or f"Face Appliance {device_id[:6]}"
        introduction = {"name": name, "model": identity.board(), "version": __version__}
        relay, webhook, mqtt = (each.model_dump() for each in (config.relay, config.webhook, config.mqtt))
        return configured_outputs(relay, webhook, mqtt, device_id, introduction, self._health.report)

    def _load(self) -> None:
        if self._config.gallery.enabled:
            self._gallery.open()  # before the models are chosen: it may have been made with one of them
        self._models.load(self._engines, engine_count(self._config.engine.engines), self._gallery.made_with())
        supervision.give_back()
        self._manager.ready()

    def _advertisement(self) -> "Advertisement | None":
        """None for a device that is not to be found on the LAN, or answers itself alone."""
        if not self._config.lan.enabled:
            return None
        if all(ip_address(each).is_loopback for each in self._http.addresses):
            log.info("not announced on the LAN: the server answers this device alone")
            return None
        from appliance import lan  # here, because it brings 6 MB along that others need not have

        device_id, model = identity.device_id(self._state), identity.board()
        digits = device_id[:6]
        fingerprint = self._fingerprint()
        return lan.Advertisement(
            self._config.lan.name or f"Face Appliance {digits}",
            f"face-appliance-{digits}",
            self._http.addresses,
            self._http.port,
            lambda: lan.text(
                api=API_VERSION,
                sdk=__version__,
                device_id=device_id,
                model=model,
                liveness=self._config.liveness.mode,
                auth="none" if self._config.access.open else "key",
                fingerprint=fingerprint,
                state=ANNOUNCED[self._health.report()["status"]],
            ),
        )

    def _fingerprint(self) -> str | None:
        """Of the TLS front's certificate; None without one."""
        certificate = self._config.server.front_certificate
        try:
            return identity.fingerprint(certificate) if certificate else None
        except (OSError, ValueError) as error:
            log.warning("no TLS front is announced: server.front_certificate: %s", error)
            return None

    def _facts(self) -> Mapping[str, Any]:
        """The body of `/version`. Raises Fault INF-08 while models load."""
        return {
            "api_version": API_VERSION,
            "sdk_version": __version__,
            "liveness_mode": self._config.liveness.mode.upper(),
            "runtime": {"name": RUNTIME, "version": RUNTIME_VERSION},
            **self._models.facts(),
        }
