"""`GET /version`, of a device as a process of its own."""

import hashlib

import appliance_models
import pytest
from client import Answer
from devices import Child
from document import assert_success

KEYS = ("api_version", "sdk_version", "liveness_mode", "runtime", "engines", "models", "recognition", "calibration")


@pytest.fixture(scope="module")
def version(child: Child) -> Answer:
    return child.ready().get("/version")


def test_the_answer_has_our_keys(version: Answer) -> None:
    found = assert_success(version, *KEYS)

    assert found["api_version"] == version.headers["Alchera-API-Version"] == "1.0"
    assert found["sdk_version"] == version.headers["Alchera-FaceSDK-Version"]
    assert found["liveness_mode"] == "MULTI"
    assert set(found["runtime"]) == {"name", "version"}
    assert all(found["runtime"].values())
    assert found["engines"] == {"count": 2, "reason": "configured"}


def test_each_model_is_named_with_its_licence(version: Answer) -> None:
    models = assert_success(version, *KEYS)["models"]

    for model in models:
        assert set(model) == {"name", "file", "sha256", "precision", "licence"}
        assert {type(value) for value in model.values()} == {str}
        assert all(model.values())


def test_the_checksums_are_those_of_the_files(version: Answer) -> None:
    models = assert_success(version, *KEYS)["models"]

    assert len(models) >= 4
    for model in models:
        assert "/" not in model["file"]
        content = (appliance_models.FOLDER / model["file"]).read_bytes()
        assert hashlib.sha256(content).hexdigest() == model["sha256"]


def test_the_operating_points_are_the_shipped_ones(version: Answer) -> None:
    found = assert_success(version, *KEYS)
    points, files = found["calibration"], {model["sha256"]: model["name"] for model in found["models"]}

    assert set(points) == {"similarity", "fast", "both", "liveness"}
    for point in points.values():
        assert (point["source"], point["ignored"], point["basis"], point["date"]) == ("shipped", None, None, None)
    assert files[points["fast"]["model"]].startswith("embedder ")
    for name in ("similarity", "fast", "both"):
        assert points[name]["wanted"] == {"fmr": 0.001}
        assert points[name]["counts"] == {"impostor_pairs": 1197943}
    strong = [model["sha256"] for model in found["models"] if model["file"].startswith("strong_")]
    assert points["similarity"]["model"] == hashlib.sha256("".join(strong).encode()).hexdigest()
    assert files[points["liveness"]["model"]].startswith("liveness ")
    assert points["liveness"]["threshold"] == 0


def test_it_says_which_network_answers(version: Answer) -> None:
    assert assert_success(version, *KEYS)["recognition"] == {
        "networks": "strong",
        "reason": "memory",
        "similarity": "SFace",
        "compare": "MobileFaceNet + SFace",
        "identify": "MobileFaceNet + SFace",
        "feature": "MobileFaceNet",
    }
