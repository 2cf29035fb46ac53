"""Templates of two networks: what is compared by both, what by the fast one alone, and that it stays so on the disk."""

from datetime import UTC, datetime

import numpy as np
import pytest
from strangers import MODEL, OTHER_MODEL, face, somebody

from appliance.face.embedding import joined
from appliance.gallery import records
from appliance.gallery.gallery import Gallery
from appliance.gallery.people import Source, Template
from appliance.gallery.vault import Rotation, SiteKey

STRONG, NEWER = "12" * 32, "34" * 32


def small(seed):
    """A unit vector as the strong network gives it."""
    vector = np.random.default_rng(seed).normal(size=128)
    return (vector / np.linalg.norm(vector)).astype(np.float32)


def both(seed):
    return joined(face(seed), small(seed))


def mixed(seed, other, share):
    """A unit vector near one face, by `share` towards another one."""
    vector = (1 - share) * face(seed) + share * face(other)
    return (vector / np.linalg.norm(vector)).astype(np.float32)


@pytest.fixture
def opened(tmp_path):
    galleries = []

    def made(**how):
        galleries.append(Gallery(tmp_path / "gallery.db", SiteKey(bytes(range(32))), **how))
        return galleries[-1]

    yield made
    for gallery in galleries:
        gallery.close()


def enrol(gallery, identity, embedding, strong=None, picture=None, model=MODEL):
    if identity not in {known.person.id for known in gallery.people()}:
        gallery.add(somebody(identity))
    return gallery.enrol(identity, embedding, model, 0.75, Source.PHOTO, picture, strong)


def ranked(gallery, embedding, handicap=0.0):
    names = {known.person.reference: known.person.id for known in gallery.people()}
    return {names[each.reference]: each.cosine for each in gallery.ranking(embedding, 9, handicap)}


def test_a_face_is_compared_by_both_or_by_the_fast_one_as_it_is_asked_for(opened):
    gallery = opened()
    enrol(gallery, "ada", both(1), STRONG)
    enrol(gallery, "bea", face(2))
    query = joined(mixed(1, 2, 0.3), small(3))
    fast = ranked(gallery, query[:512])
    assert fast == {
        "ada": pytest.approx(query[:512] @ face(1), abs=1e-6),
        "bea": pytest.approx(query[:512] @ face(2), abs=1e-6),
    }
    expected = (fast["ada"] + 2 * float(small(3) @ small(1))) / 3
    assert ranked(gallery, query, 0.05) == {
        "ada": pytest.approx(expected, abs=1e-6),
        "bea": pytest.approx(fast["bea"] - 0.05, abs=1e-6),
    }


def test_what_was_enrolled_is_compared_the_same_after_a_start_a_rotation_and_an_erasure(opened):
    gallery = opened()
    enrol(gallery, "ada", both(1), STRONG)
    number = enrol(gallery, "ada", both(2), STRONG).number
    enrol(gallery, "ada", face(3))
    enrol(gallery, "bea", both(4), STRONG)
    query = joined(mixed(1, 2, 0.4), small(1))
    before = pytest.approx(ranked(gallery, query, 0.1), abs=1e-5)
    assert ranked(opened(), query, 0.1) == before
    gallery.rotate()
    assert ranked(gallery, query, 0.1) == ranked(opened(), query, 0.1) == before
    gallery.forget("ada", number)
    assert ranked(gallery, query, 0.1) == before
    assert [each.strong for each in gallery.person("ada").templates] == [STRONG, None]


def test_the_part_of_another_strong_embedder_is_not_compared(opened):
    gallery = opened()
    enrol(gallery, "ada", both(1), STRONG)
    assert gallery.strong_embedder() == STRONG
    enrol(gallery, "bea", both(2), NEWER)
    assert gallery.strong_embedder() == NEWER
    for each in (gallery, opened()):
        assert ranked(each, both(1), 0.25)["ada"] == pytest.approx(0.75, abs=1e-5)
        assert ranked(each, both(2), 0.25)["bea"] == pytest.approx(1, abs=1e-5)


def test_renewal_adds_the_strong_part_where_a_picture_is_kept_and_names_the_others(opened):
    gallery = opened(keep_pictures=True)
    enrol(gallery, "ada", face(1), picture=b"1")
    enrol(gallery, "bea", face(2))
    enrol(gallery, "cleo", both(3), STRONG, picture=b"3")
    found = gallery.renew(MODEL, lambda picture: both(int(picture)), STRONG)
    assert (found.renewed, found.left, found.fast) == (1, (), ("bea",))
    assert ranked(gallery, both(1))["ada"] == pytest.approx(1, abs=1e-5)
    assert gallery.renew(MODEL, lambda picture: both(int(picture)), STRONG).renewed == 0
    assert gallery.renew(MODEL, lambda picture: face(int(picture))).renewed == 0
    assert gallery.renew(OTHER_MODEL, lambda picture: both(int(picture)), STRONG).left == ("bea",)


def test_an_archive_carries_both(opened):
    gallery = opened()
    enrol(gallery, "ada", both(1), STRONG)
    enrol(gallery, "bea", face(2))
    lines = [records.pack_export(each) for each in gallery.export()]
    ada, bea = (records.unpack_export(line) for line in lines)
    assert ada.templates[0].embedding == pytest.approx(both(1), abs=1e-6)
    assert (ada.templates[0].template.strong, bea.templates[0].template.strong) == (STRONG, None)
    for each in lines:
        for template in each["templates"]:
            del template["strong"], template["strong_embedding"]  # as an older program writes it
    assert records.unpack_export(lines[0]).templates[0].embedding == pytest.approx(face(1), abs=1e-6)


def test_a_row_of_a_program_without_the_strong_embedder_is_read_and_the_other_way_round():
    template = Template(0, MODEL, 0.5, Source.PHOTO, datetime.now(UTC), pictured=False)
    _, vector = records.unpack_template(records.pack_template(template, face(1)), 7, pictured=False)
    assert np.array_equal(vector, face(1))
    row = records.pack_template(Template(0, MODEL, 0.5, Source.PHOTO, template.created, False, STRONG), both(1))
    assert np.array_equal(np.frombuffer(row, "<f4", 512, 45), face(1))


@pytest.mark.parametrize(
    ("embedding", "strong"),
    [
        (both(1), None),
        (face(1), STRONG),
        (joined(face(1), 2 * small(1)), STRONG),
        (joined(2 * face(1), small(1)), STRONG),
    ],
)
def test_what_is_not_of_these_embedders_is_refused(opened, embedding, strong):
    gallery = opened()
    with pytest.raises(ValueError, match="unit length"):
        enrol(gallery, "ada", embedding, strong)


def test_each_part_is_rotated_by_a_matrix_of_its_own():
    rotation = Rotation(bytes(32))
    turned = rotation.apply(both(1))
    assert turned[:512] == pytest.approx(rotation.apply(face(1)), abs=1e-6)
    assert rotation.matrices[1] @ rotation.matrices[1].T == pytest.approx(np.eye(128), abs=1e-12)
    assert abs(float(rotation.matrices[1][:, 0] @ rotation.matrices[0][:128, 0])) < 0.5
    assert rotation.revert(turned) == pytest.approx(both(1), abs=1e-6)
