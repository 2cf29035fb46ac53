"""What the command does with its options: exit status, lines of complaint, bounds."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import labelled
import pytest
from devices import Child
from lab.device import OwnDevice
from lab.evaluate import command

from appliance import keys
from appliance.cli.main import main
from appliance.keys import Scope

QUICK = '[engine]\nengines = 1\ndetector = "float16"\nembedder = "float16"\nliveness = "float16"\n'

NOBODY_LISTENS = "http://127.0.0.1:9"
"""The port of `discard`, which nothing serves any more."""


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory, portrait: bytes, hopper: bytes) -> Path:
    folder = tmp_path_factory.mktemp("data")
    pictures = {"jane.jpg": portrait, "cut.jpg": portrait[:3000]}
    labelled.poses(folder / "pose", pictures, dict.fromkeys(pictures, (0, 0, 0)))
    films = {"real": [labelled.filmed(portrait, 1)], "print": [labelled.filmed(hopper, 2)]}
    labelled.sequences(folder / "liveness", films)
    return folder


def evaluate(*arguments: object) -> int:
    return main(["evaluate", *map(str, arguments)])


@pytest.mark.parametrize(
    ("question", "data", "options", "line"),
    [
        ("detection", ".", ["--device", NOBODY_LISTENS], "detection: the HTTP API gives no scores"),
        ("pose", "nowhere", [], "nowhere: no such folder"),
        ("all", "pose", [], "none of the folders verification, detection"),
        ("pose", ".", ["--json", "nowhere/record.json"], "--json: nowhere: no such folder"),
        ("pose", ".", ["--answers", "nowhere/answers"], "--answers: nowhere: no such folder"),
        ("pose", ".", ["--key", "fa_x"], "--key: only a running device needs one"),
        ("pose", ".", ["--device", "ftp://device"], "--device: ftp://device is not http://HOST:PORT"),
    ],
)
def test_wrong_usage_is_reported_in_one_line(
    tree: Path, capsys: pytest.CaptureFixture[str], question: str, data: str, options: list[str], line: str
) -> None:
    assert evaluate(question, tree / data, *options) == 2
    out, err = capsys.readouterr()
    assert (out, err.count("\n"), line in err) == ("", 1, True)


def test_a_device_that_does_not_answer(tree: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert evaluate("pose", tree / "pose", "--device", NOBODY_LISTENS) == 1
    assert capsys.readouterr().err == "pose: Connection refused\n"


def test_a_key_opens_a_device(tree: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "state").mkdir()
    token = keys.add(tmp_path / "state" / keys.FILE, "door", [Scope.RECOGNISE])
    with Child(tmp_path, f"{QUICK}[access]\nloopback = false\n") as guarded:
        device = f"http://127.0.0.1:{guarded.ready().port}"
        assert evaluate("pose", tree / "pose", "--device", device) == 1
        assert capsys.readouterr().err.startswith("pose: the device refuses: this needs a key")
        assert evaluate("pose", tree / "pose", "--device", device, "--key", token) == 0
        assert "faces not found (1/2)" in capsys.readouterr().out


def test_a_picture_that_cannot_be_read_is_a_face_not_found(
    tree: Path, own: OwnDevice, capsys: pytest.CaptureFixture[str]
) -> None:
    assert evaluate("pose", tree / "pose", "--device", own.url, "--workers", 2) == 0
    assert "faces not found (1/2)" in capsys.readouterr().out


def test_a_missed_bound_is_a_failure_only_when_judged(
    tree: Path, own: OwnDevice, capsys: pytest.CaptureFixture[str]
) -> None:
    assert evaluate("liveness", tree / "liveness", "--device", own.url) == 0
    assert "FAIL" not in capsys.readouterr().out
    status = evaluate("liveness", tree / "liveness", "--device", own.url, "--judge")
    out = capsys.readouterr().out
    assert status == int("FAIL" in out)
    assert "pass" in out


def test_a_question_without_a_folder_is_left_out_unless_it_is_judged(
    tree: Path, own: OwnDevice, capsys: pytest.CaptureFixture[str]
) -> None:
    assert evaluate("all", tree, "--device", own.url) == 0
    assert f"verification: left out, there is no folder {tree / 'verification'}\n" in capsys.readouterr().err
    assert evaluate("all", tree, "--device", own.url, "--judge") == 1
    out, err = capsys.readouterr()
    assert f"verification: {tree / 'verification'}: no such folder\n" in err
    assert "FAIL" in out


def test_a_record_that_cannot_be_written(tree: Path, own: OwnDevice, capsys: pytest.CaptureFixture[str]) -> None:
    assert evaluate("pose", tree / "pose", "--device", own.url, "--json", tree) == 1
    assert capsys.readouterr().err == f"pose: {tree}: Is a directory\n"


class Broken(BaseHTTPRequestHandler):
    """A device whose models do not work."""

    def do_GET(self) -> None:
        self._answer(200, {"sdk_version": "1", "return_msg": {"return_code": "INF-00", "return_msg": "OK."}})

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self._answer(500, {"return_msg": {"return_code": "INF-06", "return_msg": "FaceSDK - Initialize Error."}})

    def log_message(self, *_: object) -> None:
        """Keeps quiet."""

    def _answer(self, status: int, body: dict[str, Any]) -> None:
        content = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


@pytest.fixture
def broken() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Broken) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_an_engine_that_does_not_work_is_no_face_not_found(
    tree: Path, broken: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert evaluate("pose", tree / "pose", "--device", broken) == 1
    assert capsys.readouterr().err.startswith("pose: HTTP 500: ")


def test_errors_are_one_line() -> None:
    assert command.one_line(OSError(28, "No space left on device", "answers")) == "answers: No space left on device"
    assert command.one_line(ValueError("two\nlines")) == "two lines"
    assert command.one_line(TimeoutError()) == "TimeoutError"
