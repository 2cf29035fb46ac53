"""What every answer carries, and what a wrong path, method or request line is answered."""

import pytest
from bodies import form
from client import Client, request
from document import POST_PATHS, assert_faces, assert_refusal, assert_signed

UNKNOWN_PATHS = (
    "/nothing-here",
    "/faces/",
    "/faces/1",
    "/Faces",
    "/similarity/v3",
    "/liveness/",
    "/..%2f..%2fetc/passwd",
    "/../../etc/passwd",
    "/%00",
    "/%ff%fe",
    "/<script>alert(1)</script>",
    "/faces;x=1",
    "/" + "a" * 5000,
)


@pytest.mark.parametrize("path", UNKNOWN_PATHS)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_an_unknown_path_is_404(device: Client, method: str, path: str) -> None:
    assert_refusal(device.ask(method, path, b"x"), 404, "INF-02")


@pytest.mark.parametrize("path", POST_PATHS)
@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "BREW"])
def test_a_wrong_method_is_405(device: Client, portrait: bytes, method: str, path: str) -> None:
    answer = device.ask(method, path, portrait)

    assert_refusal(answer, 405, "INF-02")
    assert "POST" in answer.headers["Allow"]


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
def test_the_version_can_only_be_read(device: Client, method: str) -> None:
    assert_refusal(device.ask(method, "/version", b""), 405, "INF-02")


def test_a_head_request_is_answered_without_a_body(device: Client) -> None:
    with device.wire() as wire:
        wire.send(request("HEAD", "/nothing-here", headers={"Connection": "close"}))

        head, _, body = wire.rest().partition(b"\r\n\r\n")

    assert head.startswith(b"HTTP/1.1 404 ")
    assert b"\r\nContent-Type: application/json\r\n" in head + b"\r\n"
    assert body == b""


@pytest.mark.parametrize("path", POST_PATHS)
def test_a_clients_harmless_request_id_is_kept(device: Client, path: str) -> None:
    answer = device.post(path, b"x", {"X-Request-Id": "order-7.b_C"})

    assert_signed(answer)
    assert answer.headers["X-Request-Id"] == "order-7.b_C"


@pytest.mark.parametrize("given", ["", "a b", "x" * 65, "id\tx", "ünïcode", "../x", "<b>"])
def test_a_harmful_request_id_is_replaced(device: Client, given: str) -> None:
    answer = device.post("/faces", b"x", {"X-Request-Id": given})

    assert_signed(answer)
    assert answer.headers["X-Request-Id"] != given


def test_each_answer_has_an_id_of_its_own(device: Client) -> None:
    ids = {device.post("/faces", b"x").headers["X-Request-Id"] for _ in range(20)}

    assert len(ids) == 20


def test_the_proxy_headers_of_a_client_change_nothing(device: Client, portrait: bytes) -> None:
    headers = {"X-Forwarded-For": "1.2.3.4", "X-Forwarded-Proto": "https", "Forwarded": "for=x;host=evil"}

    assert len(assert_faces(device.post("/faces", portrait, headers))) == 1


def test_the_connection_stays_open_after_success_and_failure(device: Client, portrait: bytes) -> None:
    headers, body = form({"image_a": b"x", "image_b": b"y"})
    with device.wire() as wire:
        for _ in range(3):
            assert len(assert_faces(wire.ask("POST", "/faces", portrait))) == 1
            assert_refusal(wire.ask("POST", "/faces", b"x"), 400, "INF-04")
            assert_refusal(wire.ask("POST", "/faces?minsize=x", portrait), 400, "INF-02")
            assert_refusal(wire.ask("POST", "/similarity", body, headers), 400, "INF-04")
            assert_refusal(wire.ask("DELETE", "/faces", portrait), 405, "INF-02")
            assert_refusal(wire.ask("GET", "/nothing-here"), 404, "INF-02")
