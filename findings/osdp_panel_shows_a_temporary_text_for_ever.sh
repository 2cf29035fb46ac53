#!/usr/bin/env bash
# osdp 1.6 (PyPI), a panel in Python, and a reader of libosdp 3.2.9; 2026-11-29.
#
# Question: the panel shows "Wait" on the reader's display for five seconds, with TextCommand.TempTextNoWrap. What does the reader get?
# Guess: text command 3 (temporary, no wrapping) with a time of 5 s; six seconds later the permanent text is back.
# Seen: a permanent text, with wrapping (text command 2 in OSDP; a temporary one is 3), which stays until the next text. In the
# package both names have the value 2, so that Python takes one for another name of the other.
set -euo pipefail
. "$(dirname "$0")/packages"
in_python "libosdp==3.2.9 osdp==1.6" <<'PROGRAM'
import os
import time

from osdp._command import ReaderTextOutputCommand
from osdp._connection import SerialPortOsdpConnection
from osdp._control_panel import ControlPanel
from osdp._types import ReaderTextOutput, TextCommand
from osdp_line import Line, Reader

reader, panel = Reader(1), ControlPanel()
line = panel.start_connection(SerialPortOsdpConnection(Line(reader).port, 9600))
panel.add_device(line, 1, True, False)
time.sleep(2)
text = ReaderTextOutput(0, TextCommand.TempTextNoWrap, 5, 1, 1, "Wait")
print("accepted:", panel.send_command(line, ReaderTextOutputCommand(1, text)).type)
print("the reader gets:", command := reader.commands[-1])
os._exit(0 if (command["control_code"], command["temp_time"], command["data"]) == (2, 5, "Wait") else 1)
PROGRAM
