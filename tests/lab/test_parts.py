"""The parts of the bench that ask a device, on little."""

import pytest
from lab.bench import parts
from lab.bench.load import clients
from lab.bench.parts import QUICK, Bench
from lab.device import OwnDevice
from lab.report import Finding

from appliance.sections import EngineSection

ENGINE = EngineSection(detector="float16", embedder="float16", liveness="float16")


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    return Bench.prepared(tmp_path_factory.mktemp("bench"), ENGINE, QUICK)


def by_measure(findings: list[Finding]) -> dict[str, Finding]:
    return {finding.measure: finding for finding in findings}


def test_the_device_has_the_engine_that_is_wanted(bench: Bench) -> None:
    chosen = [model for model in bench.version["models"] if model["file"].startswith(("detector", "liveness"))]
    assert {model["precision"] for model in chosen} == {"float16"}


def test_clients_are_counted_together(bench: Bench, own: OwnDevice) -> None:
    load = clients(own.url, bench.folder, "similarity", 3, 2)
    assert (len(load.seen), load.errors) == (6, {})
    assert 0 < max(load.seen) <= 1e3 * load.seconds


def test_scaling_finds_every_face(bench: Bench) -> None:
    found = by_measure([*parts.scaling(bench)])
    assert found["faces not found"].value == 0
    assert found["/faces, 6"].value > found["/faces, 1"].value


@pytest.mark.nightly
def test_memory_is_level_enough(bench: Bench) -> None:
    found = by_measure([*parts.memory(bench)])
    assert found["errors"].value == 0
    assert 50 < found["idle"].value < 2000
    assert found["growth"].value == pytest.approx(found["after 20 mixed requests"].value - found["in use"].value)


def test_a_gallery_is_searched(bench: Bench) -> None:
    found = by_measure([*parts.gallery(bench)])
    small, large = QUICK.templates
    assert list(found) == [
        f"{small:,} templates: search",
        f"{small:,}: over the product",
        f"{large:,} templates: search",
        f"{large:,}: over the product",
    ]
    assert all(each.value > 0 for each in found.values())
    assert [each.judged for each in found.values()] == [False, False, True, True]
