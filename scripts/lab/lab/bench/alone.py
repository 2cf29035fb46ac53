"""The parts that a request cannot do without: the decoding of its pictures and the runs of its models, measured alone in this
process.
"""

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from statistics import median

import numpy as np
from PIL import Image

from appliance.face.types import DetectLimits, Pixels
from appliance.imaging.archive import four_pictures
from appliance.imaging.codec import EncodedPicture
from appliance.vision.detector import Detector
from appliance.vision.embedder import Embedder
from appliance.vision.engine import Aligner, FaceEngine
from appliance.vision.landmarks import Landmarks
from appliance.vision.liveness import LivenessCheck
from appliance.vision.manifest import ModelStore, Role
from appliance.vision.quality import OcclusionCheck
from appliance.vision.runtime import Floats, Network, Runs
from appliance.vision.upright import OrientationCheck
from lab.bench.material import Material

THREADS = 1
"""Threads of a model, as the device's default."""

MOST_PIXELS, MOST_BYTES = 10**6, 2**23
"""Limits for the bench's own pictures, which have 1280 x 720."""


class CountedNetwork(Network):
    """A network that counts its runs since it was loaded, or since `runs` was set to 0."""

    runs = -1  # loading warms up once

    def run(self, pixels: Pixels) -> list[Floats]:
        """As Network.run."""
        self.runs += 1
        return super().run(pixels)


@dataclass(frozen=True, slots=True)
class Alone:
    """An engine of the files that the device uses, and the networks that each role's stage runs, with how often: for one
    picture that is searched and its face embedded, and for four frames that are judged.
    """

    material: Material
    engine: FaceEngine
    needed: Mapping[Role, Sequence[tuple[CountedNetwork, int]]]

    @classmethod
    def of(cls, material: Material, store: ModelStore, names: Collection[str]) -> "Alone":
        """`names` are the model files that the device says it uses. Raises ModelError."""
        files = [file for file in store.models if file.file in names]
        networks = {
            role: [CountedNetwork(file, store.content(file), THREADS) for file in files if file.role == role]
            for role in Role
        }
        engine = assembled(networks)
        identify(engine, material)
        needed = {role: _counted(networks[role]) for role in (Role.DETECTOR, Role.LANDMARKS, Role.EMBEDDER)}
        judge(engine, material)
        return cls(material, engine, {**needed, Role.LIVENESS: _counted(networks[Role.LIVENESS])})

    def models(self, role: Role, repetitions: int) -> float:
        """Milliseconds of the model runs that a role's stage needs; each network's time is the median of `repetitions`."""
        return 1e3 * sum(count * network.seconds(repetitions) for network, count in self.needed[role])

    def faces(self, repetitions: int) -> float:
        """Milliseconds of one decode of the picture and of every model run that `/faces` needs for it."""
        models = self.models(Role.DETECTOR, repetitions) + self.models(Role.LANDMARKS, repetitions)
        return decoding(self.material.picture, repetitions) + models

    def similarity(self, repetitions: int) -> float:
        """Milliseconds of two decodes and two embeddings."""
        return 2 * (decoding(self.material.aligned, repetitions) + self.models(Role.EMBEDDER, repetitions))


def assembled(networks: Mapping[Role, Sequence[Runs]]) -> FaceEngine:
    """An engine of these networks, one or more a role."""
    detector = Detector(networks[Role.DETECTOR])
    return FaceEngine(
        detector,
        Landmarks(networks[Role.LANDMARKS][0]),
        OrientationCheck(detector.smallest),
        Aligner(),
        Embedder(networks[Role.EMBEDDER][0]),
        OcclusionCheck(),
        LivenessCheck(networks[Role.LIVENESS][0]),
    )


def identify(engine: FaceEngine, material: Material) -> None:
    """Decodes the picture, finds its face, cuts it out and embeds it."""
    for face in engine.align(EncodedPicture(material.picture, MOST_PIXELS), DetectLimits()):
        engine.embed(face)


def judge(engine: FaceEngine, material: Material) -> None:
    """Decodes the four frames and judges whether they are live."""
    engine.liveness([EncodedPicture(each, MOST_PIXELS) for each in four_pictures(material.sequence, MOST_BYTES)])


def decoding(picture: bytes, repetitions: int) -> float:
    """Median milliseconds in which Pillow turns the picture into RGB pixels."""
    times = (milliseconds(lambda: np.asarray(Image.open(BytesIO(picture)).convert("RGB"))) for _ in range(repetitions))
    return median(times)


def milliseconds(act: Callable[[], object]) -> float:
    """How long a call takes."""
    start = time.perf_counter()
    act()
    return 1e3 * (time.perf_counter() - start)


def _counted(networks: Sequence[CountedNetwork]) -> list[tuple[CountedNetwork, int]]:
    """Those that ran, with how often; their counts begin anew."""
    counted = [(network, network.runs) for network in networks if network.runs > 0]
    for network in networks:
        network.runs = 0
    return counted
