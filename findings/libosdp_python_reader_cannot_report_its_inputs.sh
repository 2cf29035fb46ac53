#!/usr/bin/env bash
# libosdp 3.2.9 (PyPI), an OSDP reader in Python; 2026-11-28.
#
# Question: a panel asks the reader for its inputs, and the command handler answers with a report of the two that the reader has. Then
# the panel shows a text in Latin-1, "Grüße". What does the reader reply?
# Guess: the report, as the handler gives it; the text is handed over or refused.
# Seen: both fail. The report is refused (NAK 9), because the Python side takes `type` alone from such an answer; panels may read the
# error as an input. At the text, which is not UTF-8, `refresh` raises SystemError. Its refusal is written, but the library takes it for
# unsent, so that the panel's next command is refused as out of sequence (NAK 4). Panels take that for a broken reader.
set -euo pipefail
. "$(dirname "$0")/packages"
in_python "libosdp==3.2.9" <<'PROGRAM'
from binascii import crc_hqx

import osdp_sys


class Line:
    """What the panel sends, and what it gets."""

    def __init__(self) -> None:
        self.sent, self.got = b"", b""

    def read(self, most: int) -> bytes:
        taken, self.sent = self.sent[:most], self.sent[most:]
        return taken

    def write(self, data: bytes) -> int:
        self.got += data
        return len(data)

    def flush(self) -> None:
        pass


def ask(sequence: int, code: int, data: bytes = b"") -> bytes:
    size = 8 + len(data)
    frame = bytes([0x53, 1, size, 0, sequence | 4, code]) + data
    line.sent, line.got = frame + crc_hqx(frame, 0x1D0F).to_bytes(2, "little"), b""
    reader.refresh()
    return line.got[5:-2]  # the reply and its data


line = Line()
osdp_sys.set_loglevel(osdp_sys.LOG_EMERG)
about = {"name": "reader", "address": 1, "flags": 0, "scbk": bytes(16), "channel": line, "version": 1, "model": 1}
capabilities = [
    {"function_code": osdp_sys.CAP_CONTACT_STATUS_MONITORING, "compliance_level": 1, "num_items": 2},
    {"function_code": osdp_sys.CAP_READER_TEXT_OUTPUT, "compliance_level": 1, "num_items": 1},
]
reader = osdp_sys.PeripheralDevice(about | {"vendor_code": 0, "serial_number": 1, "firmware_version": 0}, capabilities=capabilities)
report = {"command": osdp_sys.CMD_STATUS, "type": osdp_sys.STATUS_REPORT_INPUT, "report": b"\x01\x00"}
reader.set_command_callback(lambda command: (0, report if command["command"] == osdp_sys.CMD_STATUS else None))
ask(0, 0x60)
print("inputs:", inputs := ask(1, 0x65))
words = "Grüße".encode("latin-1")
try:
    text = ask(2, 0x6B, bytes([0, 1, 0, 1, 1, len(words)]) + words)
except SystemError as error:
    text = error
print("text:", repr(text))
print("next poll:", poll := ask(3, 0x60))
assert inputs == bytes([0x41, 9])
assert isinstance(text, SystemError)
assert poll == bytes([0x41, 4])
PROGRAM
