"""A gallery in trouble, switched off, changed by somebody else, and kept no longer than it may be."""

import json
import logging
import shutil
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from client import Client, request
from devices import Child, Device, pool, shipped_engine, until
from disks import ram_disk, remount
from document import assert_refusal
from people import add, assert_all, assert_enrolled, assert_one, assert_refused, body

from appliance.access import log
from appliance.access.clock import Clock
from appliance.access.log import RECORD_FILE, Record
from appliance.access.policy import ClockState
from appliance.api.intake import PersonFields
from appliance.api.people import new_person
from appliance.events import Event, GalleryChanged
from appliance.gallery.gallery import FILE, Gallery
from appliance.gallery.people import Source
from appliance.gallery.vault import SiteKey, read_site_key
from appliance.sections import GallerySection
from appliance.vision.loading import Choice

OFF = "[gallery]\nenabled = false\n"


def states(client: Client) -> list[str]:
    return [each["state"] for each in client.get("/healthz").document["reasons"] if each["part"] == "gallery"]


def enrolled(client: Client, identity: str, picture: bytes) -> None:
    add(client, identity)
    assert_enrolled(client.post(f"/people/{identity}/templates", picture))


def identified(client: Client, picture: bytes) -> str | None:
    (face,) = client.post("/identify", picture).document["faces"]
    return face["person"] and face["person"]["id"]


@pytest.fixture
def device(choice: Choice, tmp_path: Path) -> Iterator[Device]:
    with Device(pool(shipped_engine(choice)), gallery=tmp_path, choice=choice) as running:
        yield running


def test_on_a_full_disk_people_are_recognised_and_enrolment_fails(
    choice: Choice, tmp_path: Path, portrait: bytes
) -> None:
    with (
        ram_disk(tmp_path / "disk", "2M") as disk,
        Device(pool(shipped_engine(choice)), gallery=disk, choice=choice) as device,
    ):
        client = device.client
        enrolled(client, "x", portrait)
        room = shutil.disk_usage(disk).free
        ballast = disk / "ballast"
        ballast.write_bytes(bytes(room))
        for number in range(1000):
            answer = client.post("/people", body({"id": f"p{number}", "name": "x" * 100}))
            if answer.status != 201:
                break

        assert_refused(answer, 503, "INF-08", "gallery_full")
        assert states(client) == ["gallery_full"]
        assert identified(client, portrait) == "x"
        assert [person["id"] for person in assert_all(client.get("/people"))] == sorted(
            ["x", *(f"p{each}" for each in range(number))]
        )

        ballast.unlink()
        assert until(lambda: not states(client))
        add(client, "later")


def test_on_a_read_only_disk_people_are_recognised_and_erasing_fails(
    choice: Choice, tmp_path: Path, portrait: bytes
) -> None:
    with ram_disk(tmp_path / "disk", "8M") as disk:
        with Device(pool(shipped_engine(choice)), gallery=disk, choice=choice) as device:
            enrolled(device.client, "x", portrait)
        remount(disk, "ro")

        with Device(pool(shipped_engine(choice)), gallery=disk, choice=choice) as device:
            assert states(device.client) == ["gallery_read_only"]
            assert identified(device.client, portrait) == "x"
            assert_refused(device.client.ask("DELETE", "/people/x"), 503, "INF-08", "gallery_read_only")
            assert_refused(device.client.post("/people/x/templates", portrait), 503, "INF-08", "gallery_read_only")

            remount(disk, "rw")
            assert until(lambda: not states(device.client))
            assert device.client.ask("DELETE", "/people/x").status == 200


def made_by_another(folder: Path) -> None:
    """A gallery whose one template is another embedder's."""
    (folder / "site.key").write_text(bytes(range(32)).hex() + "\n", "ascii")
    (folder / "site.key").chmod(0o600)
    vector = np.zeros(512, np.float32)
    vector[0] = 1
    with closing(Gallery(folder / FILE, SiteKey(bytes(range(32))))) as gallery:
        gallery.add(new_person("x", PersonFields(name="X")))
        gallery.enrol("x", vector, "ab" * 32, 0.9, Source.PHOTO)


def test_templates_of_another_embedder_are_reported_and_never_compared(
    choice: Choice, tmp_path: Path, portrait: bytes
) -> None:
    made_by_another(tmp_path)
    with Device(pool(shipped_engine(choice)), gallery=tmp_path, choice=choice) as device:
        client = device.client
        assert states(client) == ["other_embedder"]
        for answer in (client.post("/identify", portrait), client.post("/people/x/templates", portrait)):
            assert "`appliance people renew`" in assert_refused(answer, 503, "INF-08", "other_embedder")
        (template,) = assert_one(client.get("/people/x"))["templates"]
        assert template["usable"] is False

        assert client.ask("DELETE", f"/people/x/templates/{template['number']}").status == 200
        assert until(lambda: not states(client))
        assert_enrolled(client.post("/people/x/templates", portrait))


def test_a_gallery_that_is_switched_off_is_not_there(tmp_path: Path, portrait: bytes) -> None:
    with Child(tmp_path, OFF) as child:
        client = child.ready()
        for method, path in (
            ("GET", "/people"),
            ("POST", "/people"),
            ("GET", "/people/x"),
            ("PUT", "/people/x"),
            ("DELETE", "/people/x"),
            ("POST", "/people/x/templates"),
            ("POST", "/people/x/templates/camera"),
            ("DELETE", "/people/x/templates/1"),
            ("POST", "/identify"),
            ("GET", "/identify"),
        ):
            assert_refusal(client.ask(method, path, b"" if method in ("POST", "PUT") else None), 406, "INF-25")
        assert states(client) == []
        assert client.post("/compare", b"").status == 400
        assert not (child.state / FILE).exists()


def test_what_the_command_line_changes_is_taken_over(device: Device, tmp_path: Path, portrait: bytes) -> None:
    with device.broadcast.subscribed() as heard:
        with closing(Gallery(tmp_path / FILE, read_site_key(tmp_path / "site.key"))) as beside:
            beside.add(new_person("beside", PersonFields(name="Beside")))
        assert gallery_event(heard.next(10)) == (1, 0)
        assert [person["id"] for person in assert_all(device.client.get("/people"))] == ["beside"]

        assert_enrolled(device.client.post("/people/beside/templates", portrait))
        assert gallery_event(heard.next(10)) == (1, 1)
        device.client.ask("PUT", "/people/beside", body({"name": "Another"}))
        assert gallery_event(heard.next(10)) == (1, 1)
        device.client.ask("DELETE", "/people/beside")
        assert gallery_event(heard.next(10)) == (0, 0)
        device.client.get("/people")
        assert heard.next(1.5) is None


def test_listeners_are_notified_of_a_change(device: Device) -> None:
    with device.client.wire() as wire:
        wire.send(request("GET", "/events"))
        assert wire.answer().status == 200
        assert until(lambda: device.broadcast.listeners == 1)
        add(device.client, "x")
        heard = b""
        while b"event: gallery" not in heard or not heard.endswith(b"\n\n\r\n"):
            heard += wire._reader.readline()
    told = heard.partition(b"event: gallery\ndata: ")[2].partition(b"\n")[0]
    assert json.loads(told) == {"people": 1, "templates": 0}


def gallery_event(event: Event | None) -> tuple[int, int]:
    assert isinstance(event, GalleryChanged)
    return event.people, event.templates


def test_metrics_count_people_and_templates(device: Device, portrait: bytes) -> None:
    enrolled(device.client, "x", portrait)
    add(device.client, "y")

    figures = device.client.get("/metrics").content.decode()

    assert "\nappliance_people 2.0\n" in figures
    assert "\nappliance_templates 1.0\n" in figures


def clock(state: ClockState, now: datetime) -> Clock:
    """A clock of which that can be said."""
    seconds = {ClockState.UNSET: 0.0}.get(state, now.timestamp())
    return Clock(lambda: state is ClockState.SYNCHRONISED, lambda: None, lambda: (seconds, 60.0))


@pytest.mark.parametrize(
    ("state", "erased"), [(ClockState.SYNCHRONISED, True), (ClockState.PLAUSIBLE, False), (ClockState.UNSET, False)]
)
def test_people_are_erased_in_time_by_a_clock_that_is_sure(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, state: ClockState, *, erased: bool
) -> None:
    caplog.set_level(logging.INFO)
    now = datetime.now(UTC) + timedelta(days=400)
    section = GallerySection(key_file=tmp_path / "site.key", erase_expired_after_days=30)
    with Device(pool(), gallery=tmp_path, section=section, clock=clock(state, now)) as device:
        client = device.client
        last = (now - timedelta(days=31)).date().isoformat()
        add(client, "ever")
        add(client, "staff-4711", "Eileen Collins", valid_until=last)
        device.retention.expire()

        left = [person["id"] for person in assert_all(client.get("/people"))]
    assert left == (["ever"] if erased else ["ever", "staff-4711"])
    told = [record.getMessage() for record in caplog.records if record.name == "appliance.state"]
    assert ("erased, 30 days after valid_until" in told[-1]) == erased
    assert ("before the clock is set" in caplog.text) != erased
    assert "4711" not in caplog.text


def test_an_erased_person_has_a_receipt_although_the_next_one_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = datetime.now(UTC) + timedelta(days=400)
    section = GallerySection(key_file=tmp_path / "site.key", erase_expired_after_days=30)
    with Device(pool(), gallery=tmp_path, section=section, clock=clock(ClockState.SYNCHRONISED, now)) as device:
        for name in ("a", "b"):
            add(device.client, name, valid_until=(now - timedelta(days=31)).date().isoformat())
        gallery = device.gallery.gallery()
        reference, erase = gallery.person("a").person.reference, gallery.erase
        with monkeypatch.context() as failing:
            failing.setattr(gallery, "erase", lambda name: erase(name) if name == "a" else gallery.person("nobody"))
            device.retention.expire()
        assert [person["id"] for person in assert_all(device.client.get("/people"))] == ["b"]
    (entry,) = Record(tmp_path / RECORD_FILE).newest(9, log.ERASURE)
    assert entry.facts["person"] == reference


def test_old_templates_are_erased_and_people_stay(choice: Choice, tmp_path: Path, portrait: bytes) -> None:
    later = clock(ClockState.SYNCHRONISED, datetime.now(UTC) + timedelta(days=91))
    section = GallerySection(key_file=tmp_path / "site.key", erase_templates_after_days=90)
    engines = pool(shipped_engine(choice))
    with Device(engines, gallery=tmp_path, section=section, choice=choice, clock=later) as device:
        enrolled(device.client, "x", portrait)
        device.retention.expire()
        assert assert_one(device.client.get("/people/x"))["templates"] == []


def test_older_copies_are_named_by_the_health_and_people_are_known(
    choice: Choice, tmp_path: Path, portrait: bytes
) -> None:
    state, copies = tmp_path / "state", tmp_path / "copies"

    def started() -> Device:
        return Device(pool(shipped_engine(choice)), gallery=state, choice=choice)

    with started() as device:
        enrolled(device.client, "x", portrait)
        add(device.client, "y")
    shutil.copytree(state, copies)
    with started() as device:
        assert device.client.ask("DELETE", "/people/y").status == 200
        add(device.client, "z")

    for file, reason in ((FILE, "gallery_rolled_back"), (RECORD_FILE, "record_rolled_back")):
        newest = (state / file).read_bytes()
        shutil.copy(copies / file, state / file)
        with started() as device:
            assert states(device.client) == [reason]
            assert identified(device.client, portrait) == "x"
            add(device.client, f"during-{reason}")
            assert states(device.client) == [reason]
        (state / file).write_bytes(newest)


@pytest.mark.logs_errors("the gallery cannot be opened")
def test_a_gallery_under_another_name_is_named_by_the_health_and_found_again(
    choice: Choice, tmp_path: Path, portrait: bytes
) -> None:
    with Device(pool(shipped_engine(choice)), gallery=tmp_path, choice=choice) as device:
        enrolled(device.client, "x", portrait)
    renamed = (tmp_path / FILE).rename(tmp_path / "gahlery.db")
    with Device(pool(shipped_engine(choice)), gallery=tmp_path, choice=choice) as device:
        assert states(device.client) == ["gallery_damaged"]
        assert device.client.post("/faces", portrait).document["count"] == 1
        renamed.rename(tmp_path / FILE)
        device.gallery.open()
        opened = device.gallery.gallery()
        device.gallery.open()  # as a second thread does that found it closed, too
        assert device.gallery.gallery() is opened
        assert states(device.client) == []
        assert identified(device.client, portrait) == "x"
