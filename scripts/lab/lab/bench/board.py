"""The machine that was measured: what it is, and its state."""

import os
import platform
import re
import shutil
import subprocess
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil

from appliance import identity

BUSY = 0.5
"""Load average over a minute above which another program is at work, and figures are doubtful."""


def board() -> dict[str, Any]:
    """The facts about this machine, now, that make two records comparable; an unknown text is empty.

    `memory_mb` is in units of 10^6 bytes; `throttled` the firmware's answer on a Raspberry Pi, 0x0 if it never slowed down;
    `date` UTC, to the minute; `load_before` the load over the last minute (getloadavg(3)), 0 when idle.
    """
    throttled = ""
    if vcgencmd := shutil.which("vcgencmd"):
        throttled = subprocess.run([vcgencmd, "get_throttled"], capture_output=True, text=True, check=False).stdout
    sensors = psutil.sensors_temperatures().values()
    return {
        "board": identity.board(),
        "processor": processor(_text("/proc/cpuinfo")),
        "cores": len(os.sched_getaffinity(0)),
        "memory_mb": round(psutil.virtual_memory().total / 1e6),
        "architecture": platform.machine(),
        "system": platform.freedesktop_os_release().get("PRETTY_NAME", platform.system()),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "governor": _text("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"),
        "temperatures_c": [sensor.current for each in sensors for sensor in each],
        "throttled": throttled.strip().removeprefix("throttled="),
        "date": time.strftime("%Y-%m-%d %H:%MZ", time.gmtime()),
        "load_before": round(psutil.getloadavg()[0], 2),
    }


def warning(load: float) -> str:
    """A line for the readers of the figures; empty on a machine that has nothing else to do."""
    return f"this machine is busy (load {load:.2f}): the figures are doubtful" if load > BUSY else ""


def processor(cpuinfo: str) -> str:
    """The model's name (proc(5)); on ARM the kernel gives numbers alone: the part's."""
    facts = dict(re.findall(r"^([^:\n]+?)\s*: (.*)$", cpuinfo, re.MULTILINE))
    parts = " ".join(facts.get(key, "") for key in ("CPU implementer", "CPU part"))
    return str(facts.get("model name") or parts).strip()


def _text(file: str) -> str:
    with suppress(OSError):
        return Path(file).read_text("utf-8", "replace").strip()
    return ""
