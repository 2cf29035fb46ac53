#!/usr/bin/env bash
# gpiozero 2.0.1.post3 on lgpio 0.2.2.0, Debian trixie, Linux 6.12, gpio-sim; 2026-11-28.
#
# Question: `Button(5, bounce_time=0.2)` is pressed for 0.1 s, without bouncing, and later for 1 s. When does when_pressed run?
# Guess: twice, each time at once; the documentation says of bounce_time that changes are ignored for that long after a first change.
# Seen: the short press is never noticed, the long one 0.2 s late, and active_time counts from there: on lgpio the time is how long a level
# must last before it counts. A generous value against a bad contact
# makes an exit button miss a tap.
set -euo pipefail
. "$(dirname "$0")/machine"
run_in_machine <<'PROGRAM'
import time

import gpiozero
import pins

BOUNCE = 0.2
pins.drive(5, False)
button = gpiozero.Button(5, pull_up=None, active_state=True, bounce_time=BOUNCE)
calls: list[float] = []
button.when_pressed = lambda: calls.append(time.monotonic())
time.sleep(1)


def press(seconds: float) -> list[float]:
    calls.clear()
    begin = time.monotonic()
    pins.drive(5, True)
    time.sleep(seconds)
    pins.drive(5, False)
    lasted = time.monotonic() - begin
    time.sleep(1)
    late = [call - begin for call in calls]
    print(f"pressed for {lasted:.2f} s: when_pressed {', '.join(f'{each:.2f} s later' for each in late) or 'never runs'}")
    return late if seconds > BOUNCE or lasted < BOUNCE else []


for _ in range(3):
    assert press(0.05) == []
for _ in range(3):
    (late,) = press(1)
    assert late >= BOUNCE, late
PROGRAM
