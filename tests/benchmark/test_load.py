"""The load generator's arithmetic, and what it refuses."""

from pathlib import Path

import pytest

from appliance.benchmark.load import Load, post, server_time, throughput
from appliance.benchmark.material import MIX, Material, as_expected
from appliance.evaluation.device import Answer
from appliance.evaluation.pictures import blank


@pytest.fixture
def material() -> Material:
    return Material(blank(64, 36), blank(112, 112), b"PK")


def answer(code: str) -> Answer:
    return Answer(200, {}, b'{"return_msg": {"return_code": "%s"}}' % code.encode())


def test_server_time_is_the_total_of_the_stages() -> None:
    assert server_time(Answer(200, {"server-timing": "queue;dur=0.01, decode;dur=2.77, total;dur=25.05"}, b"")) == 25.05


def test_an_answer_without_times_took_none() -> None:
    assert server_time(Answer(200, {}, b"")) == 0.0


def test_clients_that_ran_together_share_their_time() -> None:
    first, second = Load(10.0, 12.0, [1.0] * 30, [2.0] * 30, 0), Load(10.5, 13.0, [1.0] * 30, [2.0] * 30, 0)
    assert throughput([first, second]) == 20.0


def test_load_stays_on_this_machine(material: Material) -> None:
    with pytest.raises(ValueError, match="alone"):
        post("http://192.0.2.1:9297", material, "faces", 1)


def test_a_device_that_is_not_there_is_an_error_a_request(material: Material) -> None:
    load = post("http://127.0.0.1:1", material, "faces", 3)
    assert (load.errors, load.milliseconds, load.seen) == (3, [], [])


def test_material_survives_the_way_to_another_process(material: Material, tmp_path: Path) -> None:
    material.write(tmp_path)
    assert Material.read(tmp_path) == material


def test_every_kind_of_the_mix_is_a_question(material: Material) -> None:
    assert set(MIX) <= set(material.questions())


def test_only_a_broken_picture_may_be_refused() -> None:
    assert as_expected("faces", answer("INF-00"))
    assert not as_expected("faces", answer("INF-04"))
    assert as_expected("broken", answer("INF-04"))


def test_any_stage_can_be_read() -> None:
    answered = Answer(200, {"server-timing": "landmarks;dur=9.5, total;dur=25.05"}, b"")
    assert (server_time(answered, "landmarks"), server_time(answered, "embed")) == (9.5, 0.0)
