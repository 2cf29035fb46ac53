"""What a request cannot do without: the decoding of its pictures and the runs of its models, measured alone in this process."""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from io import BytesIO
from statistics import median

import numpy as np
from PIL import Image

from appliance.benchmark.material import Material
from appliance.face.types import DetectLimits, Pixels
from appliance.imaging.decode import EncodedPicture
from appliance.vision.detector import Detector
from appliance.vision.landmarks import Landmarks
from appliance.vision.runtime import Floats, Network
from appliance.vision.store import ModelFile, ModelStore, Role

THREADS = 1
"""Threads of a model, as the device's default."""

ROUNDS = 40
"""Repetitions of each measurement; the median counts."""


MOST_PIXELS = 10**6
"""Limit for the bench's own picture, which has 1280 x 720."""


class CountedNetwork(Network):
    """A network that knows how often it ran since it was loaded."""

    runs = -1  # loading warms up once

    def run(self, pixels: Pixels) -> list[Floats]:
        """As Network.run."""
        self.runs += 1
        return super().run(pixels)


@dataclass(frozen=True, slots=True)
class Alone:
    """The networks that the device uses, and how often `/faces` runs each of them on the material's picture."""

    material: Material
    runs_of_faces: tuple[tuple[Network, int], ...]
    embedder: Network

    @classmethod
    def of(cls, material: Material, store: ModelStore, names: Iterable[str]) -> "Alone":
        """`names` are the model files that the device says it uses. Raises ModelError."""
        files = [file for file in store.models if file.file in set(names)]
        networks = {role: [_network(store, file) for file in files if file.role == role] for role in Role}
        picture = EncodedPicture(material.picture, MOST_PIXELS)
        landmarks = Landmarks(networks[Role.LANDMARKS][0])
        for detection in Detector(networks[Role.DETECTOR]).detect(picture, DetectLimits()):
            landmarks.locate(picture, detection)
        counted = [network for group in networks.values() for network in group if network.runs > 0]
        runs = tuple((network, network.runs) for network in counted)
        return cls(material, runs, networks[Role.EMBEDDER][0])

    def faces(self) -> float:
        """Milliseconds of one decode of the picture and of every model run that `/faces` needs for it."""
        runs = sum(count * network.seconds(ROUNDS) for network, count in self.runs_of_faces)
        return 1e3 * (decoding(self.material.picture) + runs)

    def similarity(self) -> float:
        """Milliseconds of two decodes and two embeddings."""
        return 2e3 * (decoding(self.material.aligned) + self.embedder.seconds(ROUNDS))


def decoding(picture: bytes) -> float:
    """Median seconds in which Pillow turns the picture into RGB pixels."""
    return _median_seconds(lambda: np.asarray(Image.open(BytesIO(picture)).convert("RGB")))


def _network(store: ModelStore, file: ModelFile) -> CountedNetwork:
    return CountedNetwork(file, store.content(file), THREADS)


def _median_seconds(act: Callable[[], object]) -> float:
    times = []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        act()
        times.append(time.perf_counter() - start)
    return median(times)
