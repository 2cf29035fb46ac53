"""What a fleet costs a device: two before the same film and with the same people, one of them in a fleet, asked in turns."""

import argparse
import contextlib
import statistics
import time
from pathlib import Path

import cv2
from common import fill, percentile, say, wait
from devices import Child
from doors import HEIGHT, WIDTH, head
from lab.bench.parts import decide
from lab.device import OK, Device
from servers import NatsServer

from appliance.camera.replay import DEMONSTRATION
from appliance.cli.main import main as command
from appliance.gallery.gallery import Gallery
from appliance.gallery.vault import read_site_key
from appliance.imaging.codec import EncodedPicture

CONFIG = """
[state]
folder = "{folder}/state"
[gallery]
key_file = "{folder}/site.key"
[camera]
driver = "replay"
source = "{film}"
width = {width}
height = {height}
fps = 15
[fleet]
enabled = {enabled}
"""

MOST_RATIO, MOST_MEGABYTES = 1.03, 12.0


def measure(folder: Path, options: argparse.Namespace) -> None:
    """Time and memory of the two, as ratios of many short turns."""
    hopper = (DEMONSTRATION / "grace_hopper.jpg").read_bytes()
    film(folder / "film", hopper)
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(NatsServer(folder / "nats"))
        running, clients = [], []
        for name, enabled in (("off", "false"), ("on", "true")):
            (place := folder / name).mkdir()
            text = CONFIG.format(folder=place, film=folder / "film", width=WIDTH, height=HEIGHT, enabled=enabled)
            (place / "config.toml").write_text(text)
            if name == "on":
                assert command(["fleet", "create", server.url, "--config", str(place / "config.toml")]) == 0
            running.append(stack.enter_context(Child(place, text, forked=False)))
            client = stack.enter_context(Device(f"http://127.0.0.1:{running[-1].ready().port}"))
            client.ask("POST", "/people", b'{"id": "grace", "name": "Grace"}', "application/json").expect(OK)
            client.ask("POST", "/people/grace/templates", hopper).expect(OK)
            clients.append(client)
            gallery = Gallery(place / "state" / "gallery.db", read_site_key(place / "site.key"))
            fill(gallery, options.people, gallery.embedder())
            gallery.close()
        wait(lambda: all(known(client) == options.people + 1 for client in clients), 60)
        time.sleep(15)  # until all is shared
        before = (running[1].resident() - running[0].resident()) / 1e6
        acts = {
            "POST /identify, ms": lambda client: client.timed("POST", "/identify", hopper),
            "POST /access/decide, work, ms": lambda client: decide(client)[1],
        }
        found = {act: ratios(ask, clients, options.turns) for act, ask in acts.items()}
        for act, (ratio, low, high, off) in found.items():
            say(f"{act}: {off:.1f} without a fleet, {ratio:.3f} times as long in one")
            say(f"  (median of the ratios of {options.turns} turns, quartiles {low:.2f} and {high:.2f})")
        after = (running[1].resident() - running[0].resident()) / 1e6
        say(f"memory with {options.people} people: {running[0].resident() / 1e6:.0f} MB without a fleet")
        say(f"  {before:+.1f} MB in one before the turns, {after:+.1f} MB after them")
        assert all(ratio <= MOST_RATIO for ratio, *_ in found.values())
        assert min(before, after) <= MOST_MEGABYTES


def film(folder: Path, hopper: bytes) -> None:
    """Two seconds of a person before a camera."""
    folder.mkdir()
    photo = EncodedPicture(hopper, 10**6).frame(1.0).pixels
    for number in range(30):
        cv2.imwrite(str(folder / f"{number:02d}.jpg"), cv2.cvtColor(head(photo, number), cv2.COLOR_RGB2BGR))


def known(client: Device) -> int:
    """How many people a device has."""
    return int(client.ask("GET", "/people?limit=1").result["total"])


def ratios(ask, clients: list[Device], turns: int) -> tuple[float, float, float, float]:  # noqa: ANN001
    """The median of the ratios of `turns` turns, in which each device is asked once and each first in every other one; the
    quartiles, and the median time without a fleet.
    """
    taken: list[tuple[float, float]] = []
    for turn in range(turns + 2):
        times = [0.0, 0.0]
        for side in (0, 1) if turn % 2 else (1, 0):
            times[side] = ask(clients[side])
        taken.append((times[0], times[1]))
    found = [on / off for off, on in taken[2:]]
    return (
        statistics.median(found),
        percentile(found, 25),
        percentile(found, 75),
        statistics.median(off for off, _ in taken),
    )
