"""The demonstration as a newcomer meets it: the person in it is enrolled, and granted, and opens no real door."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from browser import DESKTOP, FPS, PHONE, QUICK, Visit, accessible
from client import Client
from devices import Child, until
from face_appliance_client.verifier import Verifier
from people import add, assert_enrolled, assert_refused, body
from playwright.sync_api import expect

from appliance.access.token import PublicKey


@contextmanager
def demonstration(folder: Path, more: str = "") -> Iterator[Client]:
    """A demonstration in which the person who is shown is enrolled."""
    settings = f'{QUICK}[camera]\nfps = {FPS}\n[gallery]\nkey_file = "{folder}/site.key"\n{more}'
    with Child(folder, settings, ("--port", "0", "--demonstration")) as child:
        client = child.ready()
        assert until(lambda: client.get("/healthz").status == 200)
        yield client


def enrolled(client: Client, portrait: bytes) -> None:
    add(client, "eileen", "Eileen Collins")
    assert_enrolled(client.post("/people/eileen/templates", portrait))
    assert until(lambda: client.get("/identify").document["faces"][0]["person"])


def decided(client: Client, nonce: str = "0123456789abcdefghij") -> dict[str, Any]:
    answer: dict[str, Any] = client.post("/access/decide", body({"nonce": nonce})).document
    return answer


def test_the_person_in_it_is_granted_by_a_key_that_no_door_knows(tmp_path: Path, portrait: bytes) -> None:
    with demonstration(tmp_path) as client:
        assert decided(client)["decision"]["reason"] == "unknown"
        enrolled(client, portrait)
        key = client.get("/access/key").document
        verifier = Verifier(PublicKey.read(key["public_key"]), key["device"])
        answer = decided(client, verifier.challenge())
        assert verifier.verify(answer["token"]).granted
        for path in ("templates", "captures"):
            assert_refused(client.ask("POST", f"/people/eileen/{path}/camera"), 409, "APP-01", "stored_pictures")
    decision = answer["decision"]
    assert (decision["result"], decision["reason"], decision["person"]["id"]) == ("granted", "demonstration", "eileen")
    assert "liveness is off" in decision["text"]
    assert not (tmp_path / "state" / "signing.key").exists()
    with demonstration(tmp_path) as client:
        assert client.get("/access/key").document["public_key"] != key["public_key"]


def test_with_an_output_it_is_denied(tmp_path: Path, portrait: bytes) -> None:
    with demonstration(tmp_path, '[webhook]\nurl = "http://127.0.0.1:9/"\n') as client:
        enrolled(client, portrait)
        decision = decided(client)["decision"]
    assert (decision["result"], decision["reason"]) == ("denied", "camera_blind")


@pytest.mark.nightly
def test_its_pages_say_what_it_is(visit: Visit, tmp_path: Path, portrait: bytes) -> None:
    with demonstration(tmp_path) as client:
        for size in (DESKTOP, PHONE):
            with visit(client, size) as page:
                expect(page.locator("#status")).to_have_text("Demonstration")
                expect(page.locator("#demonstration")).to_contain_text("This is a stored portrait")
                expect(page.locator("#health li")).to_have_attribute("data-state", "demonstration")
                page.wait_for_selector("#overlay .box")
                accessible(page)
        enrolled(client, portrait)
        with visit(client, path="/door") as page:
            expect(page.locator("#who")).to_contain_text("Eileen Collins")
            page.get_by_role("button", name="Decide now").click()
            expect(page.locator("#decision .verdict")).to_contain_text("Granted")
            expect(page.locator("#decision .verdict")).to_contain_text("liveness is off")
            accessible(page)
        for display in ((800, 480), (480, 800), (360, 640)):
            with visit(client, display, path="/kiosk") as page:
                expect(page.locator("#demonstration")).to_contain_text("This is a stored portrait", timeout=20_000)
                expect(page.locator("#demonstration")).to_be_in_viewport(ratio=1)
                accessible(page)
