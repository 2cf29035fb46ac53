"""Composition root: builds every part, and starts and stops them in order."""

import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import appliance_models

from appliance import __version__, memory
from appliance.api.access import Access
from appliance.api.app import API_VERSION, FaceApi
from appliance.api.documented import Documented
from appliance.api.intake import Intake
from appliance.api.server import HttpServer
from appliance.config import Config, EngineSection
from appliance.faults import Fault, ResultCode
from appliance.imaging.decode import EncodedPicture
from appliance.supervision import Supervisor
from appliance.vision import loading, selftest
from appliance.vision.engine import EnginePool, FaceEngine
from appliance.vision.loading import Choice, Chosen
from appliance.vision.runtime import RUNTIME, RUNTIME_VERSION
from appliance.vision.store import ModelError, ModelStore, Role

log = logging.getLogger(__name__)

PORTRAIT, SELFTEST = "portrait.jpg", "selftest.toml"

MOST_ENGINES = 4
"""Engines that "auto" takes at most: a Pi has four cores, and each engine costs memory (scripts/bench)."""

TICK_SECONDS = 5.0
"""How often the main thread looks after things."""

IDLE_SECONDS = 30.0
"""A large network that nobody has asked for so long is given up; building it again costs about one run of it."""


class Machine:
    """The whole device."""

    def __init__(self, config: Config) -> None:
        """Binds the socket. Raises OSError when the address cannot be had."""
        memory.keep_small()
        self._supervisor = Supervisor()
        self._config = config
        self._choice: Choice = {}
        self._engines = EnginePool(config.server.queue, config.server.patience_s)
        max_body = config.server.max_body_mib * 2**20
        intake = Intake(max_body, int(config.server.max_megapixels * 1e6))
        restricted = set(config.access.restricted)
        if config.liveness.mode == "single":
            restricted.add("/liveness/multiframe")
        api = FaceApi(Documented(self._engines, intake, self._facts), Access(restricted, config.access.expires))
        self._http = HttpServer(
            api,
            config.server.host,
            config.server.port,
            workers=engine_count(config.engine) + config.server.queue,
            max_body=max_body,
            connections=config.server.connections,
        )

    def run(self) -> int:
        """Works until a signal or a dead worker ends it; returns the exit status."""
        self._supervisor.start("http", self._http.run)
        log.info("listening on http://%s:%d, models are loading", self._config.server.host, self._http.port)
        self._supervisor.start("models", self._load)
        status = self._supervisor.wait(self._tick, TICK_SECONDS)
        self._http.stop()
        log.info("stopped")
        return status

    def _tick(self) -> None:
        loading.give_up_idle(self._choice, IDLE_SECONDS)

    def _load(self) -> None:
        section = self._config.engine
        choice, first = first_engine(section)
        count = engine_count(section)
        self._choice = choice
        self._engines.fill([first, *(loading.build(choice, section.threads) for _ in range(count - 1))])
        memory.give_back()
        log.info("ready: %d engine(s) of %d thread(s)", count, section.threads)

    def _facts(self) -> Mapping[str, Any]:
        """The body of `/version`. Raises Fault INF-08 while models load."""
        if not self._choice:
            raise Fault(ResultCode.NOT_READY, "models are loading", retry_after=1)
        return {
            "api_version": API_VERSION,
            "sdk_version": __version__,
            "liveness_mode": self._config.liveness.mode.upper(),
            "runtime": {"name": RUNTIME, "version": RUNTIME_VERSION},
            "models": [
                {
                    "name": f"{role} ({file.name})",
                    "file": file.file,
                    "sha256": file.sha256,
                    "precision": file.precision,
                    "licence": file.licence,
                }
                for role, chosen in self._choice.items()
                if isinstance(chosen, Chosen)
                for file in chosen.files
            ],
        }


def first_engine(section: EngineSection) -> tuple[Choice, FaceEngine]:
    """The models that serve on this device (verified, the fastest precision of each, proven on the bundled portrait), and
    an engine of them.
    """
    folder = model_folder(section)
    precisions = {Role.DETECTOR: section.detector, Role.EMBEDDER: section.embedder, Role.LIVENESS: section.liveness}
    try:
        choice = loading.choose(ModelStore.open(folder), precisions, section.threads)
        return loading.proven(choice, portrait(folder), selftest.read(folder / SELFTEST), section.threads)
    except ModelError as error:
        choice = loading.unusable(error)
        return choice, loading.build(choice, section.threads)


def portrait(folder: Path) -> EncodedPicture:
    """The picture whose answers are known. Raises ModelError."""
    try:
        return EncodedPicture((folder / PORTRAIT).read_bytes(), max_pixels=2**20)
    except (OSError, Fault) as error:
        raise ModelError(f"{PORTRAIT}: {error}") from error


def model_folder(section: EngineSection) -> Path:
    """The configured folder, or that of the models that came with the program."""
    return section.models or appliance_models.FOLDER


def engine_count(section: EngineSection) -> int:
    """How many engines: as configured, or one a core."""
    return min(MOST_ENGINES, os.cpu_count() or 1) if section.engines == "auto" else section.engines
