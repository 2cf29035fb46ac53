"""The machine that was measured: what it is, and how it was."""

import os
import platform
import re
import shutil
import subprocess
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from appliance import identity

BUSY = 0.5
"""Load average over a minute from which on somebody else is at work, and figures are doubtful."""

UNKNOWN = ""


@dataclass(frozen=True, slots=True)
class Board:
    """What a record needs to be compared with another one. `throttled` is the firmware's word on a Raspberry Pi, 0x0 when it
    never slowed down; text that cannot be had is empty.
    """

    board: str
    processor: str
    cores: int
    memory_mb: int
    """Of 10^6 bytes."""
    architecture: str
    system: str
    kernel: str
    python: str
    governor: str
    temperatures_c: tuple[float, ...]
    throttled: str
    date: str
    """UTC, to the minute."""
    load_before: float
    """Over the last minute (getloadavg(3)); 0 is idle."""

    @classmethod
    def here(cls) -> "Board":
        """This machine, now."""
        return cls(
            board=identity.board(),
            processor=_processor(),
            cores=len(os.sched_getaffinity(0)),
            memory_mb=round(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 1e6),
            architecture=platform.machine(),
            system=_system(),
            kernel=platform.release(),
            python=platform.python_version(),
            governor=_text(Path("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")),
            temperatures_c=tuple(_degrees(sorted(Path("/sys/class/thermal").glob("thermal_zone*/temp")))),
            throttled=_throttled(),
            date=time.strftime("%Y-%m-%d %H:%MZ", time.gmtime()),
            load_before=round(os.getloadavg()[0], 2),
        )

    @property
    def warning(self) -> str:
        """A line for whoever reads the figures; empty on a machine that has nothing else to do."""
        if self.load_before <= BUSY:
            return ""
        return f"this machine is busy (load {self.load_before:.2f}): the figures are doubtful"


def _processor(cpuinfo: Path = Path("/proc/cpuinfo")) -> str:
    """The model's name (proc(5)); on ARM the kernel gives numbers alone: the part's."""
    facts = dict(re.findall(r"^([^:\n]+?)\s*: (.*)$", _text(cpuinfo), re.MULTILINE))
    return str(
        facts.get("model name") or " ".join(facts.get(key, "") for key in ("CPU implementer", "CPU part"))
    ).strip()


def _system() -> str:
    try:
        return platform.freedesktop_os_release()["PRETTY_NAME"]
    except (OSError, KeyError):
        return platform.system()


def _degrees(files: Iterable[Path]) -> Iterable[float]:
    """Thermal zones in degrees Celsius; the kernel gives thousandths (sysfs-class-thermal)."""
    for file in files:
        text = _text(file)
        if re.fullmatch(r"-?\d+", text):
            yield int(text) / 1000


def _throttled() -> str:
    """What `vcgencmd get_throttled` says on a Raspberry Pi."""
    command = shutil.which("vcgencmd")
    if command is None:
        return UNKNOWN
    done = subprocess.run([command, "get_throttled"], capture_output=True, text=True, check=False)  # noqa: S603
    return done.stdout.strip().removeprefix("throttled=")


def _text(file: Path) -> str:
    try:
        return file.read_text("utf-8", "replace").strip()
    except OSError:
        return UNKNOWN
