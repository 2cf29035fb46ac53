"""Paths that are switched off, the liveness mode, and the expiry date."""

from datetime import date, timedelta
from typing import get_args

import pytest
from bodies import form
from client import Client
from devices import Device, pool
from document import POST_PATHS, assert_refusal

from appliance.sections import RestrictablePath

LAST_DAY = date(2030, 12, 31)

RESTRICTABLE = ("/faces", "/alignedfaces", "/similarity", "/liveness/multiframe", "/compare", "/facefeatures")

GRANTS = "/access/decide"
"""Expires like every path that recognises faces, and is switched off by door.enabled alone."""


def asked(client: Client, path: str) -> int:
    headers, body = form({"x": b"y"})
    return client.post(path, body, headers).status


def test_what_the_configuration_can_restrict_is_what_recognises_faces() -> None:
    with Device(pool()) as device:
        recognising = {route.path for route in device.table if route.expires}
    assert recognising == {*get_args(RestrictablePath), GRANTS, f"{GRANTS}/<handle>"}


@pytest.mark.parametrize("off", RESTRICTABLE)
def test_a_path_that_is_switched_off_is_refused_and_no_other(off: str) -> None:
    with Device(pool(), restricted={off}) as device:
        for path in POST_PATHS:
            if path.removesuffix("/v2") == off:
                assert_refusal(device.client.post(path, b"x"), 406, "INF-25")
            else:
                assert asked(device.client, path) == 400


@pytest.mark.parametrize("path", POST_PATHS)
def test_the_last_day_is_a_day_of_service(path: str) -> None:
    with Device(pool(), expires=LAST_DAY, today=lambda: LAST_DAY) as device:
        assert asked(device.client, path) == 400


@pytest.mark.parametrize("path", POST_PATHS)
def test_after_the_last_day_every_path_is_refused(path: str) -> None:
    with Device(pool(), expires=LAST_DAY, today=lambda: LAST_DAY + timedelta(days=1)) as device:
        assert_refusal(device.client.post(path, b"x"), 406, "INF-26")


@pytest.mark.parametrize("path", ["/", "/app.js", "/healthz", "/metrics", "/version"])
def test_after_the_last_day_the_device_still_tells_how_it_is(path: str) -> None:
    with Device(pool(), expires=LAST_DAY, today=lambda: LAST_DAY + timedelta(days=1)) as device:
        assert device.client.get(path).status == 200
        assert_refusal(device.client.get("/faces"), 406, "INF-26")


def test_an_expired_path_that_is_switched_off_has_expired() -> None:
    with Device(pool(), restricted={"/faces"}, expires=date(2020, 1, 1)) as device:
        assert_refusal(device.client.post("/faces", b"x"), 406, "INF-26")
