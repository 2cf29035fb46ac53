"""What the parts of fleet_test have in common."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Self

from replicas import MODEL, Site, unit

from appliance.gallery.gallery import Gallery
from appliance.gallery.people import Person, PersonExport, Source, Template, TemplateExport, new_reference

SEED = 17

PROGRAM = Path(__file__).parents[2] / "tests" / "fleet" / "replica_program.py"


class Remote:
    """A device as a process of its own (tests/fleet/replica_program.py), in a network namespace if it begins with one."""

    def __init__(self, folder: Path, number: int, urls: Sequence[str], begin: Sequence[str] = ()) -> None:
        command = [*begin, sys.executable, str(PROGRAM), str(folder), str(number), ",".join(urls)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def __enter__(self) -> Self:
        assert self._process.stdout.readline() == "ready\n"
        return self

    def __exit__(self, *_: object) -> None:
        self._process.stdin.close()
        self._process.wait(20)

    def ask(self, *words: object) -> object:
        """What the program answers to these words."""
        self._process.stdin.write(json.dumps(words) + "\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())

    @property
    def megabytes(self) -> float:
        """Resident memory."""
        status = Path(f"/proc/{self._process.pid}/status").read_text("ascii")
        return int(status.partition("VmRSS:")[2].split()[0]) / 1e3


def name_of(number: int) -> str:
    """The id of the person with this number."""
    return f"person-{number:05}"


def fill(gallery: Gallery, count: int, model: str = MODEL) -> None:
    """Adds so many people with one template each, of this embedder."""
    now = datetime.now(UTC).replace(microsecond=0)

    def person(number: int) -> PersonExport:
        described = Person(name_of(number), f"Person {number}", ("staff",), None, None, new_reference(), now)
        template = Template(0, model, 0.83, Source.PHOTO, now, pictured=False)
        return PersonExport(described, (TemplateExport(template, unit(number), None),))

    gallery.merge(map(person, range(count)))


def wait(condition: Callable[[], object], seconds: float = 300, pause: float = 0.005) -> None:
    """Returns once the condition holds; fails after so many seconds. A pause that is longer leaves more time to the rest."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it takes too long"
        time.sleep(pause)


def since(begun: float) -> str:
    return f"{time.monotonic() - begun:.2f} s"


def say(*words: object) -> None:
    """Prints a line."""
    print(f"  {' '.join(map(str, words))} (load {os.getloadavg()[0]:.1f})", flush=True)


def percentile(values: Sequence[float], percent: int) -> float:
    ordered = sorted(values)
    return ordered[max(0, -(-percent * len(ordered) // 100) - 1)]


def equal(sites: Sequence[Site]) -> bool:
    """Whether all have the same people, templates and PINs."""
    return len({site.digest() for site in sites}) == 1
