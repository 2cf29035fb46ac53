"""Whether four frames show one person: by the weakest link between their embeddings."""

import csv
from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.face.types import DetectLimits
from appliance.imaging.codec import EncodedPicture
from appliance.vision.embedder import weakest_link

MOST_MISSED = 0.01
"""Of the sequences in which one or two frames are another person's, by the fast network alone; measured: .4 %."""


def at(*degrees):
    """Unit vectors in a plane: the cosine of two is that of the angle between them."""
    angles = np.radians(degrees)
    return list(np.stack([np.cos(angles), np.sin(angles)], axis=1))


def test_a_head_that_turns_step_by_step_is_as_good_as_its_widest_step():
    assert weakest_link(at(0, 20, 45, 60)) == pytest.approx(np.cos(np.radians(25)))


@pytest.mark.parametrize("place", range(4))
def test_one_that_is_like_no_other_is_the_weakest_link(place):
    degrees = [0, 5, 10]
    degrees.insert(place, 90)
    assert weakest_link(at(*degrees)) == pytest.approx(np.cos(np.radians(80)))


def test_two_and_two_are_as_good_as_what_connects_them():
    assert weakest_link(at(0, 80, 5, 85)) == pytest.approx(np.cos(np.radians(75)))


@given(st.lists(st.floats(0, 180), min_size=2, max_size=6), st.randoms())
def test_the_order_does_not_matter_and_it_lies_between_the_least_and_the_greatest_pair(degrees, chance):
    vectors = at(*degrees)
    pairs = [float(a @ b) for number, a in enumerate(vectors) for b in vectors[:number]]
    found = weakest_link(vectors)
    assert min(pairs) - 1e-9 <= found <= max(pairs) + 1e-9
    chance.shuffle(vectors)
    assert weakest_link(vectors) == pytest.approx(found)


def test_embeddings_that_are_not_finite_are_no_answer():
    with pytest.raises(ValueError, match="finite"):
        weakest_link([np.full(4, np.nan)] * 4)


NO_ONE_FACE = {"nuaa_print_0006_53_0", "nuaa_print_0008_75_0", "nuaa_print_0001_3_0", "clip4_replay_87"}
"""Attacks in which another face, or none, is the largest in one of the frames."""

REPLAYED = {"clip3": "clip1", "clip5": "clip6", "clip7": "clip8"}
"""Subjects of replays who are also the subject of a real video."""


@pytest.fixture(scope="module")
def sequences(data, engine, thorough):
    """Person and portraits of each development sequence with an upright face in all its frames; by day of every third."""
    found = []
    with (data / "liveness" / "sequences.csv").open(encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["sequence"] not in NO_ONE_FACE]
    for row in rows if thorough else rows[::3]:
        files = [data / "liveness" / row["sequence"] / f"{number}.jpg" for number in range(1, 5)]
        pictures = [EncodedPicture(file.read_bytes(), 10**8) for file in files]
        faces = [engine.detect(picture, DetectLimits(count=1)) for picture in pictures]
        if all(each and each[0].upright for each in faces):
            portraits = [engine.portray(picture, each)[0] for picture, each in zip(pictures, faces, strict=True)]
            found.append((REPLAYED.get(row["subject"], row["subject"]), portraits))
    return found


@pytest.mark.data
@pytest.mark.timeout(600)
def test_every_sequence_of_one_person_is_and_no_mixed_one_is(engine, sequences, thorough):
    def by_fast(portraits):
        return engine.one_person([each.embedding for each in portraits])

    def by_both(portraits):
        return engine.one_person([each.embedding for each in portraits], [each.aligned for each in portraits])

    assert len(sequences) > (110 if thorough else 35)
    assert [person for person, frames in sequences if not by_both(frames)] == []
    mixes = [
        mixed
        for (person, theirs), (another, others) in product(sequences, sequences)
        if person != another
        for mixed in (
            *([*theirs[:place], others[place], *theirs[place + 1 :]] for place in range(4)),
            [*theirs[:2], *others[2:]],
        )
    ]
    missed = [mixed for mixed in mixes if by_fast(mixed)]
    print(f"{len(sequences)} of one person; of {len(mixes)} mixed sequences {len(missed)} pass by the fast network")
    assert 0 < len(missed) <= MOST_MISSED * len(mixes)
    assert [mixed for mixed in missed if by_both(mixed)] == []
