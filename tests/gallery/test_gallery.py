"""Who is known: added, changed, enrolled, found and erased, and the same after the gallery was opened anew."""

import stat
import threading
from dataclasses import replace
from datetime import UTC, date, datetime

import numpy as np
import pytest
from strangers import MODEL, OTHER_MODEL, enrolled, face, somebody

from appliance.gallery import gallery as gallery_module
from appliance.gallery.gallery import Gallery
from appliance.gallery.people import (
    InvalidPersonError,
    NoSuchPersonError,
    NoSuchTemplateError,
    OnConflict,
    OtherEmbedderError,
    PersonExistsError,
    Source,
    TooManyError,
)


def test_a_new_gallery_is_empty_and_its_owners_alone(gallery, path):
    assert (gallery.people(), gallery.templates, gallery.embedder(), gallery.problem()) == ((), 0, None, None)
    assert gallery.ranking(face(1)) == []
    for file in path.parent.iterdir():
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_people_are_there_by_id_and_by_reference(gallery):
    people = [somebody(identity, name) for identity, name in (("b", "Bo"), ("a", "Åse"), ("A-1", "李雷"))]
    for person in people:
        assert gallery.add(person).person == person
    assert [known.person.id for known in gallery.people()] == ["A-1", "a", "b"]
    for person in people:
        assert gallery.person(person.id).person == person
        assert gallery.named(person.reference).person == person
    assert gallery.named("0" * 16) is None
    with pytest.raises(NoSuchPersonError):
        gallery.person("c")


def test_a_second_one_with_an_id_or_a_reference_is_refused(gallery):
    first = gallery.add(somebody("a")).person
    with pytest.raises(PersonExistsError):
        gallery.add(somebody("a"))
    with pytest.raises(InvalidPersonError, match="reference"):
        gallery.add(replace(somebody("b"), reference=first.reference))
    assert [known.person for known in gallery.people()] == [first]


def test_who_cannot_be_kept_is_refused(gallery):
    gallery.add(somebody("a"))
    with pytest.raises(InvalidPersonError, match="name"):
        gallery.add(somebody("b", " "))
    with pytest.raises(InvalidPersonError, match="groups"):
        gallery.change("a", {"groups": ("a b",)})
    assert len(gallery.people()) == 1


def test_a_person_s_details_change_and_the_rest_stays(gallery, path, key):
    reference = enrolled(gallery, "a", 1)
    created = gallery.person("a").person.created
    said = somebody("a", "Another", groups=("x", "y"), valid_from=date(2026, 1, 2), valid_until=date(2026, 3, 4))
    fields = {name: getattr(said, name) for name in ("name", "groups", "valid_from", "valid_until")}
    changed = gallery.change("a", fields)
    assert changed.person == replace(said, reference=reference, created=created)
    assert len(changed.templates) == 1
    gallery.close()
    again = Gallery(path, key)
    assert again.people() == (changed,)
    with pytest.raises(NoSuchPersonError):
        again.change("b", {"name": "B"})
    again.close()


def test_templates_are_searched_and_say_what_they_are(gallery):
    references = [enrolled(gallery, identity, *seeds) for identity, *seeds in (("a", 1, 2), ("b", 3), ("c",))]
    template = gallery.enrol("b", face(4), MODEL, 0.5, Source.CAMERA, b"picture")
    assert (template.number, template.model, template.quality, template.source) == (4, MODEL, 0.5, Source.CAMERA)
    assert template.pictured
    assert gallery.person("b").templates[-1] == template
    assert gallery.templates == 4
    assert gallery.embedder() == MODEL
    for seed, reference in ((1, 0), (2, 0), (3, 1), (4, 1)):
        best, second = gallery.ranking(face(seed))
        assert (best.reference, best.cosine) == (references[reference], pytest.approx(1, abs=1e-5))
        assert second.reference == references[1 - reference]
        assert second.cosine < 0.3
    assert len(gallery.ranking(face(1), 10)) == 2
    assert len(gallery.ranking(face(1), 1)) == 1


def test_cosines_are_those_of_the_embeddings_themselves(gallery):
    enrolled(gallery, "a", 1, 2)
    query = face(9)
    assert gallery.ranking(query)[0].cosine == pytest.approx(max(query @ face(1), query @ face(2)), abs=1e-6)


def test_a_person_and_the_gallery_have_their_most(path, key):
    gallery = Gallery(path, key, most_templates=2)
    enrolled(gallery, "a", 1, 2)
    with pytest.raises(TooManyError, match="2 templates already"):
        gallery.enrol("a", face(3), MODEL, 0.5, Source.PHOTO)
    assert gallery.templates == 2
    gallery.close()


def test_enrolment_needs_a_person_and_a_face(gallery):
    enrolled(gallery, "a")
    with pytest.raises(NoSuchPersonError):
        gallery.enrol("b", face(1), MODEL, 0.5, Source.PHOTO)
    for wrong in (face(1)[:511], face(1) * 2, face(1) * np.float32(np.nan), np.zeros(512, np.float32)):
        with pytest.raises(ValueError, match="unit length"):
            gallery.enrol("a", wrong, MODEL, 0.5, Source.PHOTO)
    assert gallery.templates == 0


def test_another_embedder_is_refused_with_what_to_do(gallery):
    gallery.check_embedder(OTHER_MODEL)
    enrolled(gallery, "a", 1)
    gallery.check_embedder(MODEL)
    for act in (gallery.check_embedder, lambda model: gallery.enrol("a", face(2), model, 0.5, Source.PHOTO)):
        with pytest.raises(OtherEmbedderError, match="appliance people renew"):
            act(OTHER_MODEL)
    gallery.forget("a", 1)
    assert gallery.embedder() is None
    assert gallery.enrol("a", face(2), OTHER_MODEL, 0.5, Source.PHOTO).number == 2


def test_a_template_is_forgotten(gallery):
    reference = enrolled(gallery, "a", 1, 2)
    with pytest.raises(NoSuchTemplateError):
        gallery.forget("a", 3)
    with pytest.raises(NoSuchPersonError):
        gallery.forget("b", 1)
    assert [template.number for template in gallery.forget("a", 1).templates] == [2]
    assert gallery.ranking(face(1))[0].cosine < 0.3
    assert gallery.ranking(face(2))[0].reference == reference


def test_a_template_belongs_to_its_person(gallery):
    enrolled(gallery, "a", 1)
    enrolled(gallery, "b", 2)
    with pytest.raises(NoSuchTemplateError):
        gallery.forget("a", 2)
    assert gallery.templates == 2


def test_an_erased_person_is_gone(gallery):
    reference = enrolled(gallery, "a", 1, 2)
    enrolled(gallery, "b", 3)
    gallery.note_passage(reference, "in", datetime.now(UTC))
    erasure = gallery.erase("a")
    assert (erasure.reference, erasure.templates, erasure.complete) == (reference, 2, True)
    assert (datetime.now(UTC) - erasure.time).total_seconds() < 60
    assert [known.person.id for known in gallery.people()] == ["b"]
    assert gallery.named(reference) is None
    assert gallery.last_passage(reference) is None
    assert [candidate.reference for candidate in gallery.ranking(face(1))] != [reference]
    assert gallery.templates == 1
    for act in (gallery.erase, gallery.person):
        with pytest.raises(NoSuchPersonError):
            act("a")


def test_numbers_are_never_given_twice(gallery):
    enrolled(gallery, "a", 1, 2)
    gallery.erase("a")
    enrolled(gallery, "a", 3)
    assert gallery.person("a").templates[0].number == 3


def test_the_last_passage_is_kept(gallery, path, key):
    reference = enrolled(gallery, "a")
    assert gallery.last_passage(reference) is None
    first, second = (datetime(2026, 1, day, 12, 30, 5, 123456, UTC) for day in (1, 2))
    version = gallery.version
    assert gallery.note_passage(reference, "in", first) is None
    assert gallery.note_passage(reference, "out", second) == ("in", first)
    assert gallery.last_passage(reference) == ("out", second)
    assert gallery.version == version
    with pytest.raises(NoSuchPersonError):
        gallery.note_passage("0" * 16, "in", first)
    again = Gallery(path, key)
    assert again.last_passage(reference) == ("out", second)
    again.take_back_passage(reference, ("out", second), ("in", first))
    assert again.last_passage(reference) == ("in", first)
    again.take_back_passage(reference, ("out", second), None)  # another one has come meanwhile
    assert again.last_passage(reference) == ("in", first)
    again.take_back_passage(reference, ("in", first), None)
    assert again.last_passage(reference) is None
    again.close()


def test_who_is_brought_back_is_still_on_their_side_of_the_door(gallery, path, key):
    reference, time = enrolled(gallery, "a", 1), datetime(2026, 1, 2, 12, tzinfo=UTC)
    enrolled(gallery, "b", 2)
    gallery.note_passage(reference, "in", time)
    exports = list(gallery.export())
    gallery.replace(exports)
    assert gallery.last_passage(reference) == ("in", time)
    gallery.merge(exports, OnConflict.REPLACE)
    assert gallery.last_passage(reference) == ("in", time)
    assert gallery.last_passage(gallery.person("b").person.reference) is None
    again = Gallery(path, key)
    assert again.last_passage(reference) == ("in", time)
    again.close()


def test_no_more_are_taken_in_than_a_gallery_may_hold(gallery, monkeypatch):
    enrolled(gallery, "a", 1, 2)
    exports = list(gallery.export())
    enrolled(gallery, "b", 3)
    monkeypatch.setattr(gallery_module, "MOST_TEMPLATES", 3)
    gallery.merge(exports, OnConflict.REPLACE)
    gallery.erase("a")
    enrolled(gallery, "c", 4)
    with pytest.raises(TooManyError, match="3 templates at most"):
        gallery.merge(exports)
    assert [known.person.id for known in gallery.people()] == ["b", "c"]


def test_everything_is_there_again_after_opening(gallery, path, key):
    for identity in ("a", "b"):
        enrolled(gallery, identity, hash(identity) % 1000, 5, picture=b"picture of " + identity.encode())
    gallery.close()
    again = Gallery(path, key)
    assert again.people() == gallery.people()
    assert again.ranking(face(5)) == gallery.ranking(face(5))
    assert (again.templates, again.embedder(), again.problem()) == (4, MODEL, None)
    again.close()


def test_pictures_are_kept_only_where_they_are_wanted(gallery, path, key):
    reference = enrolled(gallery, "a", 1, 2, picture=b"picture")
    assert list(gallery.pictures(reference)) == [(1, b"picture"), (2, b"picture")]
    gallery.close()
    again = Gallery(path, key)
    assert not again.enrol("a", face(3), MODEL, 0.5, Source.PHOTO, b"picture").pictured
    assert [number for number, _ in again.pictures(reference)] == [1, 2]
    assert list(again.pictures("0" * 16)) == []
    again.close()


def test_the_version_tells_of_changes(gallery):
    seen = [gallery.version]
    for act in (
        lambda: gallery.add(somebody("a")),
        lambda: gallery.change("a", {"name": "Another"}),
        lambda: gallery.enrol("a", face(1), MODEL, 0.5, Source.PHOTO),
        lambda: gallery.forget("a", 1),
        lambda: gallery.erase("a"),
    ):
        act()
        assert gallery.version not in seen
        seen.append(gallery.version)
    gallery.refresh()
    assert gallery.version == seen[-1]


def test_threads_enrol_and_search_at_once(gallery):
    failures = []

    def work(name):
        try:
            for number in range(10):
                enrolled(gallery, f"{name}{number}", number)
                gallery.ranking(face(number))
                if number % 3 == 0:
                    gallery.erase(f"{name}{number}")
        except BaseException as error:
            failures.append(error)
            raise

    threads = [threading.Thread(target=work, args=[name]) for name in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert len(gallery.people()) == gallery.templates == 4 * 6


def test_kept_pictures_are_embedded_again_by_another_embedder(gallery, path, key):
    references = [enrolled(gallery, identity, seed, picture=bytes([seed])) for identity, seed in (("a", 1), ("b", 2))]
    before = gallery.people()
    gallery.note_passage(references[0], "in", datetime(2026, 1, 2, 12, tzinfo=UTC))
    result = gallery.renew(OTHER_MODEL, lambda picture: face(100 + picture[0]))
    assert (result.renewed, result.left) == (2, ())
    assert gallery.embedder() == OTHER_MODEL
    gallery.check_embedder(OTHER_MODEL)
    for old, new, seed in zip(before, gallery.people(), (1, 2), strict=True):
        assert new.person == old.person
        assert new.templates == (replace(old.templates[0], number=seed + 2, model=OTHER_MODEL),)
        (best, _) = gallery.ranking(face(100 + seed))
        assert (best.reference, best.cosine) == (new.person.reference, pytest.approx(1, abs=1e-5))
        assert list(gallery.pictures(best.reference)) == [(seed + 2, bytes([seed]))]
    assert gallery.last_passage(references[0])[0] == "in"
    again = Gallery(path, key)
    assert (again.people(), again.ranking(face(101))) == (gallery.people(), gallery.ranking(face(101)))
    again.close()


def test_templates_without_pictures_are_left_and_not_compared(gallery):
    enrolled(gallery, "a", 1, picture=b"\1")
    enrolled(gallery, "b", 2)
    result = gallery.renew(OTHER_MODEL, lambda _: face(101))
    assert (result.renewed, result.left) == (1, ("b",))
    assert gallery.templates == 2
    assert [each.reference for each in gallery.ranking(face(2))] == [gallery.person("a").person.reference]
    assert gallery.renew(OTHER_MODEL, lambda _: face(101)).left == ("b",)


def test_a_failing_embedder_changes_nothing(gallery):
    enrolled(gallery, "a", 1, picture=b"\1")
    before = gallery.people()
    with pytest.raises(ValueError, match="unit length"):
        gallery.renew(OTHER_MODEL, lambda _: face(1) * np.float32(np.nan))
    assert gallery.people() == before
