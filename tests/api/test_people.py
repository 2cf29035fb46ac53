"""People over HTTP: added, shown, changed and erased; what is refused, and what is never told."""

import json
import logging
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import quote

import pytest
from client import Client, request
from devices import Device, pool
from document import assert_refusal, assert_success
from hypothesis import given, settings
from hypothesis import strategies as st
from people import NAMES, add, assert_all, assert_one, assert_refused, body

from appliance import keys
from appliance.keys import Scope
from appliance.sections import GallerySection


@pytest.fixture
def device(tmp_path: Path) -> Iterator[Device]:
    with Device(pool(), gallery=tmp_path) as running:
        yield running


@pytest.fixture
def client(device: Device) -> Client:
    return device.client


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    """A client of one device for all, of which nothing is asked in the end."""
    with Device(pool(), gallery=tmp_path_factory.mktemp("shared")) as running:
        add(running.client, "known", "Known", groups=["staff"])
        yield running.client


def test_the_gallery_is_empty_at_first(client: Client) -> None:
    assert assert_all(client.get("/people")) == []


def test_a_person_is_what_was_said_of_them(client: Client) -> None:
    words = {"groups": ["staff", "night.shift"], "valid_from": "2026-01-01", "valid_until": "2026-12-31"}

    added = add(client, "e-17", "Eileen Collins", **words)

    assert added | {"created": None} == {
        "id": "e-17", "name": "Eileen Collins", **words, "created": None, "credential": None, "templates": [], "fit": None,
    }  # fmt: skip
    assert assert_one(client.get("/people/e-17")) == added
    assert assert_all(client.get("/people")) == [added]


def test_the_list_says_that_decisions_add_templates(tmp_path: Path) -> None:
    section = GallerySection(key_file=tmp_path / "site.key", refresh=True)
    with Device(pool(), gallery=tmp_path, section=section) as running:
        for path in ("/people", "/people?limit=1"):
            assert running.client.get(path).document["refresh"] is True


def test_people_come_in_the_order_of_their_ids(client: Client) -> None:
    for identity in ("b", "c", "a"):
        add(client, identity)

    assert [person["id"] for person in assert_all(client.get("/people"))] == ["a", "b", "c"]


@pytest.mark.parametrize("script", NAMES)
def test_a_name_may_be_in_any_script(client: Client, script: str) -> None:
    assert add(client, "x", NAMES[script])["name"] == NAMES[script]
    escaped = json.dumps({"name": NAMES[script]}).encode()
    assert assert_one(client.ask("PUT", "/people/x", escaped))["name"] == NAMES[script]


def test_a_change_is_of_everything_but_the_id_and_the_time(client: Client) -> None:
    before = add(client, "x", "Before", groups=["a"], valid_from="2026-01-01")

    after = assert_one(client.ask("PUT", "/people/x", body({"name": "After", "valid_until": "2027-01-01"})))

    assert after == {**before, "name": "After", "groups": [], "valid_from": None, "valid_until": "2027-01-01"}
    assert assert_one(client.get("/people/x")) == after


def test_a_credential_is_answered_as_it_was_set(client: Client) -> None:
    credential = {"format": "26", "facility": 17, "card": 4711}
    added = add(client, "x", credential=credential)
    assert added["credential"] == credential

    raw = assert_one(
        client.ask("PUT", "/people/x", body({"name": "X", "credential": {"format": "raw", "bits": "0101"}}))
    )
    assert raw["credential"] == {"format": "raw", "bits": "0101"}
    assert assert_one(client.ask("PUT", "/people/x", body({"name": "X"})))["credential"] is None


def test_who_is_erased_is_gone_and_leaves_a_receipt(client: Client) -> None:
    add(client, "x")

    receipt = assert_success(client.ask("DELETE", "/people/x"), "receipt")["receipt"]

    assert set(receipt) == {"reference", "templates", "time", "complete", "record", "copies"}
    assert set(receipt["record"]) == {"sequence", "hash"}
    assert (len(receipt["reference"]), receipt["templates"], receipt["complete"]) == (16, 0, True)
    assert assert_all(client.get("/people")) == []
    assert_refused(client.get("/people/x"), 404, "INF-02", "no_such_person")


def test_an_id_is_taken_once(client: Client) -> None:
    add(client, "x", "First")

    assert_refused(client.ask("POST", "/people", body({"id": "x", "name": "Second"})), 409, "APP-01", "person_exists")
    assert assert_one(client.get("/people/x"))["name"] == "First"


@pytest.mark.parametrize(
    ("method", "path", "content"),
    [
        ("GET", "/people/nobody", None),
        ("PUT", "/people/nobody", body({"name": "x"})),
        ("DELETE", "/people/nobody", None),
        ("DELETE", "/people/nobody/templates/1", None),
    ],
)
def test_an_unknown_person_is_not_found(client: Client, method: str, path: str, content: bytes | None) -> None:
    assert_refused(client.ask(method, path, content), 404, "INF-02", "no_such_person")


@pytest.mark.parametrize("number", ["1", "0", "-1", "x", "1.0", "9" * 18, "9" * 5000, "%D9%A1", "1%0a", "+1", "0x1"])
def test_a_template_that_is_not_there_is_not_found(client: Client, number: str) -> None:
    add(client, "x")

    answer = client.ask("DELETE", f"/people/x/templates/{number}")

    assert_refused(answer, 404, "INF-02", "no_such_template")


HOSTILE = [
    *("..", ".", "../../etc/passwd", "a/b", "a\\b", "-x", "_x", "", " ", "x ", "x\n", "x\0", "%2e", "a" * 65),
    *("<b>", "'; DROP TABLE people; --", "é", "\u0661", "x\u202e", "a,b", "a:b", "{}", "$(id)", "~root", "a\tb"),
]


@pytest.mark.parametrize("identity", HOSTILE)
def test_an_id_that_could_do_harm_is_refused_and_found_nowhere(shared: Client, identity: str) -> None:
    text = assert_refused(
        shared.ask("POST", "/people", body({"id": identity, "name": "x"})), 400, "INF-01", "invalid_body"
    )
    assert text.startswith("id: ")
    if identity:
        answer = shared.get(f"/people/{quote(identity, safe='')}")
        assert (answer.status, answer.code) == (404, "INF-02")
        assert shared.ask("DELETE", f"/people/{quote(identity, safe='')}").status == 404


@pytest.mark.parametrize(
    ("words", "field"),
    [
        ({"name": "x"}, "id"),
        ({"id": "x"}, "name"),
        ({"id": "x", "name": ""}, "name"),
        ({"id": "x", "name": "  "}, "name"),
        ({"id": "x", "name": "x" * 101}, "name"),
        ({"id": "x", "name": "a\nb"}, "name"),
        ({"id": "x", "name": "a\u202eb"}, "name"),
        ({"id": "x", "name": "a\0b"}, "name"),
        ({"id": "x", "name": 7}, "name"),
        ({"id": "x", "name": None}, "name"),
        ({"id": 7, "name": "x"}, "id"),
        ({"id": "x", "name": "x", "groups": "staff"}, "groups"),
        ({"id": "x", "name": "x", "groups": ["a", "a"]}, "groups"),
        ({"id": "x", "name": "x", "groups": [7]}, "groups.0"),
        ({"id": "x", "name": "x", "groups": ["a b"]}, "groups"),
        ({"id": "x", "name": "x", "groups": ["é"]}, "groups"),
        ({"id": "x", "name": "x", "groups": [str(number) for number in range(17)]}, "groups"),
        ({"id": "x", "name": "x", "valid_from": "tomorrow"}, "valid_from"),
        ({"id": "x", "name": "x", "valid_from": 20260101}, "valid_from"),
        ({"id": "x", "name": "x", "valid_until": "2026-02-30"}, "valid_until"),
        ({"id": "x", "name": "x", "valid_from": "2026-02-02", "valid_until": "2026-02-01"}, "valid_until"),
        ({"id": "x", "name": "x", "credential": {"format": "26", "facility": 256, "card": 1}}, "credential: facility"),
        ({"id": "x", "name": "x", "credential": "26:1:1"}, "credential: format"),
        ({"id": "x", "name": "x", "colour": "red"}, "colour"),
        ({"id": "x", "name": "x", "templates": []}, "templates"),
        ({"id": "x", "name": "x", "reference": "0" * 16}, "reference"),
        ([], "body"),
        ("x", "body"),
        (None, "body"),
    ],
    ids=str,
)
def test_what_is_wrong_in_a_body_is_named(shared: Client, words: object, field: str) -> None:
    answer = shared.ask("POST", "/people", body(words))

    assert assert_refused(answer, 400, "INF-01", "invalid_body").startswith(f"{field}: ")


def test_a_part_of_a_person_is_changed_and_the_rest_stays(client: Client) -> None:
    before = add(client, "x", "Before", groups=["a"], valid_from="2026-01-01")

    after = assert_one(client.ask("PATCH", "/people/x", body({"name": "After", "valid_from": None})))

    assert after == {**before, "name": "After", "valid_from": None}
    assert assert_one(client.ask("PATCH", "/people/x", b"{}")) == after
    assert_refused(client.ask("PATCH", "/people/x", body({"name": None})), 400, "INF-01", "invalid_body")
    assert_refused(client.ask("PATCH", "/people/x", body({"groups": ["a b"]})), 400, "INF-01", "invalid_body")
    assert_refused(client.ask("PATCH", "/people/nobody", body({"name": "x"})), 404, "INF-02", "no_such_person")
    assert assert_one(client.get("/people/x")) == after


def test_two_changes_of_different_fields_at_once_are_both_kept(client: Client) -> None:
    add(client, "x")
    fields = [{"name": "After"}, {"groups": ["a"]}, {"valid_from": "2026-01-01"}, {"valid_until": "2027-01-01"}]

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(lambda each: client.ask("PATCH", "/people/x", body(each)), fields * 5))

    after = assert_one(client.get("/people/x"))
    assert all(after[name] == value for each in fields for name, value in each.items())


@pytest.fixture(scope="module")
def crowd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    """A client of a device that knows p0 to p9, of whom the even ones are staff."""
    with Device(pool(), gallery=tmp_path_factory.mktemp("crowd")) as running:
        for number in range(10):
            groups = [] if number % 2 else ["staff"]
            add(running.client, f"p{number}", ["Ada Straße", "Eileen Collins"][number % 3 == 0], groups=groups)
        yield running.client


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("query=eileen", "0369"),
        ("query=STRASSE", "124578"),
        ("query=staff", "02468"),
        ("query=p7", "7"),
        ("query=", "0123456789"),
        ("query=nobody", ""),
        ("query=%25", ""),
    ],
)
def test_people_are_found_by_id_name_and_group(crowd: Client, query: str, found: str) -> None:
    people = assert_all(crowd.get(f"/people?{query}"))

    assert [person["id"] for person in people] == [f"p{number}" for number in found]


def test_the_list_comes_in_pages(crowd: Client) -> None:
    seen, after = [], ""
    while after is not None:
        page = assert_success(
            crowd.get(f"/people?limit=3&after={after}"), "count", "templates", "people", "total", "next"
        )
        assert page["total"] == 10
        assert page["count"] == len(page["people"]) <= 3
        seen += [person["id"] for person in page["people"]]
        after = page["next"]

    assert seen == [f"p{number}" for number in range(10)]
    page = crowd.get("/people?limit=2&query=staff&after=p4").document
    assert ([person["id"] for person in page["people"]], page["total"], page["next"]) == (["p6", "p8"], 5, None)


@pytest.mark.parametrize("limit", ["0", "-1", "x", "1001", ""])
def test_a_page_has_a_size(crowd: Client, limit: str) -> None:
    assert_refused(crowd.get(f"/people?limit={limit}"), 400, "INF-02", "invalid_query")


def test_a_mark_before_the_json_is_passed_over(client: Client) -> None:
    added = client.ask("POST", "/people", b"\xef\xbb\xbf" + body({"id": "x", "name": NAMES["greek"]}))

    assert added.document["person"]["name"] == NAMES["greek"]


def test_the_body_of_a_change_names_no_person(shared: Client) -> None:
    answer = shared.ask("PUT", "/people/known", body({"id": "other", "name": "x"}))

    assert assert_refused(answer, 400, "INF-01", "invalid_body").startswith("id: ")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"hello",
        b"{",
        b'{"id":"x","name":"\xff"}',
        b'{"id":"x","name":"\\ud800"}',
        b"[" * 100_000,
        b"name=x",
        b"\0",
    ],
    ids=lambda content: repr(content[:20]),
)
@pytest.mark.parametrize(("method", "path"), [("POST", "/people"), ("PUT", "/people/known")])
def test_a_body_that_is_not_json_is_refused(shared: Client, method: str, path: str, content: bytes) -> None:
    answer = shared.ask(method, path, content)

    assert assert_refused(answer, 400, "INF-01", "invalid_body").startswith("body: ")


def test_the_type_of_a_body_is_ignored(shared: Client) -> None:
    for kind in ("application/x-www-form-urlencoded", "text/plain", "multipart/form-data; boundary=x"):
        assert_one(shared.ask("PUT", "/people/known", body({"name": "Known"}), {"Content-Type": kind}))


def test_a_body_over_the_limit_is_refused_with_the_limit(tmp_path: Path) -> None:
    with Device(pool(), gallery=tmp_path, max_body=1000) as device:
        answer = device.client.post("/people", bytes(1001))

    assert_refusal(answer, 413, "INF-01")
    assert answer.document["text"] == "The body is larger than 1000 bytes."


@settings(derandomize=True, database=None, deadline=None, max_examples=200)
@given(content=st.binary(max_size=200) | st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
        st.sampled_from(["id", "name", "groups", "valid_from", "valid_until", "credential", "x"]), inner, max_size=5
    ),
).map(lambda words: json.dumps(words).encode()))  # fmt: skip
def test_any_body_is_taken_or_refused(shared: Client, content: bytes) -> None:
    answer = shared.ask("PUT", "/people/known", content)

    assert (answer.status, answer.code) in ((200, "INF-00"), (400, "INF-01"))


@settings(derandomize=True, database=None, deadline=None, max_examples=200)
@given(identity=st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=80))
def test_any_id_is_found_or_not(shared: Client, identity: str) -> None:
    answer = shared.get(f"/people/{quote(identity, safe='')}")

    assert (answer.status, answer.code) in ((200, "INF-00"), (404, "INF-02"))


def test_answers_about_people_are_kept_nowhere(client: Client) -> None:
    add(client, "x")

    for answer in (client.get("/people"), client.get("/people/x"), client.ask("DELETE", "/people/x")):
        assert answer.headers["Cache-Control"] == "no-store"


def test_people_outlive_the_device(tmp_path: Path) -> None:
    with Device(pool(), gallery=tmp_path) as device:
        added = add(device.client, "x", NAMES["hindi"])
    with Device(pool(), gallery=tmp_path) as device:
        assert assert_all(device.client.get("/people")) == [added]


def test_concurrent_changes_lose_no_one(client: Client) -> None:
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda number: add(client, f"p{number:03d}"), range(80)))
        list(threads.map(lambda number: client.ask("DELETE", f"/people/p{number:03d}"), range(0, 80, 2)))

    assert [person["id"] for person in assert_all(client.get("/people"))] == [f"p{n:03d}" for n in range(1, 80, 2)]


def test_of_many_who_take_one_id_one_gets_it(client: Client) -> None:
    with ThreadPoolExecutor(8) as threads:
        asked = threads.map(
            lambda number: client.ask("POST", "/people", body({"id": "x", "name": f"Number {number}"})), range(8)
        )
        statuses = sorted(answer.status for answer in asked)

    assert statuses == [201] + [409] * 7


def test_neither_names_nor_ids_are_in_the_log(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    token = keys.add(tmp_path / keys.FILE, "office", [Scope.ADMIN])
    key = {"X-API-Key": token}
    with Device(pool(), gallery=tmp_path, keys=tmp_path / keys.FILE) as device:
        client = device.elsewhere
        words = {"name": NAMES["latin"], "groups": ["secretgroup"]}
        client.ask("POST", "/people", body({"id": "staff-4711", **words}), key)
        client.ask("POST", "/people", body({"id": "staff-4711", **words}), key)
        client.ask("POST", "/people", body({"id": "staff-4711/..", **words}), key)
        client.get("/people/staff-4711", key)
        client.get("/PEOPLE/staff-4711", key)
        client.get("/people/staff-4711/photo", key)
        client.get("/people/staff-4711")
        client.ask("PATCH", "/people/staff-4711", None, key)
        client.ask("PUT", "/people/staff-4711", body(words), key)
        client.ask("PUT", "/people/staff-4711", body({**words, "id": "staff-4711"}), key)
        with client.wire() as wire:  # is gone before it is answered
            wire.send(request("GET", "/people/staff-4711", None, key) * 20)
        client.ask("DELETE", "/people/staff-4711/templates/1", None, key)
        receipt = client.ask("DELETE", "/people/staff-4711", None, key).document["receipt"]
        client.get("/people/staff-4711", key)
    for secret in ("4711", "Eileen", "Collins", "secretgroup", token):
        assert secret not in caplog.text
    told = [record.getMessage() for record in caplog.records if record.name == "appliance.state"]
    person = f"person {receipt['reference']}"
    assert [line for line in told if line.startswith("person ")] == [
        f"{person}: added by key office",
        f"{person}: changed by key office",
        f"{person}: erased by key office",
    ]
