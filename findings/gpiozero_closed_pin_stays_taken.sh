#!/usr/bin/env bash
# gpiozero 2.0.1.post3 on lgpio 0.2.2.0, libgpiod 2.2, Debian trixie, Linux 6.12, gpio-sim; 2026-11-28.
#
# Question: a program closes a gpiozero device and goes on running. Can another program have the pin now?
# Guess: yes; the documentation of `close` says that it releases all resources of the device, such as its pins.
# Seen: no, "Device or resource busy" until the first program ends or closes the whole pin factory: on lgpio, `close` only makes the
# pin an input again. Within the same program gpiozero lets another device have it, so a test there does not show it.
set -euo pipefail
. "$(dirname "$0")/machine"
run_in_machine <<'PROGRAM'
import subprocess

import gpiozero


def other_program() -> str:
    run = subprocess.run(["gpioset", "-t0", "-c", "0", "17=1"], capture_output=True, text=True)
    return "has it" if run.returncode == 0 else run.stderr.strip()


print("before:", before := other_program())
gpiozero.DigitalOutputDevice(17).close()
print("after close:", closed := other_program())
gpiozero.DigitalOutputDevice(17).close()
print("again in this program: has it")
gpiozero.Device.pin_factory.close()
print("after the factory's close:", ended := other_program())
assert (before, ended) == ("has it", "has it") and "busy" in closed
PROGRAM
