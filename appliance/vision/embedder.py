"""Who is it? A MobileFaceNet-class network (models/CARDS.md), compared by cosine."""

from collections.abc import Sequence

import numpy as np

from appliance.face.types import AlignedFace, Embedding
from appliance.vision.manifest import SHIPPED, ModelError, Thresholds
from appliance.vision.runtime import Runs

SIZE = 512
"""Numbers of an embedding."""

SLOPE = 23.0
"""Steepness of the similarity over the cosine: logistic regression on the 1,000 development pairs gives 23.2."""

LINK = 0.11
"""By how much the weakest link of frames that show one person exceeds the operating point for two pictures, which makes it a
cosine of .45. Of the 113 development sequences of one person none is below that, with int8 and float16 (lowest .49; bound of
the share, 95 %: 2.6 %). Of the 58,820 in which one or two frames are another person's, by the same camera, 1.0 % are above it.
The operating point itself, required of every pair, capped one of the 59 live people, whose head turned, and missed 2.0 %.
"""


class Embedder:
    """Turns an aligned face into an embedding, and two embeddings into a similarity."""

    def __init__(self, network: Runs) -> None:
        """Raises ModelError when the manifest gives the model no operating point."""
        if network.file.operating_point is None:
            raise ModelError(f"{network.file.file}: the manifest has no operating_point for it")
        self._network = network
        self._shipped = network.file.operating_point.cosine

    def embed(self, face: AlignedFace) -> Embedding:
        """The face's embedding: 512 float32 of unit length."""
        (vector,) = self._network.run(face.pixels)
        return vector / np.linalg.norm(vector)

    def similarity(self, a: Embedding, b: Embedding, thresholds: Thresholds = SHIPPED) -> float:
        """How alike two embeddings are, 0..1, rising with their cosine; 0.5 is the operating point: this device's in
        `thresholds`, else the shipped one (FMR 0.1 %). Raises ValueError when an embedding is not finite.
        """
        cosine = float(a @ b)
        if not np.isfinite(cosine):
            raise ValueError("an embedding is not finite")
        return similarity(cosine, thresholds.get(self._network.file.sha256, self._shipped), self._shipped)

    def one_person(self, embeddings: Sequence[Embedding]) -> bool:
        """Whether frames of a second or two show one person. Raises ValueError when an embedding is not finite."""
        return weakest_link(embeddings) >= self._shipped + LINK


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
