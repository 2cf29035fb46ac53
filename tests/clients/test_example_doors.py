"""The door controllers of `examples/`: each opens for a granted answer to its own question, and for nothing else."""

import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from cameras import Scripted
from decisions import DEVICE, SIGNER, token_of
from devices import Device, pool, shipped_engine, until
from doors import HEIGHT, WIDTH, head
from people import add, assert_enrolled

from appliance import keys
from appliance.access.token import LIFE, Direction, Signer, decoded, encoded
from appliance.imaging.codec import EncodedPicture
from appliance.keys import Scope
from appliance.vision.loading import Choice

EXAMPLES = Path(__file__).parents[2] / "examples"

LIBRARIES = ("sodium.h", "curl/curl.h", "jansson.h")

Answer = Callable[..., dict[str, Any]]
"""From a nonce and a direction to what the device answers."""


def decided(ago: float = 0.0, signer: Signer = SIGNER, **changes: Any) -> Answer:
    """A decision on a frame of `ago` seconds ago."""

    def answer(nonce: str, direction: str) -> dict[str, Any]:
        seen = datetime.now(UTC) - timedelta(seconds=ago)
        times = {"frames": (seen,), "issued": seen, "expires": seen + LIFE}
        return {"token": token_of(signer, **{"nonce": nonce, "direction": Direction(direction), **times, **changes})}

    return answer


def rewritten(part: int, old: str, new: str) -> Answer:
    """A granted decision of which a part was rewritten after it was signed."""

    def answer(nonce: str, direction: str) -> dict[str, Any]:
        parts = decided()(nonce, direction)["token"].split(".")
        content = decoded(parts[part])
        assert old.encode() in content
        parts[part] = encoded(content.replace(old.encode(), new.encode()))
        return {"token": ".".join(parts)}

    return answer


SHUT: dict[str, Answer] = {
    "denied": decided(granted=False, reason="nobody", person=None),
    "of another device": decided(signer=Signer.of(b"another device, and its 32 bytes")),
    "to another question": decided(nonce="B" * 43),
    "expired": decided(ago=2.6),
    "of another person": rewritten(1, "staff-17", "staff-18"),
    "without a signature": rewritten(0, "EdDSA", "none"),
    "of another kind": rewritten(0, "face-decision", "JWT"),
    "of another id": decided(device="another"),
    "of another direction": decided(direction=Direction.OUT),
    "from the future": decided(ago=-1),
    "no token": lambda *_: {"pending": {"handle": "a" * 22, "kind": "pin", "text": "PIN?", "seconds": 1}},
    "a token that is none": lambda *_: {"token": "a.b.c"},
    "a number": lambda *_: {"token": 5},
}


class Answering(HTTPServer):
    """A device that gives one answer to every question."""

    answer: Answer
    status = 200


class Handler(BaseHTTPRequestHandler):
    server: Answering

    def do_POST(self) -> None:
        question = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.path == "/access/decide":
            content = json.dumps(self.server.answer(question["nonce"], question["direction"])).encode()
        else:  # a further step that is answered with nothing
            content = b"{}"
        self.send_response(self.server.status)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def answering() -> Iterator[Answering]:
    with Answering(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=partial(server.serve_forever, 0.05))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def in_c(folder: Path) -> list[str]:
    compiled = subprocess.run(
        ["cc", "-xc", "-fsyntax-only", "-"],
        input="".join(f"#include <{name}>\n" for name in LIBRARIES),
        capture_output=True,
        text=True,
        check=False,
    )
    if compiled.returncode:
        pytest.skip("needs sudo apt install gcc libc6-dev libsodium-dev libcurl4-openssl-dev libjansson-dev")
    command = ["cc", "-O2", "-Wall", "-Wextra", "-Werror", "-o", folder / "door", EXAMPLES / "door.c"]
    subprocess.run([*command, "-lsodium", "-lcurl", "-ljansson"], check=True, timeout=60)
    return [str(folder / "door")]


def in_node(_folder: Path) -> list[str]:
    if shutil.which("node") is None:
        pytest.skip("needs Node.js: sudo apt install nodejs npm")
    return ["node", str(EXAMPLES / "door.mjs")]


def in_python(_folder: Path) -> list[str]:
    return [sys.executable, str(EXAMPLES / "door.py")]


@pytest.fixture(scope="module", params=[in_python, in_node, in_c], ids=["Python", "Node.js", "C"])
def program(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The command of a door controller."""
    return request.param(tmp_path_factory.mktemp("door"))


def run(
    program: list[str], port: int, key: str, device: str = DEVICE, *more: str, api_key: str = "fa_test"
) -> tuple[int, str]:
    done = subprocess.run(
        [*program, f"http://127.0.0.1:{port}", device, key, *more],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
        env={**os.environ, "API_KEY": api_key},
    )
    assert done.stderr == ""
    return done.returncode, done.stdout


def test_it_opens_for_a_granted_answer_and_for_nothing_else(program: list[str], answering: Answering) -> None:
    ask = partial(run, program, answering.server_port, SIGNER.public.text)
    answering.answer = decided()
    assert ask() == (0, "open staff-17\n")
    assert ask(DEVICE, "out") == (0, "open staff-17\n")
    few = 5 if program[0] == sys.executable else len(SHUT)  # tests/access/test_verifier.py has the rest of Python
    for name, answer in [*SHUT.items()][:few]:
        answering.answer = answer
        status, printed = ask()
        assert (status, printed[:6]) == (1, "shut: "), name
    answering.answer, answering.status = decided(), 503
    try:
        assert ask()[0] == 1
    finally:
        answering.status = 200


def test_wrong_arguments_are_one_line_without_a_traceback(answering: Answering, tmp_path: Path) -> None:
    done = subprocess.run(in_python(tmp_path), capture_output=True, text=True, timeout=30, check=False)
    assert (done.returncode, done.stderr) == (1, "usage: door.py URL DEVICE PUBLIC_KEY [in|out]\n")
    answering.answer = decided()
    for key, direction in (("none", "in"), (SIGNER.public.text, "up")):
        status, printed = run(in_python(tmp_path), answering.server_port, key, DEVICE, direction)
        assert (status, printed[:6], printed.count("\n")) == (1, "shut: ", 1)


def test_it_opens_for_the_person_at_a_real_device(choice: Choice, hopper: bytes, tmp_path: Path) -> None:
    photo = EncodedPicture(hopper, 10**6).frame(1.0).pixels
    pictures = [head(photo, number) for number in range(61)]
    camera = Scripted(lambda number: pictures[number % 61].copy(), 1 / 15)
    engines = pool(shipped_engine(choice))
    token = keys.add(tmp_path / keys.FILE, "door", [Scope.DECIDE])
    with Device(
        engines, source=camera, size=(WIDTH, HEIGHT), gallery=tmp_path, choice=choice, keys=tmp_path / keys.FILE
    ) as device:
        key = device.client.get("/access/key").document
        where = device.client.port, key["public_key"], key["device"]
        ask = partial(run, in_python(tmp_path), *where, api_key=token)
        assert until(lambda: device.ring.spaced(4, 0.3))
        assert ask() == (1, "shut: unknown\n")
        add(device.client, "hopper", "Grace Hopper")
        assert_enrolled(device.client.post("/people/hopper/templates", hopper))
        for program in (in_python, in_node):
            command = program(tmp_path)
            asked = partial(run, command, *where, api_key=token)
            assert until(lambda asked=asked: asked() == (0, "open hopper\n"), 20), asked()  # other tests run, too
