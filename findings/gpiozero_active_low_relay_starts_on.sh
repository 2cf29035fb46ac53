#!/usr/bin/env bash
# gpiozero 2.0.1.post3 on lgpio 0.2.2.0, Debian trixie, Linux 6.12, gpio-sim; 2026-11-28.
#
# Question: a relay board switches on at low. `DigitalOutputDevice(17, active_high=False, initial_value=False)` is made while
# a resistor holds the pin high. What does the pin do from before the call until after it?
# Guess: it becomes an output that is high; the documentation says of initial_value=False "the device will be off initially".
# Seen: it becomes an output that is low, so the relay is switched on, and a moment later high. lgpio can claim a pin with a level, but
# gpiozero's lgpio pins do not override `output_with_state`: they claim it low, then write the level. Each start of a
# program gives such a door a pulse, as long as the scheduler likes. PWMOutputDevice leaves it on until its thread has started.
set -euo pipefail
. "$(dirname "$0")/machine"
run_in_machine <<'PROGRAM'
import re
import time

import gpiozero
import pins

TRACING = "/sys/kernel/tracing"


def put(name: str, text: str) -> None:
    with open(f"{TRACING}/{name}", "w") as file:
        file.write(text)


def changes(make) -> list[tuple[float, str]]:
    """When the kernel changed a pin while `make` ran, and how: its own record."""
    put("trace", "")
    put("events/gpio/enable", "1")
    device = make()
    time.sleep(0.5)  # a thread of PWMOutputDevice may still be on its way
    put("events/gpio/enable", "0")
    device.close()
    with open(f"{TRACING}/trace") as file:
        lines = [re.search(r"([\d.]+): (gpio_\w+): +\d+ +(.*)", line) for line in file]
    return [(float(line[1]), f"{line[2]} {line[3]}") for line in lines if line]


pins.drive(16, True), pins.drive(17, True), pins.drive(18, False)
gpiozero.OutputDevice(16).close()  # loads the pin library
for kind, pin, active_high in (
    (gpiozero.DigitalOutputDevice, 17, False),
    (gpiozero.PWMOutputDevice, 18, False),
    (gpiozero.DigitalOutputDevice, 17, True),
):
    seen = changes(lambda: kind(pin, active_high=active_high, initial_value=False))
    print(f"{kind.__name__}(active_high={active_high}, initial_value=False):")
    for moment, what in seen[:8]:
        print(f"  {(moment - seen[0][0]) * 1e3:8.3f} ms  {what}")
    steps = [what for _, what in seen]
    becomes_output = steps.index("gpio_direction out (0)")
    lows = [moment for moment, what in seen if what == "gpio_value set 0"]
    highs = [moment for moment, what in seen if what == "gpio_value set 1"]
    if not active_high:
        assert steps[becomes_output - 1] == "gpio_value set 0", steps
        assert lows and highs and lows[0] < highs[0], steps
        print(f"  switched on for {(highs[0] - lows[0]) * 1e3:.3f} ms")
    else:
        assert not highs, steps
PROGRAM
