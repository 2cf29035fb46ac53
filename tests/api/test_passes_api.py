"""Visitor passes over HTTP."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from client import Client
from devices import Device, pool
from document import assert_success
from people import assert_refused, body

from appliance.imaging import barcode
from appliance.imaging.codec import EncodedPicture

FIELDS = {"id", "name", "valid_from", "valid_until", "issued", "single_use", "revoked", "used"}


@pytest.fixture
def client(tmp_path: Path) -> Client:
    with Device(pool(), gallery=tmp_path) as device:
        yield device.client


def issue(client: Client, **fields: object) -> object:
    return client.ask("POST", "/access/passes", body(fields))


def test_a_pass_is_issued_drawn_listed_and_revoked(client: Client) -> None:
    until = (datetime.now(UTC) + timedelta(hours=3)).replace(second=0, microsecond=0)
    answer = issue(client, name="Vera Rubin", valid_until=until.astimezone().isoformat(), single_use=True)
    assert answer.status == 201
    made, code = answer.document["pass"], answer.document["code"]
    assert set(made) == FIELDS
    assert (made["name"], made["single_use"], made["used"], made["revoked"]) == ("Vera Rubin", True, None, None)
    assert made["valid_until"] == until.isoformat().replace("+00:00", "Z")
    path = f"/access/passes/{made['id']}"
    assert assert_success(client.get(path), "pass", "code") | {"return_msg": 0} == answer.document | {"return_msg": 0}

    drawn = client.get(f"{path}/code.png")
    assert drawn.headers["Content-Type"] == "image/png"
    assert barcode.read(EncodedPicture(drawn.content, 10**7).frame(1.0).pixels) == [code]
    assert client.get(f"{path}/code.svg").content.startswith(b"<?xml")

    listed = assert_success(client.get("/access/passes"), "count", "passes")
    assert (listed["count"], listed["passes"]) == (1, [made])
    assert client.ask("DELETE", path).document["pass"]["revoked"]
    assert client.get(path).document["pass"]["revoked"]


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"valid_until": "2099-01-01T00:00:00Z"}, "name: "),
        ({"name": "Vera"}, "valid_until: "),
        ({"name": "Vera", "valid_until": "2099-01-01T00:00:00"}, "valid_until: "),
        ({"name": "Vera", "valid_until": "soon"}, "valid_until: "),
        (
            {"name": "Vera", "valid_until": "2020-01-01T00:00:00Z", "valid_from": "2019-12-31T00:00:00Z"},
            "valid_until: it",
        ),
        ({"name": "Vera", "valid_until": "2099-01-01T00:00:00Z"}, "valid_until: after valid_from"),
        ({"name": "\n", "valid_until": "2099-01-01T00:00:00Z"}, "name: "),
        ({"name": "Vera", "valid_until": "9999-12-31T23:59:59Z"}, "valid_until: after valid_from"),
        ({"name": "Vera", "valid_until": "0001-01-01T00:00:00Z"}, "valid_until: "),
    ],
)
def test_what_is_no_pass_is_refused(client: Client, fields: dict[str, object], text: str) -> None:
    assert assert_refused(issue(client, **fields), 400, "INF-01", "invalid_body").startswith(text)
    for method, path in (("GET", ""), ("DELETE", ""), ("GET", "/code.png"), ("GET", "/code.svg")):
        assert_refused(client.ask(method, f"/access/passes/nobody{path}"), 404, "INF-02", "no_such_pass")


def test_a_time_without_an_offset_is_answered_with_an_example(client: Client) -> None:
    for until, least in (("2026-11-30", "such as 2026-12-31T18:00:00+01:00"), ("2026-11-30T18:00", "with its offset")):
        answer = client.ask("POST", "/access/passes", body({"name": "Vera", "valid_until": until}))
        assert answer.status == 400
        assert answer.document["text"].startswith("valid_until: must be a time")
        assert least in answer.document["text"]
