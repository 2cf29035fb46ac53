"""A device that decides by itself, before a replayed camera, as a process of its own."""

import json
import time
from collections.abc import Iterable, Sequence
from itertools import count
from pathlib import Path

import cv2
import numpy as np
import pytest
from client import Client
from devices import Child, until
from doors import HEIGHT, WIDTH, empty, head
from people import add, body

from appliance.access.log import DECISION, RECORD_FILE, Entry, Record
from appliance.face.types import Pixels
from appliance.imaging.codec import EncodedPicture

FPS = 15

CONFIG = """
[engine]
engines = 1
[gallery]
key_file = "{folder}/site.key"
[camera]
driver = "replay"
source = "{folder}/film"
width = 640
height = 360
fps = 15
[door]
trigger = "approach"
least_side = 80
pause_s = 2
[relay]
pin = 17
pulse_s = 0.5
"""


def sway(step: int) -> int:
    """The number of a frame of `head` whose head is some pixels aside, back and forth within two seconds."""
    return 18 * abs(step % 30 - 15)  # 17 * 18 is 1 modulo 61


def beside(frames: Iterable[Pixels], photo: Pixels, *, left: float, scale: float) -> list[Pixels]:
    """The frames with another head in them, which does not move."""
    with_other, room = head(photo, 0, left=left, scale=scale), head(np.full((8, 8, 3), 128, np.uint8), 0)
    there = np.abs(with_other.astype(int) - room).max(axis=2, keepdims=True) > 12
    return [np.where(there, with_other, frame) for frame in frames]


def comes(photo: Pixels, step: int) -> Pixels:
    """A second of coming near."""
    return head(photo, sway(step), scale=0.25 + 0.75 * min(1.0, step / FPS))


def film(folder: Path, frames: Sequence[Pixels]) -> None:
    folder.mkdir()
    for number, frame in enumerate(frames):
        name = str(folder / f"{number:03d}.jpg")
        half = cv2.resize(frame, (WIDTH // 2, HEIGHT // 2), interpolation=cv2.INTER_AREA)
        cv2.imwrite(name, cv2.cvtColor(half, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, 90])


@pytest.fixture
def photo(hopper: bytes) -> Pixels:
    return EncodedPicture(hopper, 10**6).frame(1.0).pixels


def decided(child: Child) -> list[Entry]:
    return list(reversed(Record(child.state / RECORD_FILE).newest(99, DECISION)))


def device(folder: Path) -> Child:
    return Child(folder, CONFIG.format(folder=folder), environment={"GPIOZERO_PIN_FACTORY": "mock"})


def known(client: Client, hopper: bytes) -> None:
    add(client, "hopper", "Grace Hopper")
    assert client.post("/people/hopper/templates", hopper).status == 201


def test_a_person_who_walks_up_opens_the_door_once_and_who_stands_behind_does_not_matter(
    tmp_path: Path, photo: Pixels, hopper: bytes, portrait: bytes
) -> None:
    other = EncodedPicture(portrait, 10**6).frame(1.0).pixels
    scene = (*map(empty, range(20)), *(comes(photo, step) for step in range(90)))
    film(tmp_path / "film", beside(scene, other, left=0.0, scale=0.95))
    with device(tmp_path) as child:
        client = child.ready()
        known(client, hopper)
        assert until(lambda: any(entry.facts["result"] == "granted" for entry in decided(child)), 60)
        entry = next(entry for entry in decided(child) if entry.facts["result"] == "granted")
        assert entry.facts["trigger"] == "approach"
        assert len(str(entry.facts["nonce"])) == 43
        child.logged(r"relay: on for 0\.5 s")
        metrics = client.get("/metrics").content
        assert b'appliance_decisions_total{reason="granted",result="granted",trigger="approach"}' in metrics
        time.sleep(3)  # they still stand there, for longer than the pause
        later = [each for each in decided(child) if 0 < (each.time - entry.time).total_seconds() < 2.9]
        assert later == []
        listed = client.get("/access/decisions").document["decisions"]
        assert listed[-1]["person"] in (None, {"id": "hopper", "name": "Grace Hopper"})
        assert child.terminate() == 0


@pytest.mark.nightly
def test_the_display_is_asked_for_a_pin(tmp_path: Path, photo: Pixels, hopper: bytes) -> None:
    film(tmp_path / "film", [comes(photo, step) for step in range(90)])
    config = CONFIG.format(folder=tmp_path).replace("[relay]", 'factors = "face+pin"\n[relay]')
    with Child(tmp_path, config, environment={"GPIOZERO_PIN_FACTORY": "mock"}) as child:
        client = child.ready()
        known(client, hopper)
        pins = body({"pin": "471108", "duress": "471109"})
        assert client.ask("PUT", "/people/hopper/pin", pins).status == 200
        with client.wire() as wire:
            wire.send(b"GET /kiosk/events HTTP/1.1\r\nHost: localhost\r\n\r\n")
            result = ""
            while result != "granted":  # it is denied where other tests delay the frames
                while wire._reader.readline() != b"event: pending\n":
                    pass
                step = json.loads(wire._reader.readline().decode().removeprefix("data: "))
                assert (step["kind"], step["id"]) == ("pin", False)
                decision = client.post(f"/access/decide/{step['handle']}", body({"pin": "471109"})).document["decision"]
                result = decision["result"]
                assert decision["reason"] in ("granted", "camera_blind", "not_followed", "nobody"), decision
            while b'"result":"granted"' not in (line := wire._reader.readline()):
                pass
            shown = json.loads(line.decode().removeprefix("data: "))
            assert shown == {"result": "granted", "reason": "granted", "text": "access granted", "name": "Grace Hopper"}
        child.logged(r"relay: on for 0\.5 s")
        newest, granted = Record(child.state / RECORD_FILE).newest(2)
        assert (granted.facts["result"], granted.facts["trigger"]) == ("granted", "approach")
        assert newest.facts == {"event": "duress", "decision": granted.facts["id"]}
        nonces = (body({"nonce": f"a-step-when-it-stops-{number}"}) for number in count())
        assert until(lambda: "pending" in client.post("/access/decide", next(nonces)).document, 30)
        assert child.terminate() == 0
        assert not [word for word in ("471108", "471109", "duress") if word in child.log]


@pytest.mark.nightly
def test_it_is_silent_before_a_passer_by_a_poster_and_people_who_are_far_away(
    tmp_path: Path, photo: Pixels, hopper: bytes, portrait: bytes
) -> None:
    poster = EncodedPicture(portrait, 10**6).frame(1.0).pixels
    walk = (head(photo, 0, left=step / 20) for step in range(21))
    far = (head(photo, sway(step), scale=0.25) for step in range(45))
    scene = beside([*[empty(0)] * 20, *walk, *far], poster, left=0.02, scale=0.8)
    noise = np.random.default_rng(3)
    film(tmp_path / "film", [cv2.add(each, noise.integers(0, 5, each.shape, np.uint8)) for each in scene])
    with device(tmp_path) as child:
        client = child.ready()
        known(client, hopper)
        with client.wire() as wire:
            wire.send(b"GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n")
            sizes: list[float] = []
            end = time.monotonic() + 14
            while time.monotonic() < end:
                line = wire._reader.readline().decode()
                if line.startswith('data: {"sequence"'):
                    sizes += [each["box"]["width"] for each in json.loads(line[6:])["faces"]]
        assert max(sizes) >= 80  # who passes by, and the poster, are near
        assert decided(child) == []
        assert child.terminate() == 0
