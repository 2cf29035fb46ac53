"""Behind a reverse proxy: below a path, in a frame of another page, and streams that are passed on at once."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from client import HOST, Client
from devices import Device, pool

from appliance import keys
from appliance.api.streams import HEARTBEAT_SECONDS
from appliance.events import GalleryChanged
from appliance.keys import Scope

DASHBOARD = "https://dashboard.example"


@pytest.fixture(scope="module")
def below() -> Iterator[Client]:
    """A client of a device that is shown below /a/door."""
    with Device(pool(), base_path="/a/door") as running:
        yield running.client


@pytest.mark.parametrize("prefix", ["/a/door", ""], ids=["as it is", "cut off by the proxy"])
def test_every_path_is_answered_with_and_without_the_base_path(below: Client, prefix: str) -> None:
    for path in ("/", "/door", "/style.css", "/healthz", "/openapi.json"):
        assert below.get(prefix + path).status == 200, path
    answer = below.post(prefix + "/faces", b"hello")
    assert (answer.status, answer.code, set(answer.document)) == (400, "INF-04", {"return_msg"})
    assert below.get(prefix + "/nothing-here").status == 404
    assert below.get("/a/doors/healthz").status == 404


def test_the_folder_without_its_slash_leads_to_the_page(below: Client) -> None:
    answer = below.get("/a/door")

    assert answer.status == 308
    assert answer.headers["Location"] == "door/"


def test_the_description_names_the_base_path(below: Client) -> None:
    assert below.get("/a/door/openapi.json").document["servers"] == [{"url": "/a/door"}]


def test_what_is_refused_before_a_path_is_read_says_why_below_it_too() -> None:
    with Device(pool(), base_path="/a", max_body=1000) as device:
        for path, reason in (("/a/people", "too_large"), ("/a/faces", None)):
            answer = device.client.post(path, bytes(1001))
            assert answer.status == 413
            assert answer.document.get("reason") == reason


@pytest.mark.parametrize("ancestors", [(), (DASHBOARD, "https://other.example")], ids=["none", "two"])
def test_the_pages_say_who_may_frame_them(ancestors: tuple[str, ...]) -> None:
    frame = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "iframe"}
    with Device(pool(), ancestors=ancestors) as device:
        policy = device.client.get("/kiosk").headers["Content-Security-Policy"]
        assert policy.endswith(f"frame-ancestors {' '.join(ancestors) if ancestors else chr(39) + 'none' + chr(39)}")
        assert device.client.get("/kiosk", frame).status == (200 if ancestors else 403)
        assert device.client.get("/kiosk", {**frame, "Sec-Fetch-Dest": "image"}).status == 403
        assert device.client.post("/key", b"", {**frame, "Origin": DASHBOARD}).status == 403


@pytest.mark.parametrize("framed", [True, False])
def test_a_session_in_a_frame_belongs_to_the_page_around_it(tmp_path: Path, framed: bool) -> None:  # noqa: FBT001
    token = keys.add(tmp_path / keys.FILE, "browser", [Scope.LIVE])
    with Device(pool(), keys=tmp_path / keys.FILE, ancestors=[DASHBOARD] if framed else []) as device:
        key = {"X-API-Key": token}
        tls, plain = (each.post("/key", b"", key).headers["Set-Cookie"] for each in (device.elsewhere, device.client))
    assert ("SameSite=None; Partitioned; Secure" in tls) is framed
    assert "SameSite=Strict" in plain


def test_streams_are_not_buffered_and_have_comments() -> None:
    with Device(pool(), heartbeat=0.6) as device, device.client.wire() as wire:
        stop = threading.Event()

        def busy() -> None:
            """Something happens all the time."""
            while not stop.wait(0.1):
                device.broadcast.publish(GalleryChanged(1, 1))

        talker = threading.Thread(target=busy)
        talker.start()
        try:
            wire.send(f"GET /events HTTP/1.1\r\nHost: {HOST}\r\n\r\n".encode())
            wire.socket.settimeout(3)
            begun, received = time.monotonic(), b""
            with suppress(socket.timeout):
                while received.count(b"\n:\n") < 2 and time.monotonic() - begun < 10:
                    received += wire.socket.recv(65_536)
        finally:
            stop.set()
            talker.join()
    assert b"X-Accel-Buffering: no" in received
    assert received.count(b"event: gallery") > 2
    assert received.count(b":\n\n") >= 2


def test_the_comments_come_before_a_proxy_gives_up() -> None:
    assert HEARTBEAT_SECONDS <= 15
