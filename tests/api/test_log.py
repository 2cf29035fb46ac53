"""What clients without a key can put into the log: lines of a bounded length, and no traceback."""

import logging
from collections.abc import Iterator

import pytest
from client import Client, request
from devices import Device, pool, until
from document import assert_refusal

from appliance.camera.replay import DEMONSTRATION, Replay
from appliance.camera.source import Orientation

LONGEST = 500
"""Characters of a line in the log."""

LONG = "a" * 60_000


@pytest.fixture
def clean(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Fails when the log has a long line, an error or a traceback."""
    with caplog.at_level(logging.INFO):
        yield
    lines = [record.getMessage() for record in caplog.get_records("call")]
    assert lines
    assert max(map(len, lines)) <= LONGEST
    assert not [each for each in caplog.get_records("call") if each.exc_info or each.levelno >= logging.ERROR]


@pytest.fixture
def camera() -> Iterator[Device]:
    source = Replay([DEMONSTRATION], 320, 180, 30, Orientation(), hold_s=1)
    with Device(pool(), source=source, size=(320, 180), viewers=6, listeners=6, heartbeat=0.5) as device:
        assert until(lambda: device.ring.newest() is not None)
        yield device


def refused(client: Client, content: bytes) -> int:
    with client.wire() as wire:
        wire.send(content)
        return wire.answer().status


@pytest.mark.usefixtures("clean")
@pytest.mark.parametrize(
    "content",
    [
        request("GET", f"/{LONG}"),
        request("GET", f"/people/{LONG}"),
        request("GET", f"/?{LONG}"),
        request("GET", "/" + "%ff" * 20_000),
        request(LONG, "/"),
        request("GET", "/", None, {"Host": LONG}),
        request("GET", "/faces", None, {"Origin": LONG}),
        request("GET", "/faces", None, {"X-API-Key": LONG}),
        request("GET", "/faces", None, {"Authorization": f"Bearer {LONG}"}),
        request("GET", "/faces", None, {"Cookie": LONG}),
        request("GET", "/faces", None, {"X-Request-Id": LONG}),
        request("POST", "/faces", b"x", {"Content-Type": f"multipart/form-data; boundary={LONG}"}),
        request("GET", "/faces", None, {"Transfer-Encoding": LONG}),
        request("GET", "/faces", None, {"Content-Length": LONG}),
        b"GET / HTTP/" + LONG.encode() + b"\r\n\r\n",
        b"GET http://[" + LONG.encode() + b"/ HTTP/1.1\r\n\r\n",
        LONG.encode() + b"\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + LONG.encode() + b"\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\n " + LONG.encode() + b"\r\n\r\n",
    ],
    ids=range(19),
)
def test_a_long_request_leaves_a_short_line(content: bytes) -> None:
    with Device(pool()) as device:
        assert refused(device.elsewhere, content) in (200, 400, 401, 403, 404, 405)
        assert_refusal(device.elsewhere.get("/version"), 401, "INF-25")


@pytest.mark.usefixtures("clean")
@pytest.mark.parametrize("path", ["/events", "/camera/stream.mjpg"])
def test_a_page_that_is_loaded_again_leaves_no_traceback(camera: Device, path: str) -> None:
    for _ in range(6):
        with camera.client.wire() as wire:
            wire.send(request("GET", path))
            assert wire.answer().status == 200
    assert until(lambda: not camera.connections())
