"""From a folder of models to engines that work: verify, choose by measurement, build, prove."""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeVar

from appliance.faults import Fault, ResultCode
from appliance.vision.crop import Picture
from appliance.vision.detector import Detector
from appliance.vision.embedder import Embedder
from appliance.vision.engine import Aligner, FaceEngine, Missing
from appliance.vision.landmarks import Landmarks
from appliance.vision.liveness import LivenessCheck
from appliance.vision.occlusion import OcclusionCheck
from appliance.vision.runtime import Network
from appliance.vision.selftest import Answers, complaints
from appliance.vision.store import ModelError, ModelFile, ModelStore, Role, fastest

log = logging.getLogger(__name__)

Part = TypeVar("Part")


@dataclass(frozen=True, slots=True)
class Chosen:
    """The files that serve one role on this device, their verified bytes, and what choosing them was based on."""

    files: tuple[ModelFile, ...]
    contents: tuple[bytes, ...]
    milliseconds: Mapping[str, float]


Choice = Mapping[Role, Chosen | Fault]


def choose(store: ModelStore, precisions: Mapping[Role, str], threads: int) -> Choice:
    """For each role the files to use; a Fault in place of those that cannot be used (INF-06 for the detector and the
    landmarks, INF-07 for the embedder and liveness).
    """
    choice: dict[Role, Chosen | Fault] = {}
    for role in Role:
        try:
            choice[role] = _chosen(store, role, precisions.get(role, "auto"), threads)
        except ModelError as error:
            choice[role] = _fault(role, error)
            log.error("%s does not work: %s", role, error)
    return choice


def unusable(error: ModelError) -> Choice:
    """The choice when not even the manifest can be read."""
    log.error("no model works: %s", error)
    return {role: _fault(role, error) for role in Role}


def prove(choice: Choice, portrait: Picture, recorded: Mapping[str, Answers], threads: int) -> Choice:
    """The choice without the roles that fail the self-test."""
    proven = dict(choice)
    precisions = {role: chosen.files[0].precision for role, chosen in choice.items() if isinstance(chosen, Chosen)}
    for role, complaint in complaints(build(choice, threads), portrait, recorded, precisions).items():
        proven[role] = _fault(role, ModelError(f"self-test: {complaint}"))
        log.error("%s fails its self-test: %s", role, complaint)
    return proven


def build(choice: Choice, threads: int) -> FaceEngine:
    """One engine with interpreters of its own; a part whose model does not work answers with its fault."""

    def part(role: Role, make: Callable[[list[Network]], Part]) -> Part | Missing:
        chosen = choice[role]
        if isinstance(chosen, Fault):
            return Missing(chosen)
        try:
            return make(
                [Network(f, content, threads) for f, content in zip(chosen.files, chosen.contents, strict=True)]
            )
        except ModelError as error:
            log.error("%s does not work: %s", role, error)
            return Missing(_fault(role, error))

    return FaceEngine(
        part(Role.DETECTOR, Detector),
        part(Role.LANDMARKS, lambda networks: Landmarks(networks[0])),
        Aligner(),
        part(Role.EMBEDDER, lambda networks: Embedder(networks[0])),
        OcclusionCheck(),
        part(Role.LIVENESS, lambda networks: LivenessCheck(networks[0])),
    )


def _chosen(store: ModelStore, role: Role, precision: str, threads: int) -> Chosen:
    candidates = store.candidates(role, precision)
    contents = {file.file: store.content(file) for file in candidates}
    seconds: Mapping[str, float] = {}
    if len({file.precision for file in candidates}) > 1:
        precision, seconds = fastest(candidates, lambda file: Network(file, contents[file.file], threads).seconds())
        candidates = [file for file in candidates if file.precision == precision]
    milliseconds = {name: round(value * 1e3, 2) for name, value in seconds.items()}
    log.info("%s: %s %s", role, candidates[0].precision, milliseconds or "(the only one)")
    return Chosen(tuple(candidates), tuple(contents[file.file] for file in candidates), milliseconds)


def _fault(role: Role, error: ModelError) -> Fault:
    base = role in (Role.DETECTOR, Role.LANDMARKS)
    return Fault(ResultCode.INITIALIZE if base else ResultCode.INITIALIZE_EXTENSION, str(error))
