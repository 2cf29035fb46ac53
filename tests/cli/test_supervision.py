"""The process ends when it is asked to, and when a worker dies; not when one is done."""

import signal
import subprocess
import sys

import pytest

PROGRAM = """
import os, sys, threading, time
from appliance.supervision import Supervisor

def die():
    raise RuntimeError("out of order")

def finish():
    pass

def rest():
    time.sleep(60)

def kill(number):
    while not waiting.is_set():
        time.sleep(0.01)
    time.sleep(0.2)
    os.kill(os.getpid(), number)

ticks = []

def tick():
    ticks.append(time.monotonic())

waiting = threading.Event()
supervisor = Supervisor()
supervisor.start("done", finish)
supervisor.start("resting", rest)
{trouble}
waiting.set()
print("waiting", flush=True)
sys.exit(supervisor.wait(tick, 0.05))
"""


def ended(trouble):
    return subprocess.run(
        [sys.executable, "-c", PROGRAM.format(trouble=trouble)], capture_output=True, text=True, timeout=30, check=False
    )


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_ends_it_with_0(number):
    done = ended(f'supervisor.start("kill", lambda: kill({int(number)}))')
    assert (done.returncode, done.stdout, done.stderr) == (0, "waiting\n", "")


def test_a_worker_that_dies_ends_it_with_1_and_says_why():
    done = ended('supervisor.start("camera", die)')
    assert done.returncode == 1
    assert "camera died" in done.stderr
    assert "RuntimeError: out of order" in done.stderr


def test_while_it_waits_it_ticks():
    trouble = "def end(): time.sleep(0.5); print(len(ticks)); die()\n"
    done = ended(trouble + 'supervisor.start("camera", end)')
    assert done.returncode == 1
    assert 2 <= int(done.stdout.splitlines()[1]) <= 10


def test_workers_carry_their_names():
    done = ended('print(supervisor.start("models", rest).name); supervisor.start("camera", die)')
    assert done.stdout.splitlines() == ["models", "waiting"]
