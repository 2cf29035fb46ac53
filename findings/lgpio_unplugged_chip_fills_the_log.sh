#!/usr/bin/env bash
# gpiozero 2.0.1.post3 on lgpio 0.2.2.0, Debian trixie, Linux 6.12, gpio-sim; 2026-11-28.
#
# Question: a GPIO chip on a cable (a USB expander) is pulled while a gpiozero program has a button and a relay on it.
# What does the program do, and what when the chip is plugged in again?
# Guess: the next use of a pin raises "no such device"; callbacks cease; otherwise the program idles until it opens its pins again.
# Seen: uses of a pin raise, but with other words ("bad GPIO read"). lgpio's thread asks the lost chip again without a pause: it takes a whole core and
# writes thousands of lines a second to standard error, which a service sends to its journal. It does not end when the
# chip is back, since that has another number for as long as the old one is open.
set -euo pipefail
. "$(dirname "$0")/machine"
run_in_machine <<'PROGRAM'
import glob
import os
import subprocess
import sys
import time

import pins

PROGRAM = """
import sys, time
import gpiozero
button, relay = gpiozero.Button(5, pull_up=None, active_state=True), gpiozero.DigitalOutputDevice(17)
button.when_pressed = lambda: None
def share():
    cpu, begin = time.process_time(), time.monotonic()
    time.sleep(3)
    return (time.process_time() - cpu) / (time.monotonic() - begin)
def attempt(use):
    try:
        return use()
    except Exception as error:
        return f"{type(error).__module__}.{type(error).__name__} {error}"
for moment in ("plugged", "pulled", "plugged in again"):
    sys.stdin.readline()
    print(f"{moment}: {share():.2f} of a core; read: {attempt(lambda: button.value)}; write: {attempt(relay.on)}", flush=True)
"""
log = "/tmp/log"
pins.drive(5, False)
with open(log, "w") as errors:
    program = subprocess.Popen([sys.executable, "-c", PROGRAM], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True)


def ask() -> tuple[float, int]:
    program.stdin.write("\n")
    program.stdin.flush()
    before, begin = os.path.getsize(log), time.monotonic()
    print(line := program.stdout.readline().strip())
    with open(log) as file:
        file.seek(before)
        lines = len(file.readlines())
    print(f"    {lines / (time.monotonic() - begin):.0f} lines a second on standard error; chips: {glob.glob('/dev/gpiochip*')}")
    return float(line.split(": ")[1].split()[0]), lines


def plugged(state: str) -> None:
    with open(pins.LIVE, "w") as file:
        file.write(state)
    time.sleep(1)


ask()  # the first time, it starts as well
idle, quiet = 0.5, 0
plugged("0")
core, lines = ask()
assert core > idle and lines > 1000, (core, lines)
plugged("1")
core, lines = ask()
assert core > idle and lines > 1000, (core, lines)
assert glob.glob("/dev/gpiochip*") == ["/dev/gpiochip1"]
with open(log) as file:
    print("the line:", file.readline().split(" ", 2)[-1].strip())
program.kill()
PROGRAM
