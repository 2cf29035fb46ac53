"""The line of an OSDP reader: a serial port, and the frames on it that are addressed to this reader.

OSDP is IEC 60839-11-5 (SIA OSDP 2.2); the layout of a frame is in its section 5.9.
"""

import fcntl
import os
import select
import termios
import tty
from binascii import crc_hqx
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

POLL, CHALLENGE = 0x60, 0x76
"""Commands of the panel: any news, and the first step to a secure channel."""

RESTART = 0
"""The sequence number with which a panel begins anew; the others are 1, 2, 3, 1, …"""

_START, _REPLY, _EVERYONE = 0x53, 0x80, 0x7F
"""The first byte of a frame; the bit that replies have in their address; the address of every reader."""

_SEQUENCE, _CRC, _SECURED = 0x03, 0x04, 0x08
"""Parts of the control byte."""

_HEADER = 5
_LONGEST = 1440
"""Bytes of a frame at most."""

_SECURE_COMMANDS = (0x15, 0x17)
"""Types of the security block of a command within a secure channel, without and with data."""

_CRC_START = 0x1D0F
"""Of CRC-16/SPI-FUJITSU, which OSDP uses."""


@dataclass(frozen=True, slots=True)
class PanelCommand:
    """A command of the panel to this reader, with a correct checksum. `secure`: it claims to be within a secure channel."""

    raw: bytes
    sequence: int
    secure: bool
    code: int

    def follows(self, before: "PanelCommand") -> bool:
        """Whether the panel has gone on, which it does only after a reply that it accepted."""
        return self.sequence == before.sequence % 3 + 1


@dataclass(frozen=True, slots=True)
class Status:
    """What a panel may ask for: whether the case is open; the inputs that are on, door contact and fire alarm; the relay."""

    tamper: bool = False
    inputs: tuple[bool, bool] = (False, False)
    outputs: tuple[bool] = (False,)


class Framer:
    """Finds the frames to one reader in the bytes of a line, between noise, other readers' frames and replies."""

    def __init__(self, address: int) -> None:
        self._addresses = (address, _EVERYONE)
        self._bytes = bytearray()

    def feed(self, data: bytes) -> Iterator[PanelCommand]:
        """The frames that these bytes complete."""
        self._bytes += data
        while (start := self._bytes.find(_START)) >= 0:
            del self._bytes[:start]
            if len(self._bytes) < _HEADER:
                return
            size = int.from_bytes(self._bytes[2:4], "little")
            if not _HEADER < size <= _LONGEST:
                del self._bytes[0]
                continue
            if len(self._bytes) < size:
                return
            raw = bytes(self._bytes[:size])
            if not _checked(raw):
                del self._bytes[0]
                continue
            del self._bytes[:size]
            if (frame := _parsed(raw)) and raw[1] in self._addresses:
                yield frame
        self._bytes.clear()

    def pause(self) -> Iterator[PanelCommand]:
        """To be called when the line was silent: what seemed to begin a frame did not. The frames that were behind it."""
        while self._bytes:
            del self._bytes[0]
            yield from self.feed(b"")


def _checked(raw: bytes) -> bool:
    if raw[4] & _CRC:
        return len(raw) > _HEADER + 2 and crc_hqx(raw[:-2], _CRC_START) == int.from_bytes(raw[-2:], "little")
    return sum(raw) % 256 == 0


def _parsed(raw: bytes) -> PanelCommand | None:
    """None for a frame without a command."""
    control, content = raw[4], raw[_HEADER : -2 if raw[4] & _CRC else -1]
    block = content[: content[0]] if control & _SECURED and content else b""
    if (control & _SECURED and len(block) < 2) or len(content) <= len(block):
        return None
    secure = bool(block) and block[1] in _SECURE_COMMANDS
    return PanelCommand(raw, control & _SEQUENCE, secure, content[len(block)])


class SerialLine:
    """A serial port, raw, with eight data bits and one stop bit, that no other program opens meanwhile."""

    def __init__(self, port: Path, baud: int) -> None:
        """Raises OSError."""
        self._file = os.open(port, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
        try:
            tty.setraw(self._file)
            settings = termios.tcgetattr(self._file)
            settings[2] = termios.CS8 | termios.CREAD | termios.CLOCAL
            settings[4] = settings[5] = getattr(termios, f"B{baud}")
            termios.tcsetattr(self._file, termios.TCSAFLUSH, settings)
            fcntl.ioctl(self._file, termios.TIOCEXCL)
        except termios.error as error:
            os.close(self._file)
            raise OSError(*error.args) from error

    def wait(self, bell: int, seconds: float) -> bytes | None:
        """What has come in, as soon as there is something; empty after so many seconds, None when the file `bell` can be read.
        Raises OSError when the port is gone.
        """
        readable, _, _ = select.select((self._file, bell), (), (), seconds)
        if bell in readable:
            return None
        data = os.read(self._file, 4096) if readable else b""
        if readable and not data:
            raise OSError("it has hung up")
        return data

    def write(self, data: bytes) -> None:
        """Sends a reply. What the port does not take at once is dropped; the panel asks again. Raises OSError."""
        try:
            os.write(self._file, data)
        except BlockingIOError:
            termios.tcflush(self._file, termios.TCOFLUSH)

    def close(self) -> None:
        os.close(self._file)
