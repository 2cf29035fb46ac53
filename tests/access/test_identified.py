"""Who is in four frames: the mean says it, and each frame alone must say the same."""

from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
import pytest

from appliance.access.observe import identified
from appliance.gallery.gallery import Gallery
from appliance.gallery.people import Person, Source, new_reference
from appliance.gallery.search import Outcome, identify
from appliance.gallery.vault import SiteKey
from appliance.vision.engine import Examined
from appliance.vision.liveness import Liveness
from appliance.vision.quality import Quality

MODEL = "ab" * 32

LEAST = 0.3

ALIVE = Liveness(0.9, 3.0, 3.0, 0.0, False, False, False, False)

GOOD = Quality(1.0, 1.0, 1.0, 1.0, 1.0)

AXES = np.eye(512, dtype=np.float32)


def unit(*parts):
    """A mixture of axes, so much of each."""
    vector = sum(share * AXES[number] for number, share in enumerate(parts))
    return (vector / np.linalg.norm(vector)).astype(np.float32)


@dataclass
class Identification:
    outcome: Outcome
    person: Person | None


class Recognition:
    """A real gallery and search, at thresholds of the test's choice."""

    least = LEAST

    def __init__(self, gallery):
        self.gallery, self.identifier = gallery, self

    def identify(self, embedding):
        outcome, best = identify(self.gallery.ranking(embedding, 2), 0.4, 0.05)
        return Identification(outcome, self.gallery.named(best.reference).person if best else None)


@pytest.fixture
def recognition(tmp_path):
    """Ada is the first axis, Bea the second."""
    gallery = Gallery(tmp_path / "gallery.db", SiteKey(bytes(range(32))))
    for number, name in enumerate(("ada", "bea")):
        gallery.add(Person(name, name, (), None, None, new_reference(), datetime.now(UTC)))
        gallery.enrol(name, AXES[number], MODEL, 1.0, Source.PHOTO)
    yield Recognition(gallery)
    gallery.close()


def who(recognition, *embeddings, one_person=True):
    examined = Examined(ALIVE, one_person, tuple(embeddings), (GOOD,) * 4)
    outcome, person = identified(examined, recognition)
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
