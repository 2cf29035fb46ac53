"""Embeddings of two networks in one vector: the fast one's 512 numbers, then the strong one's 128, each of unit length."""

from collections.abc import Iterable

import numpy as np

from appliance.face.types import Embedding

FAST, STRONG = 512, 128
"""Numbers of each network's embedding (models/CARDS.md)."""

SHARES = (1 / 3, 2 / 3)
"""Of the fast and of the strong network's cosine in the score of both: of one that errs less the larger share. With 1 : 1.5 and
1 : 2 the same pairs of LFW are told apart as well.
"""


def joined(fast: Embedding, strong: Embedding) -> Embedding:
    """The embeddings of one face by both networks as one vector (640)."""
    return np.concatenate([fast, strong])


def parts(embedding: Embedding) -> tuple[Embedding, ...]:
    """The embedding of each network: of the fast one (512), or of both (512 and 128)."""
    return (embedding,) if embedding.size <= FAST else (embedding[:FAST], embedding[FAST:])


def scaled(embedding: Embedding, factors: Iterable[float]) -> Embedding:
    """The embedding of both networks with each one's numbers multiplied by a factor."""
    pairs = zip(parts(embedding), factors, strict=True)
    return np.concatenate([part * np.float32(factor) for part, factor in pairs])


def weighted(embedding: Embedding) -> Embedding:
    """As a vector of unit length whose dot product with another one is the score of two faces: their cosine, or with both
    networks the sum of their cosines by SHARES.
    """
    return embedding if embedding.size <= FAST else scaled(embedding, np.sqrt(SHARES))
