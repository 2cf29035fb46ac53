"""The strong network is asked where the fast one is not sure, and what it says counts there."""

from datetime import UTC, datetime

import numpy as np
import pytest

from appliance.access.identify import ABOVE, BELOW, Identifier, Impostors, Likeness
from appliance.access.observe import identified
from appliance.face.embedding import joined
from appliance.face.types import AlignedFace, Box
from appliance.gallery.gallery import Gallery
from appliance.gallery.people import Person, Source, new_reference
from appliance.gallery.search import Outcome, Point, Tail
from appliance.gallery.vault import SiteKey
from appliance.vision.engine import Examined
from appliance.vision.liveness import Liveness
from appliance.vision.quality import Quality

MODEL, STRONG = "ab" * 32, "cd" * 32

FAST = Impostors(Tail(0.42, 1e-3, 0.04), Point(0.32, 1e-2))
BOTH = Impostors(Tail(0.38, 1e-3, 0.03), Point(0.31, 1e-2))
"""`identifier` wants the rate at which both tails start, so that searches identify from .42 and .38."""

LEAST = 0.42


def vector(size, **cosines):
    """A unit vector with these cosines to the axes `e0`, `e1`, …"""
    made = np.zeros(size, np.float32)
    for name, cosine in cosines.items():
        made[int(name[1:])] = cosine
    made[size - 1] = np.sqrt(1 - np.square(made).sum())
    return made


def fast(**cosines):
    return vector(512, **cosines)


def both(strong, **cosines):
    return joined(fast(**cosines), vector(128, **strong))


@pytest.fixture
def gallery(tmp_path):
    opened = Gallery(tmp_path / "gallery.db", SiteKey(bytes(range(32))))
    yield opened
    opened.close()


def enrol(gallery, identity, axis, *, strong=True):
    now = datetime.now(UTC).replace(microsecond=0)
    person = gallery.add(Person(identity, identity, (), None, None, new_reference(), now)).person
    name = f"e{axis}"
    embedding = both({name: 1}, **{name: 1}) if strong else fast(**{name: 1})
    gallery.enrol(identity, embedding, MODEL, 0.8, Source.PHOTO, None, STRONG if strong else None)
    return person


def identifier(gallery, fpir=0.001):
    return Identifier(gallery, FAST, fpir * gallery.templates, 0.05, BOTH)


class SecondLook:
    def __init__(self, answer):
        self.answer, self.asked = answer, 0

    def __call__(self):
        self.asked += 1
        return self.answer


@pytest.mark.parametrize(
    ("cosine", "asked"),
    [(LEAST - BELOW - 0.01, 0), (LEAST - BELOW + 0.01, 1), (LEAST + ABOVE - 0.01, 1), (LEAST + ABOVE + 0.01, 0)],
)
def test_it_is_asked_within_the_band_alone(gallery, cosine, asked):
    enrol(gallery, "ada", 0)
    look = SecondLook(both({"e0": 0.9}, e0=cosine))
    found = identifier(gallery).identify(fast(e0=cosine), look)
    assert look.asked == asked
    assert (found.outcome is Outcome.IDENTIFIED) == (asked == 1 or cosine > LEAST)


def test_what_it_says_counts_in_either_direction(gallery):
    ada = enrol(gallery, "ada", 0)
    search = identifier(gallery)
    found = search.identify(fast(e0=0.35), SecondLook(both({"e0": 0.5}, e0=0.35)))
    assert (found.person, found.cosine) == (ada, pytest.approx((0.35 + 2 * 0.5) / 3, abs=1e-5))
    assert search.identify(fast(e0=0.47), SecondLook(both({"e0": 0.1}, e0=0.47))).person is None


def test_half_of_the_similarity_is_the_threshold_of_whichever_was_asked(gallery):
    enrol(gallery, "ada", 0)
    look = SecondLook(both({"e0": 0.38}, e0=0.38))
    assert identifier(gallery).identify(fast(e0=0.38), look).similarity == pytest.approx(0.5, abs=1e-3)


def test_a_template_without_a_strong_embedding_keeps_the_fast_threshold(gallery):
    ada = enrol(gallery, "ada", 0, strong=False)
    enrol(gallery, "bea", 1)
    search = identifier(gallery)
    for cosine, person in ((LEAST - 0.005, None), (LEAST + 0.005, ada)):
        look = SecondLook(both({}, e0=cosine))
        assert search.identify(fast(e0=cosine), look).person == person
        assert look.asked == 1


def test_without_the_strong_network_nothing_is_asked(gallery):
    enrol(gallery, "ada", 0)
    look = SecondLook(None)
    assert Identifier(gallery, FAST, 0.001, 0.05).identify(fast(e0=LEAST + 0.001), look).person is not None
    assert look.asked == 0


def test_two_pictures_are_compared_by_both(gallery):
    ada = enrol(gallery, "ada", 0)
    search = identifier(gallery)
    assert search.matches(both({"e0": 0.4}, e0=0.2), ada)
    assert not search.matches(both({"e0": 0.2}, e0=0.4), ada)
    assert search.matches(fast(e0=0.33), ada)
    assert not search.matches(fast(e0=0.31), ada)


def test_so_are_duplicates_and_look_alikes(gallery):
    ada, bea, cleo = (enrol(gallery, name, axis, strong=axis < 2) for axis, name in enumerate(("ada", "bea", "cleo")))
    search = identifier(gallery)
    assert search.alike(both({"e0": 0.6, "e1": 0.4}, e0=0.2, e1=0.2, e2=0.33)) == [
        (ada, Likeness.DUPLICATE),
        (bea, Likeness.LOOK_ALIKE),
        (cleo, Likeness.LOOK_ALIKE),
    ]


class Engine:
    """Gives each frame the strong embedding of the test's choice, by the number in its first pixel."""

    def __init__(self, *embeddings):
        self.embeddings, self.asked = embeddings, []

    def feature_of_both(self, face, known):
        number = int(face.pixels[0, 0, 0])
        self.asked.append(number)
        return joined(known, self.embeddings[number])


class Known:
    def __init__(self, search):
        self.identifier = search


def decided(gallery, frames, strong, qualities=(1.0, 0.9, 0.8, 0.7)):
    engine = Engine(*strong)
    pictures = tuple(AlignedFace(Box(0, 0, 112, 112), np.full((112, 112, 3), number, np.uint8)) for number in range(4))
    worth = tuple(Quality(each, 1.0, 1.0, 1.0, 1.0) for each in qualities)
    examined = Examined(Liveness(0.9, 3.0, 3.0, 0.0, False, False, False, False), True, tuple(frames), worth, pictures)
    outcome, person = identified(engine, examined, Known(identifier(gallery)))
    return outcome, person and person.id, engine.asked


def test_a_decision_asks_it_of_the_two_best_frames(gallery):
    enrol(gallery, "ada", 0)
    alike = vector(128, e0=0.6)
    found = decided(gallery, [fast(e0=0.36)] * 4, [alike] * 4, (0.7, 1.0, 0.8, 0.9))
    assert found == (Outcome.IDENTIFIED, "ada", [1, 3])


def test_it_is_asked_of_a_frame_that_does_not_agree_by_the_fast_one(gallery):
    enrol(gallery, "ada", 0)
    strong = [vector(128, e0=0.6)] * 4
    outcome, person, asked = decided(gallery, [fast(e0=0.42)] * 3 + [fast(e0=0.2)], strong)
    assert (outcome, person, sorted(asked)) == (Outcome.IDENTIFIED, "ada", [0, 1, 3])


def test_a_frame_that_agrees_by_neither_is_another_person_s(gallery):
    enrol(gallery, "ada", 0)
    enrol(gallery, "bea", 1)
    strong = [vector(128, e0=0.6)] * 3 + [vector(128, e0=0.2, e1=0.6)]
    frames = [fast(e0=0.44)] * 3 + [fast(e0=0.3, e1=0.4)]
    assert decided(gallery, frames, strong)[:2] == (Outcome.UNKNOWN, None)
