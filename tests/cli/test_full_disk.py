"""A disk without room is told of, and posted pictures are answered all the same."""

import os

from devices import Device, pool, shipped_engine
from document import assert_faces

from appliance import state


def test_a_folder_with_room_is_not_full(tmp_path):
    free = os.statvfs(tmp_path)
    assert free.f_bavail * free.f_frsize > state.LEAST_FREE
    assert not state.full(tmp_path)


def test_a_folder_that_is_not_there_yet_is_not_full(tmp_path):
    assert not state.full(tmp_path / "nothing")


def test_what_has_no_room_at_all_is_full():
    assert os.statvfs("/proc").f_bavail == 0
    assert state.full("/proc")


def test_health_says_so_and_pictures_are_answered(choice, portrait):
    with Device(pool(shipped_engine(choice)), full=True) as device:
        health = device.client.get("/healthz")
        assert health.status == 503
        assert [reason["state"] for reason in health.document["reasons"]] == ["full"]
        assert len(assert_faces(device.client.post("/faces", portrait))) == 1
