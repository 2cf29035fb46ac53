#!/usr/bin/env bash
# osdp 1.6 (PyPI), a panel in Python, and a reader of libosdp 3.2.9; 2026-11-29.
#
# Question: the two talk over a secure channel, and the line is cut for twelve seconds. What happens when it is whole again?
# Guess: the panel has reset its session when the reader went offline, so the next attempt is a fresh handshake: the channel is up and
# `is_online` true within two or three seconds.
# Seen: `is_online` is true at once, and the channel never comes up. The reader has ended its session after eight seconds and refuses
# each poll of the old one (NAK 6, communication security not met; at times 4, unexpected sequence number), which the panel takes
# for good replies. No card arrives until the reader is removed from the panel and added again.
set -euo pipefail
. "$(dirname "$0")/packages"
in_python "libosdp==3.2.9 osdp==1.6" <<'PROGRAM'
import os
import time

import osdp_sys
from osdp._connection import SerialPortOsdpConnection
from osdp._control_panel import ControlPanel
from osdp_line import Line, Reader

reader, refused = Reader(1, osdp_sys.FLAG_INSTALL_MODE), []
panel = ControlPanel(bytes(range(16)))
panel.on_nak_reply_received = lambda _, nak: refused.append(nak.error_code.value)
line = panel.start_connection(SerialPortOsdpConnection(Line(reader).port, 115_200))
panel.add_device(line, 1, True, True)
time.sleep(4)
print("paired, secure:", before := reader.device.is_sc_active())

reader.unplugged = True
time.sleep(12)
print("cut for 12 s, online:", panel.is_online(line, 1))
reader.unplugged = False
refused.clear()
reader.polled.clear()
time.sleep(30)
print("whole again for 30 s, secure:", after := reader.device.is_sc_active(), "online:", online := panel.is_online(line, 1))
print("polls:", len(reader.polled), "refused:", len(refused), set(refused))

panel.remove_device(line, 1)
time.sleep(1)
panel.add_device(line, 1, True, True)
time.sleep(4)
print("removed from the panel and added again, secure:", anew := reader.device.is_sc_active())
os._exit(0 if before and not after and online and set(refused) <= {4, 6} and len(refused) > 100 and anew else 1)
PROGRAM
