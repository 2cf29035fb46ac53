"""The int8 and the float16 form of a model give the same answers, as far as eight bits allow."""

import numpy as np
import pytest

from appliance.face.types import DetectLimits
from appliance.vision import loading
from appliance.vision.manifest import Role

NAMES = ["portrait", "hopper"]
ONE = DetectLimits(count=1)


@pytest.fixture(scope="module")
def engines(engine, chosen):
    return {"float16": engine, "int8": loading.build(chosen("int8"), 1)}


@pytest.mark.parametrize("name", NAMES)
def test_box_points_and_score_agree(engines, photos, pictured, name):
    (full,), (eight,) = (engines[precision].detect(pictured(photos[name]), ONE) for precision in ("float16", "int8"))
    side = full.detection.box.side
    assert eight.detection.box.side == pytest.approx(side, rel=0.08)
    assert eight.detection.box.center == pytest.approx(full.detection.box.center, abs=0.08 * side)
    assert np.linalg.norm(eight.points - full.points, axis=1).mean() < 0.015 * side
    assert eight.detection.score == pytest.approx(full.detection.score, abs=0.1)


def test_liveness_of_the_same_pictures_agrees(engines, photos, pictured):
    pictures = [pictured(photos["hopper"], quality) for quality in (95, 85, 75, 65)]
    full, eight = (engines[precision].liveness(pictures).network for precision in ("float16", "int8"))
    assert eight == pytest.approx(full, abs=1)


def given(choice, role, photo):
    """What the role's network is given: a part of the photo, or, the strong head, what the trunk makes of one."""
    if role is Role.STRONG_HEAD:
        (features,) = choice[Role.STRONG_EMBEDDER].networks(1)[0].run(given(choice, Role.STRONG_EMBEDDER, photo))
        return features
    file = choice[role].networks(1)[0].file
    return np.ascontiguousarray(photo[: file.height, : file.width])


@pytest.mark.parametrize("precision", ["float16", "int8"])
@pytest.mark.parametrize("role", list(Role))
def test_a_network_says_the_same_of_the_same_pixels_and_another_of_others(chosen, photos, role, precision):
    network = chosen(precision)[role].networks(1)[0]
    first, second = (given(chosen(precision), role, photos[name]) for name in NAMES)
    outputs = [output.copy() for output in network.run(first)]
    others = network.run(second)
    again = network.run(first)
    assert all(np.array_equal(a, b) for a, b in zip(outputs, again, strict=True))
    assert not all(np.array_equal(a, b) for a, b in zip(outputs, others, strict=True))
    assert all(output.dtype == np.float32 and np.isfinite(output).all() for output in outputs)
