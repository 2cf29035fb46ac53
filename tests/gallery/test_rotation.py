"""The rotation: cosines stay, and what was turned by one is of no use with another."""

import hashlib

import numpy as np
import pytest
from strangers import face

from appliance.gallery.vault import Rotation, new_seed

ROTATION = Rotation(bytes(32))

KEPT = [-0.049505380005252286, -0.029847587684760177, 0.05220139457794076]


def test_it_is_orthogonal():
    assert np.abs(ROTATION.matrices[0] @ ROTATION.matrices[0].T - np.eye(512)).max() < 1e-12


def test_it_is_the_same_for_a_seed():
    assert np.abs(Rotation(bytes(32)).matrices[0] - ROTATION.matrices[0]).max() < 1e-12
    assert np.abs(Rotation(new_seed()).matrices[0] - ROTATION.matrices[0]).max() > 0.1


def test_it_is_what_was_written_to_disks_already():
    """A change here would make every gallery useless: the numbers are those of the first version."""
    assert ROTATION.matrices[0][0, :3] == pytest.approx(KEPT, abs=1e-12)


def test_its_numbers_are_spread_as_those_of_a_random_direction():
    """Each has mean 0 and variance 1/512; none of the directions is preferred."""
    assert abs(ROTATION.matrices[0].mean()) < 1e-3
    assert ROTATION.matrices[0].var() == pytest.approx(1 / 512, rel=0.02)
    assert abs(np.diag(ROTATION.matrices[0]).mean()) < 0.01


def test_cosines_stay():
    for one, other in ((1, 1), (1, 2), (3, 4)):
        before = face(one) @ face(other)
        assert ROTATION.apply(face(one)) @ ROTATION.apply(face(other)) == pytest.approx(before, abs=1e-6)


def test_it_can_be_turned_back():
    assert np.abs(ROTATION.revert(ROTATION.apply(face(1))) - face(1)).max() < 1e-6


def test_the_turned_is_like_neither_the_face_nor_what_another_rotation_makes_of_it():
    other = Rotation(hashlib.sha256(b"another site").digest())
    for seed in range(20):
        turned = ROTATION.apply(face(seed))
        assert abs(turned @ face(seed)) < 0.25  # 5.6 standard deviations of two random directions
        assert abs(turned @ other.apply(face(seed))) < 0.25


def test_a_renewed_one_is_as_if_it_had_been_turned_by_the_other():
    other = Rotation(b"\1" * 32)
    renewed = ROTATION.exchange(ROTATION.apply(face(1)), other)
    assert np.abs(renewed - other.apply(face(1))).max() < 1e-6


@pytest.mark.nightly
def test_a_hundred_renewals_leave_it_as_it_was():
    rotations, turned = [Rotation(bytes([number]) * 32) for number in range(5)], ROTATION.apply(face(1))
    before = ROTATION
    for number in range(100):
        turned, before = before.exchange(turned, rotations[number % 5]), rotations[number % 5]
    assert before.revert(turned) @ face(1) == pytest.approx(1, abs=1e-5)
