"""What a fleet costs a device: two before the same film and with the same people, one of them in a fleet, asked in turns."""

import argparse
import contextlib
import statistics
import time
from collections.abc import Callable, Iterable
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
        time.sleep(40)  # until all is shared
        before = (running[1].resident() - running[0].resident()) / 1e6
        acts = {
            "POST /identify": (options.turns, lambda client: client.timed("POST", "/identify", hopper)),
            "POST /access/decide, its work": (options.turns // 3, lambda client: decide(client)[1]),
        }
        processor = []
        for act, (turns, ask) in acts.items():
            rows = [
                [asked(ask, *side) for side in turn(zip(clients, running, strict=True), n)] for n in range(turns + 2)
            ]
            rows = [row if n % 2 else row[::-1] for n, row in enumerate(rows)][2:]
            for part, kind in enumerate(("", "processor ")):
                found = [on[part] / off[part] for off, on in rows]
                usual, low, high = (percentile(found, percent) for percent in (50, 25, 75))
                taken = statistics.median(off[part] for off, _ in rows)
                say(f"{act}: {taken:.1f} ms {kind}without a fleet, {usual:.3f} times as much in one")
                say(f"  (median of the ratios of {turns} turns, quartiles {low:.2f} and {high:.2f})")
            processor.append(usual)
        after = (running[1].resident() - running[0].resident()) / 1e6
        say(f"memory with {options.people} people: {running[0].resident() / 1e6:.0f} MB without a fleet")
        say(f"  {before:+.1f} MB in one before the turns, {after:+.1f} MB after them")
        assert max(processor) <= MOST_RATIO  # which other work delays least
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


def turn(sides: Iterable[tuple[Device, Child]], number: int) -> list[tuple[Device, Child]]:
    """Both devices; each is the first in every other turn."""
    listed = list(sides)
    return listed if number % 2 else listed[::-1]


def asked(ask: Callable[[Device], float], client: Device, child: Child) -> tuple[float, float]:
    """What `ask` returns, and the milliseconds that the device's threads have run meanwhile (proc_pid_schedstat(5))."""

    def ran() -> float:
        tasks = Path(f"/proc/{child.process.pid}/task").iterdir()
        return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks) / 1e6

    begun = ran()
    return ask(client), ran() - begun
