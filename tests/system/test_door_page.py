"""The page of people and the door in a real browser, on a device that is a process of its own."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import pytest
from bodies import group, jpeg, opened
from browser import DESKTOP, PHONE, Visit, accessible, payload, tabbed, watching
from cameras import Scripted, noisy, on_canvas
from client import Client
from devices import Child, Device, pool, shipped_engine, until
from people import add, assert_all, assert_enrolled
from playwright.sync_api import Page, expect

from appliance import keys
from appliance.face.types import Pixels
from appliance.keys import Scope
from appliance.vision.loading import Choice

HOSTILE = """<img src=x onerror="document.title='pwned'">"""


@contextmanager
def device(folder: Path, camera: str, more: str = "") -> Iterator[tuple[Client, Child]]:
    """A device with an empty gallery before a replayed camera."""
    with watching(folder, f'{camera}\n[gallery]\nkey_file = "{folder}/site.key"\n{more}') as child:
        client = child.ready()
        assert until(lambda: client.get("/healthz").status in (200, 401))
        yield client, child


@contextmanager
def sitting(choice: Choice, folder: Path, pixels: Pixels, *, alive: bool) -> Iterator[Client]:
    """A device in this process, at whose camera somebody sits; with `alive` it checks liveness."""
    frames = [noisy(pixels)(number) for number in range(7)]
    camera, size = Scripted(lambda number: frames[number % 7], 1 / 10), (pixels.shape[1], pixels.shape[0])
    engine, observing = shipped_engine(choice), shipped_engine(choice)
    with Device(
        pool(engine), source=camera, observing=observing, size=size, gallery=folder, choice=choice, alive=alive
    ) as made:
        assert until(lambda: made.client.get("/healthz").status == 200)
        yield made.client


@pytest.fixture(scope="module")
def unguarded(tmp_path_factory: pytest.TempPathFactory, choice: Choice, portrait: bytes) -> Iterator[Client]:
    """A device that enrols whoever sits there, be it a still picture."""
    pixels = on_canvas(portrait, 1280, 720, left=0.3)
    with sitting(choice, tmp_path_factory.mktemp("unguarded"), pixels, alive=False) as client:
        yield client


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory, portrait: bytes) -> Iterator[Client]:
    """A device before which there is a still: nothing changes but the light in a corner."""
    film = tmp_path_factory.mktemp("still")
    for number in range(7):
        pixels = on_canvas(portrait, 1280, 720, left=0.3)
        pixels[:40, -40:] = 60 + 20 * number
        cv2.imwrite(str(film / f"{number}.png"), cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR))
    camera = f'driver = "replay"\nsource = "{film}"\nwidth = 1280\nheight = 720\n'
    with device(tmp_path_factory.mktemp("guarded"), camera) as (client, _):
        assert client.get("/liveness/multiframe").document["confidence"] <= 0.3
        yield client


@pytest.fixture(autouse=True)
def _nobody_stays(request: pytest.FixtureRequest) -> Iterator[None]:
    yield
    for name in ("guarded", "unguarded"):
        if name in request.fixturenames:
            client = request.getfixturevalue(name)
            for person in client.get("/people").document["people"]:
                client.ask("DELETE", f"/people/{person['id']}")


def enrol(client: Client, identity: str, picture: bytes, name: str = "Somebody") -> None:
    """Makes somebody known, with a picture."""
    add(client, identity, name)
    assert_enrolled(client.post(f"/people/{identity}/templates", picture))


def begin(page: Page, identity: str, name: str, groups: str = "") -> None:
    """The first step of the wizard."""
    page.goto(page.url.partition("#")[0] + "#enrol")
    page.reload()
    page.locator("#step-person [name=id]").fill(identity)
    page.locator("#step-person [name=name]").fill(name)
    page.locator("#step-person [name=groups]").fill(groups)
    page.get_by_role("button", name="Continue").click()


def give(page: Page, *photos: bytes) -> None:
    """Photographs, once they can be given."""
    expect(page.locator("#step-pictures").get_by_text("choose files")).to_be_visible()
    page.locator("#photos").set_input_files([payload(each, f"{number}.jpg") for number, each in enumerate(photos)])


def confirm(page: Page, pictures: int) -> None:
    """Enrols what is shown."""
    expect(page.locator("#captures li")).to_have_count(pictures)
    page.locator("#finish").click()


def test_a_person_is_enrolled_with_a_photograph(visit: Visit, guarded: Client, hopper: bytes) -> None:
    with visit(guarded, path="/door#people") as page:
        expect(page.locator("#no-people")).to_be_visible()
        expect(page.locator("#refreshing")).to_be_hidden()
        begin(page, "staff-17", "Grace Hopper", "staff, crew")
        give(page, hopper)
        expect(page.locator("#captures canvas")).to_have_attribute("aria-label", re.compile(r"0\.jpg, \d+%"))
        expect(page.locator("#captures-title")).to_have_text("Pictures of Grace Hopper (staff-17)")
        accessible(page)
        assert guarded.get("/people/staff-17").document["person"]["templates"] == []
        page.get_by_role("button", name="Enrol this picture as Grace Hopper").click()
        expect(page.locator("#done-title")).to_have_text("Grace Hopper is enrolled")
        page.get_by_role("link", name="Show people").click()
        expect(page.locator("#known summary")).to_contain_text("Grace Hopper")
        expect(page.locator("#people-count")).to_have_text("1 person")

    (person,) = assert_all(guarded.get("/people"))
    assert (person["id"], person["groups"], len(person["templates"])) == ("staff-17", ["staff", "crew"], 1)


@pytest.mark.nightly
def test_the_camera_takes_pictures_from_its_start_until_photographs_are_chosen(
    visit: Visit, unguarded: Client, portrait: bytes
) -> None:
    with visit(unguarded, path="/door#enrol") as page:
        begin(page, "eileen", "Eileen Collins")
        expect(page.locator("#start-camera")).to_be_enabled()
        page.wait_for_timeout(1500)
        expect(page.locator("#picture")).to_be_hidden()
        expect(page.locator("#captures li")).to_have_count(0)
        accessible(page)

        page.locator("#start-camera").click()
        expect(page.locator("#poses [data-pose=front]")).to_contain_text("taken", timeout=20_000)
        expect(page.locator("#prompt")).to_contain_text("Turn your head to your left")
        accessible(page)
        assert unguarded.get("/people/eileen").document["person"]["templates"] == []

        give(page, portrait)
        expect(page.locator("#start-camera")).to_be_visible()
        expect(page.locator("#picture")).to_be_hidden()
        expect(page.locator("#captures li")).to_have_count(2)
        page.get_by_role("button", name="Remove 0.jpg").click()
        confirm(page, 1)
        expect(page.locator("#done-templates li")).to_have_count(1)

    (person,) = assert_all(unguarded.get("/people"))
    assert [template["source"] for template in person["templates"]] == ["camera"]


@pytest.mark.nightly
def test_a_picture_before_the_camera_is_refused_and_reported(
    visit: Visit, choice: Choice, tmp_path: Path, portrait: bytes
) -> None:
    with (
        sitting(choice, tmp_path, on_canvas(portrait, 640, 360), alive=True) as client,
        visit(client, path="/door#enrol", refusals=True) as page,
    ):
        begin(page, "eileen", "Eileen Collins")
        page.locator("#start-camera").click()
        expect(page.locator("#prompt[data-code=not_live]")).to_have_text(
            "Show your own face, not a photo or a screen", timeout=20_000
        )
        expect(page.locator("#captures li")).to_have_count(0)


def test_stored_pictures_are_not_enrolled_by_the_camera(visit: Visit, guarded: Client) -> None:
    with visit(guarded, path="/door#enrol") as page:
        begin(page, "eileen", "Eileen Collins")
        expect(page.locator("#start-camera")).to_be_disabled()
        expect(page.locator("#start-note")).to_contain_text("The camera shows stored pictures")
        expect(page.locator("#prompt")).to_be_hidden()
        with page.expect_file_chooser():
            page.get_by_role("button", name="Choose photos").click()


def test_a_photograph_of_several_people_asks_which_is_meant(
    visit: Visit, guarded: Client, hopper: bytes, portrait: bytes
) -> None:
    both = jpeg(group([opened(portrait), opened(hopper)], [512, 420]))
    with visit(guarded, path="/door#enrol", refusals=True) as page:
        begin(page, "grace", "Grace Hopper")
        give(page, both, both)
        expect(page.locator("#which-title")).to_have_text("Which face is Grace Hopper?")
        for width, height in (DESKTOP, PHONE):
            page.set_viewport_size({"width": width, "height": height})
            accessible(page)
        page.get_by_role("button", name="Face 2 of 2, from the left").click()
        expect(page.locator("#captures li")).to_have_count(1)
        page.get_by_role("button", name="None of these").click()
        expect(page.locator("#photo-outcomes [data-state=refused]")).to_contain_text("more than one face")
        confirm(page, 1)
        expect(page.locator("#done-title")).to_have_text("Grace Hopper is enrolled")
    assert guarded.post("/identify", hopper).document["faces"][0]["person"]["id"] == "grace"


def test_what_is_wrong_is_reported_beside_the_field(visit: Visit, guarded: Client) -> None:
    add(guarded, "taken")
    with visit(guarded, path="/door#enrol", refusals=True) as page:
        begin(page, "no spaces", "")
        assert page.locator("#step-person [aria-invalid=true]").count() == 2
        begin(page, "taken", "Somebody")
        expect(page.locator("#step-person")).to_contain_text("This ID is taken")


def test_a_known_face_is_enrolled_again_only_after_confirmation(visit: Visit, guarded: Client, hopper: bytes) -> None:
    enrol(guarded, "grace", hopper)
    with visit(guarded, path="/door#enrol", refusals=True) as page:
        for button, templates in (("Do not enrol", 0), ("Enrol as another person", 1)):
            begin(page, f"twin-{templates}", "Her twin")
            give(page, hopper)
            confirm(page, 1)
            expect(page.locator("#doubt")).to_contain_text("grace")
            page.get_by_role("button", name=button).click()
            expect(page.locator("#done-templates li")).to_have_count(templates)
        expect(page.locator("#warnings")).to_contain_text("grace")


@pytest.mark.nightly
def test_doubts_about_two_pictures_are_asked_one_after_the_other(
    visit: Visit, unguarded: Client, hopper: bytes, portrait: bytes
) -> None:
    enrol(unguarded, "grace", hopper)
    enrol(unguarded, "eileen", portrait)
    with visit(unguarded, path="/door#enrol", refusals=True) as page:
        begin(page, "twin", "Their twin")
        page.locator("#start-camera").click()
        expect(page.locator("#captures li")).to_have_count(1, timeout=20_000)
        give(page, hopper)
        confirm(page, 2)
        for known in ("eileen", "grace"):
            expect(page.locator("#doubt")).to_contain_text(known)
            page.get_by_role("button", name="Do not enrol").click()
        expect(page.locator("#warnings [data-kind=refused]")).to_have_count(2)
    assert unguarded.get("/people/twin").document["person"]["templates"] == []


@pytest.mark.nightly
def test_of_several_pictures_another_persons_is_left_out(
    visit: Visit, guarded: Client, hopper: bytes, portrait: bytes
) -> None:
    with visit(guarded, path="/door#enrol", refusals=True) as page:
        begin(page, "grace", "Grace Hopper")
        give(page, hopper, portrait, hopper)
        confirm(page, 3)
        page.get_by_role("button", name="Do not enrol").click()
        expect(page.locator("#done-templates li")).to_have_count(2)
    assert len(guarded.get("/people/grace").document["person"]["templates"]) == 2


def test_people_are_found_edited_and_erased_with_a_receipt(visit: Visit, guarded: Client, hopper: bytes) -> None:
    enrol(guarded, "grace", hopper)
    add(guarded, "other", "Somebody Else")
    with visit(guarded, path="/door#people") as page:
        page.get_by_label("Search").fill("else")
        expect(page.locator("#known li summary")).to_have_count(1)
        page.get_by_label("Search").fill("grace")
        page.locator("#known summary").click()
        page.get_by_role("button", name="Edit").click()
        page.locator("#edit [name=name]").fill("Rear Admiral Hopper")
        page.get_by_role("button", name="Save").click()
        expect(page.locator("#known summary")).to_contain_text("Rear Admiral Hopper")

        page.get_by_role("button", name="Erase", exact=True).click()
        page.get_by_role("button", name="Cancel").click()
        expect(page.locator("#known summary")).to_have_count(1)
        page.get_by_role("button", name="Erase", exact=True).click()
        page.get_by_role("button", name="Erase permanently").click()
        expect(page.locator("#receipt-json")).to_contain_text("reference")
        assert page.locator("#receipt-json").evaluate("(each) => each.scrollWidth <= each.clientWidth"), "seen whole"
        with page.expect_download() as saved:
            page.get_by_role("button", name="Save receipt").click()
        assert b"Hopper" not in saved.value.path().read_bytes()
        page.locator("#receipt").get_by_role("button", name="Close").click()
        expect(page.locator("#known summary")).to_have_count(0)

    assert [person["id"] for person in guarded.get("/people").document["people"]] == ["other"]


def test_the_person_at_the_door_and_the_decision_are_shown(visit: Visit, guarded: Client, portrait: bytes) -> None:
    with visit(guarded, path="/door") as page:
        expect(page.locator("#who")).to_contain_text("Unknown")
        enrol(guarded, "eileen", portrait, "Eileen Collins")
        expect(page.locator("#who")).to_contain_text("Eileen Collins")
        page.get_by_role("button", name="Decide now").click()
        expect(page.locator("#decision .verdict")).to_contain_text("Denied")
        expect(page.locator("#decision")).to_contain_text("appliance verify-decision --key door-key.json")
        expect(page.locator("#decisions li").first).to_contain_text("Denied")
        expect(page.locator("#decisions li").first).to_contain_text("Eileen Collins")
        told = page.locator("#decisions li").count()
        guarded.post("/access/decide", b'{"nonce": "0123456789abcdef"}')
        expect(page.locator("#decisions li")).to_have_count(told + 1)


def test_a_name_is_nothing_but_text(visit: Visit, guarded: Client, hopper: bytes) -> None:
    enrol(guarded, "x", hopper, name=HOSTILE)
    with visit(guarded, path="/door#people") as page:
        expect(page.locator("#known summary")).to_contain_text(HOSTILE)
        page.locator("#known summary").click()
        page.get_by_role("button", name="Edit").click()
        expect(page.locator("#edit [name=name]")).to_have_value(HOSTILE)
        assert page.locator("main img").count() == 0
        assert "pwned" not in page.title()


DOOR = """
[relay]
pin = 17
pulse_s = 3
[inputs]
contact = {pin = 5, normally = "open"}
tamper = {pin = 19, normally = "closed"}
"""
"""Nothing is connected to the mock pins: the door is shut, and the circuit of the case's contact is open."""


@pytest.mark.nightly
def test_the_state_of_the_door_is_shown_and_a_button_opens_it(
    visit: Visit, tmp_path: Path, seated: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GPIOZERO_PIN_FACTORY", "mock")
    with watching(tmp_path, f"{seated}{DOOR}") as child, visit(child.ready(), path="/door", refusals=True) as page:
        expect(page.locator("#lock-state")).to_have_text("Shut · Locked", timeout=20_000)
        expect(page.locator("#alarms li")).to_have_text("The case of the device is open.")
        page.get_by_role("button", name="Open the door").click()
        expect(page.locator("#lock-state")).to_have_text("Shut · Unlocked")
        expect(page.locator("#open-outcome")).to_have_text("Opened.")
        expect(page.locator("#lock-state")).to_have_text("Shut · Locked", timeout=20_000)
        accessible(page)


def test_an_access_card_is_given_changed_and_taken_away(visit: Visit, guarded: Client) -> None:
    with visit(guarded, path="/door#enrol") as page:
        person = page.locator("#step-person")
        person.get_by_label("Name").fill("Grace Hopper")
        person.get_by_label("ID", exact=True).fill("grace")
        person.get_by_label("Access card").select_option("26")
        person.get_by_label("Facility code").fill("256")
        person.get_by_label("Card number").fill("4711")
        page.get_by_role("button", name="Continue").click()
        expect(page.locator("#step-person [data-field=facility] .error")).to_have_text("Enter a number from 0 to 255.")
        accessible(page)
        person.get_by_label("Facility code").fill("17")
        page.get_by_role("button", name="Continue").click()
        expect(page.locator("#captures-title")).to_be_visible()
        assert card(guarded) == {"format": "26", "facility": 17, "card": 4711}

        page.get_by_role("button", name="Finish without pictures").click()
        page.get_by_role("link", name="Show people").click()
        page.locator("#known summary").click()
        expect(page.locator("#known .person")).to_contain_text("Access card: 26 bits, facility 17, number 4711.")
        page.get_by_role("button", name="Edit").click()
        expect(page.locator("#edit [name=card]")).to_have_value("4711")
        page.locator("#edit").get_by_label("Access card").select_option("raw")
        page.locator("#edit").get_by_label("Bits").fill("0101")
        page.get_by_role("button", name="Save").click()
        expect(page.locator("#known .person")).to_contain_text("Access card: 4 bits.")
        assert card(guarded) == {"format": "raw", "bits": "0101"}
        page.get_by_role("button", name="Edit").click()
        page.locator("#edit").get_by_label("Access card").select_option("None")
        page.get_by_role("button", name="Save").click()
        expect(page.locator("#edit")).to_be_hidden()
        assert card(guarded) is None


def card(client: Client) -> object:
    return client.get("/people/grace").document["person"]["credential"]


@pytest.mark.parametrize(("size", "locale"), [(DESKTOP, "ja-JP"), (PHONE, "de-DE")])
def test_nothing_reaches_beyond_the_screen(
    visit: Visit, guarded: Client, hopper: bytes, size: tuple[int, int], locale: str
) -> None:
    enrol(guarded, "x" * 64, hopper, name="W" * 100)
    with visit(guarded, size, path="/door", locale=locale) as page:
        for view in ("door", "people", "enrol"):
            page.evaluate("(view) => { location.hash = view; }", view)
            expect(page.locator(f"#view-{view}")).to_be_visible()
            page.wait_for_timeout(500)
            assert page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth"), view


def test_the_wizard_is_worked_by_the_keyboard(visit: Visit, guarded: Client) -> None:
    with visit(guarded, path="/door#enrol") as page:
        page.locator("#step-person [name=name]").focus()
        page.keyboard.type("Somebody")
        page.keyboard.press("Tab")
        page.keyboard.type("by-keys")
        page.keyboard.press("Enter")
        expect(page.locator("#captures-title")).to_be_focused()


def test_every_control_is_reached_by_the_tabulator(visit: Visit, guarded: Client, hopper: bytes) -> None:
    enrol(guarded, "x", hopper)
    with visit(guarded, path="/door") as page:
        for view in ("door", "people"):
            page.evaluate("(view) => { location.hash = view; }", view)
            page.reload()
            expect(page.locator("#status")).to_have_text("Everything works")
            page.locator("#identifying").evaluate("(box) => box.click()")  # or names come and go meanwhile
            page.wait_for_timeout(300)
            page.evaluate("document.activeElement.blur()")
            wanted, reached = tabbed(page)
            assert set(wanted) <= set(reached), view


@pytest.mark.nightly
def test_a_key_without_the_scope_is_reported_and_can_be_replaced(
    visit: Visit, tmp_path: Path, seated: str, hopper: bytes
) -> None:
    with device(tmp_path, seated, "refresh = true\n[access]\nloopback = false\n") as (client, child):
        live, admin = (
            keys.add(child.state / keys.FILE, name, [scope]) for name, scope in (("l", Scope.LIVE), ("a", Scope.ADMIN))
        )
        assert until(lambda: client.get("/version", {"X-API-Key": admin}).status == 200), "it has read the new key"
        with visit(client, path="/door#people", refusals=True) as page:
            page.locator("#locked input").fill(live)
            page.locator("#locked button").click()
            expect(page.locator("#keyless")).to_be_visible()
            page.get_by_role("button", name="Enter key").click()
            page.locator("#administer input").fill(admin)
            page.locator("#administer button").last.click()
            expect(page.locator("#no-people")).to_be_visible()
            expect(page.locator("#refreshing")).to_contain_text("at most once a month")
            expect(page.locator("#keyless")).to_be_hidden()


@pytest.mark.nightly
def test_a_locked_gallery_and_one_that_is_off_are_shown(visit: Visit, tmp_path: Path, seated: str) -> None:
    with device(tmp_path, seated) as (client, _):
        add(client, "x")
    (tmp_path / "site.key").rename(tmp_path / "elsewhere")
    with watching(tmp_path, f'{seated}\n[gallery]\nkey_file = "{tmp_path}/site.key"\n') as child:
        client = child.ready()
        with visit(client, path="/door#people", refusals=True) as page:
            expect(page.locator("#troubles")).to_contain_text("key is not there")
    with (
        watching(tmp_path, f"{seated}\n[gallery]\nenabled = false\n") as child,
        visit(child.ready(), path="/door#people", refusals=True) as page,
    ):
        expect(page.locator("#troubles")).to_contain_text("switched off")
