"""The page of the fleet in a real browser: two devices, one of which is cut off."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from browser import DESKTOP, PHONE, Visit, accessible
from client import Client
from devices import PROGRAM, Child, until
from playwright.sync_api import expect
from replicas import Site
from servers import NatsServer

from appliance.fleet.membership import read_membership
from appliance.gallery.vault import read_site_key


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SimpleNamespace]:
    """A server, a device without a camera that knows two people, and a second member, which does not run."""
    folder = tmp_path_factory.mktemp("fleet")
    settings = configured(folder)
    with NatsServer(folder / "nats") as server:
        for name in ("Vera", "Judith"):
            run(folder, "people", "add", name.lower(), "--name", f"{name} Rubin")
        run(folder, "fleet", "create", server.url)
        keys = read_membership(folder / "state", read_site_key(folder / "site.key")).keys
        other = Site(folder, 7, server.url, keys)
        running = '[fleet]\nenabled = true\n[camera]\ndriver = "none"\n'
        with Child(folder, settings + running) as child:
            yield SimpleNamespace(client=child.ready(), server=server, other=other, folder=folder)
        other.gallery.close()


def configured(folder: Path) -> str:
    """The settings of a device in a folder, which the commands read there."""
    settings = (
        f'[state]\nfolder = "{folder}/state"\n[gallery]\nkey_file = "{folder}/site.key"\n[lan]\nname = "Main door"\n'
    )
    folder.mkdir(exist_ok=True)
    (folder / "appliance.toml").write_text(settings)
    return settings


def run(folder: Path, *words: str) -> str:
    """What a command of the device in a folder says; as a process, because this thread has the loop of the browser."""
    command = [sys.executable, *PROGRAM, *words, "--config", str(folder / "appliance.toml")]
    return subprocess.run(command, check=True, capture_output=True, text=True).stderr


def test_devices_and_people_of_a_fleet_are_shown(visit: Visit, fleet: SimpleNamespace) -> None:
    client, other = fleet.client, fleet.other
    with other.running():
        assert until(lambda: len(other.content()) == 2)
        assert until(lambda: listed(client, "behind") == [0, 0])
        assert until(lambda: listed(client, "online") == [True, True])
    assert until(lambda: listed(client, "online").count(False) == 1, 20)
    client.ask("PATCH", "/people/vera", b'{"name": "Vera C. Rubin"}')
    for size in (DESKTOP, PHONE):
        with visit(client, size, path="/fleet") as page:
            expect(page.locator("#status")).to_have_text("Servers connected")
            expect(page.locator("#device-list li")).to_have_count(2)
            expect(page.locator("#device-list")).to_contain_text("Main door")
            expect(page.locator("#device-list")).to_contain_text("its own")
            expect(page.locator(f"[data-device='{other.device}']")).to_contain_text("one change behind")
            expect(page.locator(f"[data-device='{other.device}']")).to_contain_text("offline, last report")
            expect(page.locator("#fleet-name")).to_contain_text("1 of 2 online")
            expect(page.locator("[data-id=judith]")).to_contain_text("known on all devices")
            expect(page.locator("[data-id=vera]")).to_contain_text(f"not yet on {other.device}")
            expect(page.locator("#people-count")).to_have_text("2 people")
            accessible(page)
            assert page.evaluate("[document.documentElement.scrollWidth, innerWidth]") == [size[0], size[0]]
            page.locator("#search").fill("judith")
            expect(page.locator("#people-list li")).to_have_count(1)
            page.locator("#invite").click()
            expect(page.locator("dialog[open]")).to_contain_text("Valid for 15 more minutes")
            expect(page.locator("dialog[open] img")).to_have_js_property("complete", value=True)
            accessible(page)
            code = str(page.locator("dialog[open] pre").text_content()).split("'")[1]
    configured(fleet.folder / "next")
    assert "2 people" in run(fleet.folder / "next", "fleet", "join", code)
    document = client.get("/fleet.json?limit=1").document
    assert (document["total"], document["next"], len(document["people"])) == (2, "judith", 1)


def listed(client: Client, what: str) -> list[object]:
    return [each[what] for each in client.get("/fleet.json").document["devices"]]


def test_a_fleet_whose_servers_are_away_is_shown_as_it_was(visit: Visit, fleet: SimpleNamespace) -> None:
    fleet.server.stop(kill=True)
    try:
        assert until(lambda: not fleet.client.get("/fleet.json").document["reached"])
        refused = fleet.client.ask("POST", "/fleet/invitation", b"")
        assert (refused.status, refused.document["reason"]) == (503, "fleet_unreachable")
        with visit(fleet.client, path="/fleet", refusals=True, locale="de-DE") as page:
            expect(page.locator("#status")).to_have_text("Server nicht erreichbar")
            expect(page.locator("#trouble")).to_contain_text("Jedes Gerät entscheidet")
            page.locator("#invite").click()
            expect(page.get_by_role("alert")).to_contain_text("deshalb wurde kein Code erzeugt")
            page.locator("dialog[open] button").click()
            expect(page.locator(f"[data-device='{fleet.other.device}']")).to_be_visible()
            accessible(page)
    finally:
        fleet.server.start()


@pytest.mark.nightly
def test_a_device_without_a_fleet_says_so(visit: Visit, tmp_path: Path) -> None:
    with Child(tmp_path, f'[gallery]\nkey_file = "{tmp_path}/site.key"\n[camera]\ndriver = "none"\n') as child:
        client = child.ready()
        with visit(client, path="/fleet") as page:
            expect(page.locator("#trouble")).to_contain_text("This device is not in a fleet.")
            expect(page.locator("#devices")).to_be_hidden()
            accessible(page)
