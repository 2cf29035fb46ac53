"""Request bodies as real clients send them."""

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from client import HOST, Client, request
from devices import MAX_BODY, Device, pool, shipped_engine
from document import PICTURE_PATHS, POST_PATHS, assert_faces, assert_refusal, assert_success

from appliance.vision.loading import Choice

LIMIT = 2**20


@pytest.fixture(scope="module")
def narrow(choice: Choice) -> Iterator[Client]:
    """A client of a device that takes 1 MiB."""
    with Device(pool(shipped_engine(choice)), max_body=LIMIT) as device:
        yield device.client


@pytest.mark.parametrize(
    "content_type",
    [
        "application/x-www-form-urlencoded",
        "image/jpeg",
        "image/png",
        "application/octet-stream",
        "text/plain; charset=utf-8",
        "multipart/form-data; boundary=x",
        "application/json",
        "nonsense",
    ],
)
@pytest.mark.parametrize("path", PICTURE_PATHS)
def test_the_type_of_a_picture_is_ignored(device: Client, portrait: bytes, path: str, content_type: str) -> None:
    answer = device.post(path, portrait, {"Content-Type": content_type})

    assert answer.document["count"] == 1


@pytest.mark.parametrize("path", PICTURE_PATHS)
def test_a_picture_without_a_type_is_taken(device: Client, portrait: bytes, path: str) -> None:
    assert device.post(path, portrait).document["count"] == 1


@pytest.mark.parametrize("path", POST_PATHS)
@pytest.mark.parametrize("content_type", [None, "image/jpeg", "multipart/form-data; boundary=x"])
def test_an_empty_body_is_no_image(device: Client, path: str, content_type: str | None) -> None:
    headers = {"Content-Type": content_type} if content_type else {}

    assert_refusal(device.post(path, b"", headers), 400, "INF-03")


@pytest.mark.parametrize("path", POST_PATHS)
def test_a_request_without_a_length_is_invalid(device: Client, path: str) -> None:
    assert_refusal(device.ask("POST", path), 400, "INF-01")


@pytest.mark.parametrize("path", POST_PATHS)
@pytest.mark.parametrize("length", ["abc", "-1", "1.5", "0x10", "1, 2", "+5"])
def test_a_wrong_length_is_invalid(device: Client, path: str, length: str) -> None:
    assert_refusal(device.ask("POST", path, None, {"Content-Length": length}), 400, "INF-01")


@pytest.mark.parametrize("path", PICTURE_PATHS)
def test_text_is_no_picture(device: Client, path: str) -> None:
    assert_refusal(device.post(path, b"hello"), 400, "INF-04")


def test_a_client_that_expects_100_continue_receives_it(device: Client, portrait: bytes) -> None:
    head = {"Content-Length": str(len(portrait)), "Expect": "100-continue"}
    with device.wire() as wire:
        wire.send(request("POST", "/faces", None, head))
        assert wire.answer().status == 100

        wire.send(portrait)

        assert len(assert_faces(wire.answer())) == 1
        assert_success(wire.ask("POST", "/faces", portrait), "count", "faces")


def test_a_client_that_expects_but_does_not_wait_is_answered(device: Client, portrait: bytes) -> None:
    head = {"Content-Length": str(len(portrait)), "Expect": "100-continue"}
    with device.wire() as wire:
        wire.send(request("POST", "/faces", None, head) + portrait)

        assert wire.answer().status == 100
        assert len(assert_faces(wire.answer())) == 1


def test_a_client_that_expects_to_send_too_much_is_refused_at_once(narrow: Client) -> None:
    head = {"Content-Length": str(LIMIT + 1), "Expect": "100-continue"}
    with narrow.wire() as wire:
        wire.send(request("POST", "/faces", None, head))

        assert_refusal(wire.answer(), 413, "INF-01")


@pytest.mark.parametrize("length", ["0", "abc"])
def test_a_client_that_expects_without_a_body_is_answered(device: Client, length: str) -> None:
    with device.wire(timeout=5) as wire:
        wire.send(request("POST", "/faces", None, {"Content-Length": length, "Expect": "100-continue"}))

        answer = wire.answer()
        answer = wire.answer() if answer.status == 100 else answer

        assert_refusal(answer, 400, "INF-03" if length == "0" else "INF-01")


@pytest.mark.parametrize("path", POST_PATHS)
@pytest.mark.parametrize("excess", [1, 3 * LIMIT])
def test_a_body_over_the_limit_leaves_the_connection_usable(
    narrow: Client, portrait: bytes, path: str, excess: int
) -> None:
    with narrow.wire() as wire:
        assert_refusal(wire.ask("POST", path, bytes(LIMIT + excess)), 413, "INF-01")

        assert len(assert_faces(wire.ask("POST", "/faces", portrait))) == 1


def test_a_body_of_exactly_the_limit_is_read(narrow: Client) -> None:
    assert_refusal(narrow.post("/faces", bytes(LIMIT)), 400, "INF-04")


def test_the_default_limit_is_8_mib(device: Client) -> None:
    with device.wire() as wire:
        assert_refusal(wire.ask("POST", "/faces", bytes(MAX_BODY)), 400, "INF-04")
        assert_refusal(wire.ask("POST", "/faces", bytes(MAX_BODY + 1)), 413, "INF-01")


def test_a_client_that_sends_far_too_much_still_reads_the_answer(narrow: Client) -> None:
    with narrow.wire() as wire:
        with suppress(ConnectionError):  # the server need not read all of it
            wire.send(request("POST", "/faces", bytes(40 * LIMIT)))

        assert_refusal(wire.answer(), 413, "INF-01")


@pytest.mark.skipif(shutil.which("curl") is None, reason="no curl here")
def test_curl_is_answered(device: Client, portrait: bytes, tmp_path: Path) -> None:
    picture = tmp_path / "test.jpg"
    picture.write_bytes(portrait * 20)
    url = f"http://{HOST}:{device.port}"

    face = subprocess.run(
        ["curl", "-sS", "--data-binary", f"@{picture}", f"{url}/faces"], capture_output=True, check=True
    )
    pair = subprocess.run(
        ["curl", "-sS", "-F", f"image_a=@{picture}", "-F", f"image_b=@{picture}", f"{url}/similarity"],
        capture_output=True,
        check=True,
    )

    assert b'"count":1' in face.stdout
    assert b"INF-05" in pair.stdout
