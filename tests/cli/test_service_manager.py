"""systemd is told how the device is, and its watchdog is fed only while nothing hangs; by real processes, on a real socket."""

import os
import re
import signal
import socket
import subprocess
import sys
import time
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from devices import Child, until

QUICK = (
    '[engine]\nengines = 1\ndetector = "float16"\nembedder = "float16"\nliveness = "float16"\nrecognition = "fast"\n'
)

PROGRAM = """
import sys, threading, time
from appliance import supervision as pulse
from appliance.supervision import Pulse
from appliance.supervision import ServiceManager, Supervisor, Watchdog
from appliance.vision import loading
from appliance.vision.engine import EnginePool
from appliance.vision.manifest import ModelError
from waitress.server import create_server

pulse.EVERY_SECONDS = pulse.ANSWER_SECONDS = 0.2
pulse.SILENT_SECONDS = 0.8

stuck = threading.Event()

def app(environ, start_response):
    if stuck.is_set():
        time.sleep(60)
    start_response("200 OK", [])
    return [b"well"]

server = create_server(app, host="127.0.0.1", port=0, threads=2)
own = Pulse("0.0.0.0", server.effective_port)
engines = EnginePool(1, 1.0)
engines.fill([loading.build(loading.unusable(ModelError("none")), 1)])

def hanging():
    return "an engine hangs" if engines.longest_loan > 0.5 else None

supervisor, manager = Supervisor(), ServiceManager()
watchdog = Watchdog(manager, [own.trouble, hanging])
supervisor.start("http", server.run)
supervisor.start("pulse", own.run)

def trouble():
    time.sleep(1.5)
    manager.status("trouble")
    {trouble}

supervisor.start("trouble", trouble)
print(manager.watches, flush=True)
sys.exit(supervisor.wait(watchdog.tick, 0.05))
"""


class Heard:
    """What a service manager hears: a datagram socket in a folder, or in the abstract namespace."""

    def __init__(self, address: str) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(address.replace("@", "\0", 1))
        self._socket.settimeout(0.2)
        self.environment = {"NOTIFY_SOCKET": address, "WATCHDOG_USEC": "30000000"}
        self.messages: list[str] = []

    def listen(self, seconds: float) -> list[str]:
        """What comes within so many seconds."""
        before, end = len(self.messages), time.monotonic() + seconds
        while time.monotonic() < end:
            with suppress(TimeoutError):
                self.messages.append(self._socket.recv(4096).decode())
        return self.messages[before:]

    def waits_for(self, message: str) -> bool:
        return until(lambda: self.listen(0.2) and message in self.messages)

    def close(self) -> None:
        self._socket.close()


@pytest.fixture(params=["path", "abstract"])
def heard(request, tmp_path):
    address = str(tmp_path / "notify") if request.param == "path" else f"@face-appliance-test-{os.getpid()}"
    listener = Heard(address)
    yield listener
    listener.close()


@pytest.fixture
def manager(tmp_path):
    listener = Heard(str(tmp_path / "notify"))
    yield listener
    listener.close()


@contextmanager
def started(trouble, heard):
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM.replace("{trouble}", trouble)],
        env=os.environ | heard.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


@pytest.mark.parametrize(
    ("trouble", "complaint"),
    [
        ("loan = engines.lease(); loan.__enter__(); time.sleep(60)", "an engine hangs"),
        ("stuck.set()", "the HTTP socket does not answer"),
    ],
)
def test_the_watchdog_is_fed_until_something_hangs(manager, trouble, complaint):
    with started(trouble, manager) as process:
        assert manager.waits_for("STATUS=trouble")
        assert manager.messages.count("WATCHDOG=1") > 10
        manager.listen(2.0)
        assert manager.listen(1.0) == []

        process.send_signal(signal.SIGTERM)
        out, error = process.communicate(timeout=10)

    assert (process.returncode, out) == (0, "True\n")
    assert re.findall("the watchdog .*", error) == [f"the watchdog is not fed: {complaint}"]


def test_it_is_fed_for_as_long_as_nothing_hangs(manager):
    with started("pass", manager) as process:
        assert manager.waits_for("STATUS=trouble")
        assert manager.listen(2.0).count("WATCHDOG=1") > 10
        process.send_signal(signal.SIGSTOP)
        manager.listen(0.3)
        assert manager.listen(1.0) == []


def test_a_device_says_when_it_is_ready_how_it_is_and_that_it_stops(heard, tmp_path: Path) -> None:
    with Child(tmp_path, QUICK + '[camera]\ndriver = "none"\n', environment=heard.environment) as child:
        assert heard.waits_for("READY=1")
        assert child.ready().get("/version").status == 200
        assert heard.waits_for("STATUS=Everything works.")
        assert heard.waits_for("WATCHDOG=1")
        assert child.terminate() == 0
        heard.listen(0.3)

    said = [each for each in heard.messages if each not in ("WATCHDOG=1", "STATUS=The models are loading.")]
    assert sorted(said[:2]) == ["READY=1", "STATUS=Everything works."]
    assert said[2:] == ["STOPPING=1"]


@pytest.mark.logs_errors("no model works")
def test_with_damaged_models_it_is_ready_and_says_so(manager, tmp_path: Path) -> None:
    nowhere = f'models = "{tmp_path / "nowhere"}"\n[camera]\ndriver = "none"\n'
    with Child(tmp_path, QUICK + nowhere, environment=manager.environment):
        assert manager.waits_for("READY=1")
        manager.listen(1.5)

    (status,) = (each for each in manager.messages if "does not work" in each)
    assert status.startswith("STATUS=The detector model does not work: see the log. The ")


@pytest.mark.logs_errors("watchdog is not fed")
def test_a_camera_that_shows_nothing_new_is_waited_for_unless_the_configuration_says_otherwise(
    manager, tmp_path: Path
) -> None:
    camera = f'[camera]\ndriver = "replay"\nsource = "{tmp_path / "nothing.jpg"}"\n'
    for watched in ("false", "true"):
        with Child(tmp_path, f"{QUICK}{camera}watchdog = {watched}\n", environment=manager.environment) as child:
            assert manager.waits_for("READY=1")
            manager.listen(1.0)
            fed = "WATCHDOG=1" in manager.listen(2.5)
            assert child.terminate() == 0
            assert bool(re.search("the watchdog is not fed: There is no camera", child.log)) is (watched == "true")
        manager.listen(0.3)
        manager.messages.clear()
        assert fed is (watched == "false")


def test_without_a_service_manager_nothing_is_asked(tmp_path: Path) -> None:
    with Child(tmp_path, QUICK + '[log]\nlevel = "debug"\n') as child:
        child.ready()
        time.sleep(6)
        assert child.terminate() == 0
        assert "/healthz" not in child.log


def test_a_service_manager_that_is_gone_is_a_warning(manager, tmp_path: Path) -> None:
    gone = manager.environment | {"NOTIFY_SOCKET": str(tmp_path / "nobody")}
    with Child(tmp_path, QUICK + '[camera]\ndriver = "none"\n', environment=gone) as child:
        assert child.ready().get("/version").status == 200
        assert until(lambda: "systemd was not notified of READY=1" in child.log)
