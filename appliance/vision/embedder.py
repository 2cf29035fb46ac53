"""Who is it? A MobileFaceNet-class network (models/CARDS.md), compared by cosine."""

import numpy as np

from appliance.face.types import AlignedFace, Embedding
from appliance.vision.runtime import Runs
from appliance.vision.store import ModelError

SLOPE = 23.0
"""Steepness of the similarity over the cosine: logistic regression on the 1,000 development pairs gives 23.2."""


class Embedder:
    """Turns an aligned face into an embedding, and two embeddings into a similarity."""

    def __init__(self, network: Runs) -> None:
        """Raises ModelError when the manifest gives the model no operating point."""
        if network.file.operating_point is None:
            raise ModelError(f"{network.file.file}: the manifest has no operating_point for it")
        self._network = network
        self._threshold = network.file.operating_point.cosine

    def embed(self, face: AlignedFace) -> Embedding:
        """The face's embedding: 512 float32 of unit length."""
        (vector,) = self._network.run(face.pixels)
        return vector / np.linalg.norm(vector)

    def similarity(self, a: Embedding, b: Embedding) -> float:
        """How alike two embeddings are, 0..1, rising with their cosine; 0.5 is the operating point (FMR 0.1 %).

        Raises ValueError when an embedding is not finite.
        """
        cosine = float(a @ b)
        if not np.isfinite(cosine):
            raise ValueError("an embedding is not finite")
        return 1 / (1 + float(np.exp(-SLOPE * (cosine - self._threshold))))
