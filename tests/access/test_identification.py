"""Who it is, in a real gallery: made-up faces at known cosines."""

from datetime import UTC, datetime

import numpy as np
import pytest

from appliance.access.identify import MOST_ALIKE, Identifier, Impostors, Likeness
from appliance.gallery.gallery import Gallery
from appliance.gallery.people import Person, Source, new_reference
from appliance.gallery.search import Outcome, Point, Tail
from appliance.gallery.vault import SiteKey

POINT = Point(0.34, 1e-3)
TAIL = Tail(0.34, 1e-3, 0.04)
MARGIN = 0.05
MODEL = "ab" * 32


def face(**parts):
    """A unit vector with these cosines to the faces that lie along the axes (`e0`, `e1`, …)."""
    vector = np.zeros(512, np.float32)
    for name, cosine in parts.items():
        vector[int(name[1:])] = cosine
    vector[511] = np.sqrt(1 - np.square(vector).sum())
    return vector


@pytest.fixture
def gallery(tmp_path):
    opened = Gallery(tmp_path / "gallery.db", SiteKey(bytes(range(32))))
    yield opened
    opened.close()


def enrol(gallery, identity, *vectors):
    now = datetime.now(UTC).replace(microsecond=0)
    person = gallery.add(Person(identity, identity.title(), (), None, None, new_reference(), now)).person
    for vector in vectors:
        gallery.enrol(identity, vector, MODEL, 0.8, Source.PHOTO, None)
    return person


def identifier(gallery, fpir=0.01):
    return Identifier(gallery, Impostors(TAIL, POINT), fpir, MARGIN)


def test_an_empty_gallery_has_no_match(gallery):
    found = identifier(gallery).identify(face(e0=1))
    assert (found.outcome, found.person, found.cosine, found.runner_up) == (Outcome.UNKNOWN, None, -1, None)
    assert found.similarity < 0.01


def test_a_known_person_is_identified_by_their_best_template(gallery):
    ada = enrol(gallery, "ada", face(e0=1), face(e1=1))
    enrol(gallery, "bea", face(e2=1))
    found = identifier(gallery).identify(face(e1=0.8, e2=0.3))
    assert (found.outcome, found.person) == (Outcome.IDENTIFIED, ada)
    assert found.cosine == pytest.approx(0.8, abs=1e-5)
    assert found.runner_up == pytest.approx(0.3, abs=1e-5)
    assert found.similarity > 0.99


def test_a_stranger_is_unknown_and_unnamed(gallery):
    enrol(gallery, "ada", face(e0=1))
    found = identifier(gallery).identify(face(e0=0.33))
    assert (found.outcome, found.person) == (Outcome.UNKNOWN, None)
    assert found.similarity < 0.5


def test_two_equally_similar_people_are_ambiguous_and_unnamed(gallery):
    enrol(gallery, "ada", face(e0=1))
    enrol(gallery, "bea", face(e1=1))
    found = identifier(gallery).identify(face(e0=0.62, e1=0.6))
    assert (found.outcome, found.person) == (Outcome.AMBIGUOUS, None)
    assert identifier(gallery).identify(face(e0=0.62, e1=0.56)).outcome is Outcome.IDENTIFIED


def test_the_threshold_rises_with_the_gallery_and_is_reported_as_half(gallery):
    enrol(gallery, "ada", face(e0=1))
    looking = identifier(gallery, fpir=0.001)
    before = looking.threshold
    assert looking.identify(face(e0=before + 0.001)).outcome is Outcome.IDENTIFIED
    enrol(gallery, "bea", *(face(e1=0.9, **{f"e{number}": 0.2}) for number in range(2, 7)))
    assert looking.threshold == pytest.approx(before + 0.04 * np.log(6))
    found = looking.identify(face(e0=before + 0.001))
    assert found.outcome is Outcome.UNKNOWN
    assert looking.identify(face(e0=looking.threshold)).similarity == pytest.approx(0.5, abs=1e-3)


def test_a_look_alike_is_reported_at_enrolment(gallery):
    ada, bea = enrol(gallery, "ada", face(e0=1)), enrol(gallery, "bea", face(e1=1))
    enrol(gallery, "cleo", face(e2=1))
    looking = identifier(gallery, fpir=0.001)
    new = face(e0=looking.threshold + 0.01, e1=0.345, e2=0.3)
    assert looking.alike(new) == [(ada, Likeness.DUPLICATE), (bea, Likeness.LOOK_ALIKE)]
    assert looking.alike(new, but=ada) == [(bea, Likeness.LOOK_ALIKE)]
    assert looking.alike(face(e3=1)) == []


def test_only_a_few_look_alikes_are_reported_without_the_person(gallery):
    people = [enrol(gallery, f"p{number}", face(e0=0.99 - number / 100)) for number in range(MOST_ALIKE + 3)]
    told = [person for person, _ in identifier(gallery).alike(face(e0=1), but=people[0])]
    assert told == people[1 : MOST_ALIKE + 1]


def test_an_embedding_that_is_not_finite_is_no_answer(gallery):
    enrol(gallery, "ada", face(e0=1))
    broken = np.full(512, np.nan, np.float32)
    for ask in (identifier(gallery).identify, identifier(gallery).alike):
        with pytest.raises(ValueError, match="finite"):
            ask(broken)


def test_who_is_erased_is_unknown_from_then_on(gallery):
    enrol(gallery, "ada", face(e0=1))
    enrol(gallery, "bea", face(e1=1))
    gallery.erase("ada")
    assert identifier(gallery).identify(face(e0=1)).person is None
