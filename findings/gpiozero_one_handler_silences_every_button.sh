#!/usr/bin/env bash
# gpiozero 2.0.1.post3 on lgpio 0.2.2.0, Debian trixie, Linux 6.12, gpio-sim; 2026-11-28.
#
# Question: a program has several buttons. One of them is closed by the main thread while its `when_pressed` still runs.
# What becomes of the others? And when a handler raises an exception?
# Guess: the closed one gives no more calls; an exception is printed; the other buttons work on.
# Seen: both end the one thread that lgpio has for all callbacks of the process. From then on no button ever calls its handler, wait_for_press waits in vain,
# and buttons made later are as deaf, while is_pressed still tells the truth. Nothing is printed but the first
# traceback (in the first case one of gpiozero's own: the closed button has no holding thread any more).
set -euo pipefail
. "$(dirname "$0")/machine"
run_in_machine <<'PROGRAM'
import subprocess
import sys

PROGRAM = """
import sys, threading, time
sys.path.insert(0, "/mnt")
import gpiozero, pins
calls = []
def button(pin, handler):
    pins.drive(pin, False)
    made = gpiozero.Button(pin, pull_up=None, active_state=True)
    made.when_pressed = handler
    return made
def press(pin):
    pins.drive(pin, True); time.sleep(0.3); pins.drive(pin, False); time.sleep(0.3)
begun = threading.Event()
def slow():
    begun.set(); time.sleep(1)
def faulty():
    raise KeyError("a handler's own")
other = button(6, lambda: calls.append("other"))
press(6)
before = len(calls)
if sys.argv[1] == "close":
    first = button(5, slow)
    pins.drive(5, True)
    begun.wait()
    first.close()
    time.sleep(1.5)
elif sys.argv[1] == "raise":
    first = button(5, faulty)
    press(5)
press(6)
after = len(calls) - before
late = button(7, lambda: calls.append("late"))
pins.drive(7, True)
late_pressed, late_heard = late.is_pressed, late.wait_for_press(2)
print(before, after, late_pressed, late_heard, calls.count("late"))
"""

for case, expected in (("nothing", "1 1 True True 1"), ("close", "1 0 True False 0"), ("raise", "1 0 True False 0")):
    run = subprocess.run([sys.executable, "-c", PROGRAM, case], capture_output=True, text=True, timeout=60)
    print(f"{case}: calls of the other button before and after, then a new button's is_pressed, wait_for_press, calls: {run.stdout.strip()}")
    print(f"    standard error ends: {(run.stderr.strip().splitlines() or ['(empty)'])[-1]}")
    assert run.stdout.strip() == expected, run.stdout
PROGRAM
