"""Who is who: aligned faces, their embeddings and how alike they are."""

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.face.alignment import TEMPLATE
from appliance.face.types import AlignedFace, Box, DetectLimits
from appliance.vision.embedder import SLOPE, Comparators, similarity
from appliance.vision.loading import listed_comparators
from appliance.vision.manifest import ModelError, Role

NAMES = ["portrait", "hopper"]
ONE = DetectLimits(count=1)

CHANGES = {
    "brighter": lambda pixels: cv2.convertScaleAbs(pixels, alpha=1.3, beta=15),
    "darker": lambda pixels: cv2.convertScaleAbs(pixels, alpha=0.5),
    "half the size": lambda pixels: cv2.resize(pixels, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA),
    "twice the size": lambda pixels: cv2.resize(pixels, None, fx=2, fy=2, interpolation=cv2.INTER_CUBIC),
    "mirrored": lambda pixels: np.ascontiguousarray(pixels[:, ::-1]),
    "blurred": lambda pixels: cv2.GaussianBlur(pixels, (0, 0), 1.5),
    "grey": lambda pixels: cv2.cvtColor(cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB),
    "cropped": lambda pixels: np.ascontiguousarray(pixels[20:380, 90:420]),
    "turned": lambda pixels: cv2.warpAffine(pixels, cv2.getRotationMatrix2D((250, 200), 12, 1), pixels.shape[1::-1]),
}


@pytest.fixture(scope="module")
def aligned_of(engine, pictured):
    return lambda pixels, quality=95: engine.align(pictured(pixels, quality), ONE)[0]


@pytest.fixture(scope="module")
def aligned(photos, aligned_of):
    return {name: aligned_of(pixels) for name, pixels in photos.items()}


@pytest.mark.parametrize("name", NAMES)
def test_an_aligned_face_is_a_small_upright_picture_and_knows_where_it_was(engine, aligned, photos, pictured, name):
    (face,) = engine.detect(pictured(photos[name]), ONE)
    assert (aligned[name].pixels.shape, aligned[name].pixels.dtype) == ((112, 112, 3), np.uint8)
    assert aligned[name].box == face.detection.box.squared()


@pytest.mark.parametrize("name", NAMES)
def test_eyes_nose_and_mouth_of_an_aligned_face_are_where_the_template_has_them(engine, aligned, pictured, name):
    enlarged = cv2.resize(aligned[name].pixels, (448, 448), interpolation=cv2.INTER_CUBIC)
    framed = cv2.copyMakeBorder(enlarged, 112, 112, 112, 112, cv2.BORDER_REPLICATE)
    (face,) = engine.detect(pictured(framed), ONE)
    eyes_nose_corners = (face.points[[104, 105, 46, 84, 90]] - 112) / 4
    distance = np.linalg.norm(eyes_nose_corners - TEMPLATE, axis=1)
    assert distance.mean() < 6
    assert distance.max() < 9


@pytest.mark.parametrize("name", NAMES)
def test_an_aligned_face_has_the_colours_of_the_photo(aligned, photos, name):
    box = aligned[name].box
    cheeks = photos[name][int(box.y + 0.5 * box.side) : int(box.y + 0.7 * box.side), int(box.x + 0.3 * box.side) :]
    cheeks = cheeks[:, : int(0.4 * box.side)]
    assert aligned[name].pixels[60:80, 36:76].mean(axis=(0, 1)) == pytest.approx(cheeks.mean(axis=(0, 1)), abs=25)


@pytest.mark.parametrize("name", NAMES)
def test_an_embedding_has_unit_length(engine, aligned, name):
    vector = engine.embed(aligned[name])
    assert (vector.shape, vector.dtype) == ((512,), np.float32)
    assert np.linalg.norm(vector) == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("value", [0, 255])
def test_even_that_of_a_blank_picture_has(engine, value):
    blank = AlignedFace(Box(0, 0, 112, 112), np.full((112, 112, 3), value, np.uint8))
    assert np.linalg.norm(engine.embed(blank)) == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("name", NAMES)
def test_the_same_person_is_recognised(engine, photos, aligned, aligned_of, name, change):
    assert engine.compare(aligned[name], aligned_of(CHANGES[change](photos[name]))) > 0.5


@pytest.mark.parametrize("degrees", [-30, 30])
@pytest.mark.parametrize("name", NAMES)
def test_so_is_one_whose_head_leans(engine, photos, aligned, aligned_of, name, degrees):
    middle = aligned[name].box.center
    turn = cv2.getRotationMatrix2D(middle, degrees, 1)
    leaning = cv2.warpAffine(photos[name], turn, photos[name].shape[1::-1], borderMode=cv2.BORDER_REPLICATE)
    assert engine.compare(aligned[name], aligned_of(leaning)) > 0.5


@pytest.mark.parametrize("quality", [90, 50, 20, 10])
@pytest.mark.parametrize("name", NAMES)
def test_so_is_one_in_a_poor_jpeg(engine, photos, aligned, aligned_of, name, quality):
    assert engine.compare(aligned[name], aligned_of(photos[name], quality)) > 0.5


@pytest.mark.parametrize("change", CHANGES)
def test_two_people_are_distinguished(engine, photos, aligned, aligned_of, change):
    assert engine.compare(aligned["portrait"], aligned_of(CHANGES[change](photos["hopper"]))) < 0.5


def test_the_order_of_the_two_does_not_matter(engine, aligned):
    there = engine.compare(aligned["portrait"], aligned["hopper"])
    assert engine.compare(aligned["hopper"], aligned["portrait"]) == pytest.approx(there, abs=1e-6)


def test_the_same_picture_is_as_alike_as_can_be(engine, aligned):
    assert 0.999 < engine.compare(aligned["hopper"], aligned["hopper"]) <= 1


@pytest.fixture(scope="module")
def ways(store):
    return listed_comparators(store, "strong")


@pytest.fixture(scope="module")
def embedder(ways):
    return ways.fast


def at_cosine(cosine):
    """Two unit vectors with that cosine."""
    a, b = np.zeros((2, 512), np.float32)
    a[0], b[:2] = 1, (cosine, np.sqrt(1 - cosine**2))
    return a, b


def test_similarity_rises_with_the_cosine_between_0_and_1(embedder):
    similarities = [embedder.similarity(*at_cosine(cosine)) for cosine in np.linspace(-1, 1, 41)]
    assert (np.diff(similarities) > 0).all()
    assert 0 <= similarities[0] < 0.001
    assert 0.999 < similarities[-1] <= 1


def test_a_half_is_the_operating_point_of_the_manifest(store, embedder):
    (file,) = store.candidates(Role.EMBEDDER, "float16")
    assert embedder.similarity(*at_cosine(file.operating_point.cosine)) == pytest.approx(0.5, abs=1e-4)


def test_an_embedding_that_is_not_finite_is_no_answer(embedder):
    broken = np.full(512, np.nan, np.float32)
    with pytest.raises(ValueError, match="not finite"):
        embedder.similarity(broken, at_cosine(1)[0])


def test_an_embedder_without_an_operating_point_is_refused(store):
    (file,) = store.candidates(Role.EMBEDDER, "float16")
    with pytest.raises(ModelError, match="operating point"):
        Comparators.of(file.model_copy(update={"operating_point": None}))


INSIDE = st.floats(-0.99, 0.99)


@given(INSIDE, INSIDE)
def test_a_half_is_exactly_where_the_operating_point_is(threshold, shipped):
    assert similarity(threshold, threshold, shipped) == 0.5


@given(INSIDE, INSIDE, st.floats(-1, 1), st.floats(-1, 1))
def test_similarity_rises_whatever_the_operating_point_is(threshold, shipped, a, b):
    low, high = sorted((a, b))
    assert 0 <= similarity(low, threshold, shipped) <= similarity(high, threshold, shipped) <= 1
    assert (similarity(a, threshold, shipped) >= 0.5) == (a >= threshold) or abs(a - threshold) < 1e-12


@given(INSIDE, INSIDE, st.floats(-1, 1))
def test_it_does_not_jump(threshold, shipped, cosine):
    near = min(1.0, cosine + 1e-6)
    steepest = SLOPE / 4 * 2 / (1 - max(abs(threshold), 0))  # of the logistic curve, and of the stretch of either side
    step = similarity(near, threshold, shipped) - similarity(cosine, threshold, shipped)
    assert 0 <= step <= 1e-6 * steepest + 1e-12


@given(INSIDE, INSIDE)
def test_its_ends_stay_where_they_are(threshold, shipped):
    for end in (-1.0, 1.0):
        assert similarity(end, threshold, shipped) == pytest.approx(similarity(end, shipped, shipped), abs=1e-9)


@given(INSIDE, st.floats(-1, 1))
def test_the_shipped_operating_point_changes_nothing(shipped, cosine):
    logistic = 1 / (1 + np.exp(-SLOPE * (cosine - shipped)))
    assert similarity(cosine, shipped, shipped) == pytest.approx(logistic, abs=1e-12)


def test_an_embedder_takes_the_operating_point_of_its_own_model(store, embedder):
    (file,) = store.candidates(Role.EMBEDDER, "float16")
    pair = at_cosine(0.5)
    assert embedder.similarity(*pair, {file.sha256: 0.5}) == pytest.approx(0.5, abs=1e-5)
    assert embedder.similarity(*pair, {"0" * 64: 0.5}) == embedder.similarity(*pair) > 0.9
