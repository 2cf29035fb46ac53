"""The device as it is installed: a process that is started, asked and stopped."""

import json
import re
import shutil
import signal
import socket
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import appliance_models
import pytest
from bodies import black_png, form, frames, png_that_claims
from client import HOST, Client, Wire, request
from devices import Child, until
from document import FORM_PATHS, RAW_BYTES, assert_faces, assert_refusal, assert_success

QUICK = '[engine]\nengines = 1\ndetector = "float16"\nembedder = "float16"\nliveness = "float16"\n'

LOG_LINE = re.compile(r"(DEBUG|INFO|WARNING|ERROR) +[a-z_.]+: .*|INFO: Created TensorFlow Lite .*")


def answering(client: Client, picture: bytes) -> bool:
    return client.post("/faces", picture).status == 200


def test_while_models_load_it_says_so_and_then_it_works(tmp_path: Path, portrait: bytes) -> None:
    with Child(tmp_path, QUICK) as child:
        client = child.listening()
        answer, version = client.post("/faces", portrait), client.get("/version")
        assert_refusal(answer, 500, "INF-08")
        assert_refusal(version, 500, "INF-08")
        assert int(answer.headers["Retry-After"]) >= 1

        child.ready()

        assert len(assert_faces(client.post("/faces", portrait))) == 1
        assert client.get("/version").status == 200


def test_an_answer_under_way_at_the_stop_arrives(tmp_path: Path, portrait: bytes) -> None:
    slow = black_png(4000, 4000)
    with Child(tmp_path, QUICK) as child, Wire(child.ready().port) as wire:
        wire.send(request("POST", "/faces", slow))
        assert child.ready().get("/nothing-here").status == 404  # what was sent before has been read by now
        wire.socket.settimeout(0)
        with pytest.raises(BlockingIOError):
            wire.socket.recv(1, socket.MSG_PEEK)
        wire.socket.settimeout(30)

        child.process.send_signal(signal.SIGTERM)

        assert assert_faces(wire.answer()) == []
        assert child.process.wait(5) == 0
        assert "Traceback" not in child.log


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_in_time_whatever_its_clients_do(tmp_path: Path, number: signal.Signals) -> None:
    with Child(tmp_path, QUICK) as child:
        client = child.listening()
        with client.wire(), client.wire() as half:
            half.send(b"POST /faces HTTP/1.1\r\nContent-Length: 1000\r\n\r\nabc")

            child.process.send_signal(number)

            assert child.process.wait(5) == 0
        assert "Traceback" not in child.log


def test_a_port_that_is_in_use_is_named_in_one_line(tmp_path: Path) -> None:
    with socket.create_server((HOST, 0)) as taken:
        port = taken.getsockname()[1]
        with Child(tmp_path, arguments=("--port", str(port))) as child:
            assert child.process.wait(30) == 1

            (line,) = child.log.splitlines()
            assert f"{HOST}:{port}" in line
            assert "in use; choose another one by --port or server.port" in line


def test_every_mistake_in_the_configuration_is_named_at_once(tmp_path: Path) -> None:
    mistakes = '[server]\nport = 99999\nqueue = "many"\ncolour = "red"\n[liveness]\nmode = "double"\n[acess]\n'
    with Child(tmp_path, mistakes, arguments=()) as child:
        assert child.process.wait(30) == 78

        lines = child.log.splitlines()
        assert len(lines) == 5
        for name in ("server.port", "server.queue", "server.colour", "liveness.mode", "acess"):
            assert sum(line.startswith(f"{name}:") for line in lines) == 1, name


@pytest.mark.parametrize("config", ["[server", 'port = "', "\xff"])
def test_what_is_no_toml_is_named_in_one_line(tmp_path: Path, config: str) -> None:
    with Child(tmp_path, config, arguments=()) as child:
        assert child.process.wait(30) == 78

        (line,) = child.log.splitlines()
        assert "config.toml" in line


def test_after_a_kill_it_starts_again_on_the_same_port_at_once(tmp_path: Path, portrait: bytes) -> None:
    with Child(tmp_path, QUICK) as first:
        client = first.ready()
        with client.wire() as wire:
            wire.send(request("POST", "/faces", black_png(4000, 4000)))
            first.process.kill()
            first.process.wait()

    with Child(tmp_path, QUICK, arguments=("--port", str(client.port))) as second:
        assert second.ready().port == client.port
        assert answering(client, portrait)


def damaged_models(folder: Path, name: str) -> Path:
    shutil.copytree(appliance_models.FOLDER, folder)
    file = folder / name
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    return folder


@pytest.mark.logs_errors("appliance.vision")
def test_with_a_corrupt_detector_it_runs_and_says_what_is_wrong(tmp_path: Path, portrait: bytes) -> None:
    models = damaged_models(tmp_path / "models", "detector_320_float16.tflite")
    headers, pair = form({"image_a": bytes(RAW_BYTES), "image_b": bytes(RAW_BYTES)})
    live, archive = form({"images": frames([portrait] * 4)})
    with Child(tmp_path, f"{QUICK}models = {json.dumps(str(models))}\n") as child:
        client = child.ready()

        assert_refusal(client.post("/faces", portrait), 500, "INF-06")
        assert_refusal(client.post("/alignedfaces", portrait), 500, "INF-06")
        assert_refusal(client.post("/liveness/multiframe", archive, live), 500, "INF-06")
        assert_success(client.post("/similarity", pair, headers), "similarity")
        assert client.get("/version").status == 200
        assert re.search(r"^ERROR .*detector.*sha256", child.log, re.MULTILINE)
        assert "Traceback" not in child.log


@pytest.mark.logs_errors("appliance.vision")
@pytest.mark.parametrize("name", ["embedder_float16.tflite", "liveness_float16.tflite"])
def test_with_a_corrupt_extension_it_runs_and_says_what_is_wrong(tmp_path: Path, portrait: bytes, name: str) -> None:
    models = damaged_models(tmp_path / "models", name)
    live, archive = form({"images": frames([portrait] * 4)})
    with Child(tmp_path, f"{QUICK}models = {json.dumps(str(models))}\n") as child:
        client = child.ready()

        assert len(assert_faces(client.post("/faces", portrait))) == 1
        assert_refusal(client.post("/liveness/multiframe", archive, live), 500, "INF-07")
        assert re.search(rf"^ERROR .*{name}.*sha256", child.log, re.MULTILINE)
        assert "Traceback" not in child.log


@pytest.mark.logs_errors("appliance.vision")
def test_without_any_model_it_runs_and_says_what_is_wrong(tmp_path: Path, portrait: bytes) -> None:
    headers, pair = form({"image_a": bytes(RAW_BYTES), "image_b": bytes(RAW_BYTES)})
    with Child(tmp_path, f"{QUICK}models = {json.dumps(str(tmp_path / 'nowhere'))}\n") as child:
        client = child.ready()

        assert_refusal(client.post("/faces", portrait), 500, "INF-06")
        assert_refusal(client.post("/similarity", pair, headers), 500, "INF-07")
        assert re.search(r"^ERROR .*manifest\.toml", child.log, re.MULTILINE)


def test_in_liveness_mode_single_the_multiframe_path_is_restricted(tmp_path: Path, portrait: bytes) -> None:
    headers, body = form({"images": frames([portrait] * 4)})
    with Child(tmp_path, QUICK + '[liveness]\nmode = "single"\n') as child:
        client = child.ready()

        assert_refusal(client.post("/liveness/multiframe", body, headers), 406, "INF-25")
        assert client.get("/version").document["liveness_mode"] == "SINGLE"
        assert len(assert_faces(client.post("/faces", portrait))) == 1


def test_the_log_of_ordinary_and_of_odd_requests_holds_no_traceback(tmp_path: Path, portrait: bytes) -> None:
    headers, body = form({"images": b"no zip"})
    with Child(tmp_path, QUICK) as child:
        client = child.ready()
        client.post("/faces", portrait)
        client.post("/faces", portrait[:5000])
        client.post("/faces", png_that_claims(65_500, 65_500))
        client.post("/faces?detectcount=99999999", portrait)
        client.post("/faces", bytes(9 * 2**20))
        client.get("/faces/../../etc/passwd")
        for path in FORM_PATHS:
            client.post(path, body, headers)
        with client.wire() as wire:
            wire.send(b"garbage\r\n\r\n")
            wire.answer()
        with client.wire() as wire:
            wire.send(b"POST /faces HTTP/1.1\r\nContent-Length: 1000\r\n\r\nabc")
        assert child.terminate() == 0

        assert "Traceback" not in child.log
        assert "ERROR" not in child.log
        assert len(re.findall(r"POST /faces \d{3} ", child.log)) >= 4


def test_a_client_cannot_write_lines_of_its_own_into_the_log(tmp_path: Path) -> None:
    forged = "ERROR   appliance: forged"
    with Child(tmp_path, QUICK) as child:
        client = child.ready()
        client.get(f"/%0A{forged.replace(' ', '%20')}")
        client.get("/x", {"X-Request-Id": f"a\tb{forged}"})
        client.post("/faces?minsize=%0AERROR", b"x")
        for line in (f"POST /faces HTTP/1.1\r\nX: a\n{forged}\r\n\r\n", f"X: \r{forged}\r\n\r\n"):
            with client.wire() as wire:
                wire.send(line.encode())
                wire.answer()
        assert child.terminate() == 0

        for line in child.log.splitlines():
            assert LOG_LINE.fullmatch(line), line
            assert not line.startswith(forged)


def test_many_clients_at_once_are_all_answered(child: Child, portrait: bytes) -> None:
    client = child.ready()
    with ThreadPoolExecutor(16) as clients:
        statuses = list(clients.map(lambda _: client.post("/faces", portrait).status, range(48)))

    assert set(statuses) == {200}


def test_it_owns_no_file_but_its_sockets_and_models_after_many_connections(child: Child) -> None:
    client = child.ready()
    client.get("/version")
    descriptors = Path(f"/proc/{child.process.pid}/fd")
    before = len(list(descriptors.iterdir()))

    for _ in range(100):
        client.post("/faces", b"x")

    assert until(lambda: len(list(descriptors.iterdir())) <= before + 2)
