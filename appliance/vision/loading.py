"""From a folder of models to engines that work: verify, choose by measurement, build, prove."""

import logging
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal, TypeVar, cast

from appliance.calibration.points import CalibrationStore, Kind
from appliance.faults import Fault, Problem, ResultCode
from appliance.imaging.codec import EncodedPicture
from appliance.vision import selftest
from appliance.vision.detector import Detector, Picture
from appliance.vision.embedder import Comparators, Embedder
from appliance.vision.engine import Aligner, EnginePool, FaceEngine, Missing
from appliance.vision.landmarks import Landmarks
from appliance.vision.liveness import SHIPPED_ODDS, LivenessCheck
from appliance.vision.manifest import (
    SHIPPED,
    ModelError,
    ModelFile,
    ModelStore,
    OperatingPoint,
    Role,
    Thresholds,
    fastest,
)
from appliance.vision.quality import OcclusionCheck
from appliance.vision.runtime import RUNTIME, RUNTIME_VERSION, Courteous, LazyNetwork, Network, Runs
from appliance.vision.selftest import Answers, complaints
from appliance.vision.upright import OrientationCheck

log = logging.getLogger(__name__)

Part = TypeVar("Part")

PORTRAIT, SELFTEST = "portrait.jpg", "selftest.toml"
"""Files in the folder of the models: a picture, and the answers that were recorded for it."""

MOST_ENGINES = 4
"""Engines that "auto" takes at most: a Pi has four cores, and each engine costs memory (scripts/bench)."""

CORES, MEMORY = os.cpu_count() or 1, os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
"""Of this board; the memory in bytes."""

SMALL_BOARD = 3 << 29
"""1.5 GiB. Of a board of 1 GB Linux has .9, of which the service may use three quarters (MemoryMax= of the unit). One engine
at work takes 200 MB of that, and the largest picture 320 MB.
"""

SURPLUS_SECONDS = 600.0
"""An engine that has not been needed for this long beside another one is replaced by one without networks, 66 MB less. The one
that was used last keeps them: a door opens as fast in the morning as at noon.
"""

REST_SECONDS = 10.0
"""After so long without work, what it has left free on the heap is given back: 290 MB become 243 (two engines, x86-64)."""

ROUNDS = 5
"""Runs by which a precision is timed; one where there is nothing to choose."""

EMBEDDER_PRECISION = "float16"
"""Templates outlive a runtime. In int8 the same file is another embedder on each: tflite-runtime 2.14 and LiteRT 2.3 agree to a
cosine of .953 to .977, in float16 to .9998.
"""

IDLE_SECONDS = 30.0
"""A larger network that has not been used for this long is freed; building it again takes about as long as one run of it."""

LOADING = "loading"
"""The state of the models in `/healthz` while they load."""


Recognition = Literal["fast", "strong", "auto"]
"""What people are recognised with: the fast embedder alone, or the strong one as well."""

STRONG = (Role.STRONG_EMBEDDER, Role.STRONG_HEAD)
"""The roles of the strong embedder, in the order in which its networks run."""

OWN = {Role.DETECTOR, Role.LANDMARKS}
"""Roles of which each engine has a network to itself: they take most of a picture's time, and pictures are worked on side by
side. The others are shared, and so are the detector's larger inputs and the one for the way a face is turned: a second engine
costs 33 MB instead of 80 MB.
"""

BASE = {*OWN, Role.ALIGNMENT}
"""Roles without which nothing works."""


@dataclass(frozen=True, slots=True)
class Chosen:
    """The files that serve one role on this device, smallest input first, and what choosing them was based on.

    `own` has the contents of the files of which each engine has a network to itself; `shared` are the networks of the rest.
    Both are by file name.
    """

    files: tuple[ModelFile, ...]
    own: Mapping[str, bytes]
    shared: Mapping[str, LazyNetwork]
    milliseconds: Mapping[str, float]

    def networks(self, threads: int) -> list[Runs]:
        """The networks of one engine, which take no memory until they are used."""
        return [
            LazyNetwork(file, self.own[file.file], threads) if file.file in self.own else self.shared[file.file]
            for file in self.files
        ]


Choice = Mapping[Role, Chosen | Fault]


@dataclass(frozen=True, slots=True)
class EngineCount:
    """How many pictures are worked on at the same time, and what determines that."""

    count: int
    reason: Literal["configured", "cores", "memory"]


@dataclass(frozen=True, slots=True)
class RecognitionMode:
    """Which embedders are in use, and what determines that."""

    networks: Literal["fast", "strong"]
    reason: Literal["configured", "memory", "fault"]


def recognition_mode(choice: Choice, configured: Recognition) -> RecognitionMode:
    """With "auto" the strong embedder is used on a board with at least SMALL_BOARD bytes of memory. While it does not work, the
    fast one is used alone.
    """
    networks: Literal["fast", "strong"] = "strong" if _strong_files(choice) else "fast"
    if any(isinstance(choice.get(role), Fault) for role in STRONG):
        return RecognitionMode(networks, "fault")
    return RecognitionMode(networks, "memory" if configured == "auto" else "configured")


def is_strong(configured: Recognition, memory: int = MEMORY) -> bool:
    """Whether the strong embedder is loaded. It does not depend on times: the answers of a device are the same after each
    start.
    """
    return configured == "strong" or (configured == "auto" and memory >= SMALL_BOARD)


def comparators(choice: Choice) -> Comparators:
    """How the embedders of a choice compare faces. Raises Fault INF-07 when the fast one does not work."""
    fast = choice.get(Role.EMBEDDER)
    if not isinstance(fast, Chosen):
        raise Fault(ResultCode.INITIALIZE_EXTENSION, fast.detail if fast else "there is none")
    return Comparators.of(fast.files[0], _strong_files(choice))


def listed_comparators(store: ModelStore, recognition: Recognition) -> Comparators:
    """The same of models that are not loaded, with the strong embedder where it is used. Raises ModelError."""
    roles = (Role.EMBEDDER, *(STRONG if is_strong(recognition) else ()))
    fast, *strong = (store.candidates(role, "auto")[0] for role in roles)
    return Comparators.of(fast, strong)


def _strong_files(choice: Choice) -> list[ModelFile]:
    """Those of the strong embedder; empty when it is not in use."""
    chosen = [choice.get(role) for role in STRONG]
    files = [each.files[0] for each in chosen if isinstance(each, Chosen)]
    return files if len(files) == len(STRONG) else []


def engine_count(configured: int | Literal["auto"], cores: int = CORES, memory: int = MEMORY) -> EngineCount:
    """The number of engines: as configured; one on a board with less than SMALL_BOARD bytes of memory; else one per core, up to
    MOST_ENGINES.
    """
    if configured != "auto":
        return EngineCount(configured, "configured")
    if memory < SMALL_BOARD:
        return EngineCount(1, "memory")
    return EngineCount(min(MOST_ENGINES, cores), "cores")


def first_engine(
    folder: Path,
    precisions: Mapping[str, str],
    threads: int,
    thresholds: Callable[[], Thresholds] = lambda: SHIPPED,
    recognition: Recognition = "auto",
) -> tuple[Choice, FaceEngine]:
    """The models of `folder` that serve on this device (verified, the fastest precision of each, proven on the bundled
    portrait), and an engine of them. `precisions` gives "int8", "float16" or "auto" by role, `thresholds` the device's own
    operating points.
    """
    try:
        store = ModelStore.open(folder)
        wanted = {Role(role): precision for role, precision in precisions.items()} | {Role.EMBEDDER: EMBEDDER_PRECISION}
        choice = choose(store, wanted, threads, recognition)
        return proven(choice, portrait(folder), selftest.read(folder / SELFTEST), threads, thresholds)
    except ModelError as error:
        choice = unusable(error)
        return choice, build(choice, threads)


def portrait(folder: Path) -> EncodedPicture:
    """The picture whose answers are recorded. Raises ModelError."""
    try:
        return EncodedPicture((folder / PORTRAIT).read_bytes(), max_pixels=2**20)
    except (OSError, Fault) as error:
        raise ModelError(f"{PORTRAIT}: {error}") from error


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


def points_of(choice: Choice, calibration: CalibrationStore) -> Mapping[str, Any]:
    """The operating points in use, as `/version` names them: that of the published document's similarity, with the strong
    embedder also that of the fast one and of both together, and that of liveness.
    """
    points = {name: calibration.facts(kind, model, shipped) for name, kind, model, shipped in _deciding(choice)}
    similarity = points.get("strong", points.get("fast"))
    named = {"similarity": similarity} if similarity else {}
    return named | {name: point for name, point in points.items() if point is not similarity}


def _deciding(choice: Choice) -> Iterator[tuple[str, Kind, str, Mapping[str, Any]]]:
    """Name, kind, model (sha256) and shipped point of what has an operating point, without models that do not work."""
    if isinstance(choice.get(Role.EMBEDDER), Chosen):
        ways = comparators(choice)
        for name, each in {"fast": ways.fast, "strong": ways.strong, "both": ways.both}.items():
            if each:
                yield name, Kind.SIMILARITY, each.model, shipped_point(each.shipped)
    liveness = choice.get(Role.LIVENESS)
    if isinstance(liveness, Chosen):
        yield Kind.LIVENESS.value, Kind.LIVENESS, liveness.files[0].sha256, {"threshold": SHIPPED_ODDS, **_UNKNOWN}


_UNKNOWN: Mapping[str, Any] = {"wanted": {}, "measured": {}, "counts": {}, "basis": None, "date": None}


def shipped_point(point: OperatingPoint) -> Mapping[str, Any]:
    """The operating point of an embedder in the form of a calibration's entry; what is unknown is empty."""
    known = {"wanted": {"fmr": point.fmr}, "counts": {"impostor_pairs": point.impostor_pairs}}
    return {"threshold": point.cosine, **_UNKNOWN, **known}


def choose(
    store: ModelStore, precisions: Mapping[Role, str], threads: int, recognition: Recognition = "auto"
) -> Choice:
    """For each role the files to use; a Fault in place of those that cannot be used (INF-06 for the detector and the
    meshes, INF-07 for the embedders and liveness). The roles of the strong embedder are left out where it is not to be used.
    """
    choice: dict[Role, Chosen | Fault] = {}
    strong = is_strong(recognition)
    for role in (role for role in Role if strong or role not in STRONG):
        try:
            precision = "auto" if role in STRONG else precisions.get(role, "auto")
            choice[role] = _chosen(store, role, precision, threads)
        except ModelError as error:
            choice[role] = _fault(role, error)
            log.error("%s does not work: %s", role, error)
    return choice


def unusable(error: ModelError) -> Choice:
    """The choice when not even the manifest can be read."""
    log.error("no model works: %s", error)
    return {role: _fault(role, error) for role in Role if role not in STRONG}


def proven(
    choice: Choice,
    portrait: Picture,
    recorded: Mapping[str, Answers],
    threads: int,
    thresholds: Callable[[], Thresholds] = lambda: SHIPPED,
) -> tuple[Choice, FaceEngine]:
    """The choice without a role that fails the self-test, and an engine of what is left."""
    engine = build(choice, threads, thresholds=thresholds)
    precisions = {role: chosen.files[0].precision for role, chosen in choice.items() if isinstance(chosen, Chosen)}
    failed = complaints(engine, portrait, recorded, precisions)
    if not failed:
        return choice, engine
    for role, complaint in failed.items():
        log.error("%s fails its self-test: %s", role, complaint)
    choice = {**choice, **{role: _fault(role, ModelError(f"self-test: {text}")) for role, text in failed.items()}}
    return choice, build(choice, threads, thresholds=thresholds)


def build(
    choice: Choice,
    threads: int,
    step_aside: Callable[[], object] | None = None,
    thresholds: Callable[[], Thresholds] = lambda: SHIPPED,
) -> FaceEngine:
    """One engine with interpreters of its own; a part whose model does not work answers with its fault. With `step_aside`,
    each run of a network waits for it. `thresholds` gives the device's own operating points.
    """

    def networks(role: Role) -> list[Runs]:
        found = chosen.networks(threads) if isinstance(chosen := choice[role], Chosen) else []
        return [Courteous(each, step_aside) for each in found] if step_aside else found

    def part(role: Role, make: Callable[[list[Runs]], Part]) -> Part:
        chosen = choice[role]
        if isinstance(chosen, Chosen):
            try:
                return make(networks(role))
            except ModelError as error:
                log.error("%s does not work: %s", role, error)
                chosen = _fault(role, error)
        return cast("Part", Missing(chosen))

    detector = part(Role.DETECTOR, Detector)
    strong = Embedder(*(networks(role)[0] for role in STRONG)) if _strong_files(choice) else None
    return FaceEngine(
        detector,
        part(Role.LANDMARKS, lambda networks: Landmarks(networks[0])),
        part(Role.ALIGNMENT, lambda networks: Landmarks(networks[0])),
        part(Role.DETECTOR, lambda _: OrientationCheck(detector.smallest)),
        Aligner(),
        part(Role.EMBEDDER, lambda networks: Embedder(networks[0])),
        OcclusionCheck(),
        part(Role.LIVENESS, lambda networks: LivenessCheck(networks[0])),
        part(Role.EMBEDDER, lambda _: comparators(choice)),
        strong,
        thresholds,
    )


def give_up_idle(choice: Choice, idle_seconds: float, *, larger: bool = True) -> None:
    """Frees the shared networks that have not been used for so long; with `larger` those of larger inputs alone."""
    for chosen in choice.values():
        if isinstance(chosen, Chosen) and (chosen.own or not larger):
            for network in chosen.shared.values():
                network.give_up(idle_seconds)


def _chosen(store: ModelStore, role: Role, precision: str, threads: int) -> Chosen:
    candidates = store.candidates(role, precision)
    contents = {file.file: store.content(file) for file in candidates}
    rounds = ROUNDS if len({file.precision for file in candidates}) > 1 else 1
    precision, seconds = fastest(
        candidates, lambda file, hopeless: Network(file, contents[file.file], threads).seconds(rounds, hopeless)
    )
    candidates = [file for file in candidates if file.precision == precision]
    milliseconds = {name: round(value * 1e3, 2) for name, value in seconds.items()}
    log.info("%s: %s of %s ms", role, precision, milliseconds)
    files = tuple(sorted(candidates, key=lambda file: file.area))
    smallest = min(max(file.width, file.height) for file in files)
    own = {
        file.file: contents[file.file]
        for file in files
        if role in OWN and max(file.width, file.height) == smallest and (file is not files[0] or len(files) == 1)
    }
    shared = {file.file: LazyNetwork(file, contents[file.file], threads) for file in files if file.file not in own}
    return Chosen(files, own, shared, milliseconds)


def _fault(role: Role, error: ModelError) -> Fault:
    return Fault(ResultCode.INITIALIZE if role in BASE else ResultCode.INITIALIZE_EXTENSION, str(error))


class Models:
    """The models of a running device. There are none while they load."""

    def __init__(
        self,
        folder: Path,
        precisions: Mapping[str, str],
        threads: int,
        calibration: CalibrationStore,
        choice: Choice | None = None,
        *,
        recognition: Recognition = "auto",
    ) -> None:
        """The arguments are those of `first_engine`; `choice` is given where the models are loaded already."""
        self.folder, self._precisions, self._threads, self._recognition = folder, precisions, threads, recognition
        self.calibration = calibration
        self._choice: Choice = choice or {}
        self._engines = EngineCount(1, "configured")
        self._pool: EnginePool | None = None

    def load(self, pool: EnginePool, engines: EngineCount) -> None:
        """Chooses the models and fills the pool with engines of them. The networks of the self-test are freed: one that no
        request needs takes no memory.
        """
        thresholds = self.calibration.thresholds
        choice, _ = first_engine(self.folder, self._precisions, self._threads, thresholds, self._recognition)
        give_up_idle(choice, 0, larger=False)
        pool.fill([build(choice, self._threads, thresholds=thresholds) for _ in range(engines.count)])
        self._engines, self._pool = engines, pool
        self._choice = choice  # last: from here on the device reports that it is ready
        runtime, threads = f"{RUNTIME} {RUNTIME_VERSION}", self._threads
        log.info("ready: %d engine(s) by %s, %d thread(s), %s", engines.count, engines.reason, threads, runtime)

    def engine(self, step_aside: Callable[[], object]) -> FaceEngine | None:
        """A further engine, each run of whose networks waits for `step_aside`; None while the models load."""
        if not self._choice:
            return None
        return build(self._choice, self._threads, step_aside, self.calibration.thresholds)

    def comparators(self) -> Comparators:
        """How faces are compared. Raises Fault INF-08 while the models load, INF-07 when the fast embedder does not work."""
        return comparators(self._chosen())

    def facts(self) -> Mapping[str, Any]:
        """The runtime, the engines, the files and the operating points in use, as `/version` names them. Raises Fault INF-08
        while the models load.
        """
        choice = self._chosen()
        return {
            "runtime": {"name": RUNTIME, "version": RUNTIME_VERSION},
            "engines": asdict(self._engines),
            "models": models_of(choice),
            "recognition": self._recognised_by(choice),
            "calibration": points_of(choice, self.calibration),
        }

    def problems(self) -> list[Problem]:
        if not self._choice:
            return [Problem("models", LOADING, "The models are loading.")]
        return [
            Problem("models", f"{role}_unusable", f"The {role} model does not work: see the log.")
            for role, chosen in self._choice.items()
            if isinstance(chosen, Fault)
        ]

    def tick(self) -> bool:
        """Reads the operating points again if they have changed, and frees large networks and surplus engines that have been
        idle; whether there were such engines, or the engines have come to rest: memory can be given back then.
        """
        self.calibration.refresh()
        for _, kind, model, _ in _deciding(self._choice):
            self.calibration.warn_of_stale(kind, model)
        give_up_idle(self._choice, IDLE_SECONDS)
        build_one = partial(build, self._choice, self._threads, thresholds=self.calibration.thresholds)
        if self._pool is None:
            return False
        return self._pool.replace_idle(SURPLUS_SECONDS, build_one) or self._pool.rests(REST_SECONDS)

    def _recognised_by(self, choice: Choice) -> Mapping[str, Any]:
        """The mode, and the networks that answer: one of the published document's endpoints, comparisons and enrolments, and
        searches, whose second network is asked where the first one is not sure.
        """
        mode: dict[str, Any] = asdict(recognition_mode(choice, self._recognition))
        if isinstance(choice.get(Role.EMBEDDER), Chosen):
            ways = comparators(choice)
            mode |= {"similarity": ways.documented.name, "compare": ways.own.name, "identify": ways.own.name}
            mode |= {"feature": ways.fast.name}
        return mode

    def _chosen(self) -> Choice:
        if not self._choice:
            raise Fault(ResultCode.NOT_READY, "models are loading", retry_after=1)
        return self._choice
