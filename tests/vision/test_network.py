"""A network in its interpreter: what it refuses, what it is fed, and that its answers are its caller's own."""

import cv2
import numpy as np
import pytest

from appliance.face.types import DetectLimits
from appliance.vision.manifest import ModelError, Role
from appliance.vision.runtime import Network


@pytest.fixture(scope="module")
def embedder_file(store):
    (file,) = store.candidates(Role.EMBEDDER, "float16")
    return file


@pytest.fixture(scope="module")
def content(store, embedder_file):
    return store.content(embedder_file)


@pytest.fixture(scope="module")
def crop(engine, photos, pictured):
    return engine.align(pictured(photos["hopper"]), DetectLimits(count=1))[0].pixels


def cosine(a, b):
    return float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))


@pytest.mark.parametrize("broken", [b"", bytes(5000), b"not a model " * 100, b"\xff\xd8\xff\xe0" * 1000])
def test_what_is_no_model_is_refused(embedder_file, broken):
    with pytest.raises(ModelError, match=embedder_file.file):
        Network(embedder_file, broken, 1)


@pytest.mark.parametrize("role", [Role.DETECTOR, Role.LANDMARKS, Role.LIVENESS])
def test_a_model_with_another_input_is_refused(store, embedder_file, role):
    other = store.content(store.candidates(role, "float16")[0])
    with pytest.raises(ModelError, match=embedder_file.file):
        Network(embedder_file, other, 1)


def test_answers_stay_when_the_next_one_is_given(embedder_file, content, crop):
    network = Network(embedder_file, content, 1)
    (first,) = network.run(crop)
    before = first.copy()
    network.run(255 - crop)
    assert np.array_equal(first, before)


@pytest.mark.parametrize("wrong", [np.zeros((7, 7, 3), np.uint8), np.zeros((112, 112, 3), np.uint16)])
def test_it_still_answers_while_the_error_of_a_wrong_input_is_kept(embedder_file, content, crop, wrong):
    file = embedder_file.model_copy(update={"colour": "RGB"})
    network = Network(file, content, 1)
    (before,) = network.run(crop)
    with pytest.raises((ValueError, cv2.error)) as kept:
        network.run(wrong)
    assert np.array_equal(network.run(crop)[0], before)
    assert kept.tb


def test_the_pixels_stay_as_they_were(embedder_file, content, crop):
    before = crop.copy()
    Network(embedder_file, content, 1).run(crop)
    assert np.array_equal(crop, before)


def test_the_colour_order_of_the_manifest_is_kept(embedder_file, content, crop):
    (as_said,) = Network(embedder_file, content, 1).run(crop)
    swapped = embedder_file.model_copy(update={"colour": "RGB"})
    assert embedder_file.colour == "BGR"
    (same,) = Network(swapped, content, 1).run(np.ascontiguousarray(crop[:, :, ::-1]))
    (other,) = Network(swapped, content, 1).run(crop)
    assert np.allclose(as_said, same, atol=1e-4)
    assert not np.allclose(as_said, other, atol=1e-2)


def test_mean_and_scale_of_the_manifest_are_applied(embedder_file, content, crop):
    dim = np.minimum(crop, 235)
    (as_said,) = Network(embedder_file, content, 1).run(dim)
    brighter = embedder_file.model_copy(update={"mean": embedder_file.mean + 20})
    flat = embedder_file.model_copy(update={"scale": 1e6})
    assert np.allclose(Network(brighter, content, 1).run(dim + 20)[0], as_said, atol=1e-4)
    assert cosine(Network(flat, content, 1).run(dim)[0], as_said) < 0.5


def test_the_number_of_threads_changes_nothing_but_the_time(embedder_file, content, crop):
    (one,) = Network(embedder_file, content, 1).run(crop)
    (two,) = Network(embedder_file, content, 2).run(crop)
    assert cosine(one, two) > 0.9999


def test_two_networks_of_one_file_do_not_disturb_each_other(embedder_file, content, crop):
    one, other = Network(embedder_file, content, 1), Network(embedder_file, content, 1)
    (before,) = one.run(crop)
    other.run(255 - crop)
    (after,) = one.run(crop)
    assert np.array_equal(before, after)


def test_an_inference_takes_a_measurable_time(embedder_file, content):
    network = Network(embedder_file, content, 1)
    assert 0 < network.seconds(rounds=3) < 5
    assert 0 < network.seconds(5, hopeless=0) < 5


def test_quantised_outputs_come_as_real_numbers(store):
    (file,) = store.candidates(Role.LIVENESS, "int8")
    (output,) = Network(file, store.content(file), 1).run(np.zeros((file.height, file.width, 3), np.uint8))
    assert output.dtype == np.float32
    assert output.shape == (3,)
