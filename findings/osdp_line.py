"""A line with OSDP readers on it, for the findings about panels: libosdp's readers behind a pseudo-terminal."""

import logging
import os
import pty
import select
import threading
import time
import tty

import osdp_sys

logging.getLogger("osdp").setLevel(logging.CRITICAL)
osdp_sys.set_loglevel(osdp_sys.LOG_EMERG)


class Reader:
    """One reader. It is off the line while `unplugged`."""

    def __init__(self, address: int, flags: int = 0, key: bytes | None = None) -> None:
        self.unplugged, self.commands, self.polled = False, [], []
        self._waiting, self._line = b"", -1
        about = {"name": "reader", "address": address, "flags": flags, "channel": self, "version": 1, "model": 1}
        about |= {"vendor_code": 0, "serial_number": address, "firmware_version": 0} | ({"scbk": key} if key else {})
        functions = (osdp_sys.CAP_READER_TEXT_OUTPUT, osdp_sys.CAP_COMMUNICATION_SECURITY)
        self.device = osdp_sys.PeripheralDevice(
            about, capabilities=[{"function_code": each, "compliance_level": 1, "num_items": 1} for each in functions]
        )
        self.device.set_command_callback(self._note)
        self._address = address

    def hear(self, line: int, data: bytes) -> None:
        """Takes what the panel has sent."""
        self._line = line
        if self.unplugged:
            return
        start = data.find(b"S")
        if data[start + 1 : start + 2] == bytes([self._address]):
            self.polled.append(time.monotonic())
        self._waiting += data

    def read(self, most: int) -> bytes:
        taken, self._waiting = self._waiting[:most], self._waiting[most:]
        return taken

    def write(self, data: bytes) -> int:
        return len(data) if self.unplugged else os.write(self._line, data)

    def flush(self) -> None:
        pass

    def _note(self, command: dict) -> tuple[int, None]:
        self.commands.append(command)
        return 0, None


class Line:
    """A line on which `readers` can be changed; `port` is the panel's end."""

    def __init__(self, *readers: Reader) -> None:
        self.readers = list(readers)
        self._end, other = pty.openpty()
        for each in (self._end, other):
            tty.setraw(each)
        self.port = os.ttyname(other)
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        while True:
            data = os.read(self._end, 256) if select.select([self._end], [], [], 0.01)[0] else b""
            for reader in self.readers:
                reader.hear(self._end, data)
                reader.device.refresh()
