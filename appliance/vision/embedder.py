"""Who is it? A fast network, and a strong one where the board allows it (models/CARDS.md), compared by cosine."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from appliance.face.embedding import weighted
from appliance.face.types import AlignedFace, Embedding
from appliance.vision.manifest import SHIPPED, ModelError, ModelFile, OperatingPoint, Thresholds
from appliance.vision.runtime import Floats, Runs

SIZE = 512
"""Numbers of an embedding."""

SLOPE = 23.0
"""Steepness of the similarity over the score: logistic regression on the 1,000 development pairs gave 23.2 for the fast
network, and gives 24.6 for it as faces are aligned now, 27.2 for the strong one and 26.8 for both. One curve serves all.
"""

LINK = 0.11
"""By how much the weakest link of frames that show one person exceeds the operating point for two pictures, which makes it .45,
of the fast network and of both. None of the 114 development sequences of one person is below that (lowest .47, of both .49;
bound of the share, 95 %: 2.6 %). Of the 59,680 in which one or two frames are another person's, 256 are above it by the fast
network, and none by both. The operating point itself, required of every pair, capped one of the 59 live people, whose head
turned.
"""

DOUBT = 0.1
"""How far above LINK a weakest link of the fast network is doubtful: none of the 59,680 is beyond that, and two of the 114
sequences of one person are within it.
"""


class Embedder:
    """Turns an aligned face into an embedding."""

    def __init__(self, *networks: Runs) -> None:
        """Each network takes what the one before it gives, the first one pixels."""
        self._networks = networks

    def embed(self, face: AlignedFace) -> Embedding:
        """The face's embedding: 512 (fast) or 128 (strong) float32 of unit length."""
        values: npt.NDArray[np.uint8] | Floats = face.pixels
        for network in self._networks:
            (values,) = network.run(values)
        return np.asarray(values / np.linalg.norm(values), np.float32)


@dataclass(frozen=True, slots=True)
class Comparator:
    """Compares embeddings of one network by their cosine, or of two by both cosines (`weighted`). `model` (sha256) is what
    operating points and statistics of this score name; `name` says the networks, `file` their files.
    """

    model: str
    name: str
    file: str
    shipped: OperatingPoint

    def similarity(self, a: Embedding, b: Embedding, thresholds: Thresholds = SHIPPED) -> float:
        """How alike two embeddings are, 0..1, rising with their score; 0.5 is the operating point: this device's in
        `thresholds`, else the shipped one (FMR 0.1 %). Raises ValueError when an embedding is not finite.
        """
        score = float(weighted(a) @ weighted(b))
        if not np.isfinite(score):
            raise ValueError("an embedding is not finite")
        return similarity(score, thresholds.get(self.model, self.shipped.cosine), self.shipped.cosine)

    def link(self, embeddings: Sequence[Embedding]) -> float:
        """By how much the weakest link of frames of a second or two exceeds the least of one person's; negative where they show
        several people. Raises ValueError when an embedding is not finite.
        """
        return weakest_link([weighted(each) for each in embeddings]) - (self.shipped.cosine + LINK)


@dataclass(frozen=True, slots=True)
class Comparators:
    """By the fast network, and, where the strong one is in use, by that and by both. `strong` and `both` are there together."""

    fast: Comparator
    strong: Comparator | None = None
    both: Comparator | None = None

    @classmethod
    def of(cls, fast: ModelFile, strong: Sequence[ModelFile] = ()) -> "Comparators":
        """Of the fast network's file, and those of the strong one. Raises ModelError when the manifest lacks an operating
        point.
        """
        first = _comparator(fast.operating_point, fast)
        if not strong:
            return cls(first)
        trunk = strong[0]
        return cls(first, _comparator(trunk.operating_point, *strong), _comparator(trunk.joint_point, fast, *strong))

    @property
    def documented(self) -> Comparator:
        """That of the published document's endpoints."""
        return self.strong or self.fast

    @property
    def own(self) -> Comparator:
        """That of comparisons of two pictures that the document does not name."""
        return self.both or self.fast

    @property
    def strong_model(self) -> str | None:
        """The sha256 that templates name the strong embedder by; None where that is not in use."""
        return self.strong.model if self.strong else None

    def every(self) -> list[Comparator]:
        """All that are in use."""
        return [each for each in (self.fast, self.strong, self.both) if each]


def _comparator(point: OperatingPoint | None, *files: ModelFile) -> Comparator:
    """Of one file it has the sha256; several have one of their own together, because each of them changes the score."""
    if point is None:
        raise ModelError(f"{files[0].file}: the manifest has no operating point for it")
    digests = [file.sha256 for file in files]
    model = digests[0] if len(files) == 1 else hashlib.sha256("".join(digests).encode()).hexdigest()
    names = dict.fromkeys(file.name.partition(",")[0] for file in files)
    return Comparator(model, " + ".join(names), " + ".join(file.file for file in files), point)


def weakest_link(embeddings: Sequence[Embedding]) -> float:
    """The cosine of the weakest of the links that connect all embeddings (single linkage: an edge of their greatest spanning
    tree). A head that turns from frame to frame keeps every link strong, though the first and the last frame differ. Raises
    ValueError when an embedding is not finite.
    """
    cosines = np.array(embeddings) @ np.array(embeddings).T
    if not np.isfinite(cosines).all():
        raise ValueError("an embedding is not finite")
    connected, weakest = [0], 1.0
    while others := [number for number in range(len(embeddings)) if number not in connected]:
        links = cosines[np.ix_(connected, others)].max(axis=0)
        connected.append(others[int(links.argmax())])
        weakest = min(weakest, float(links.max()))
    return weakest


def similarity(cosine: float, threshold: float, shipped: float) -> float:
    """The similarity, 0..1, of a cosine (-1..1) when `threshold` is the operating point (exactly 0.5 there).

    Either side of the shipped curve, a logistic one about `shipped`, is stretched to meet at `threshold`: it stays
    continuous and rising, and its ends at the cosines -1 and 1 stay where they are. Both points lie inside -1..1.
    """
    end = float(np.copysign(1.0, cosine - threshold))
    margin = (float(np.clip(cosine, -1, 1)) - threshold) * ((end - shipped) / (end - threshold))
    return 1 / (1 + float(np.exp(-SLOPE * margin)))
