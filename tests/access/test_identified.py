"""Who is in four frames: the mean says it, and each frame alone must say the same."""

from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
import pytest

from appliance.access.identify import Identifier, Impostors
from appliance.access.observe import identified
from appliance.face.types import AlignedFace, Box
from appliance.gallery.gallery import Gallery
from appliance.gallery.people import Person, Source, new_reference
from appliance.gallery.search import Point, Tail
from appliance.gallery.vault import SiteKey
from appliance.vision.engine import Examined
from appliance.vision.liveness import Liveness
from appliance.vision.quality import Quality

MODEL = "ab" * 32

LEAST = 0.3

ALIVE = Liveness(0.9, 3.0, 3.0, 0.0, False, False, False, False)

GOOD = Quality(1.0, 1.0, 1.0, 1.0, 1.0)

BLANK = AlignedFace(Box(0, 0, 112, 112), np.zeros((112, 112, 3), np.uint8))

AXES = np.eye(512, dtype=np.float32)


def unit(*parts):
    """A mixture of axes, so much of each."""
    vector = sum(share * AXES[number] for number, share in enumerate(parts))
    return (vector / np.linalg.norm(vector)).astype(np.float32)


FAST = Impostors(Tail(0.4, 0.005, 0.01), Point(LEAST, 0.05))
"""Two templates and an FPIR of .01 make the threshold of the search .4."""


class FastAlone:
    """An engine without the strong network."""

    def feature_of_both(self, face, fast):
        return fast


@dataclass
class Recognition:
    """A real gallery and search."""

    identifier: Identifier


@pytest.fixture
def recognition(tmp_path):
    """Ada is the first axis, Bea the second."""
    gallery = Gallery(tmp_path / "gallery.db", SiteKey(bytes(range(32))))
    for number, name in enumerate(("ada", "bea")):
        gallery.add(Person(name, name, (), None, None, new_reference(), datetime.now(UTC)))
        gallery.enrol(name, AXES[number], MODEL, 1.0, Source.PHOTO)
    yield Recognition(Identifier(gallery, FAST, 0.01, 0.05))
    gallery.close()


def who(recognition, *embeddings, one_person=True):
    examined = Examined(ALIVE, one_person, tuple(embeddings), (GOOD,) * 4, (BLANK,) * 4)
    outcome, person = identified(FastAlone(), examined, recognition)
    return outcome.value, person and person.id


ADA = unit(1.0, 0.1, 0.5)


def test_four_times_the_same(recognition):
    assert who(recognition, *[ADA] * 4) == ("identified", "ada")


def test_no_face(recognition):
    assert who(recognition, *[unit(0.1, 0.1, 1.0)] * 4) == ("unknown", None)


def test_two_who_are_too_alike(recognition):
    assert who(recognition, *[unit(1.0, 0.98, 0.5)] * 4) == ("ambiguous", None)


def test_embeddings_of_different_people_identify_no_one(recognition):
    assert who(recognition, *[ADA] * 4, one_person=False) == ("unknown", None)


@pytest.mark.parametrize("place", range(4))
def test_a_frame_that_is_more_like_another(recognition, place):
    frames = [ADA] * 4
    frames[place] = unit(0.6, 0.8, 0.5)  # alike enough to be one person's with the others
    assert frames[place] @ ADA > LEAST
    assert who(recognition, *frames) == ("unknown", None)


@pytest.mark.parametrize("place", range(4))
def test_a_frame_that_is_not_like_the_person(recognition, place):
    frames = [ADA] * 4
    frames[place] = unit(0.28, 0.0, 0.96)
    assert frames[place] @ ADA > LEAST
    assert who(recognition, *frames) == ("unknown", None)


@pytest.mark.parametrize("place", range(4))
def test_a_frame_that_is_just_like_the_person(recognition, place):
    frames = [ADA] * 4
    frames[place] = unit(0.32, 0.0, 0.947)
    assert who(recognition, *frames) == ("identified", "ada")
