"""Chunked bodies, pipelines, and what is no HTTP at all, on real sockets."""

import ssl
import time
from collections.abc import Iterator

import pytest
from client import Client, ClosedError, request
from devices import Device, pool, shipped_engine
from document import assert_faces, assert_known, assert_refusal

from appliance.vision.loading import Choice

LIMIT = 2**20


@pytest.fixture(scope="module")
def narrow(choice: Choice) -> Iterator[Client]:
    """A client of a device that takes 1 MiB."""
    with Device(pool(shipped_engine(choice)), max_body=LIMIT) as device:
        yield device.client


def chunked(path: str = "/faces") -> bytes:
    return request("POST", path, None, {"Transfer-Encoding": "chunked"})


def chunks(body: bytes, size: int = 10_000) -> bytes:
    pieces = [body[start : start + size] for start in range(0, len(body), size)]
    return b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"


def test_a_tls_client_is_answered_at_once(narrow: Client) -> None:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    begun = time.monotonic()
    with narrow.wire() as wire, pytest.raises(ssl.SSLError):
        context.wrap_socket(wire.socket)
    assert time.monotonic() - begun < 5


@pytest.mark.parametrize(
    "sent",
    [
        b"\x16",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"PROXY ",
        b"PROXY TCP4 192.0.2.7 192.0.2.1 1 2\r\n",
        b"PROXY UNKNOWN\r\n",
        b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x0c" + bytes(12),
    ],
    ids=lambda sent: repr(sent[:12]),
)
def test_what_waits_for_another_protocol_is_refused_and_closed(narrow: Client, sent: bytes) -> None:
    with narrow.wire(timeout=5) as wire:
        wire.send(sent)

        assert_refusal(wire.answer(), 400, "INF-01")
        assert wire.rest() == b""


@pytest.mark.parametrize("size", [7, 10_000, 2**20])
def test_a_chunked_body_is_read(narrow: Client, portrait: bytes, size: int) -> None:
    with narrow.wire() as wire:
        wire.send(chunked() + chunks(portrait, size))

        assert len(assert_faces(wire.answer())) == 1


def test_a_chunked_body_with_extensions_and_trailers_is_read(narrow: Client, portrait: bytes) -> None:
    with narrow.wire() as wire:
        wire.send(chunked() + b"%x;name=value\r\n%s\r\n0\r\nX-Checksum: 1\r\n\r\n" % (len(portrait), portrait))

        assert len(assert_faces(wire.answer())) == 1
        assert len(assert_faces(wire.ask("POST", "/faces", portrait))) == 1


def test_a_chunked_body_without_content_is_no_image(narrow: Client) -> None:
    with narrow.wire() as wire:
        wire.send(chunked() + b"0\r\n\r\n")

        assert_refusal(wire.answer(), 400, "INF-03")


@pytest.mark.parametrize("excess", [1, 3 * LIMIT])
def test_a_chunked_body_over_the_limit_leaves_the_connection_usable(
    narrow: Client, portrait: bytes, excess: int
) -> None:
    with narrow.wire() as wire:
        wire.send(chunked() + chunks(bytes(LIMIT + excess), 100_000))

        assert_refusal(wire.answer(), 413, "INF-01")
        assert len(assert_faces(wire.ask("POST", "/faces", portrait))) == 1


@pytest.mark.parametrize(
    "body",
    [
        b"zz\r\nhello\r\n0\r\n\r\n",
        b"-5\r\nhello\r\n0\r\n\r\n",
        b"5\r\nhelloworld\r\n0\r\n\r\n",
        b"5;\x00\r\nhello\r\n0\r\n\r\n",
        b"0x5\r\nhello\r\n0\r\n\r\n",
    ],
)
def test_a_malformed_chunk_is_an_invalid_body(narrow: Client, body: bytes) -> None:
    with narrow.wire() as wire:
        wire.send(chunked() + body)

        assert_refusal(wire.answer(), 400, "INF-01")


@pytest.mark.parametrize("encoding", ["gzip", "gzip, chunked", "identity", "chunked, gzip", "xchunked"])
def test_another_transfer_encoding_is_an_invalid_body(narrow: Client, encoding: str) -> None:
    with narrow.wire() as wire:
        wire.send(request("POST", "/faces", None, {"Transfer-Encoding": encoding}) + b"5\r\nhello\r\n0\r\n\r\n")

        assert_refusal(wire.answer(), 400, "INF-01")


@pytest.mark.parametrize(
    "garbage",
    [
        b"hello\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(200) + b"\r\n\r\n",
        b"\xff" * 1000 + b"\r\n\r\n",
        b"POST\r\n\r\n",
        b"post /faces HTTP/1.1\r\n\r\n",
        b"POST /faces HTTP/9.9.9\r\n\r\n",
        b"POST  /faces  HTTP/1.1\r\n\r\n",
        b"POST /faces HTTP/1.1\r\nno colon\r\n\r\n",
        b"POST /faces HTTP/1.1\r\n folded\r\n\r\n",
        b"POST /faces HTTP/1.1\r\nX: a\nb\r\n\r\n",
        b"POST /faces HTTP/1.1\r\nX : a\r\n\r\n",
        b"POST http://[::1/faces HTTP/1.1\r\n\r\n",
        b"POST /faces HTTP/1.1\r\nContent-Length: " + b"9" * 5000 + b"\r\n\r\n",
        b"POST /faces HTTP/1.1\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ],
)
def test_what_is_no_http_is_an_invalid_body(narrow: Client, garbage: bytes) -> None:
    with narrow.wire() as wire:
        wire.send(garbage)

        answer = wire.answer()

        assert_known(answer)
        assert answer.status in (400, 404, 405)
    assert_refusal(narrow.post("/faces", b"x"), 400, "INF-04")


def test_one_answer_is_all_that_broken_http_gets(narrow: Client) -> None:
    with narrow.wire() as wire:
        wire.send(b"hello\r\n\r\n" * 20)

        assert_refusal(wire.answer(), 400, "INF-01")
        with pytest.raises((ClosedError, ConnectionError)):
            wire.answer()


@pytest.mark.parametrize("header", [b"X: " + b"a" * 100_000, b"X: a\r\n" * 20_000], ids=["long", "many"])
def test_oversized_headers_are_refused(narrow: Client, header: bytes) -> None:
    with narrow.wire() as wire:
        wire.send(b"POST /faces HTTP/1.1\r\n" + header)

        assert_refusal(wire.answer(), 431, "INF-01")


def test_headers_as_large_as_those_of_browsers_are_read(narrow: Client, portrait: bytes) -> None:
    assert len(assert_faces(narrow.post("/faces", portrait, {"Cookie": "c" * 16_000}))) == 1


def test_pipelined_requests_are_answered_in_order(narrow: Client, portrait: bytes) -> None:
    with narrow.wire() as wire:
        wire.send(
            request("POST", "/faces", portrait)
            + request("POST", "/faces?minsize=x", portrait)
            + request("POST", "/faces", bytes(LIMIT + 1))
            + chunked()
            + chunks(b"hello")
            + request("GET", "/nothing-here")
            + request("POST", "/faces", portrait)
        )

        assert len(assert_faces(wire.answer())) == 1
        assert_refusal(wire.answer(), 400, "INF-02")
        assert_refusal(wire.answer(), 413, "INF-01")
        assert_refusal(wire.answer(), 400, "INF-04")
        assert_refusal(wire.answer(), 404, "INF-02")
        assert len(assert_faces(wire.answer())) == 1


def test_a_request_may_arrive_byte_by_byte(narrow: Client) -> None:
    with narrow.wire() as wire:
        for byte in request("POST", "/faces", b"hello"):
            wire.send(bytes([byte]))

        assert_refusal(wire.answer(), 400, "INF-04")


@pytest.mark.parametrize("line", [b"", b"Connection: close\r\n"])
def test_an_http_1_0_client_is_answered_once(narrow: Client, line: bytes) -> None:
    with narrow.wire() as wire:
        wire.send(b"POST /faces HTTP/1.0\r\nContent-Length: 5\r\n" + line + b"\r\nhello")

        assert_refusal(wire.answer(), 400, "INF-04")
        assert wire.rest() == b""


def test_an_http_1_0_client_may_keep_its_connection(narrow: Client) -> None:
    with narrow.wire() as wire:
        for _ in range(2):
            wire.send(b"POST /faces HTTP/1.0\r\nContent-Length: 5\r\nConnection: keep-alive\r\n\r\nhello")

            assert_refusal(wire.answer(), 400, "INF-04")


SMUGGLED = request("GET", "/nothing-here")


@pytest.mark.parametrize(
    "head",
    [
        b"Content-Length: 5\r\nTransfer-Encoding: chunked",
        b"Transfer-Encoding: chunked\r\nContent-Length: 5",
        b"Content-Length: 0\r\nContent-Length: 5",
        b"Content-Length: 5\r\nContent-Length: 5",
        b"Content-Length: 5, 5",
        b"Content-Length: +5",
        b"Content-Length: -5",
        b"Content-Length: 0x5",
        b"Content-Length: 5 5",
        b"Content-Length: 1_0",
        b"Content-Length:",
        b"Content-Length : 5",
        b"Content-Length\x0b: 5",
        b"Content_Length: 5",
        b" Content-Length: 5",
        b"X: y\r\n Content-Length: 5",
        b"X: y\r\n\tz",
        b"X: y\nContent-Length: 5",
        b"X: y\rContent-Length: 5",
        b"Transfer-Encoding: chunked, chunked",
        b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
        b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity",
        b"Transfer-Encoding: xchunked",
        b"Transfer-Encoding: ,chunked",
        b"Transfer-Encoding: \x0bchunked",
        b"Transfer-Encoding : chunked",
        b"Transfer-Encoding\x00: chunked",
        b"Transfer_Encoding: chunked",
        b"Transfer-Encoding:\r\n chunked",
        b'Transfer-Encoding: "chunked"',
    ],
)
def test_a_head_that_can_be_read_in_two_ways_has_one_refusal(narrow: Client, head: bytes) -> None:
    for body in (b"0\r\n\r\n", b""):
        with narrow.wire() as wire:
            wire.send(b"POST /faces HTTP/1.1\r\nHost: 127.0.0.1\r\n" + head + b"\r\n\r\n" + body + SMUGGLED)

            assert_refusal(wire.answer(), 400, "INF-01")
            with pytest.raises((ClosedError, ConnectionError)):
                wire.answer()


@pytest.mark.parametrize("connection", [b"", b"Connection: keep-alive\r\n"])
def test_chunks_in_http_1_0_are_refused(narrow: Client, connection: bytes) -> None:
    with narrow.wire() as wire:
        wire.send(b"POST /faces HTTP/1.0\r\nTransfer-Encoding: chunked\r\n" + connection + b"\r\n0\r\n\r\n" + SMUGGLED)

        assert_refusal(wire.answer(), 400, "INF-01")
        with pytest.raises((ClosedError, ConnectionError)):
            wire.answer()
