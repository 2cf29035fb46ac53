"""A command that is told to end does so in order, and one that was told to outlive its terminal does that."""

import shlex
import signal
import subprocess
import sys
import time

import pytest

DISCOVER = shlex.join([sys.executable, "-m", "appliance", "discover", "--timeout", "6"])


@pytest.mark.usefixtures("usual_signals")
@pytest.mark.parametrize(
    ("before", "number", "ended"),
    [
        ("", signal.SIGTERM, True),
        ("", signal.SIGHUP, True),
        ("trap '' HUP; ", signal.SIGHUP, False),
    ],
)
def test_a_signal_ends_a_command_unless_it_is_ignored(before: str, number: signal.Signals, *, ended: bool) -> None:
    with subprocess.Popen(["sh", "-c", f"{before}exec {DISCOVER}"], stderr=subprocess.PIPE) as process:
        time.sleep(3)
        process.send_signal(number)
        _, said = process.communicate(timeout=30)
    assert (process.returncode == 128 + number) == ended
    assert b"Traceback" not in said
