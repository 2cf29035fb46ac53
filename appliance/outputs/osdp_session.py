"""The reader's side of OSDP by libosdp: a secure channel, and an answer to each frame of the panel.

libosdp gets whole, valid frames one at a time and never keeps a card: one is submitted when a poll is at hand, and what that
poll did not take is removed again. (Left alone, libosdp keeps events without limit and sends them hours later.)
"""

import ctypes
import sys
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

import osdp_sys

from appliance.events import PanelLight, PanelSound, PanelText
from appliance.gallery.credential import Credential
from appliance.outputs.osdp_link import PanelCommand, Status

_CAPABILITIES = {
    osdp_sys.CAP_CONTACT_STATUS_MONITORING: (1, len(Status().inputs)),
    osdp_sys.CAP_OUTPUT_CONTROL: (1, len(Status().outputs)),
    osdp_sys.CAP_CARD_DATA_FORMAT: (1, 1),
    osdp_sys.CAP_READER_LED_CONTROL: (2, 1),
    osdp_sys.CAP_READER_AUDIBLE_OUTPUT: (1, 1),
    osdp_sys.CAP_READER_TEXT_OUTPUT: (1, 1),
    osdp_sys.CAP_READERS: (0, 1),
}
"""Compliance level and number of items by function (IEC 60839-11-5, annex B)."""

_REFRESHES = 4
"""libosdp needs one for a whole frame; the others are for frames that it rejects in steps."""

_COLOURS = ("off", "red", "green", "amber", "blue", "magenta", "cyan", "white")

_REFERENCES = 2
"""To an answer that libosdp has released: that of the session, and that of the function which counts."""

_TICK = 0.1
"""Seconds of OSDP's time unit."""


class ReaderSession:
    """One conversation with a panel. Not thread-safe."""

    def __init__(
        self,
        address: int,
        key: bytes,
        serial: int,
        *,
        secure: bool,
        pairing: bool,
        keep_key: Callable[[bytes], bool],
        publish: Callable[[object], None],
        status: Callable[[], Status],
    ) -> None:
        """`key` has 16 bytes. `secure` refuses everything outside a secure channel; `pairing` accepts the default key, over
        which the panel sets another one: `keep_key` returns whether it is kept. None of the functions may raise.
        """
        osdp_sys.set_loglevel(osdp_sys.LOG_EMERG)
        self._keep_key, self._publish, self._status = keep_key, publish, status
        self._incoming, self._reply, self._sent = bytearray(), b"", False
        self._answer: tuple[int, object] | None = None
        flags = (osdp_sys.FLAG_ENFORCE_SECURE if secure else 0) | (osdp_sys.FLAG_INSTALL_MODE if pairing else 0)
        information = {
            "name": "reader", "address": address, "flags": flags, "scbk": key, "channel": self,
            "version": 1, "model": 1, "vendor_code": 0, "serial_number": serial, "firmware_version": 0,
        }  # fmt: skip
        capabilities = [
            {"function_code": function, "compliance_level": level, "num_items": items}
            for function, (level, items) in _CAPABILITIES.items()
        ]
        self._device = osdp_sys.PeripheralDevice(information, capabilities=capabilities)
        self._device.set_command_callback(self._obey)
        self._device.set_event_completion_callback(self._completed)

    @property
    def secured(self) -> bool:
        return bool(self._device.is_sc_active())

    def answer(
        self, frame: PanelCommand, card: Credential | None = None, *, wiegand: bool = True
    ) -> tuple[bytes, bool]:
        """The reply to a frame (empty: none), and whether it has the card. Sending it is left to the caller."""
        self._incoming += frame.raw
        self._reply, self._sent = b"", False
        if card:
            kind = osdp_sys.CARD_FMT_RAW_WIEGAND if wiegand else osdp_sys.CARD_FMT_RAW_UNSPECIFIED
            event = {"event": osdp_sys.EVENT_CARDREAD, "reader_no": 0, "direction": 0, "format": kind}
            self._device.submit_event({**event, "length": len(card.bits), "data": card.packed()})
        for _ in range(_REFRESHES):
            self._device.refresh()
            if self._reply:
                break
        if card:
            self._device.flush_events()
        return self._reply, self._sent

    def read(self, most: int) -> bytes:
        """Called by libosdp."""
        data = bytes(self._incoming[:most])
        del self._incoming[:most]
        return data

    def write(self, data: bytes) -> int:
        """Called by libosdp."""
        self._reply += data
        return len(data)

    def flush(self) -> None:
        """Called by libosdp before each reply. For a text that is not UTF-8 its Python side has left an error behind, with
        which it could not send the refusal.
        """
        ctypes.pythonapi.PyErr_Clear()
        self._incoming.clear()

    def _completed(self, _event: Mapping[str, Any], status: int) -> None:
        self._sent = status == osdp_sys.COMPLETION_OK

    def _obey(self, command: Mapping[str, Any]) -> tuple[int, object]:
        """Called by libosdp, whose Python side releases the second part of the answer in the place of the whole: 64 bytes a
        command would never be free again. Where it does, this makes up for it at the next command.
        """
        if self._answer and sys.getrefcount(self._answer) > _REFERENCES:
            ctypes.pythonapi.Py_IncRef(ctypes.py_object(self._answer[1]))
            ctypes.pythonapi.Py_DecRef(ctypes.py_object(self._answer))
        done, reply = self._done(command)
        self._answer = (0 if done else -1, reply)
        return self._answer

    def _done(self, command: Mapping[str, Any]) -> tuple[bool, object]:
        match command["command"]:
            case osdp_sys.CMD_STATUS:
                return True, _report(self._reported(command["type"]))
            case osdp_sys.CMD_KEYSET:
                return self._keep_key(command["data"]), None
            case osdp_sys.CMD_LED:
                self._publish(_light(command))
            case osdp_sys.CMD_BUZZER:
                on = command["control_code"] > 1
                periods = (command["on_count"] * _TICK * on, command["off_count"] * _TICK)
                self._publish(PanelSound(periods, command["rep_count"]))
            case osdp_sys.CMD_TEXT:
                temporary = command["control_code"] in _TEMPORARY_TEXT
                self._publish(PanelText(command["data"], float(command["temp_time"]) if temporary else None))
            case _:  # the outputs are the device's own, and so are address and speed
                return False, None
        return True, None

    def _reported(self, kind: int) -> tuple[bool, ...]:
        status = self._status()
        if kind == osdp_sys.STATUS_REPORT_INPUT:
            return status.inputs
        if kind == osdp_sys.STATUS_REPORT_OUTPUT:
            return status.outputs
        return (status.tamper, False)  # and the power does not fail


_TEMPORARY_TEXT = (3, 4)
"""Control codes of a text that is shown for a time, and the permanent one after it."""


@cache
def _report(states: tuple[bool, ...]) -> dict[str, object]:
    """The answer to a status request. libosdp 3.2.9 reads `type` alone from such an answer in Python and refuses the panel's
    request for the lack of a report; the fields of a key command lie in the same memory, and are read. The answers live as long
    as the program: see `_obey`.
    """
    report = bytes(states)
    return {"command": osdp_sys.CMD_KEYSET, "type": 0, "data": bytes(2) + len(report).to_bytes(4, "little") + report}


def _light(command: Mapping[str, Any]) -> PanelLight:
    colours, counts = ("on_color", "off_color"), ("on_count", "off_count")
    on, off = (_COLOURS[command[name] % len(_COLOURS)] for name in colours)
    first, second = (command[name] * _TICK for name in counts)
    seconds = command["timer_count"] * _TICK if command["temporary"] else None
    if command["temporary"] and command["control_code"] == 1:  # the permanent light again
        seconds = 0.0
    return PanelLight((on, off), (first, second), seconds)
