"""The display at the door in a real browser, on a device that is a process of its own."""

import json
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from browser import Visit, accessible, watching
from client import Client
from devices import Child, until
from people import add, assert_enrolled
from playwright.sync_api import Page, expect

from appliance import api, keys
from appliance.keys import Scope

ANY_OUTCOME = re.compile("granted|denied", re.IGNORECASE)

DISPLAYS = PANEL, PORTRAIT, PHONE = (800, 480), (480, 800), (360, 640)


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory, seated: str) -> Iterator[tuple[Client, Child]]:
    """A device that grants the person of a still picture, whom it knows."""
    folder = tmp_path_factory.mktemp("kiosk")
    with granting(folder, seated) as child:
        yield child.ready(), child


@contextmanager
def granting(folder: Path, camera: str, rules: str = "") -> Iterator[Child]:
    more = f'[gallery]\nkey_file = "{folder}/site.key"\n[liveness]\nmode = "single"\n'
    rules = f'[door]\nwithout_liveness = "grant"\nclock = "plausible"\nwithout_clock = "grant"\n{rules}'
    with watching(folder, f"{camera}\n{more}{rules}") as child:
        client = child.ready()
        assert until(lambda: client.get("/healthz").status == 200)
        yield child


def decided(client: Client, reason: str) -> bool:
    """Whether a decision has this reason; those of a busy device may be about frames that are too old."""

    def asked() -> bool:
        body = {"nonce": secrets.token_urlsafe(16), "direction": "in"}
        return client.post("/access/decide", json.dumps(body).encode()).document["decision"]["reason"] == reason

    return until(asked)


def fits(page: Page, display: tuple[int, int]) -> None:
    """From here on the page is on this display, where all of it is seen, and axe-core has nothing to say."""
    page.set_viewport_size({"width": display[0], "height": display[1]})
    assert not scrolls(page), display
    accessible(page)


def scrolls(page: Page) -> bool:
    return page.evaluate(
        "document.documentElement.scrollHeight > innerHeight || document.documentElement.scrollWidth > innerWidth"
    )


def test_granted_and_denied_on_each_display(door: tuple[Client, Child], visit: Visit, portrait: bytes) -> None:
    client, _ = door
    with visit(client, PANEL, path="/kiosk") as page:
        expect(page.locator("body")).to_have_attribute("data-state", "ready", timeout=20_000)
        expect(page.locator("#picture")).to_be_visible()
        expect(page.locator("#sentence")).to_have_text("Look at the camera")
        for display in DISPLAYS:
            fits(page, display)

        for display in DISPLAYS:
            assert decided(client, "unknown")
            expect(page.locator("#outcome strong")).to_have_text("DENIED")
            fits(page, display)
        expect(page.locator("#outcome")).to_be_hidden(timeout=10_000)

        add(client, "hopper", "Grace Hopper")
        assert_enrolled(client.post("/people/hopper/templates", portrait))
        for display in DISPLAYS:
            assert decided(client, "granted")
            expect(page.locator("#outcome strong")).to_have_text("GRANTED")
            expect(page.locator("#outcome span")).to_have_text("Grace Hopper")
            fits(page, display)
        client.ask("DELETE", "/people/hopper")


@pytest.mark.nightly
def test_it_signs_in_with_a_key_that_sees_nothing_else(tmp_path: Path, seated: str, visit: Visit) -> None:
    with watching(tmp_path, f"{seated}\n[access]\nloopback = false\n") as child:
        client = child.ready()
        token = keys.add(child.state / keys.FILE, "display", [Scope.KIOSK])
        assert until(lambda: client.get("/version", {"X-API-Key": token}).status == 200), "it has read the new key"
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


def test_the_devices_own_display_signs_in_by_itself_and_hides_its_key(
    tmp_path: Path, seated: str, visit: Visit
) -> None:
    with watching(tmp_path, f"{seated}\n[access]\nloopback = false\n") as child:
        client = child.ready()
        token = keys.add(child.state / keys.FILE, "own-display", [Scope.KIOSK])
        assert until(lambda: client.get("/version", {"X-API-Key": token}).status == 200), "it has read the new key"
        with visit(client, PANEL, path=f"/kiosk#{token}", refusals=True) as page:
            expect(page.locator("body")).to_have_attribute("data-state", "ready", timeout=20_000)
            assert page.evaluate("location.hash") == ""
            keys.revoke(child.state / keys.FILE, "own-display")
            expect(page.locator("dialog h2")).to_have_text("Key required", timeout=20_000)


PIN_STEP = {"handle": "x" * 22, "kind": "pin", "text": "enter your PIN", "seconds": 60, "least": 4, "most": 8}


CUT_OFF = """[...document.querySelectorAll("#sentence, #pad *")].filter((each) => {
    const { left, top, right, bottom } = each.getBoundingClientRect();
    return left < 0 || top < 0 || right > innerWidth || bottom > document.querySelector("footer").offsetTop + 7;
}).map((each) => each.outerHTML)"""


def test_the_pad_fits_each_display(door: tuple[Client, Child], visit: Visit) -> None:
    with visit(door[0], PANEL, path="/kiosk") as page:
        expect(page.locator("body")).to_have_attribute("data-state", "ready", timeout=20_000)
        for more in ({"id": False}, {"id": True, "digits": True}, {"id": True, "digits": False}):
            asked(page, {**PIN_STEP, **more})
            expect(page.locator("#pad")).to_be_visible()
            for display in DISPLAYS:
                fits(page, display)
                assert page.evaluate(CUT_OFF) == [], (more, display)


def asked(page: Page, step: dict[str, object]) -> None:
    """The device asks for a further step of a decision."""
    page.evaluate("(step) => import('/kiosk.js').then(({ onPending }) => onPending(step))", step)


def test_the_pad_works_by_touch_and_by_keyboard(door: tuple[Client, Child], visit: Visit) -> None:
    client, _ = door
    with visit(client, PANEL, path="/kiosk", refusals=True, has_touch=True) as page:
        expect(page.locator("body")).to_have_attribute("data-state", "ready", timeout=20_000)
        sent: list[object] = []
        page.on("request", lambda each: sent.append(each.post_data_json) if "/access/decide/" in each.url else None)
        asked(page, {**PIN_STEP, "id": False})
        expect(page.locator("#sentence")).to_have_text("Enter your PIN")
        for name in ("4", "7", "Delete", "7", "OK"):
            page.get_by_role("button", name=name, exact=True).tap()
        expect(page.locator("#pad-error")).to_have_text("A PIN has 4 to 8 digits.")
        for name in ("1", "0", "OK"):
            page.get_by_role("button", name=name, exact=True).tap()
        expect(page.locator("#pad")).to_be_hidden()

        asked(page, {**PIN_STEP, "id": True, "digits": False})
        page.keyboard.type("staff-17\n4711\n")
        expect(page.locator("#pad")).to_be_hidden()
        asked(page, {**PIN_STEP, "id": False})
        page.keyboard.type("47")
        page.keyboard.press("Escape")
        expect(page.locator("#pad")).to_be_hidden()
        assert sent == [{"pin": "4710"}, {"pin": "4711", "id": "staff-17"}, {"cancel": True}]
        expect(page.locator("body")).to_have_attribute("data-state", "ready")  # no such step: the device asks no longer


def test_a_pin_is_typed_on_the_display(tmp_path: Path, seated: str, visit: Visit, portrait: bytes) -> None:
    with (
        granting(tmp_path, seated, 'factors = "face+pin"\n') as child,
        visit(child.ready(), PANEL, path="/kiosk") as page,
    ):
        client = child.ready()
        add(client, "hopper", "Grace Hopper")
        assert_enrolled(client.post("/people/hopper/templates", portrait))
        assert client.ask("PUT", "/people/hopper/pin", b'{"pin": "47110815"}').status == 200

        def outcome(pin: str) -> str:
            expect(page.locator("body")).to_have_attribute("data-state", "ready", timeout=20_000)
            assert until(lambda: asks_for_a_pin(client))
            expect(page.locator("#pad-pin")).to_be_focused()
            page.keyboard.type(f"{pin}\n")
            expect(page.locator("#outcome strong")).to_have_text(ANY_OUTCOME, timeout=20_000)
            return page.locator("#outcome strong").text_content() or ""

        assert outcome("47110816") == "DENIED"
        assert until(lambda: outcome("47110815") == "GRANTED", 60)  # on a busy machine a frame may be too old
        expect(page.locator("#outcome span")).to_have_text("Grace Hopper")
        expect(page.locator("#pad")).to_be_hidden()


def test_a_pin_is_typed_on_the_door_page(tmp_path: Path, seated: str, visit: Visit, portrait: bytes) -> None:
    with granting(tmp_path, seated, 'factors = "face+pin"\n') as child:
        client = child.ready()
        add(client, "hopper", "Grace Hopper")
        assert_enrolled(client.post("/people/hopper/templates", portrait))
        assert client.ask("PUT", "/people/hopper/pin", b'{"pin": "47110815"}').status == 200
        with visit(client, path="/door", refusals=True) as page:
            answer, verdict = page.locator("#decision"), page.locator("#decision .verdict strong")

            def outcome(pin: str) -> str:
                step_requested(page)
                expect(answer).to_contain_text("Enter your PIN")
                expect(answer).to_contain_text("To be entered within 20 seconds")
                expect(verdict).to_have_count(0)
                page.keyboard.type("47\n")
                expect(answer.get_by_role("alert")).to_have_text("A PIN has 4 to 8 digits.")
                answer.get_by_label("PIN").fill(pin)
                page.keyboard.press("Enter")
                expect(verdict).to_have_text(ANY_OUTCOME, timeout=20_000)
                return verdict.text_content() or ""

            assert outcome("47110816") == "Denied"
            assert until(lambda: outcome("47110815") == "Granted", 60)  # on a busy machine a frame may be too old
            step_requested(page)
            expect(answer).to_contain_text("Enter your PIN")
            accessible(page)
            answer.get_by_role("button", name="Cancel").click()
            expect(verdict).to_have_text("Denied")


def test_the_door_page_shows_a_challenge(tmp_path: Path, seated: str, visit: Visit, portrait: bytes) -> None:
    with (
        granting(tmp_path, seated, 'challenge = "always"\n') as child,
        visit(child.ready(), path="/door", refusals=True) as page,
    ):
        add(child.ready(), "hopper", "Grace Hopper")
        assert_enrolled(child.ready().post("/people/hopper/templates", portrait))
        step_requested(page)
        expect(page.locator("#decision")).to_contain_text("The display at the door shows this as well.")
        expect(page.locator("#decision .verdict strong")).to_have_text("Denied", timeout=20_000)
        expect(page.locator("#decision")).to_contain_text("challenge_failed")


def step_requested(page: Page) -> None:
    """Requests decisions until one is about fresh frames, and waits for a step."""

    def asked() -> bool:
        page.get_by_role("button", name="Decide now").click(timeout=20_000)
        page.locator("#decision[aria-busy]").wait_for(state="detached", timeout=20_000)
        return page.locator("#decision form").count() == 1

    assert until(asked)


def asks_for_a_pin(client: Client) -> bool:
    body = {"nonce": secrets.token_urlsafe(16), "direction": "in"}
    return "pending" in client.post("/access/decide", json.dumps(body).encode()).document


def test_what_to_do_is_shown_with_an_arrow_for_as_long_as_it_is_asked(door: tuple[Client, Child], visit: Visit) -> None:
    client, _ = door
    with visit(client, PANEL, path="/kiosk") as page:
        expect(page.locator("body")).to_have_attribute("data-state", "ready", timeout=20_000)
        step = {"kind": "challenge", "prompt": "turn_left", "text": "turn your head to your left", "seconds": 1.5}
        asked(page, step)
        expect(page.locator("#sentence")).to_have_text("Turn your head to your left")
        expect(page.locator("#arrow svg.left")).to_be_visible()
        assert not scrolls(page)
        accessible(page)
        expect(page.locator("#arrow svg")).to_have_count(0)
        expect(page.locator("#sentence")).to_have_text("Look at the camera")


CATALOGUES = sorted((Path(api.__file__).parent / "web" / "texts").glob("*.json"))

FITS = """([title, detail]) => {
    const outcome = document.querySelector("#outcome"), words = document.querySelector(".words");
    outcome.querySelector("strong").textContent = title;
    outcome.querySelector("span").textContent = detail;
    document.querySelector("#sentence").textContent = detail;
    return [false, true].every((decided) => {
        document.querySelector("#sentence").hidden = decided;
        outcome.hidden = !decided;
        return words.scrollHeight <= words.clientHeight && words.scrollWidth <= words.clientWidth;
    });
}"""
"""Whether a sentence fits its place, and a decision with it."""


def test_the_longest_texts_of_each_language_fit_each_display(door: tuple[Client, Child], visit: Visit) -> None:
    assert len(CATALOGUES) > 5
    with visit(door[0], PANEL, path="/kiosk", locale="ja-JP") as page:
        expect(page.locator("html")).to_have_attribute("lang", "ja")
        for catalogue in CATALOGUES:
            texts = json.loads(catalogue.read_text("utf-8"))
            details = [text for key, text in texts.items() if key.startswith(("reason.", "prompt.", "pad.id_step"))]
            longest = sorted(details, key=lambda text: len(text.encode()))[-3:]
            page.locator("#language").select_option(catalogue.stem)
            expect(page.locator("html")).to_have_attribute("lang", catalogue.stem)
            expect(page.locator("#language")).to_have_attribute("aria-label", texts["language.choose"])
            for display in DISPLAYS:
                page.set_viewport_size({"width": display[0], "height": display[1]})
                for title in (texts["kiosk.granted"], texts["kiosk.denied"]):
                    wide = [text for text in longest if not page.evaluate(FITS, [title, text])]
                    assert wide == [], (catalogue.stem, display)
                assert not scrolls(page), (catalogue.stem, display)
            accessible(page)


def test_a_language_is_chosen_by_hand_and_kept(door: tuple[Client, Child], visit: Visit) -> None:
    with visit(door[0], PANEL, path="/kiosk", locale="en-GB") as page:
        expect(page.locator("#sentence")).to_have_text("Look at the camera", timeout=20_000)
        page.get_by_label("Language").select_option("de")
        expect(page.locator("#sentence")).to_have_text("Bitte in die Kamera blicken", timeout=20_000)
        page.reload()
        expect(page.locator("html")).to_have_attribute("lang", "de")


@pytest.mark.nightly
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
