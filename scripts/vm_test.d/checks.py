"""What is checked inside the machine: a line each, on the console."""

import io
import json
import os
import platform
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from importlib.metadata import version
from pathlib import Path
from typing import Any, Self

import numpy as np
from PIL import Image

PROGRAM = "/opt/appliance/bin/appliance"
PICTURES = [
    Path("/opt/project/appliance/camera/demonstration/grace_hopper.jpg"),
    Path("/opt/project/models/portrait.jpg"),
]
VIRTUAL_CAMERA = "/opt/vm_test/virtual_camera"
PULLED = Path("/run/camera_cable_pulled")
FRAMES = Path("/run/frames")
SIZE = (1280, 720)
LEAST_IN_COMMON = 0.8
PATIENCE = 800.0
"""Seconds for what comes sooner or later. The emulated processor is some 100 times slower than a real one: both devices were
ready after 503 s on a computer whose two cores had ten times as much other work.
"""

CONFIGURATION = """
[server]
port = {port}
[engine]
detector = "int8"
recognition = "fast"
[camera]
driver = "{driver}"
width = {size[0]}
height = {size[1]}
fps = 5
restart_after_s = 600
[state]
folder = "/tmp/state-{driver}"
"""
DOOR = """
[relay]
pin = 17
pulse_s = 10
[inputs]
contact = {pin = 5, normally = "closed"}
exit = {pin = 6, normally = "open"}
fire = {pin = 13, normally = "closed"}
tamper = {pin = 19, normally = "closed"}
"""
RELAY, CONTACT, EXIT, FIRE, TAMPER = 17, 5, 6, 13, 19

failures = 0


@contextmanager
def check(title: str, log: Path | None = None) -> Iterator[list[str]]:
    """Prints how the block went; what it appends to the list is printed as well."""
    global failures  # noqa: PLW0603
    facts: list[str] = []
    begin = time.monotonic()
    try:
        yield facts
    except Exception as error:  # noqa: BLE001
        failures += 1
        print(f"FAIL {title}: {type(error).__name__}: {error}")
        for line in log.read_text("utf-8", "replace").splitlines()[-25:] if log else ():
            print(f"     | {line}")
    else:
        print(f"ok   {title} ({', '.join([*facts, f'{time.monotonic() - begin:.1f} s'])})")
    sys.stdout.flush()


class Appliance:
    """`appliance serve` with one of the camera drivers."""

    def __init__(self, driver: str, port: int, door: str = "") -> None:
        self.log = Path(f"/tmp/{driver}.log")  # noqa: S108
        self._address = f"http://127.0.0.1:{port}"
        self._environment = {"PYTHONFAULTHANDLER": "1"}
        if driver == "picamera":
            self._environment["PYTHONPATH"] = VIRTUAL_CAMERA
        self._configuration = Path(f"/tmp/{driver}.toml")  # noqa: S108
        self._configuration.write_text(CONFIGURATION.format(port=port, driver=driver, size=SIZE) + door)

    def __enter__(self) -> Self:
        with self.log.open("w") as log:
            self._process = subprocess.Popen(
                [PROGRAM, "serve", "--config", self._configuration],
                stdout=log,
                stderr=log,
                env=os.environ | self._environment,
            )
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()

    def ask(self, path: str, body: bytes | None = None) -> tuple[int, bytes]:
        """Status and body of the answer to a GET, or with a body to a POST."""
        try:
            with urllib.request.urlopen(self._address + path, body, timeout=PATIENCE) as answer:  # noqa: S310
                return answer.status, answer.read()
        except urllib.error.HTTPError as error:
            return error.code, error.read()

    def health(self) -> tuple[int, dict[str, Any]]:
        """What `/healthz` says."""
        status, body = self.ask("/healthz")
        return status, json.loads(body)

    def wait(self, wanted: Callable[[int, str], bool]) -> dict[str, Any]:
        """Waits until `/healthz` has a status and a state of the camera that are wanted."""
        end, last = time.monotonic() + PATIENCE, "no answer"
        while time.monotonic() < end:
            if self._process.poll() is not None:
                raise RuntimeError(f"ended with status {self._process.returncode}")
            try:
                status, body = self.health()
            except OSError:
                pass  # not listening yet
            else:
                last = f"{status} {json.dumps(body['reasons'])}"
                if wanted(status, body["camera"]["state"]):
                    return body
            time.sleep(0.3)
        raise TimeoutError(f"/healthz still says {last}")

    def stop(self) -> int:
        """The exit status after a polite request."""
        self._process.send_signal(signal.SIGTERM)
        return self._process.wait(30)

    def door(self, wanted: Callable[[dict[str, Any]], bool]) -> None:
        """Waits for a state of the door."""
        end, last = time.monotonic() + PATIENCE, None
        while time.monotonic() < end:
            with suppress(OSError):  # not listening yet
                last = self.health()[1].get("door")  # none before the pins are opened
                if last and wanted(last):
                    return
            time.sleep(0.2)
        raise TimeoutError(f"/healthz still says {last}")


class Pins:
    """What is connected to the device: contacts to ground, and a meter at the relay's pin."""

    def __init__(self) -> None:
        configured = Path("/sys/kernel/config/gpio-sim/pins")
        chip = (configured / "bank0" / "chip_name").read_text().strip()
        self._lines = Path("/sys/devices/platform") / (configured / "dev_name").read_text().strip() / chip

    def connect(self, pin: int, *, closed: bool) -> None:
        (self._lines / f"sim_gpio{pin}" / "pull").write_text("pull-down" if closed else "pull-up")

    def relay(self, *, on: bool) -> None:
        """Waits until the relay's pin is on, or off."""
        end = time.monotonic() + PATIENCE
        while (self._lines / f"sim_gpio{RELAY}" / "value").read_text().strip() != str(int(on)):
            if time.monotonic() > end:
                raise TimeoutError(f"the relay's pin is not {'on' if on else 'off'}")
            time.sleep(0.1)


def sound(status: int, state: str) -> bool:
    """Whether all is well."""
    return (status, state) == (200, "ok")


def lost(status: int, state: str) -> bool:
    """Whether the camera is missed, by name."""
    return status == 503 and state in {"no_frames", "no_camera"}


def frame(device: Appliance) -> np.ndarray:
    """What the camera sees."""
    status, body = device.ask("/camera/frame.jpg")
    if status != 200:
        raise ValueError(f"{status} {body[:200]!r}")
    picture = Image.open(io.BytesIO(body))
    if (picture.format, picture.size) != ("JPEG", SIZE):
        raise ValueError(f"{picture.format} of {picture.size}")
    return np.asarray(picture.convert("RGB"))


def faces(device: Appliance, posted: bytes | None = None) -> list[dict[str, Any]]:
    """Who is before the camera, or in a posted picture."""
    status, body = device.ask("/faces", posted)
    if status != 200:
        raise ValueError(f"{status} {body[:200]!r}")
    return json.loads(body)["faces"]


def cable(device: Appliance, driver: str, pull: Callable[[], object], plug: Callable[[], object]) -> None:
    """What happens when the cable is pulled, and when it is put back."""
    with check(f"{driver}: cable pulled: /healthz is 503 with a name for it", device.log) as facts:
        pull()
        facts.append(device.wait(lost)["reasons"][0]["state"])
    with check(f"{driver}: cable pulled: /faces is 503", device.log):
        status, body = device.ask("/faces")
        if status != 503:
            raise ValueError(f"{status} {body[:200]!r}")
    with check(f"{driver}: plugged in again: /healthz is 200", device.log) as facts:
        plug()
        facts.append(f"reopened {device.wait(sound)['camera']['reopened']} times")
    with check(f"{driver}: plugged in again: a frame", device.log):
        frame(device)


def v4l2(device: Appliance) -> None:
    """A USB camera: vivid."""
    with check("v4l2: /healthz is 200", device.log) as facts:
        facts.append(device.wait(sound)["camera"]["driver"])
    with check("v4l2: /faces is 200", device.log) as facts:
        facts.append(f"count {len(faces(device))}")
    with check("v4l2: /camera/frame.jpg is a JPEG of the configured size", device.log):
        frame(device)
    with check("v4l2: frames follow each other", device.log) as facts:
        first = device.health()[1]["camera"]["frames"]
        time.sleep(3)
        camera = device.health()[1]["camera"]
        facts.append(f"{camera['frames'] - first} in 3 s, {camera['fps']} a second")
        if camera["frames"] <= first:
            raise ValueError(f"still {first} frames")
    bus = Path("/sys/bus/platform/drivers/vivid")
    name = next(bus.glob("vivid.*")).name
    cable(device, "v4l2", lambda: (bus / "unbind").write_text(name), lambda: (bus / "bind").write_text(name))


def door(device: Appliance, pins: Pins) -> None:
    """The door's own wires, through gpiozero and the real lgpio."""
    with check("door: shut, case closed, no fire: so /healthz says, and the relay is off", device.log):
        device.door(lambda state: all(state[name] for name in ("open", "fire", "tamper")))  # nothing is connected yet
        for pin in (CONTACT, FIRE, TAMPER):
            pins.connect(pin, closed=True)
        device.door(lambda state: not any(state.values()))
        pins.relay(on=False)
    with check("door: the exit button switches the relay on, and it goes off by itself", device.log):
        pins.connect(EXIT, closed=True)
        pins.relay(on=True)
        pins.connect(EXIT, closed=False)
        pins.relay(on=False)
    with check("door: opened without a grant: forced, until it is shut", device.log):
        time.sleep(2)  # the exit button counts for another second
        pins.connect(CONTACT, closed=False)
        device.door(lambda state: state["open"] and state["forced"])
        pins.connect(CONTACT, closed=True)
        device.door(lambda state: not (state["open"] or state["forced"]))
    with check("door: the relay is on as long as there is a fire", device.log):
        pins.connect(FIRE, closed=False)
        pins.relay(on=True)
        device.door(lambda state: state["fire"] and state["relay"])
        time.sleep(15)  # longer than a pulse
        pins.relay(on=True)
        pins.connect(FIRE, closed=True)
        pins.relay(on=False)
    with check("door: the case is opened and closed", device.log):
        pins.connect(TAMPER, closed=False)
        device.door(lambda state: state["tamper"])
        pins.connect(TAMPER, closed=True)
        device.door(lambda state: not state["tamper"])


def picamera(device: Appliance, people: list[Image.Image]) -> None:
    """A camera module: libcamera's virtual camera through the real picamera2."""
    with check("picamera: /healthz is 200", device.log) as facts:
        facts.append(device.wait(sound)["camera"]["driver"])
    with check("picamera: /faces has one face, its box where a posted picture has it", device.log) as facts:
        expected = [faces(device, path.read_bytes())[0]["box"] for path in sorted(FRAMES.iterdir())]
        best = [0.0] * len(expected)
        end = time.monotonic() + PATIENCE
        while min(best) < LEAST_IN_COMMON and time.monotonic() < end:
            (face,) = faces(device)
            common = [overlap(face["box"], box) for box in expected]
            best = [max(pair) for pair in zip(best, common, strict=True)]
            if max(common) < LEAST_IN_COMMON:
                raise ValueError(f"{face['box']} is none of {expected}")
        facts.append(f"{' and '.join(f'{share:.0%}' for share in best)} in common")
        if min(best) < LEAST_IN_COMMON:
            raise ValueError(f"not everybody was seen: {best}")
    with check("picamera: /camera/frame.jpg is what is before the camera, in its colours", device.log) as facts:
        seen = frame(device).astype(float)
        difference = min(np.abs(seen - np.asarray(person)).mean() for person in people)
        facts.append(f"{difference:.1f} grey levels apart")
        if difference > 20:
            raise ValueError(f"{difference:.1f} grey levels apart, on average")
    cable(device, "picamera", PULLED.touch, PULLED.unlink)


def canvas(picture: Path, left: int) -> Image.Image:
    """What the camera sees: a person before a wall with some grain."""
    grain = np.random.default_rng(1).normal((150, 120, 90), 12, (SIZE[1], SIZE[0], 3))
    wall = Image.fromarray(grain.clip(0, 255).astype(np.uint8))
    person = Image.open(picture).convert("RGB")
    person.thumbnail((600, 600))
    wall.paste(person, (left, 60))
    return wall


def overlap(a: dict[str, float], b: dict[str, float]) -> float:
    """Intersection over union of two boxes."""
    width = min(a["x"] + a["width"], b["x"] + b["width"]) - max(a["x"], b["x"])
    height = min(a["y"] + a["height"], b["y"] + b["height"]) - max(a["y"], b["y"])
    common = max(0.0, width) * max(0.0, height)
    return common / (a["width"] * a["height"] + b["width"] * b["height"] - common)


def main() -> None:
    """All checks; both devices start together, since loading the models takes longest by far."""
    print(
        f"--- checks: Python {platform.python_version()}, picamera2 {version('picamera2')}, Linux {platform.release()}"
    )
    people = [canvas(PICTURES[0], 300), canvas(PICTURES[1], 500)]
    FRAMES.mkdir()
    for number, person in enumerate(people):
        person.save(FRAMES / f"{number}.jpg", quality=95)
    pins = Pins()
    with Appliance("v4l2", 9297, DOOR) as usb, Appliance("picamera", 9298) as module:
        door(usb, pins)
        v4l2(usb)
        picamera(module, people)
        for device in (usb, module):
            with check(f"{device.log.stem}: ends in order", device.log):
                if status := device.stop():
                    raise ValueError(f"exit status {status}")
        with check("door: the relay is off after the end"):
            pins.relay(on=False)
    print(f"--- end: {f'{failures} failed' if failures else 'all ok'}", flush=True)


main()
