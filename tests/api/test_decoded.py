"""All decoded pictures of all requests share a bounded memory (`server.decoded_mib`)."""

from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pytest
from bodies import form, frames, jpeg, opened, png
from client import Client
from devices import Child, Device, pool, shipped_engine, until
from document import assert_faces, assert_refusal

from appliance.vision.loading import Choice

SIDE = 512
JPEG_BYTES, PNG_BYTES = 4 * SIDE * SIDE, 8 * SIDE * SIDE
"""What the portrait takes when it is decoded."""


def asked(client: Client, path: str, picture: bytes) -> tuple[int, str | None]:
    if path in ("/compare", "/liveness/multiframe"):
        pair = {"image_a": picture, "image_b": picture}
        headers, body = form(pair if path == "/compare" else {"images": frames([picture] * 4)})
    else:
        headers, body = {}, picture
    answer = client.post(path, body, headers)
    return answer.status, answer.headers.get("Retry-After")


@pytest.mark.parametrize("path", ["/faces", "/compare", "/liveness/multiframe"])
def test_pictures_that_never_fit_are_answered_one_request_at_a_time(choice: Choice, portrait: bytes, path: str) -> None:
    engines = pool(shipped_engine(choice), shipped_engine(choice), patience=0.2, memory=1000)
    with Device(engines) as device:
        assert asked(device.client, path, portrait) == (200, None)
        assert asked(device.client, path, png(opened(portrait))) == (200, None)
        with engines.lease(1):
            assert asked(device.client, path, portrait) == (503, "1")
        assert asked(device.client, path, portrait) == (200, None)


def test_a_board_with_little_memory_takes_the_largest_picture(portrait: bytes, tmp_path: Path) -> None:
    settings = "[server]\ndecoded_mib = 16\nmax_megapixels = 4\n[engine]\nengines = 2\n"
    large = [encode(opened(portrait).resize((2000, 2000))) for encode in (jpeg, png)]
    with Child(tmp_path, settings) as device, ThreadPoolExecutor(4) as threads:
        client = device.ready()
        for answer in threads.map(partial(client.post, "/faces"), large * 2):
            assert_faces(answer)
        assert_refusal(client.post("/faces", png(opened(portrait).resize((2001, 2000)))), 400, "INF-04")


def test_a_request_that_waits_too_long_is_answered_retry_after(choice: Choice, portrait: bytes) -> None:
    engines = pool(shipped_engine(choice), shipped_engine(choice), patience=0.2, memory=PNG_BYTES)
    with Device(engines) as device:
        with engines.lease(PNG_BYTES - JPEG_BYTES + 1):
            refused = device.client.post("/faces", portrait)
            assert_refusal(refused, 503, "INF-08")
            assert refused.headers["Retry-After"] == "1"
        assert_faces(device.client.post("/faces", portrait))


def test_one_that_waits_gets_its_turn(choice: Choice, portrait: bytes) -> None:
    engines = pool(shipped_engine(choice), shipped_engine(choice), memory=JPEG_BYTES)
    with Device(engines, workers=8) as device, ThreadPoolExecutor(6) as threads:
        with engines.lease(JPEG_BYTES):
            waiting = [threads.submit(device.client.post, "/faces", portrait) for _ in range(6)]
            until(lambda: engines.queue == 6)
        for each in waiting:
            assert len(assert_faces(each.result())) == 1
