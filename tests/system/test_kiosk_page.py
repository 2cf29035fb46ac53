"""The display at the door in a real browser, on a device that is a process of its own."""

import json
import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest
from browser import FAINT, Visit, watching
from client import Client
from devices import Child, until
from people import add, assert_enrolled
from playwright.sync_api import Page, expect

from appliance import keys
from appliance.keys import Scope

PROJECT = Path(__file__).parents[2]

PANEL, PORTRAIT, PHONE = (800, 480), (480, 800), (360, 640)


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory, seated: str) -> Iterator[tuple[Client, Child]]:
    """A device that grants the person of a still picture, whom it knows."""
    folder = tmp_path_factory.mktemp("kiosk")
    more = f'[gallery]\nkey_file = "{folder}/site.key"\n[liveness]\nmode = "single"\n'
    rules = '[door]\nwithout_liveness = "grant"\nclock = "plausible"\nwithout_clock = "grant"\n'
    with watching(folder, f"{seated}\n{more}{rules}") as child:
        client = child.ready()
        assert until(lambda: client.get("/healthz").status == 200)
        yield client, child


def decided(client: Client, reason: str) -> bool:
    """Whether a decision has this reason; those of a busy device may be about frames that are too old."""

    def asked() -> bool:
        body = {"nonce": secrets.token_urlsafe(16), "direction": "in"}
        return client.post("/access/decide", json.dumps(body).encode()).document["decision"]["reason"] == reason

    return until(asked)


def scrolls(page: Page) -> bool:
    return page.evaluate(
        "document.documentElement.scrollHeight > innerHeight || document.documentElement.scrollWidth > innerWidth"
    )


def accessible(page: Page) -> None:
    """axe-core has nothing to say."""
    page.evaluate((PROJECT / "node_modules" / "axe-core" / "axe.min.js").read_text())
    found = page.evaluate("axe.run()")["violations"]
    assert [(each["id"], [node["html"] for node in each["nodes"]]) for each in found] == []
    assert page.evaluate(FAINT) == []


@pytest.mark.parametrize("size", [PANEL, PORTRAIT, PHONE], ids=["landscape", "portrait", "phone"])
def test_granted_and_denied_on_each_display(
    door: tuple[Client, Child], visit: Visit, portrait: bytes, size: tuple[int, int]
) -> None:
    client, _ = door
    with visit(client, size, path="/kiosk") as page:
        expect(page.locator("body")).to_have_attribute("data-state", "ready", timeout=20_000)
        expect(page.locator("#picture")).to_be_visible()
        expect(page.locator("#sentence")).to_have_text("Look at the camera")
        assert not scrolls(page)
        accessible(page)

        assert decided(client, "unknown")
        expect(page.locator("#outcome strong")).to_have_text("DENIED")
        assert not scrolls(page)
        accessible(page)
        expect(page.locator("#outcome")).to_be_hidden(timeout=10_000)

        add(client, "hopper", "Grace Hopper")
        assert_enrolled(client.post("/people/hopper/templates", portrait))
        assert decided(client, "granted")
        expect(page.locator("#outcome strong")).to_have_text("GRANTED")
        expect(page.locator("#outcome span")).to_have_text("Grace Hopper")
        assert not scrolls(page)
        accessible(page)
        client.ask("DELETE", "/people/hopper")


def test_it_signs_in_with_a_key_that_sees_nothing_else(tmp_path: Path, seated: str, visit: Visit) -> None:
    with watching(tmp_path, f"{seated}\n[access]\nloopback = false\n") as child:
        client = child.ready()
        token = keys.add(child.state / keys.FILE, "display", [Scope.KIOSK])
        with visit(client, PANEL, path="/kiosk", refusals=True) as page:
            expect(page.locator("dialog h2")).to_have_text("Key required", timeout=20_000)
            page.locator("#locked-key").fill(token)
            page.keyboard.press("Enter")
            expect(page.locator("#picture")).to_be_visible(timeout=20_000)
            expect(page.locator("body")).to_have_attribute("data-state", "ready", timeout=20_000)
            assert page.evaluate("fetch('/people').then(({ status }) => status)") == 403
            assert page.evaluate("fetch('/access/decisions').then(({ status }) => status)") == 403
            page.keyboard.press("Tab")
            page.keyboard.press("Enter")
            expect(page.get_by_role("button", name="Sound")).to_have_attribute("aria-pressed", "true")


def test_it_says_when_the_device_is_gone(tmp_path: Path, seated: str, visit: Visit) -> None:
    with watching(tmp_path, seated) as child:
        client = child.ready()
        assert until(lambda: client.get("/healthz").status == 200)
        with visit(client, PANEL, path="/kiosk", refusals=True) as page:
            expect(page.locator("#picture")).to_be_visible(timeout=20_000)
            child.process.terminate()
            child.process.wait(20)
            expect(page.locator("#sentence")).to_have_text("No connection to the device.", timeout=20_000)
            expect(page.locator("#picture")).to_be_hidden()
