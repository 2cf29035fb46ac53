"""The parts of the bench that ask a device, on little."""

import pytest
from lab.bench import endpoints, gallery, resources, scaling
from lab.bench.bench import PORTRAIT, QUICK, Bench
from lab.bench.load import clients
from lab.device import OwnDevice

from appliance.config import EngineSection
from appliance.vision.manifest import Role

ENGINE = EngineSection(detector="float16", embedder="float16", liveness="float16")


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    return Bench.prepared(tmp_path_factory.mktemp("bench"), ENGINE, PORTRAIT, QUICK, PORTRAIT.parent)


def test_what_models_cost_alone(bench: Bench) -> None:
    alone = bench.alone()
    counts = {role: sum(count for _, count in alone.needed[role]) for role in Role}
    # a picture and its mirror image to find the points; two crops and a mirrored one of each of four frames
    assert counts == {Role.DETECTOR: 1, Role.LANDMARKS: 2, Role.EMBEDDER: 1, Role.LIVENESS: 12}
    assert 0 < alone.models(Role.DETECTOR, 3) < alone.faces(3)
    assert 0 < alone.models(Role.EMBEDDER, 3) * 2 < alone.similarity(3) * 3


def test_the_device_has_the_engine_that_is_wanted(bench: Bench) -> None:
    assert {model["precision"] for model in bench.version["models"]} == {"float16"}


def test_clients_are_counted_together(bench: Bench, own: OwnDevice) -> None:
    load = clients(own.url, bench.folder, "similarity", 3, 2)
    assert (len(load.served), len(load.seen), load.errors) == (6, 6, {})
    assert all(b > a > 0 for a, b in zip(load.served, load.seen, strict=True))
    assert max(load.seen) <= 1e3 * load.seconds


def test_every_endpoint_is_tried(bench: Bench, own: OwnDevice) -> None:
    trials = endpoints.try_out(bench, own.url, "liveness")
    assert list(trials) == [1, 2]
    assert [trial.errors for trial in trials.values()] == [[0], [0]]
    assert [len(trial.seen) for trial in trials.values()] == [1, 2]


def test_scaling_finds_every_face_and_draws_every_curve(bench: Bench) -> None:
    measured = scaling.measure(bench)
    told = {(each.question, each.measure): each for each in measured.findings}
    assert told["faces in the picture", "faces not found"].value == 0
    assert told["faces in the picture", "/faces, 6"].value > told["faces in the picture", "/faces, 1"].value
    assert told["crowds", "pictures"].value == 1
    assert [len(curve.lines) for curve in measured.curves] == [1, 2, 1, 1]


def test_memory_is_level_enough(bench: Bench) -> None:
    told = {each.measure: each.value for each in resources.memory(bench).findings}
    assert told["errors"] == 0
    assert 50 < told["idle"] < 2000
    assert told["growth"] == pytest.approx(told["after 20 mixed requests"] - told["idle"])


def test_a_gallery_is_searched_and_changed(bench: Bench) -> None:
    told = {each.measure: each for each in gallery.measure(bench).findings}
    small, large = QUICK.templates
    assert list(told) == [
        f"{small:,} templates: search",
        f"{small:,}: over the product",
        f"{large:,} templates: search",
        f"{large:,}: over the product",
        f"{large:,}: with one more",
        f"{large:,}: without a person",
    ]
    assert all(each.value > 0 for each in told.values())
    assert told[f"{large:,} templates: search"].judged
