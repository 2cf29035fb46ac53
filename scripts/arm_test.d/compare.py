"""The documented questions, asked in each arm64 Debian and on this machine: the answers must be the same but for rounding."""

import base64
import json
import os
import platform
import re
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

import numpy as np

FOLDER, PROGRAM = Path(sys.argv[1]), sys.argv[2]
PROJECT = Path(__file__).parents[2]
PICTURES = {
    "portrait": PROJECT / "models" / "portrait.jpg",
    "hopper": PROJECT / "appliance" / "camera" / "demonstration" / "grace_hopper.jpg",
}

MATERIAL = Path("/tmp/face-appliance-arm-test")  # noqa: S108
"""What is sent and answered, in each place."""

BOARDS = {"bookworm": "cortex-a72", "trixie": "cortex-a76"}
"""The processor that is emulated for each: those of the Raspberry Pi 4 and 5. (On "max", with all that qemu 7.2 knows beyond
them, LiteRT 2.3 gives wrong landmarks, and the self-test refuses them.)
"""

INSTALLATIONS = {
    "bookworm": ("sh", "/opt/project/scripts/install", "--from", "/opt/wheels", "--files"),
    "trixie": ("dpkg", "-i", "/opt/face-appliance.deb"),
}

PRECISIONS = ("float16", "int8")
"""Which of them a board takes, it measures itself: both must do. Landmarks are float16 alone."""

FACE = 111.0
"""Side of the portrait's face, in pixels."""

BOUNDS = {
    "float16": {"pixels": 0.5, "degrees": 0.5, "similarity": 0.01, "confidence": 0.05, "grey levels": 1.0},
    "int8": {"pixels": 0.03 * FACE, "degrees": 2.0, "similarity": 0.05, "confidence": 0.05, "grey levels": 8.0},
}
"""How far an answer may be from this machine's. Runtimes round int8 differently on each processor, and where the detector's
rectangle is another, all that follows is: there the self-test's share of the face's side is allowed.
"""

PATIENCE = 300.0
"""Seconds for the start: the emulated processor is some 30 times slower than a real one."""

CONFIGURATION = """
[server]
port = 0
[engine]
engines = 1
detector = "{0}"
liveness = "float16"
[camera]
driver = "none"
[lan]
enabled = false
[state]
folder = "/tmp/face-appliance-arm-test"
"""

failures = 0


@contextmanager
def check(title: str) -> Iterator[list[str]]:
    """Prints how the block went; what it appends to the list is printed as well."""
    global failures  # noqa: PLW0603
    facts: list[str] = []
    begin = time.monotonic()
    try:
        yield facts
    except Exception as error:  # noqa: BLE001
        failures += 1
        print(f"FAIL {title}: {type(error).__name__}: {error}")
    else:
        print(f"ok   {title} ({', '.join([*facts, f'{time.monotonic() - begin:.1f} s'])})")
    sys.stdout.flush()


class Place:
    """Where programs run: an arm64 Debian, or this machine. Both see the material in the same folder."""

    def __init__(self, suite: str | None) -> None:
        self.root = FOLDER / suite if suite else Path("/")
        self._enter = ["chroot", self.root, "env", "-i", f"QEMU_CPU={BOARDS[suite]}"] if suite else ["env"]
        self.program = "/opt/face-appliance/current/bin/appliance" if suite else PROGRAM
        self.material = self.root / MATERIAL.relative_to("/")

    def command(self, *command: object) -> list[str]:
        return [*map(str, self._enter), "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C.UTF-8", *map(str, command)]

    def run(self, *command: object) -> str:
        """What a command prints. Raises ValueError when it fails."""
        done = subprocess.run(self.command(*command), capture_output=True, text=True, timeout=900, check=False)
        if done.returncode:
            raise ValueError(f"{command[0]}: {done.returncode} {done.stdout[-2000:]}{done.stderr[-2000:]}")
        return done.stdout

    def prepare(self) -> None:
        """Lays out what is sent."""
        self.material.mkdir(parents=True, exist_ok=True)
        for name, picture in PICTURES.items():
            (self.material / f"{name}.jpg").write_bytes(picture.read_bytes())
        with zipfile.ZipFile(self.material / "frames.zip", "w") as archive:
            for number in (1, 2, 3, 4):
                archive.write(PICTURES["portrait"], f"{number}.jpg")
        for precision in PRECISIONS:
            (self.material / f"{precision}.toml").write_text(CONFIGURATION.format(precision))


class Serving:
    """`appliance serve` in a place, asked by curl in the same place."""

    def __init__(self, place: Place, precision: str) -> None:
        self._place, self._precision = place, precision
        self._log = place.material / f"{precision}.log"

    def __enter__(self) -> Self:
        with self._log.open("w") as log:
            self._process = subprocess.Popen(
                self._place.command(self._place.program, "serve", "--config", MATERIAL / f"{self._precision}.toml"),
                stdout=log,
                stderr=log,
            )
        end = time.monotonic() + PATIENCE
        while "ready: " not in self._log.read_text("utf-8"):
            if self._process.poll() is not None or time.monotonic() > end:
                self.__exit__()
                raise TimeoutError(self._log.read_text("utf-8")[-1500:])
            time.sleep(0.2)
        found = re.search(r"listening on (\S+?),", self._log.read_text("utf-8"))
        assert found
        self._address = found[1]
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        try:
            self._process.wait(60)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def ask(self, path: str, *options: str) -> dict[str, Any]:
        """The answer to one of the documented lines."""
        answer = json.loads(self._place.run("curl", "-s", "-m", "120", f"{self._address}{path}", *options))
        if answer["return_msg"]["return_code"] != "INF-00":
            raise ValueError(answer)
        return dict(answer)

    def answers(self) -> dict[str, Any]:
        """To all of them."""
        answers: dict[str, Any] = {"runtime": self.ask("/version")["runtime"]}
        for name in PICTURES:
            answers[name] = self.ask("/faces", "-X", "POST", "--data-binary", f"@{MATERIAL}/{name}.jpg")["faces"]
            answers[f"{name} aligned"] = self.aligned(name)
            (self._place.material / f"{name}.rgb").write_bytes(answers[f"{name} aligned"])
        answers["apart"] = self._similarity("portrait.rgb", "hopper.rgb")
        answers["same"] = self._similarity("portrait.rgb", "portrait.here.rgb")
        answers["confidence"] = self.ask("/liveness/multiframe", "-F", f"images=@{MATERIAL}/frames.zip")["confidence"]
        return answers

    def aligned(self, name: str) -> bytes:
        """The largest face of a picture, upright."""
        options = ("-X", "POST", "--data-binary", f"@{MATERIAL}/{name}.jpg")
        (face,) = self.ask("/alignedfaces?detectcount=1", *options)["aligned_faces"]
        return base64.b64decode(face["image_data"])

    def _similarity(self, a: str, b: str) -> float:
        files = ("-F", f"image_a=@{MATERIAL}/{a}", "-F", f"image_b=@{MATERIAL}/{b}")
        return float(self.ask("/similarity/v2", *files)["similarity"])


def near(what: str, there: Any, here: Any, bound: float, facts: list[str]) -> None:
    """Raises ValueError when two numbers, or lists of them, are further apart than that."""
    apart = float(np.abs(np.asarray(there, float) - np.asarray(here, float)).max())
    facts.append(f"{what} {apart:.3g}")
    if apart > bound:
        raise ValueError(f"{what}: {apart:.3g} apart, at most {bound} wanted")


def points(faces: Sequence[dict[str, Any]]) -> list[list[float]]:
    """All points of all faces."""
    return [[point["x"], point["y"]] for face in faces for point in face["landmark"]["lm_points"]]


def compare(there: dict[str, Any], here: dict[str, Any], bounds: dict[str, float], facts: list[str]) -> None:
    """Raises ValueError where answers differ by more than rounding."""
    for name in PICTURES:
        for what, unit in (("box", "pixels"), ("pose", "degrees")):
            asked, expected = ([list(face[what].values()) for face in answers[name]] for answers in (there, here))
            near(what, asked, expected, bounds[unit], facts)
        near("points", points(there[name]), points(here[name]), bounds["pixels"], facts)
        pixels = [np.frombuffer(answers[f"{name} aligned"], np.uint8).astype(float) for answers in (there, here)]
        near("aligned", np.abs(pixels[0] - pixels[1]).mean(), 0.0, bounds["grey levels"], facts)
    near("similarity", there["apart"], here["apart"], bounds["similarity"], facts)
    near("of one face", there["same"], 1.0, bounds["similarity"], facts)
    near("confidence", there["confidence"], here["confidence"], bounds["confidence"], facts)


def main() -> int:
    """Everything in turn; returns the exit status."""
    this = Place(None)
    this.prepare()
    places = {suite: Place(suite) for suite in BOARDS}
    for suite, place in places.items():
        place.prepare()
        with check(f"{suite} on {BOARDS[suite]}: {' '.join(INSTALLATIONS[suite])}, up to the self-test") as facts:
            place.run(*INSTALLATIONS[suite])
            facts.append(
                place.run(
                    "python3", "-c", "import platform; print(*platform.uname()[4:5], platform.python_version())"
                ).strip()
            )
        with check(f"{suite}: self-test") as facts:
            facts.append(f"{len(place.run(place.program, 'selftest').splitlines())} lines")
    for precision in PRECISIONS:
        with check(f"{platform.machine()}: the documented lines, {precision}") as facts:
            with Serving(this, precision) as serving:
                aligned = serving.aligned("portrait")
                for place in (this, *places.values()):
                    (place.material / "portrait.here.rgb").write_bytes(aligned)
                here = serving.answers()
            facts.append(f"{here['runtime']['name']} {here['runtime']['version']}")
        for suite, place in places.items():
            with check(f"{suite}: the documented lines, {precision}, against {platform.machine()}") as facts:
                with Serving(place, precision) as serving:
                    there = serving.answers()
                facts.append(f"{there['runtime']['name']} {there['runtime']['version']}")
                compare(there, here, BOUNDS[precision], facts)
    print("emulated: the processor, by qemu-user; no kernel, no systemd, no camera of its own, no figure of speed")
    print("all ok" if not failures else f"{failures} failed")
    return 1 if failures else 0


if __name__ == "__main__":
    os.environ.pop("NOTIFY_SOCKET", None)
    sys.exit(main())
