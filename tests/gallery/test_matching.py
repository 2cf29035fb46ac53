"""The search of the gallery, against a plain product of all templates, and under readers that go on while it changes."""

import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from appliance.gallery.search import MOST, Candidate, Index, Outcome, identify

ROUNDING = 2e-6
"""Two ways of summing up 512 float32 products of unit vectors."""

people = st.sampled_from([f"{number:016x}" for number in range(12)])
galleries = st.lists(people, max_size=40)
cosines = st.floats(-1, 1)


def vectors(count, seed=0):
    drawn = np.random.default_rng(seed).standard_normal((count, 512)).astype(np.float32)
    return drawn / np.linalg.norm(drawn, axis=1, keepdims=True)


def plain(rows, query):
    """Best cosine of each person, the slow way."""
    best = {}
    for reference, vector in rows:
        cosine = float(vector.astype(np.float64) @ query.astype(np.float64))
        best[reference] = max(cosine, best.get(reference, -2.0))
    return best


def agrees(index, rows, query, count):
    """The index ranks as the plain way does."""
    expected, found = plain(rows, query), index.ranking(query, count)
    assert len({each.reference for each in found}) == len(found) == min(count, len(expected))
    for candidate, cosine in zip(found, sorted(expected.values(), reverse=True), strict=False):
        assert candidate.cosine == pytest.approx(cosine, abs=ROUNDING)
        assert candidate.cosine == pytest.approx(expected[candidate.reference], abs=ROUNDING)


@given(galleries, st.integers(1, 14))
def test_people_are_ranked_by_their_best_template(owners, count):
    rows = list(zip(owners, vectors(len(owners)), strict=True))
    index = Index.build(rows)
    assert index.size == len(owners)
    agrees(index, rows, vectors(1, seed=1)[0], count)


def test_a_person_with_many_templates_hides_no_one():
    rows = [("many", each) for each in vectors(200)] + [("one", vectors(1, seed=3)[0]), ("two", vectors(1, seed=4)[0])]
    query = np.mean([vector for reference, vector in rows if reference == "many"], axis=0)
    assert {each.reference for each in Index.build(rows).ranking(query / np.linalg.norm(query), 3)} == {
        "many",
        "one",
        "two",
    }


def test_more_than_one_part_is_searched_and_changed():
    rows = [(f"{number % 5000}", vector) for number, vector in enumerate(vectors(2 * MOST + 7))]
    index = Index.build(rows)
    assert len(index.parts) == 3
    for number in (0, MOST - 1, MOST, 2 * MOST + 6):
        reference, query = rows[number]
        assert index.ranking(query)[0].reference == reference
        agrees(index, rows, query, 3)
    index = index.without("17").adding("new", rows[17][1])
    assert index.ranking(rows[17][1])[0] == Candidate("new", pytest.approx(1))
    assert index.size == len(rows) - 1


class ChangingGallery(RuleBasedStateMachine):
    """Whatever is added and left out, in whatever order, and from whichever state: each index keeps its own rows."""

    def __init__(self):
        super().__init__()
        self.states = [(Index(), [])]
        self.supply = iter(vectors(1000, seed=5))

    @rule(reference=people, which=st.integers(0, 50))
    def add(self, reference, which):
        index, rows = self.states[-1 - which % len(self.states)]
        vector = next(self.supply)
        self.states.append((index.adding(reference, vector), [*rows, (reference, vector)]))

    @precondition(lambda self: len(self.states) > 1)
    @rule(reference=people, which=st.integers(0, 50))
    def leave_out(self, reference, which):
        index, rows = self.states[-1 - which % len(self.states)]
        self.states.append((index.without(reference), [row for row in rows if row[0] != reference]))

    @invariant()
    def all_states_are_as_they_were(self):
        query = vectors(1, seed=6)[0]
        for index, rows in self.states:
            assert index.size == len(rows)
            agrees(index, rows, query, 3)


ChangingGallery.TestCase.settings = settings(max_examples=40, stateful_step_count=30, deadline=None)
TestChangingGallery = ChangingGallery.TestCase


def test_who_is_left_out_is_in_no_memory_of_the_next_index():
    secret, others = vectors(1, seed=9)[0], vectors(20)
    index = Index.build([("gone", secret), *(("stays", each) for each in others)]).without("gone")
    for part in index.parts:
        held = part._room.matrix[:512]
        assert not np.isclose(secret @ held, 1, atol=0.01).any()


def test_readers_see_the_whole_of_one_state_while_another_is_made():
    """Each state has one person with a template of its own, at 1.0; a reader must find exactly that of the index it took."""
    marks = vectors(300, seed=11)
    shown = [(Index.build([("start", marks[0])]), marks[0], "start")]
    wrong, done = [], threading.Event()

    def read():
        while not done.is_set():
            index, mark, reference = shown[-1]
            best = index.ranking(mark)[0]
            if best.reference != reference or abs(best.cosine - 1) > 1e-5:
                wrong.append((best, reference))

    readers = [threading.Thread(target=read) for _ in range(3)]
    for reader in readers:
        reader.start()
    try:
        for number, mark in enumerate(marks[1:], 1):
            index = shown[-1][0].adding(f"p{number}", mark)
            if number % 3 == 0:
                index = index.without(f"p{number - 1}")
            shown.append((index, mark, f"p{number}"))
    finally:
        done.set()
        for reader in readers:
            reader.join()
    assert wrong == []


@pytest.mark.parametrize(
    "vector",
    [np.zeros(511, np.float32), np.zeros((1, 512), np.float32), np.full(512, np.nan, np.float32), np.full(512, np.inf)],
)
def test_what_is_no_embedding_is_refused(vector):
    index = Index.build([("a", vectors(1)[0])])
    for act in (lambda: Index.build([("b", vector)]), lambda: index.adding("b", vector), lambda: index.ranking(vector)):
        with pytest.raises(ValueError, match="finite"):
            act()


def test_a_cosine_that_is_not_finite_is_no_answer():
    index = Index.build([("a", np.full(512, 3e38, np.float32))])
    with pytest.raises(ValueError, match="cosine is not finite"):
        index.ranking(np.full(512, 3e38, np.float32))


def test_an_empty_gallery_has_no_match():
    assert Index().ranking(vectors(1)[0]) == []
    assert identify([], 0.3, 0.05) == (Outcome.UNKNOWN, None)


@given(cosines, cosines, st.floats(0, 1), st.floats(0, 0.5))
def test_the_outcome_is_one_of_three(first, second, threshold, margin):
    best, other = Candidate("a", max(first, second)), Candidate("b", min(first, second))
    outcome, meant = identify([best, other], threshold, margin)
    assert (outcome is Outcome.UNKNOWN) == (best.cosine < threshold)
    assert (meant == best) == (outcome is Outcome.IDENTIFIED)
    if outcome is Outcome.IDENTIFIED:
        assert best.cosine - other.cosine >= margin
    if outcome is Outcome.AMBIGUOUS:
        assert best.cosine >= threshold


def test_a_second_person_far_below_the_threshold_still_makes_it_ambiguous_within_the_margin():
    assert identify([Candidate("a", 0.41), Candidate("b", 0.38)], 0.4, 0.05) == (Outcome.AMBIGUOUS, None)


def test_one_person_alone_is_never_ambiguous():
    assert identify([Candidate("a", 0.4)], 0.4, 0.5)[0] is Outcome.IDENTIFIED


@pytest.mark.parametrize("place", range(4))
@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_a_vector_that_is_not_finite_identifies_no_one(place, number):
    numbers = [0.9, 0.1, 0.4, 0.05]
    numbers[place] = number
    first, second, threshold, margin = numbers
    with pytest.raises(ValueError, match="finite"):
        identify([Candidate("a", first), Candidate("b", second)], threshold, margin)
