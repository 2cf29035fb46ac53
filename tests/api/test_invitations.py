"""Invitations: a link enrols one person, once, within a day, with their consent on record."""

import hashlib
import logging
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from client import Client
from devices import Device, pool, shipped_engine
from document import assert_success
from people import QUALITY, add, assert_one, assert_refused

from appliance import keys
from appliance.access import invitations
from appliance.access.invitations import INVITATIONS_FILE, Invitations
from appliance.access.log import CONSENT, RECORD_FILE, Record
from appliance.api.pages import catalogues
from appliance.faults import Refusal
from appliance.gallery.vault import SiteKey
from appliance.vision.loading import Choice


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("invited")


@pytest.fixture(scope="module")
def served(choice: Choice, folder: Path) -> Iterator[Device]:
    with Device(pool(shipped_engine(choice)), gallery=folder, choice=choice) as running:
        yield running


@pytest.fixture
def client(served: Device) -> Iterator[Client]:
    add(served.client, "ada", "Ada <b>Lovelace")
    yield served.client
    for person in served.client.get("/people").document["people"]:
        served.client.ask("DELETE", f"/people/{person['id']}")


def invite(client: Client, identity: str = "ada") -> str:
    """The path of a new link."""
    made = assert_success(client.ask("POST", f"/people/{identity}/invitation"), "invitation", status=201)["invitation"]
    assert set(made) == {"url", "expires", "code"}
    assert made["code"].startswith("<?xml")
    ends = datetime.fromisoformat(made["expires"]) - datetime.now(UTC)
    assert timedelta(hours=23.9) < ends <= timedelta(hours=24)
    found = re.fullmatch(r"http://127\.0\.0\.1(?::\d+)?(/enrol/[\w-]{43})", made["url"])
    assert found
    return found[1]


def assert_gone(client: Client, path: str) -> None:
    assert_refused(client.get(f"{path}/invitation"), 404, "INF-02", "no_such_invitation")
    assert_refused(client.post(f"{path}?consent=1", b"x"), 404, "INF-02", "no_such_invitation")


def test_a_link_enrols_its_person_once_with_their_consent(
    served: Device, client: Client, folder: Path, portrait: bytes, hopper: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    path = invite(client)
    page = client.get(path)
    assert page.headers["Content-Type"] == "text/html; charset=utf-8"
    assert page.headers["Referrer-Policy"] == "no-referrer"
    speaker = {"Accept-Language": "de-AT"}
    shown = assert_success(client.get(f"{path}/invitation", speaker), "invitation")["invitation"]
    assert shown["name"] == "Ada <b>Lovelace"
    assert shown["consent"] == catalogues()["de"]["invitation.consent"]

    assert_refused(client.post(path, portrait), 400, "INF-02", "consent_required")
    assert client.post(f"{path}?consent=1", b"no picture").status == 400
    before = Record(folder / RECORD_FILE).newest(10, CONSENT)
    done = assert_success(client.post(f"{path}?consent=1", portrait, speaker), "quality", status=201)
    assert set(done["quality"]) == QUALITY
    assert len(assert_one(client.get("/people/ada"))["templates"]) == 1
    entry, *others = Record(folder / RECORD_FILE).newest(10, CONSENT)
    assert tuple(others) == before
    reference = served.gallery.gallery().person("ada").person.reference
    digest = hashlib.sha256(shown["consent"].encode()).hexdigest()
    assert entry.facts == {"person": reference, "text": digest}
    assert_gone(client, path)
    assert path.rpartition("/")[2] not in caplog.text


def test_another_link_a_withdrawal_and_an_erasure_end_a_link(client: Client) -> None:
    first, second = invite(client), invite(client)
    assert_gone(client, first)
    assert client.get(f"{second}/invitation").status == 200
    assert client.ask("DELETE", "/people/ada/invitation").status == 200
    assert_refused(client.ask("DELETE", "/people/ada/invitation"), 404, "INF-02", "no_such_invitation")
    assert_gone(client, second)
    third = invite(client)
    client.ask("DELETE", "/people/ada")
    assert_gone(client, third)
    for path in ("/enrol/x", f"/enrol/{'a' * 43}"):
        assert_gone(client, path)
    assert client.ask("POST", "/people/nobody/invitation").status == 404


def test_a_link_does_not_tell_who_is_enrolled(client: Client, portrait: bytes, hopper: bytes) -> None:
    add(client, "eve")
    client.post("/people/eve/templates", portrait)
    path = invite(client)
    assert_refused(client.post(f"{path}?consent=1", portrait), 409, "APP-01", "photo_refused")
    assert_gone(client, path)
    assert client.post(f"{invite(client)}?consent=1", hopper).status == 201
    path = invite(client)
    assert_refused(client.post(f"{path}?consent=1", portrait), 409, "APP-01", "photo_refused")
    assert_gone(client, path)
    assert len(assert_one(client.get("/people/ada"))["templates"]) == 1


def test_a_link_needs_no_key_and_making_one_does(choice: Choice, portrait: bytes, tmp_path: Path) -> None:
    engines = pool(shipped_engine(choice))
    with Device(engines, gallery=tmp_path, choice=choice) as device:
        add(device.client, "ada", "Ada Lovelace")
        path = invite(device.client)
    keys.add(tmp_path / keys.FILE, "other", list(keys.Scope)[:1])
    with Device(engines, gallery=tmp_path, keys=tmp_path / keys.FILE, loopback=False, choice=choice) as device:
        assert device.client.ask("POST", "/people/ada/invitation").status == 401
        assert device.client.get("/enrol/x").status == 200
        assert_gone(device.client, "/enrol/x")
        assert_success(device.client.post(f"{path}?consent=1", portrait), "quality", status=201)
        assert_gone(device.client, path)


def test_a_link_ends_after_a_day(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, client: Client, served: Device
) -> None:
    person = served.gallery.gallery().person("ada").person
    book = Invitations(tmp_path, lambda: SiteKey(bytes(32)))
    token, made = book.invite(person)
    assert book.find(token) == made
    assert token.encode() not in (tmp_path / INVITATIONS_FILE).read_bytes()
    monkeypatch.setattr(invitations, "LIFE", timedelta())
    token, _ = book.invite(person)
    with pytest.raises(invitations.NoSuchInvitationError):
        book.find(token)


def test_the_open_invitations_are_bounded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, client: Client, served: Device
) -> None:
    add(client, "eve")
    ada, eve = (served.gallery.gallery().person(each).person for each in ("ada", "eve"))
    book = Invitations(tmp_path, lambda: SiteKey(bytes(32)))
    monkeypatch.setattr(invitations, "MOST", 1)
    book.invite(ada)
    with pytest.raises(Refusal) as refused:
        book.invite(eve)
    assert (refused.value.reason, refused.value.status) == ("too_many_invitations", 409)
    book.invite(ada)
