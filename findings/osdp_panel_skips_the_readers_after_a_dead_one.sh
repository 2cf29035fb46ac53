#!/usr/bin/env bash
# osdp 1.6 (PyPI), a panel in Python, and three readers of libosdp 3.2.9; 2026-11-29.
#
# Question: a panel polls three readers on one line at 9600 baud. The second is unplugged. How often are the two others polled, before
# and after?
# Guess: the dead one stays in the round, and each round waits for its two seconds: both others are polled every 2.1 to 2.2 s.
# Seen: each was polled twice a second. Now the first is polled every 2.3 s, and the third never again: the panel waits two seconds for the dead
# reader, then closes the port, and finds it closed when it comes to the next reader of the round. `is_online` of the third turns
# false although nothing is wrong with it. All is well again when the second is back.
set -euo pipefail
. "$(dirname "$0")/packages"
in_python "libosdp==3.2.9 osdp==1.6" <<'PROGRAM'
import os
import time

from osdp._connection import SerialPortOsdpConnection
from osdp._control_panel import ControlPanel
from osdp_line import Line, Reader

readers, panel = [Reader(address) for address in range(3)], ControlPanel()
line = panel.start_connection(SerialPortOsdpConnection(Line(*readers).port, 9600))
for address in range(3):
    panel.add_device(line, address, True, False)


def seen(what: str, seconds: float) -> list[int]:
    """How often each is polled."""
    time.sleep(3)
    before = [len(reader.polled) for reader in readers]
    time.sleep(seconds)
    polls = [len(reader.polled) - earlier for reader, earlier in zip(readers, before)]
    print(f"{what}: polls in {seconds} s: {polls}, online: {[panel.is_online(line, each) for each in range(3)]}", flush=True)
    return polls


good = seen("all answer", 6)
readers[1].unplugged = True
first, _, third = seen("the second is unplugged", 20)
readers[1].unplugged = False
back = seen("it is back", 6)
os._exit(0 if min(good) > 6 and 5 < first < 11 and third == 0 and min(back) > 6 else 1)
PROGRAM
