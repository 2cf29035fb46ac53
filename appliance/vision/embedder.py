"""Who is it? A MobileFaceNet-class network (models/CARDS.md), compared by cosine."""

import numpy as np

from appliance.face.types import AlignedFace, Embedding
from appliance.vision.manifest import SHIPPED, ModelError, Thresholds
from appliance.vision.runtime import Runs

SLOPE = 23.0
"""Steepness of the similarity over the cosine: logistic regression on the 1,000 development pairs gives 23.2."""


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


def similarity(cosine: float, threshold: float, shipped: float) -> float:
    """The similarity, 0..1, of a cosine (-1..1) when `threshold` is the operating point (exactly 0.5 there).

    Either side of the shipped curve, a logistic one about `shipped`, is stretched to meet at `threshold`: it stays
    continuous and rising, and its ends at the cosines -1 and 1 stay where they are. Both points lie inside -1..1.
    """
    end = float(np.copysign(1.0, cosine - threshold))
    margin = (float(np.clip(cosine, -1, 1)) - threshold) * ((end - shipped) / (end - threshold))
    return 1 / (1 + float(np.exp(-SLOPE * margin)))
