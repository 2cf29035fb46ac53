"""People in bulk over HTTP: imported row by row, nothing half done; people and decisions as tables."""

import csv
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from bodies import form, zipped
from client import Client
from devices import Device, pool, shipped_engine
from document import assert_success
from people import add, assert_all, assert_refused

from appliance import keys
from appliance.access.log import DECISION, VOIDS
from appliance.api import door
from appliance.keys import Scope
from appliance.vision.loading import Choice

HEAD = "id,name,groups,valid_until,credential,photos\n"


@pytest.fixture(scope="module")
def served(choice: Choice, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Device]:
    folder = tmp_path_factory.mktemp("tables")
    with Device(pool(shipped_engine(choice)), gallery=folder, choice=choice, max_body=2**20) as running:
        yield running


@pytest.fixture
def client(served: Device) -> Iterator[Client]:
    yield served.client
    for person in served.client.get("/people").document["people"]:
        served.client.ask("DELETE", f"/people/{person['id']}")


def sent(client: Client, rows: str, photos: bytes | None = None, query: str = "") -> list[dict[str, Any]]:
    """What becomes of the rows."""
    headers, content = form({"people": rows.encode(), **({} if photos is None else {"photos": photos})})
    found = assert_success(client.post(f"/people/import{query}", content, headers), "dry_run", "rows")
    assert found["dry_run"] == ("dry_run" in query)
    return found["rows"]


def states(rows: list[dict[str, Any]]) -> list[tuple[str, str]]:
    return [(row["id"], row["reason"] or row["result"]) for row in rows]


def cells(content: bytes) -> list[list[str]]:
    return list(csv.reader(io.StringIO(content.decode("utf-8-sig"), newline="")))


def test_rows_are_checked_imported_and_unchanged_when_sent_again(
    client: Client, portrait: bytes, hopper: bytes
) -> None:
    photos = zipped({"p/Ada 1.jpg": portrait, "grace.jpg": hopper, "broken.jpg": portrait[:500], "copy.jpg": portrait})
    table = (
        f"{HEAD}ada,Ada,staff;night,2099-12-31,26:17:4711,ada 1.jpg; ADA 1.JPG\n"
        "grace,Grace Hopper,,,,grace.jpg\n"
        "none,None,,,,\n"
        "lost,Lost,,,,nowhere.jpg\n"
        "broken,Broken,,,,broken.jpg\n"
        "eve,Eve,,,,copy.jpg\n"
        "two,Two,,,,grace.jpg;copy.jpg\n"
        "..,Dots,,,,\n"
    )
    expected = [("ada", "added"), ("grace", "added"), ("none", "added"), ("lost", "no_such_photo")]
    expected += [
        ("broken", "invalid_picture"),
        ("eve", "duplicate"),
        ("two", "not_the_same_person"),
        ("..", "invalid_row"),
    ]

    assert states(tried := sent(client, table, photos, "?dry_run=1")) == expected
    assert assert_all(client.get("/people")) == []
    assert states(done := sent(client, table, photos)) == expected
    assert [row["row"] for row in done] == list(range(2, 10))
    assert "broken.jpg: " in done[4]["text"]
    assert "ada" in tried[5]["text"]
    assert "ada" in done[5]["text"]

    people = {person["id"]: person for person in assert_all(client.get("/people"))}
    assert set(people) == {"ada", "grace", "none"}
    assert [len(each["templates"]) for each in people.values()] == [2, 1, 0]
    assert people["ada"]["groups"] == ["staff", "night"]
    assert people["ada"]["credential"] == {"format": "26", "facility": 17, "card": 4711}

    again = sent(client, table, photos)
    assert states(again)[:3] == [("ada", "unchanged"), ("grace", "unchanged"), ("none", "unchanged")]
    assert assert_all(client.get("/people")) == list(people.values())


def test_who_is_there_already_stays_or_is_replaced(client: Client, portrait: bytes, hopper: bytes) -> None:
    add(client, "ada", "Ada")
    client.post("/people/ada/templates", portrait)
    table, photos = f"{HEAD}ada,Augusta Ada,,,,new.jpg\n", zipped({"new.jpg": hopper})
    assert states(sent(client, table, photos)) == [("ada", "person_exists")]
    assert states(sent(client, table, photos, "?on_conflict=skip")) == [("ada", "skipped")]
    (before,) = assert_all(client.get("/people"))
    assert before["name"] == "Ada"
    assert states(sent(client, table, photos, "?on_conflict=replace&dry_run=1")) == [("ada", "replaced")]
    assert states(sent(client, table, photos, "?on_conflict=replace")) == [("ada", "replaced")]
    (after,) = assert_all(client.get("/people"))
    assert (after["name"], len(after["templates"])) == ("Augusta Ada", 1)
    assert after["templates"][0]["number"] > before["templates"][0]["number"]

    assert states(sent(client, "id,name\nada,Countess\n", query="?on_conflict=replace")) == [("ada", "replaced")]
    (renamed,) = assert_all(client.get("/people"))
    assert (renamed["name"], renamed["templates"]) == ("Countess", after["templates"])
    assert states(sent(client, "id,name\nada,Countess\n", query="?on_conflict=replace")) == [("ada", "unchanged")]


def test_what_cannot_be_imported_is_refused_as_a_whole(client: Client) -> None:
    headers, content = form({"people": b"id,nmae\n"})
    assert "nmae" in assert_refused(client.post("/people/import", content, headers), 400, "INF-01", "invalid_table")
    refused = client.post("/people/import?on_conflict=no", content, headers)
    assert_refused(refused, 400, "INF-02", "invalid_query")
    headers, content = form({"photos": zipped({"a.jpg": b""})})
    assert_refused(client.post("/people/import", content, headers), 400, "INF-03", "no_picture")
    headers, content = form({"people": b"id,name\n", "photos": b"no zip"})
    assert_refused(client.post("/people/import", content, headers), 400, "INF-22", "not_a_zip")
    headers, content = form({"people": b"id,name\n", "photos": bytes(2**20)})
    assert_refused(client.post("/people/import", content, headers), 413, "INF-01", "too_large")


def test_people_are_exported_without_biometrics_and_imported_again(client: Client, portrait: bytes) -> None:
    add(client, "ada", "=cmd|' /C calc'!A0", groups=["staff", "night"], valid_until="2099-12-31")
    add(client, "eve", "Eve")
    client.post("/people/eve/templates", portrait)
    answer = client.get("/people.csv")
    assert answer.headers["Content-Type"] == "text/csv; charset=utf-8"
    assert 'filename="people.csv"' in answer.headers["Content-Disposition"]
    assert cells(answer.content) == [
        ["id", "name", "groups", "valid_from", "valid_until", "credential", "templates"],
        ["ada", "'=cmd|' /C calc'!A0", "staff;night", "", "2099-12-31", "", "0"],
        ["eve", "Eve", "", "", "", "", "1"],
    ]
    assert [row[0] for row in cells(client.get("/people.csv?query=NIGHT").content)] == ["id", "ada"]
    assert states(sent(client, answer.content.decode())) == [("ada", "unchanged"), ("eve", "unchanged")]


def test_decisions_are_exported_by_time_person_and_result(
    served: Device, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    add(client, "ada", "Ada")
    reference = served.gallery.gallery().person("ada").person.reference
    record = served.gallery._record
    entries = [
        record.append(DECISION, {"result": result, "reason": reason, "direction": way, "person": who, **more})
        for result, reason, way, who, more in (
            ("granted", "granted", "in", reference, {}),
            ("denied", "unknown", "out", None, {}),
            ("granted", "granted", "in", None, {"pass": "0123456789abcdef"}),
            ("denied", "camera_blind", "in", None, {VOIDS: 1}),
        )
    ]
    first = entries[0].sequence

    def found(query: str) -> list[int]:
        head, *rows = cells(client.get(f"/access/decisions.csv?{query}").content)
        assert head == ["sequence", "time", "result", "reason", "text", "direction", "person", "name", "pass"]
        return [int(row[0]) - first for row in rows]

    assert found("") == [3, 2, 1, 0]
    assert found("person=ada") == [0]
    assert found("result=granted&from=2020-01-01&until=2099-12-31") == [2, 0]
    assert found("direction=out") == found("reason=unknown") == [1]
    assert found("until=2020-01-01") == found("from=2099-01-01T08:00:00Z") == []
    monkeypatch.setattr(door, "MOST_EXPORTED", 3)
    assert_refused(client.get("/access/decisions.csv"), 400, "INF-02", "too_many_decisions")
    assert found("until=2099-12-31&result=granted") == [2, 0]
    monkeypatch.setattr(door, "MOST_EXPORTED", 4)
    assert_refused(client.get("/access/decisions.csv?from=soon"), 400, "INF-02", "invalid_query")
    _, *rows = cells(client.get("/access/decisions.csv").content)
    assert rows[3][6:] == ["ada", "Ada", ""]
    assert rows[1][8] == "0123456789abcdef"


def test_tables_need_an_admin_key(tmp_path: Path) -> None:
    store = tmp_path / "keys.json"
    live = keys.add(store, "live", [Scope.LIVE])
    with Device(pool(), gallery=tmp_path, keys=store, loopback=False) as device:
        for path in ("/people.csv", "/access/decisions.csv"):
            assert device.client.get(path).status == 401
            assert device.client.get(path, {"X-API-Key": live}).status == 403
