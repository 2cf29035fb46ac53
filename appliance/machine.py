"""Composition root: builds every part, and starts and stops them in order."""

import logging
import os
from collections.abc import Callable, Iterator, Mapping
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import appliance_models

from appliance import __version__, doorway, gatekeeper, identity, keys, state, supervision
from appliance.access.clock import Clock
from appliance.access.policy import ClockState, Rules, Schedule
from appliance.api.access import Access, Attempts
from appliance.api.app import API_VERSION, FaceApi, Page, Restrictions
from appliance.api.faces import Documented, Features, Live, NoCamera
from appliance.api.intake import Intake
from appliance.api.monitoring import Health, Metrics
from appliance.api.origins import Origins
from appliance.api.server import FRONT_HOST, ExposedError, HttpServer
from appliance.api.streams import Snapshots, Streams
from appliance.calibration import points as calibration_file
from appliance.calibration.points import CalibrationStore, Kind
from appliance.camera import picamera, v4l2
from appliance.camera.condition import Inspector
from appliance.camera.loop import CameraLoop, FirstThatOpens
from appliance.camera.picamera import PiCamera
from appliance.camera.replay import DEMONSTRATION, Replay
from appliance.camera.source import FrameSource, Orientation, Ring
from appliance.camera.v4l2 import V4l2Camera
from appliance.config import CameraSection, Config, ConfigError, DoorSection, EngineSection
from appliance.doorway import Doorway
from appliance.events import Broadcast
from appliance.faults import Fault, ResultCode
from appliance.gallery.search import Point
from appliance.gatekeeper import Gatekeeper
from appliance.imaging.codec import EncodedPicture
from appliance.keys import KeyStore
from appliance.observation.observer import Observer
from appliance.outputs.queue import Output, Outputs
from appliance.supervision import Pulse, ServiceManager, Supervisor, Watchdog
from appliance.vision import loading, selftest
from appliance.vision.engine import EnginePool, FaceEngine
from appliance.vision.liveness import SHIPPED_ODDS
from appliance.vision.loading import Choice, Chosen
from appliance.vision.manifest import SHIPPED, ModelError, ModelFile, ModelStore, Role, Thresholds
from appliance.vision.runtime import RUNTIME, RUNTIME_VERSION

if TYPE_CHECKING:
    from appliance.lan import Advertisement

log = logging.getLogger(__name__)

PORTRAIT, SELFTEST = "portrait.jpg", "selftest.toml"

MOST_ENGINES = 4
"""Engines that "auto" takes at most: a Pi has four cores, and each engine costs memory (scripts/bench)."""

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

DEMONSTRATION_SECONDS = 8.0
"""How long each picture of the demonstration is shown."""

IDLE_SECONDS = 30.0
"""A large network that nobody has asked for so long is given up; building it again costs about one run of it."""

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
        self._choice: Choice = {}
        self._engines = EnginePool(config.server.queue, config.server.patience_s)
        max_body = config.server.max_body_mib * 2**20
        intake = Intake(max_body, int(config.server.max_megapixels * 1e6))
        multi = config.liveness.mode == "multi"
        restricted = {
            *config.access.restricted,
            *([] if multi else ["/liveness/multiframe"]),
            *([] if config.gallery.enabled else doorway.RULES),
            *([] if config.gallery.enabled and config.door.enabled else gatekeeper.PATHS),
        }
        self._ring = Ring()
        self._camera = camera_loop(config.camera, self._ring, demonstrate=demonstrate)
        camera_state = self._camera.state if self._camera else None
        broadcast = Broadcast()
        self._observer = Observer(
            self._ring, self._observing_engine, broadcast, config.live.analysis_fps, liveness=multi
        )
        self._state = state.folder(config.state.folder)
        self._keys = KeyStore(self._state / keys.FILE)
        self._calibration = CalibrationStore(self._state / calibration_file.FILE)
        usable = self._camera or NoCamera()
        live = Live(self._engines, usable, self._ring)
        self._clock = Clock()
        self._doorway = Doorway(
            config.gallery,
            self._state,
            self._engines,
            lambda: self._choice,
            model_folder(config.engine),
            self._similarity_point,
            intake,
            live,
            broadcast,
            self._clock,
            alive=multi,
            good_enough=ClockState(config.door.clock),
        )
        self._gatekeeper = Gatekeeper(
            self._state,
            config.gallery.key_file,
            lambda: identity.device_id(self._state),
            door_rules(config.door),
            self._doorway.register,
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
            self._model_faults,
            self._keys.problem,
            lambda: state.full(self._state),
            points=self._calibration.problem,
            outputs=lambda: [*self._outputs.problems(), *self._gatekeeper.problems()],
            gallery=self._doorway.register.problem,
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
                **self._doorway.gauges,
            },
            lambda: self._outputs.tallies(),
        )
        access = Access(self._keys, Attempts(), everyone=config.access.open, loopback=config.access.loopback)
        app = FaceApi(
            Documented(self._engines, intake, self._facts),
            Features(self._engines, intake),
            self._doorway.people,
            self._doorway.enrol,
            self._doorway.identify,
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
                workers=engine_count(config.engine) + config.server.queue + config.live.viewers + config.live.listeners,
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
        device_id = identity.device_id(self._state)
        self._outputs: Outputs = Outputs(outputs(config, device_id, health.report))
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
            self._supervisor.start("gallery", self._doorway.run)
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
        self._doorway.stop()
        self._gatekeeper.stop()
        if self._camera:
            self._camera.stop(CAMERA_STOP_SECONDS)
        if announcing:
            announcing.join(GOODBYE_SECONDS)
        log.info("stopped")
        return status

    def _tick(self) -> None:
        self._keys.refresh()
        self._calibration.refresh()
        for kind, file in deciding(self._choice).items():
            self._calibration.warn_of_stale(kind, file.sha256)
        loading.give_up_idle(self._choice, IDLE_SECONDS)
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

    def _observing_engine(self) -> FaceEngine | None:
        """An engine that lets posted requests go first, before each run of a network; None while models load."""
        section = self._config.engine
        if not self._choice:
            return None
        return loading.build(self._choice, section.threads, self._step_aside, self._calibration.thresholds)

    def _step_aside(self) -> None:
        """Returns when no request waits for an engine, or at the stop."""
        while not (self._engines.quiet(ASIDE_SECONDS) or self._ring.closed):
            pass

    def _similarity_point(self, file: ModelFile) -> Point:
        return similarity_point(self._calibration, file)

    def _model_faults(self) -> Mapping[str, Fault | None]:
        return {str(role): chosen if isinstance(chosen, Fault) else None for role, chosen in self._choice.items()}

    def _load(self) -> None:
        section = self._config.engine
        thresholds = self._calibration.thresholds
        if self._config.gallery.enabled:
            self._doorway.open()  # before the models are chosen: it may have been made with one of them
        choice, first = first_engine(section, thresholds, self._doorway.embedder())
        count = engine_count(section)
        others = (loading.build(choice, section.threads, thresholds=thresholds) for _ in range(count - 1))
        self._engines.fill([first, *others])
        supervision.give_back()
        self._choice = choice  # last: from here on the device says that it is ready
        self._manager.ready()
        log.info("ready: %d engine(s) of %d thread(s)", count, section.threads)

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
        if not self._choice:
            raise Fault(ResultCode.NOT_READY, "models are loading", retry_after=1)
        return {
            "api_version": API_VERSION,
            "sdk_version": __version__,
            "liveness_mode": self._config.liveness.mode.upper(),
            "runtime": {"name": RUNTIME, "version": RUNTIME_VERSION},
            "models": models_of(self._choice),
            "calibration": points_of(self._choice, self._calibration),
        }


def points_of(choice: Choice, calibration: CalibrationStore) -> Mapping[str, Any]:
    """The operating points that decide, as `/version` names them."""
    return {
        kind.value: calibration.facts(kind, file.sha256, shipped_point(kind, file))
        for kind, file in deciding(choice).items()
    }


def deciding(choice: Choice) -> Mapping[Kind, ModelFile]:
    """The models that have an operating point, without those that do not work."""
    roles = {Kind.SIMILARITY: choice.get(Role.EMBEDDER), Kind.LIVENESS: choice.get(Role.LIVENESS)}
    return {kind: chosen.files[0] for kind, chosen in roles.items() if isinstance(chosen, Chosen)}


def similarity_point(calibration: CalibrationStore, file: ModelFile) -> Point:
    """The operating point of an embedder: this device's own, or the shipped one."""
    assert file.operating_point is not None
    facts = calibration.facts(Kind.SIMILARITY, file.sha256, shipped_point(Kind.SIMILARITY, file))
    return Point(facts["threshold"], facts["wanted"].get("fmr", file.operating_point.fmr))


def shipped_point(kind: Kind, file: ModelFile) -> Mapping[str, Any]:
    """The operating point that a model comes with, as an entry of the calibration has it; what is not known is empty."""
    unknown: Mapping[str, Any] = {"wanted": {}, "measured": {}, "counts": {}, "basis": None, "date": None}
    if kind is Kind.LIVENESS:
        return {"threshold": SHIPPED_ODDS, **unknown}
    point = file.operating_point
    assert point is not None
    known = {"wanted": {"fmr": point.fmr}, "counts": {"impostor_pairs": point.impostor_pairs}}
    return {"threshold": point.cosine, **unknown, **known}


def outputs(config: Config, device_id: str, health: Callable[[], Mapping[str, Any]]) -> Iterator[Output]:
    """The ways out that are configured; of the others nothing is loaded. Call before there are other threads."""
    relay, webhook, mqtt = config.relay, config.webhook, config.mqtt
    if relay.pin is not None:
        from appliance.outputs.relay import Relay

        yield Relay(relay.pin, active_high=relay.active_high, pulse_s=relay.pulse_s)
    if webhook.url is not None:
        from appliance.outputs.webhook import Webhook

        yield Webhook(
            webhook.url,
            secret_file=webhook.secret_file,
            authority=webhook.ca_file,
            timeout_s=webhook.timeout_s,
            give_up_s=webhook.give_up_s,
            most_waiting=webhook.waiting,
        )
    if mqtt.host is not None:
        from appliance.outputs.mqtt import Broker, Publisher

        broker = Broker(mqtt.host, mqtt.port, mqtt.tls, mqtt.ca_file, mqtt.username)
        name = config.lan.name or f"Face Appliance {device_id[:6]}"
        introduction = {"name": name, "model": identity.board(), "version": __version__}
        told = introduction if mqtt.home_assistant else None
        yield Publisher(broker, mqtt.password_file, mqtt.prefix, device_id, health, told)


def camera_loop(section: CameraSection, ring: Ring, *, demonstrate: bool) -> CameraLoop | None:
    """The camera that is configured; None without one."""
    source = camera_source(section, demonstrate=demonstrate)
    return CameraLoop(source, ring, lambda: Inspector(section.width, section.height)) if source else None


def camera_source(section: CameraSection, *, demonstrate: bool) -> FrameSource | None:
    """The driver that is configured; None without one. With `demonstrate`, bundled pictures when "auto" finds no camera."""
    orientation = Orientation(section.rotation, section.mirror)
    shape = (section.width, section.height, section.fps, orientation)
    focus, exposure, gain = section.autofocus, section.exposure_us, section.gain
    module = PiCamera(section.module, *shape, picamera.controls(focus, section.lens_position, exposure, gain))
    usb = V4l2Camera(section.device, *shape, v4l2.properties(focus, exposure, gain))
    pictures = [appliance_models.FOLDER / PORTRAIT, DEMONSTRATION]
    demonstration = Replay(pictures, *shape, hold_s=DEMONSTRATION_SECONDS, demonstration=True)
    match section.driver:
        case "picamera":
            return module
        case "v4l2":
            return usb
        case "auto":
            return FirstThatOpens([module, usb, demonstration] if demonstrate else [module, usb])
        case "replay":
            assert section.source is not None
            return Replay([section.source], *shape, hold_s=section.hold_s, real_time=section.real_time)
        case "demonstration":
            return demonstration
        case "none":
            return None


def first_engine(
    section: EngineSection, thresholds: Callable[[], Thresholds] = lambda: SHIPPED, made_with: str | None = None
) -> tuple[Choice, FaceEngine]:
    """The models that serve on this device (verified, the fastest precision of each, proven on the bundled portrait), and
    an engine of them. `thresholds` gives the device's own operating points. `made_with` is the sha256 of the embedder of the
    gallery's templates: "auto" takes that one, if it is there.
    """
    folder = model_folder(section)
    try:
        store = ModelStore.open(folder)
        precisions = {
            Role.DETECTOR: section.detector,
            Role.EMBEDDER: embedder_precision(section, store, made_with),
            Role.LIVENESS: section.liveness,
        }
        choice = loading.choose(store, precisions, section.threads)
        recorded = selftest.read(folder / SELFTEST)
        return loading.proven(choice, portrait(folder), recorded, section.threads, thresholds)
    except ModelError as error:
        choice = loading.unusable(error)
        return choice, loading.build(choice, section.threads)


def embedder_precision(section: EngineSection, store: ModelStore, made_with: str | None) -> str:
    """The configured precision; instead of "auto" that of the embedder `made_with` (sha256), if it is there."""
    if section.embedder != "auto":
        return section.embedder
    files = (file for file in store.models if file.role is Role.EMBEDDER and file.sha256 == made_with)
    return next((file.precision for file in files), "auto")


def models_of(choice: Choice) -> list[dict[str, str]]:
    """The files that serve on this device, as `/version` names them."""
    return [
        {
            "name": f"{role} ({file.name})",
            "file": file.file,
            "sha256": file.sha256,
            "precision": file.precision,
            "licence": file.licence,
        }
        for role, chosen in choice.items()
        if isinstance(chosen, Chosen)
        for file in chosen.files
    ]


def portrait(folder: Path) -> EncodedPicture:
    """The picture whose answers are known. Raises ModelError."""
    try:
        return EncodedPicture((folder / PORTRAIT).read_bytes(), max_pixels=2**20)
    except (OSError, Fault) as error:
        raise ModelError(f"{PORTRAIT}: {error}") from error


def door_rules(section: DoorSection) -> Rules:
    """The policy that is configured."""
    return Rules(
        schedules=tuple(Schedule.of(each.groups, each.days, each.begin, each.end) for each in section.schedules),
        min_quality=section.min_quality,
        passback_s=section.passback_s,
        passback_strict=section.passback_strict,
        clock=ClockState(section.clock),
        without_liveness=section.without_liveness == "grant",
        without_clock=section.without_clock == "grant",
        without_record=section.without_record == "grant",
    )


def model_folder(section: EngineSection) -> Path:
    """The configured folder, or that of the models that came with the program."""
    return section.models or appliance_models.FOLDER


def engine_count(section: EngineSection) -> int:
    """How many engines: as configured, or one a core."""
    return min(MOST_ENGINES, os.cpu_count() or 1) if section.engines == "auto" else section.engines
