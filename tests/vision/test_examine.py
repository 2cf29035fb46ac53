"""One look at four pictures: the same verdict as liveness alone gives, and everything it rests on, once each."""

import numpy as np
import pytest
from cameras import noisy
from devices import parts_of

from appliance.face.types import AlignedFace, DetectLimits, Embedding
from appliance.vision.engine import FaceEngine


class Counting:
    """A real embedder that counts its runs."""

    def __init__(self, embedder):
        self.runs = 0
        self._embedder = embedder

    def embed(self, face: AlignedFace) -> Embedding:
        self.runs += 1
        return self._embedder.embed(face)


@pytest.fixture
def sight(engine, photos, pictured):
    """Four pictures of a person, and a fifth of another, each with its face."""
    frames = [pictured(noisy(photos["hopper"])(number)) for number in range(4)]
    pictures = [*frames, pictured(photos["portrait"])]
    return pictures, [engine.detect(picture, DetectLimits(count=1))[0] for picture in pictures]


def test_the_same_verdict_and_what_it_rests_on(engine, sight):
    pictures, faces = (each[:4] for each in sight)
    found = engine.examine(pictures, faces)
    assert found.liveness == engine.liveness_of(pictures, faces)
    assert found.one_person
    for picture, face, embedding, quality in zip(pictures, faces, found.embeddings, found.qualities, strict=True):
        (aligned,) = engine.align(picture, DetectLimits(count=1))
        assert np.array_equal(embedding, engine.embed(aligned))
        assert quality == engine.quality(picture, face)


@pytest.mark.parametrize("place", range(4))
def test_another_person_in_any_of_them(engine, sight, place):
    pictures, faces = (list(each[:4]) for each in sight)
    pictures[place], faces[place] = sight[0][4], sight[1][4]
    found = engine.examine(pictures, faces)
    assert not found.one_person
    assert found.liveness.confidence <= 0.3


def test_nothing_is_done_twice(engine, sight):
    pictures, faces = (each[:4] for each in sight)
    embedder = Counting(parts_of(engine)["embedder"])
    FaceEngine(**{**parts_of(engine), "embedder": embedder}).examine(pictures, faces)
    assert embedder.runs == 4
