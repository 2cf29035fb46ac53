"""The load generator: what clients post, and what they report."""

from pathlib import Path

import pytest
from lab.bench.load import Swarm, clients, swarming
from lab.bench.material import MIX, Material, as_expected
from lab.device import Answer, OwnDevice, ProgramFailedError
from lab.pictures import blank


@pytest.fixture
def material(tmp_path: Path) -> Material:
    made = Material(blank(64, 36), blank(112, 112), b"PK")
    made.write(tmp_path)
    return made


def answer(code: str) -> Answer:
    return Answer(200, {}, b'{"return_msg": {"return_code": "%s"}}' % code.encode())


def test_any_stage_of_the_server_s_time_can_be_read() -> None:
    timed = Answer(200, {"server-timing": "queue;dur=0.01, landmarks;dur=9.5, total;dur=25.05"}, b"")
    assert timed.stages == {"queue": 0.01, "landmarks": 9.5, "total": 25.05}
    assert Answer(200, {}, b"").stages == {}


def test_load_stays_on_this_machine() -> None:
    with pytest.raises(ValueError, match="alone"):
        Swarm("http://192.0.2.1:9297", ".", {"posting": 1})


def test_a_device_that_is_not_there_is_an_error_a_request(material: Material, tmp_path: Path) -> None:
    load = clients("http://127.0.0.1:1", tmp_path, "faces", 3)
    assert (load.errors.total(), load.seen) == (3, [])


def test_clients_that_cannot_begin_are_reported(tmp_path: Path) -> None:
    with pytest.raises(ProgramFailedError, match="before they began"):
        clients("http://127.0.0.1:1", tmp_path / "nothing", "faces", 1, 2)


def test_material_survives_the_way_to_another_process(material: Material, tmp_path: Path) -> None:
    assert Material.read(tmp_path) == material


def test_every_kind_of_the_mix_is_a_question(material: Material) -> None:
    assert set(MIX) <= set(material.questions())


def test_only_a_broken_picture_may_be_refused() -> None:
    assert as_expected("faces", answer("INF-00"))
    assert not as_expected("faces", answer("INF-04"))
    assert as_expected("broken", answer("INF-04"))


def test_a_swarm_goes_on_until_it_is_stopped(material: Material, own: OwnDevice, tmp_path: Path) -> None:
    with swarming(Swarm(own.url, str(tmp_path), {"posting": 1, "dripping": 2, "leave": 1}, "faces")) as load:
        assert load.acts == {}
        clients(own.url, tmp_path, "faces", 3)
    assert load.acts["posted requests"] >= 1
    assert load.acts["left in the middle"] >= 1
    assert all(text.endswith(": 503") for text in load.errors)  # it has no camera


def test_a_wrong_answer_is_an_error(material: Material, own: OwnDevice, tmp_path: Path) -> None:
    load = clients(own.url, tmp_path, "liveness", 2)
    assert (load.errors, len(load.seen)) == ({"liveness: INF-22": 2}, 2)
