"""The cosine for a search, from the wanted share of strangers and the size of the gallery."""

from types import SimpleNamespace

import appliance_models
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from lab.statistics import tabulated

from appliance.calibration.points import CalibrationError
from appliance.calibration.statistics import Pairs, Statistics
from appliance.gallery.search import Point, Tail, tail_of, threshold
from appliance.vision.manifest import ModelStore, Role

SHIPPED = ModelStore.open(appliance_models.FOLDER).candidates(Role.EMBEDDER, "auto")
TABLES = Statistics.read(appliance_models.FOLDER).impostors

cosines, rates = st.floats(0.05, 0.95), st.floats(1e-5, 0.1)
points = st.builds(Point, cosines, rates)
tails = st.builds(Tail, st.floats(0.1, 0.6), st.floats(1e-4, 1e-2), st.floats(0.01, 0.1))
sizes = st.integers(0, 50_000)
wanted = st.floats(1e-4, 0.1)


@given(tails, points, wanted, sizes)
def test_it_is_never_below_the_operating_point_for_two_pictures(tail, point, fpir, templates):
    assert point.cosine <= threshold(tail, point, fpir, templates) < 1


@given(tails, points, wanted, sizes, sizes)
def test_it_never_falls_when_the_gallery_grows_nor_when_fewer_strangers_may_pass(tail, point, fpir, templates, more):
    small = threshold(tail, point, fpir, templates)
    assert threshold(tail, point, fpir, templates + more) >= small
    assert threshold(tail, point, fpir / 2, templates) >= small


@given(tails, points, wanted, sizes)
def test_people_who_are_more_alike_raise_it(tail, point, fpir, templates):
    stricter = Point(min(0.95, point.cosine + 0.05), point.fmr)
    assert threshold(tail, stricter, fpir, templates) >= threshold(tail, point, fpir, templates)


def test_an_operating_point_of_people_who_are_more_alike_moves_all_of_the_tail():
    tail, usual = Tail(0.34, 1e-3, 0.04), Point(0.34, 1e-3)
    alike = Point(0.40, 1e-3)
    assert threshold(tail, alike, 0.01, 500) == pytest.approx(threshold(tail, usual, 0.01, 500) + 0.06)
    lenient = Point(0.30, 1e-3)
    assert threshold(tail, lenient, 0.01, 500) == threshold(tail, usual, 0.01, 500)


@pytest.mark.parametrize("decay", [0.01, 0.04, 0.1])
def test_an_exponential_tail_is_found_again(decay):
    """Of 200,000 exponential cosines over 0.1: 0.34 is reached by e^-(0.24 / decay) of them."""
    scores = 0.1 + np.random.default_rng(1).exponential(decay, 200_000).clip(0, 0.85)
    people = np.random.default_rng(2).integers(0, 2000, (2, scores.size))
    pairs = Pairs(scores, people[0], (people[0] + 1 + people[1] % 1999) % 2000, np.ones(2000, np.int64))
    genuine = Pairs(np.array([0.9, 0.9]), np.array([0, 1]), np.array([0, 1]), np.full(2000, 2))
    tail = Tail.fitted(tabulated("a" * 64, "made_up.tflite", pairs, genuine))
    assert tail.decay == pytest.approx(decay, rel=0.25, abs=0.002)
    assert tail.cosine(1e-3) == pytest.approx(0.1 + decay * np.log(1e3), abs=0.25 * decay + 0.002)


@pytest.mark.parametrize("file", SHIPPED, ids=lambda file: file.file)
def test_the_shipped_tails_are_on_the_safe_side_of_what_was_measured(file):
    """Down to FMR 5e-6, ten pairs of two millions."""
    table = TABLES[file.sha256]
    point = Point(file.operating_point.cosine, file.operating_point.fmr)
    tail = tail_of(appliance_models.FOLDER, file.sha256, point)
    for fmr in np.geomspace(5e-6, 9e-4, 30):
        measured = table.cosine[table.row(fmr)] if fmr * table.impostor_pairs >= 3 else None
        assert measured is not None
        assert measured <= tail.cosine(fmr) <= measured + 0.05
    assert threshold(tail, point, 0.01, 1) == pytest.approx(point.cosine)


@pytest.mark.parametrize("file", SHIPPED, ids=lambda file: file.file)
def test_an_embedder_without_statistics_is_judged_more_strictly(file, tmp_path):
    point = Point(file.operating_point.cosine, file.operating_point.fmr)
    supposed, fitted = (tail_of(folder, file.sha256, point) for folder in (tmp_path, appliance_models.FOLDER))
    assert supposed == Tail.supposed(point)
    for templates in (20, 100, 500, 50_000):
        assert threshold(supposed, point, 0.01, templates) > threshold(fitted, point, 0.01, templates)


@pytest.mark.parametrize("point", [Point(0, 1e-3), Point(-0.2, 1e-3), Point(0.3, 0.5), Point(0.3, 0)])
def test_a_point_that_says_nothing_of_the_tail_is_refused(point):
    with pytest.raises(CalibrationError, match="says nothing"):
        Tail.supposed(point)


def test_statistics_of_too_few_people_are_refused():
    few = SimpleNamespace(file="few.tflite", cosine=(0.1, 0.2, 0.3), fmr_upper=(0.1, 0.05, 0.01))
    with pytest.raises(CalibrationError, match="too few people"):
        Tail.fitted(few)


def test_damaged_statistics_are_reported(tmp_path):
    (tmp_path / "impostors.toml").write_text("[[model]]\n")
    with pytest.raises(CalibrationError, match=r"impostors\.toml"):
        tail_of(tmp_path, "a" * 64, Point(0.3, 1e-3))
