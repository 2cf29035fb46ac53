"""A device that is asked to reload its settings goes on with the new rules of its door, without a restart."""

import os
import signal
import socket

import pytest
from devices import Child, until

from appliance.access.log import RECORD_FILE, Record
from appliance.access.retention import RULES

CONFIG = '[engine]\nengines = 1\n[camera]\ndriver = "none"\n'
STAFF = '[door]\nschedules = [{groups = ["staff"]}]\n'


@pytest.fixture
def systemd(tmp_path):
    """What systemd listens at."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as found:
        found.bind(str(tmp_path / "notify"))
        yield {"NOTIFY_SOCKET": str(tmp_path / "notify")}


@pytest.mark.logs_errors("configuration: not reloaded: door.schedules")
def test_the_rules_of_the_door_are_read_again(tmp_path, systemd):
    with Child(tmp_path, CONFIG, environment=systemd) as child:
        client = child.ready()
        record = Record(child.state / RECORD_FILE)

        def reload(config):
            (tmp_path / "config.toml").write_text(config, "utf-8")
            os.kill(child.process.pid, signal.SIGHUP)

        before = [each.facts["digest"] for each in record.newest(5, RULES)]
        reload(f"{CONFIG}{STAFF}[live]\nviewers = 2\n")
        child.logged(r"configuration: door\.schedules: \[\] -> .*\}\]$")
        child.logged(r"configuration: live\.viewers: 4 -> 2, after a restart$")
        assert until(lambda: len(record.newest(5, RULES)) == len(before) + 1, 10)
        assert record.newest(1, RULES)[0].facts["digest"] not in before
        reload(f"{CONFIG}[door]\nschedules = 7\n")
        child.logged(r"ERROR .*configuration: not reloaded: door\.schedules: ")
        reload(CONFIG)
        child.logged("configuration: nothing has changed since the start")
        assert client.get("/version").code == "INF-00"
        assert child.terminate() == 0
