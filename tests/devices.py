"""Devices to ask: in this process, composed as machine.py composes them, and as a process of their own."""

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from datetime import date
from inspect import signature
from math import inf
from pathlib import Path
from typing import Any, ClassVar, Self, TypeVar

import appliance_models
from client import ELSEWHERE, HOST, Client, from_elsewhere
from forked import Forked
from waitress.channel import HTTPChannel

from appliance.access.clock import Clock
from appliance.access.decide import Decider
from appliance.access.identify import GalleryHandle
from appliance.access.invitations import Invitations
from appliance.access.log import RECORD_FILE, Record
from appliance.access.observe import RecentFrames, SubjectObserver
from appliance.access.passes import PASSES_FILE, PassBook
from appliance.access.pins import GUESSES_FILE, PinChecker
from appliance.access.policy import ClockState, Policy, Rules
from appliance.access.retention import Retention
from appliance.access.signing_key import SIGNING_KEY_FILE, SigningKey
from appliance.access.token import SignedDecision
from appliance.api.access import Access, Attempts, Part, SignIn
from appliance.api.app import FaceApi, Restrictions
from appliance.api.batch import PeopleTables
from appliance.api.compreface import CompreFace
from appliance.api.door import Door, DoorStatus
from appliance.api.faces import Faces, Live, Subjects
from appliance.api.features import Features
from appliance.api.fleet import Fleet
from appliance.api.intake import Intake
from appliance.api.invitations import SelfEnrolment
from appliance.api.monitoring import Health, Metrics
from appliance.api.origins import Origins
from appliance.api.passes import Passes
from appliance.api.people import People
from appliance.api.server import HttpServer
from appliance.api.sessions import Sessions
from appliance.api.streams import HEARTBEAT_SECONDS, STUCK_SECONDS, Snapshots, Streams
from appliance.calibration.points import CalibrationStore
from appliance.camera.condition import Inspector
from appliance.camera.loop import CameraLoop, NoCamera
from appliance.camera.source import FrameSource, Ring
from appliance.events import Broadcast
from appliance.faults import Fault, Problem, ResultCode
from appliance.fleet.handle import FleetHandle
from appliance.keys import KeyStore
from appliance.observation.mounting import Mounting
from appliance.observation.observer import Observer
from appliance.sections import DoorSection, GallerySection
from appliance.vision import loading
from appliance.vision.engine import EnginePool, FaceEngine
from appliance.vision.loading import Choice, Models
from appliance.vision.manifest import Role

PROGRAM = ("-m", "appliance")

MAX_BODY = 8 * 2**20
DEVICE_ID = "d41d8cd98f00b204e9800998ecf8427e"

MAX_PIXELS = 40_000_000

DEADLINE = 30.0
"""Seconds after which what was waited for will not come."""


T = TypeVar("T")


UNLOADED: Choice = {Role.DETECTOR: Fault(ResultCode.INITIALIZE)}
"""The models of a device whose engines are given to it."""


OTHER_MODE = {"multi": Part.SINGLE, "single": Part.LIVENESS}
"""The part of the API that a liveness mode switches off."""


def no_fleet(gallery: GalleryHandle, record: Record) -> FleetHandle:
    """What a device without a fleet has instead of one."""
    alone: dict[str, Any] = {"enabled": False, "ca_file": None, "nkey_file": None, "policy": True, "policy_from": ()}
    about = lambda: ("", "", {}, record)  # noqa: E731
    alone |= {"stale_hours": None, "merge": DoorSection().merged_rules}
    return FleetHandle(Path("/nowhere"), DEVICE_ID, gallery, about, **alone)


class Device:
    """A server on a free port, made of the shipped parts; it answers inside `with`."""

    def __init__(
        self,
        engines: EnginePool,
        *,
        port: int = 0,
        max_body: int = MAX_BODY,
        max_pixels: int = MAX_PIXELS,
        restricted: Collection[str] = (),
        expires: date | None = None,
        today: Callable[[], date] = date.today,
        workers: int = 4,
        connections: int = 256,
        keyless: int = 32,
        source: FrameSource | None = None,
        observing: FaceEngine | None = None,
        size: tuple[int, int] = (1280, 720),
        viewers: int = 2,
        listeners: int = 2,
        fps: float = 30,
        heartbeat: float = HEARTBEAT_SECONDS,
        stuck: float = STUCK_SECONDS,
        keys: Path | None = None,
        attempts: Attempts | None = None,
        loopback: bool = True,
        full: bool = False,
        hosts: Collection[str] = (),
        origins: Collection[str] = (),
        ancestors: Collection[str] = (),
        base_path: str = "",
        gallery: Path | None = None,
        section: GallerySection | None = None,
        choice: Choice | None = None,
        alive: bool = False,
        liveness: str = "multi",
        clock: Clock | None = None,
        rules: Rules = Rules(),  # noqa: B008
        compreface: bool = False,
        hurry: float = 1.0,
    ) -> None:
        """`gallery` is the folder that it and its key are kept in; `choice` are the models of the engines. A gallery that
        cannot be opened is tried again `hurry` times as often.
        """
        store = KeyStore(keys or Path("/nowhere/keys.json"))
        self.ring = Ring()
        self.camera = CameraLoop(source, self.ring, lambda: Inspector(*size)) if source else None
        usable = self.camera or NoCamera()
        broadcast = self.broadcast = Broadcast()
        self.mounting = Mounting(0, mirror=False)
        self.observer = Observer(self.ring, lambda: observing, broadcast, self.mounting, fps, liveness=True)
        known = section or GallerySection(key_file=gallery and gallery / "site.key")
        folder = gallery or Path("/nowhere")
        models = Models(
            appliance_models.FOLDER,
            {},
            1,
            CalibrationStore(folder / "calibration.json"),
            UNLOADED if choice is None else choice,
        )
        self.gallery = GalleryHandle(
            folder, models, broadcast, **known.handle_settings, clock=lambda: hurry * time.monotonic()
        )
        record, clock = Record(folder / RECORD_FILE), clock or Clock()
        self.retention = Retention(
            self.gallery,
            record,
            clock,
            ClockState.SYNCHRONISED,
            people_days=known.erase_expired_after_days,
            template_days=known.erase_templates_after_days,
        )
        self._has_gallery = gallery is not None
        self.told: list[SignedDecision] = []
        broadcast.subscribe(SignedDecision, self.told.append)
        self.signing_key = SigningKey(folder / SIGNING_KEY_FILE, self.gallery)
        passes = PassBook(folder / PASSES_FILE, self.gallery.site_key, record)
        decider = Decider(
            DEVICE_ID,
            self.signing_key.signer,
            SubjectObserver(engines, RecentFrames(usable, self.ring), self.mounting, passes, liveness=True),
            self.gallery.current,
            clock,
            record,
            Policy(rules),
            PinChecker(folder / GUESSES_FILE),
            passes,
            broadcast.publish,
            fresh_s=60.0,  # other tests run, too
        )
        if self._has_gallery:
            self.gallery.open()
        door = DoorStatus(broadcast)
        health = Health(self.camera, door=door.document)
        health.register(store.problems, self.gallery.problems, door.problems)
        if full:
            health.register(lambda: [Problem("disk", "full", "The disk is full.")])
        if self.camera:
            health.register(self.camera.problems)
        streams = Streams(
            usable,
            self.ring,
            Snapshots(self.ring, 80),
            broadcast,
            health,
            viewers=viewers,
            listeners=listeners,
            fps=fps,
            heartbeat=heartbeat,
            stuck=stuck,
        )
        metrics = Metrics(self.camera, folder=gallery)
        metrics.register(streams.gauges, self.gallery.gauges, door.gauges)
        metrics.listen(broadcast)
        sessions = Sessions((keys or folder / "keys.json").with_name("sessions.json"), store)
        invitations = Invitations(folder, self.gallery.site_key)
        access = Access(store, sessions, attempts or Attempts(), invitations.open, everyone=False, loopback=loopback)
        subjects = Subjects(engines, intake := Intake(max_body, max_pixels), Live(usable, self.ring))
        parts = (
            Faces(subjects, models, liveness),
            Features(subjects),
            people := People(self.gallery, record, subjects, known.min_quality, alive, refresh=known.refresh),
            PeopleTables(people),
            SelfEnrolment(people, invitations, known.consent),
            *([CompreFace(people)] if compreface else []),
            Door(decider, self.signing_key, record, self.gallery, door),
            Passes(passes),
            Fleet(self.gallery, (fleet := no_fleet(self.gallery, record)).overview, fleet.invite),
            streams,
            health,
            metrics,
            SignIn(access, framed=bool(ancestors)),
        )
        restrictions = Restrictions(restricted, {OTHER_MODE[liveness]}, expires, today)
        api = FaceApi(parts, Origins(hosts, origins, ancestors), access, restrictions, metrics, intake)
        http = HttpServer(
            api,
            HOST,
            port,
            workers=workers + viewers + listeners,
            intake=intake,
            connections=connections,
            connections_without_key=keyless,
            refused=metrics.refused,
            known=access.known,
            base_path=base_path,
            front_port=0,
        )
        self.client = Client(http.port)
        self.front_port = http.front_port
        self.elsewhere = from_elsewhere(http.front_port)
        self.table = api.routes
        self.routes = [(route.method, route.rule) for route in api.routes]
        self._http = http
        work = [http.run, *([self.camera.run, self.observer.run] if self.camera else [])]
        work += [self.retention.run] if self._has_gallery else []
        self._threads = [threading.Thread(target=each, name=f"device {each.__qualname__}") for each in work]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._threads[0].is_alive():
            self.stop()

    def connections(self) -> list[HTTPChannel]:
        """The server's open connections."""
        return [each for each in list(self._http._sockets.values()) if isinstance(each, HTTPChannel)]

    def stop(self) -> None:
        self.ring.close()
        self.observer.stop()
        self._http.stop()
        self.retention.stop()
        self.gallery.close()
        if self.camera:
            self.camera.stop(DEADLINE)
        for thread in self._threads:
            thread.join()


def pool(*engines: FaceEngine, waiting: int = 16, patience: float = 10.0, memory: float = inf) -> EnginePool:
    """A pool that lends these engines."""
    filled = EnginePool(waiting, patience, memory=memory)
    filled.fill(engines)
    return filled


def shipped_engine(choice: Choice) -> FaceEngine:
    """An engine of the models that come with the program."""
    return loading.build(choice, 1)


def parts_of(engine: FaceEngine) -> dict[str, Any]:
    """The parts an engine was made of, by the name that its constructor gives them."""
    return {name: getattr(engine, f"_{name}") for name in signature(FaceEngine).parameters}


class Child:
    """A device as a process of its own: `appliance serve`, its log in a file, its state in a folder."""

    _read: ClassVar[dict[Path, int]] = {}
    """How many bytes of the log of each running device `new_log` has read."""

    _left: ClassVar[list[bytes]] = []
    """What it has not read of the logs of devices that have ended."""

    @classmethod
    def new_log(cls) -> str:
        """What has been added to the logs of all devices since it was asked before."""
        found, cls._left[:] = b"".join(cls._left), []
        for path in list(cls._read):
            found += cls._new(path)
        return found.decode("utf-8", "replace")

    @classmethod
    def _new(cls, path: Path) -> bytes:
        """What has been added to one of them."""
        with suppress(FileNotFoundError), path.open("rb") as log:
            log.seek(cls._read[path])
            found = log.read()
            cls._read[path] = log.tell()
            return found
        return b""

    @classmethod
    def _forget(cls, path: Path) -> None:
        """Keeps what has been added to a log for `new_log`, which does not look there again."""
        if path in cls._read:
            cls._left.append(cls._new(path))
            del cls._read[path]

    def __init__(
        self,
        folder: Path,
        config: str = "",
        arguments: Sequence[str] = ("--port", "0"),
        program: Sequence[str] = PROGRAM,
        environment: dict[str, str] | None = None,
        inside: Sequence[str] = (),
        *,
        network: str | None = None,
        forked: bool = True,
    ) -> None:
        """`inside` is what the command line begins with to run somewhere else, `network` the name of a network namespace.
        Without `forked` it is a Python that starts anew.
        """
        (folder / "config.toml").write_text(config, "utf-8")
        self.log_file = folder / "log"
        self._forget(self.log_file)  # of a device that was there before
        self._read[self.log_file] = 0
        self.state = folder / "state"
        environment = {**os.environ, **self._folders(folder), **(environment or {})}
        arguments = ["serve", "--config", str(folder / "config.toml"), *arguments]
        self.process: Forked | subprocess.Popen[bytes]
        if forked and not inside and program == PROGRAM:
            self.log_file.write_bytes(b"")
            self.process = Forked(arguments, output=self.log_file, cwd=folder, env=environment, network=network)
            return
        with self.log_file.open("wb") as log:
            self.process = subprocess.Popen(
                [*inside, sys.executable, *program, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=folder,
                env=environment,
            )

    def _folders(self, folder: Path) -> dict[str, str]:
        """Nothing of a test is kept in the user's own folders."""
        return {"STATE_DIRECTORY": str(self.state), "XDG_CONFIG_HOME": str(folder / "config")}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self._forget(self.log_file)

    @property
    def log(self) -> str:
        return self.log_file.read_text("utf-8", "replace")

    def logged(self, pattern: str) -> re.Match[str]:
        """The first match in the log, as soon as it is there."""
        found = until(lambda: re.search(pattern, self.log, re.MULTILINE) or (self.process.poll() is not None))
        assert isinstance(found, re.Match), f"no {pattern!r} in the log of {self.process}:\n{self.log}"
        return found

    def listening(self) -> Client:
        """A client, as soon as the device listens."""
        return Client(int(self.logged(r"listening on \S+:(\d+)")[1]))

    def elsewhere(self, address: str = ELSEWHERE) -> Client:
        """A client with another address, of a device that has a `front_port`."""
        return from_elsewhere(int(self.logged(r"TLS front is expected at \S+:(\d+)")[1]), address)

    def ready(self) -> Client:
        """A client, as soon as the models are loaded."""
        client = self.listening()
        self.logged(r"ready: ")
        return client

    def resident(self, field: str = "VmRSS") -> int:
        """Bytes of resident memory; with "VmHWM" the most there ever was."""
        status = Path(f"/proc/{self.process.pid}/status").read_text("ascii")
        found = re.search(rf"^{field}:\s+(\d+) kB", status, re.MULTILINE)
        assert found
        return int(found[1]) * 1024

    def terminate(self) -> int:
        """Asks the device to end and returns its exit status."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(DEADLINE)


def until(condition: Callable[[], T], deadline: float = DEADLINE) -> T:
    """Asks again and again, until the answer is true or the time is up; more and more seldom, because each question costs."""
    end, pause = time.monotonic() + deadline, 0.01
    while not (answer := condition()) and time.monotonic() < end:
        time.sleep(pause)
        pause = min(1.2 * pause, 0.05)
    return answer
