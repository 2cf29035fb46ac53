"""From a folder of models to engines: a damaged file costs its own role and no other."""

import gc
from dataclasses import replace
from pathlib import Path

import appliance_models
import numpy as np
import pytest

from appliance.calibration.points import CalibrationStore
from appliance.face.types import AlignedFace, Box, DetectLimits
from appliance.faults import Fault
from appliance.imaging.codec import EncodedPicture
from appliance.vision import loading, selftest
from appliance.vision.engine import EnginePool
from appliance.vision.loading import MOST_ENGINES, SMALL_BOARD, STRONG, Chosen, EngineCount, Models, engine_count
from appliance.vision.manifest import ModelError, ModelStore, Role
from appliance.vision.runtime import Network

pytestmark = pytest.mark.logs_errors("does not work|no model works|self-test")

FLOAT16 = {Role.DETECTOR: "float16", Role.EMBEDDER: "float16", Role.LIVENESS: "float16"}
CODES = {role: "INF-07" if role in (Role.EMBEDDER, *STRONG, Role.LIVENESS) else "INF-06" for role in Role}
FILES = {
    Role.DETECTOR: "detector_320_float16.tflite",
    Role.LANDMARKS: "landmarks_float16.tflite",
    Role.ALIGNMENT: "alignment_float16.tflite",
    Role.EMBEDDER: "embedder_float16.tflite",
    Role.STRONG_EMBEDDER: "strong_embedder_float16.tflite",
    Role.STRONG_HEAD: "strong_head_int8.tflite",
    Role.LIVENESS: "liveness_float16.tflite",
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of the shipped models, made of links: a file is replaced, never written into."""
    for path in appliance_models.FOLDER.iterdir():
        if path.is_file():
            (tmp_path / path.name).symlink_to(path)
    return tmp_path


def damage(folder, file):
    content = bytearray((folder / file).read_bytes())
    content[len(content) // 2] ^= 255
    (folder / file).unlink()
    (folder / file).write_bytes(content)


def started(folder, portrait):
    """What machine.py does with a folder: choose, and prove."""
    choice = loading.choose(ModelStore.open(folder), FLOAT16, 1, "strong")
    recorded = selftest.read(folder / "selftest.toml")
    return loading.proven(choice, EncodedPicture(portrait, 10**6), recorded, 1)[0]


@pytest.mark.parametrize(
    ("role", "harm"), [*((role, "damaged") for role in Role), (Role.LANDMARKS, "missing"), (Role.LIVENESS, "empty")]
)
def test_a_file_that_is_not_what_it_should_be_costs_its_role(folder, portrait, role, harm):
    if harm == "damaged":
        damage(folder, FILES[role])
    else:
        (folder / FILES[role]).unlink()
        if harm == "empty":
            (folder / FILES[role]).touch()
    choice = started(folder, portrait)
    assert choice[role].code.text == CODES[role]
    assert FILES[role] in choice[role].detail
    assert all(isinstance(choice[other], Chosen) for other in Role if other != role)


def test_all_is_well_with_the_models_as_they_are(folder, portrait):
    choice = started(folder, portrait)
    assert all(isinstance(chosen, Chosen) for chosen in choice.values())
    assert [len(choice[role].files) for role in Role] == [6, 1, 1, 1, 1, 1, 1]


def test_a_damaged_file_of_a_precision_that_is_not_asked_for_costs_nothing(folder, portrait):
    damage(folder, "liveness_int8.tflite")
    assert isinstance(started(folder, portrait)[Role.LIVENESS], Chosen)


def test_a_precision_that_is_not_shipped_costs_its_role(store):
    choice = loading.choose(store, {**FLOAT16, Role.LANDMARKS: "int8"}, 1)
    assert choice[Role.LANDMARKS].code.text == "INF-06"
    assert "there is: float16" in choice[Role.LANDMARKS].detail


def test_left_to_itself_it_takes_what_it_timed_as_fastest(store):
    passed = [
        model.model_copy(update={"gate": model.gate.model_copy(update={"passed": True})}) for model in store.models
    ]
    choice = loading.choose(replace(store, models=passed), {**FLOAT16, Role.LIVENESS: "auto"}, 1)
    chosen = choice[Role.LIVENESS]
    assert set(chosen.milliseconds) == {"int8", "float16"}
    assert chosen.files[0].precision == min(chosen.milliseconds, key=chosen.milliseconds.__getitem__)


def test_the_embedder_is_never_int8():
    for precision in ("auto", "int8"):
        choice, _ = loading.first_engine(appliance_models.FOLDER, {**FLOAT16, Role.EMBEDDER: precision}, 1)
        assert {file.precision for file in choice[Role.EMBEDDER].files} == {"float16"}


def test_what_failed_its_gate_is_not_even_timed(store):
    failed = [
        model.model_copy(update={"gate": model.gate.model_copy(update={"passed": model.precision == "float16"})})
        for model in store.models
    ]
    chosen = loading.choose(replace(store, models=failed), {**FLOAT16, Role.LIVENESS: "auto"}, 1)[Role.LIVENESS]
    assert (list(chosen.milliseconds), chosen.files[0].precision) == (["float16"], "float16")


def test_every_chosen_file_has_a_network_the_smallest_first(chosen):
    for role in chosen("int8").values():
        assert [network.file for network in role.networks(1)] == list(role.files)
        assert [file.area for file in role.files] == sorted(file.area for file in role.files)


@pytest.mark.parametrize(
    ("role", "own"),
    [(Role.DETECTOR, {(320, 192), (320, 320)}), (Role.LANDMARKS, {(256, 256)}), (Role.ALIGNMENT, set())],
)
def test_each_engine_has_its_own_networks_for_what_takes_most_of_the_time(chosen, role, own):
    one, other = (chosen("float16")[role].networks(1) for _ in range(2))
    apart = {(a.file.width, a.file.height) for a, b in zip(one, other, strict=True) if a is not b}
    assert apart == own


@pytest.fixture(scope="module")
def blank():
    return AlignedFace(Box(0, 0, 112, 112), np.zeros((112, 112, 3), np.uint8))


def test_without_an_embedder_faces_are_still_found(chosen, pictured, photos, blank):
    gone = loading.unusable(ModelError("gone"))
    engine = loading.build({**chosen("float16"), Role.EMBEDDER: gone[Role.EMBEDDER]}, 1)
    picture = pictured(photos["hopper"])
    assert len(engine.detect(picture, DetectLimits())) == len(engine.align(picture, DetectLimits())) == 1
    with pytest.raises(Fault, match=r"INF-07 .*gone"):
        engine.compare(blank, blank)
    with pytest.raises(Fault, match="INF-07"):
        engine.liveness([picture] * 4)


def test_without_a_detector_aligned_faces_are_still_compared(chosen, pictured, photos, blank):
    gone = loading.unusable(ModelError("gone"))
    engine = loading.build({**chosen("float16"), Role.DETECTOR: gone[Role.DETECTOR]}, 1)
    assert engine.compare(blank, blank) > 0.5
    with pytest.raises(Fault, match=r"INF-06 .*gone"):
        engine.detect(pictured(photos["hopper"]), DetectLimits())


def test_a_fault_is_a_new_one_each_time(pictured, photos):
    engine = loading.build(loading.unusable(ModelError("gone")), 1)
    caught = []
    for _ in range(2):
        with pytest.raises(Fault, match="INF-06") as fault:
            engine.detect(pictured(photos["hopper"]), DetectLimits())
        caught.append(fault.value)
    assert caught[0] is not caught[1]


@pytest.mark.parametrize("role", list(Role))
def test_a_model_that_verifies_but_is_another_costs_its_role(portrait, store, role):
    (other,) = store.candidates(Role.EMBEDDER if role != Role.EMBEDDER else Role.LIVENESS, "float16")
    swap = {"file": other.file, "sha256": other.sha256}
    swapped = [model.model_copy(update=swap) if model.role == role else model for model in store.models]
    choice = loading.choose(replace(store, models=swapped), FLOAT16, 1, "strong")
    recorded = selftest.read(store.folder / "selftest.toml")
    proven, _ = loading.proven(choice, EncodedPicture(portrait, 10**6), recorded, 1)
    assert proven[role].code.text == CODES[role]


@pytest.mark.parametrize(
    ("configured", "cores", "memory", "expected"),
    [
        ("auto", 4, 906 << 20, EngineCount(1, "memory")),  # what Linux has of a Pi of 1 GB
        ("auto", 4, 1852 << 20, EngineCount(4, "cores")),  # 2 GB
        ("auto", 2, SMALL_BOARD, EngineCount(2, "cores")),
        ("auto", 64, 64 << 30, EngineCount(MOST_ENGINES, "cores")),
        (3, 4, 906 << 20, EngineCount(3, "configured")),
    ],
)
def test_a_board_of_1_gb_has_one_engine(configured, cores, memory, expected):
    assert engine_count(configured, cores, memory) == expected


def networks_built() -> int:
    """How many interpreters there are in this process."""
    gc.collect()
    return sum(isinstance(each, Network) for each in gc.get_objects())


def test_an_engine_takes_no_memory_until_it_is_used(pictured, photos, tmp_path):
    calibration = CalibrationStore(tmp_path / "calibration.json")
    models = Models(appliance_models.FOLDER, dict.fromkeys(FLOAT16, "float16"), 1, calibration)
    pool, before = EnginePool(1, 5.0), networks_built()
    models.load(pool, EngineCount(2, "configured"))
    assert networks_built() == before
    for _ in range(2):
        with pool.lease() as engine:
            assert len(engine.detect(pictured(photos["hopper"]), DetectLimits())) == 1
        first = networks_built()
        assert first > before  # the second time the same engine is lent
    with pool.lease(), pool.lease() as engine:
        engine.detect(pictured(photos["hopper"]), DetectLimits())
    assert networks_built() > first


def test_idle_networks_are_freed_and_come_back(chosen, pictured, photos):
    engine = loading.build(chosen("float16"), 1)
    picture, limits = pictured(photos["hopper"]), DetectLimits(min_size=12)
    before = engine.detect(picture, limits)
    loading.give_up_idle(chosen("float16"), 0)
    (after,) = engine.detect(picture, limits)
    assert after.detection.box == before[0].detection.box
