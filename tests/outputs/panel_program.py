"""An access panel: PyPI's `osdp` on a serial port. It takes orders as lines of JSON and prints what it hears, as JSON.

Runs in an environment of its own, because libosdp has the same import name. Its pauses are shortened, so that a test of many
polls takes no quarter of an hour.
"""

import json
import logging
import os
import sys
import threading
import time
from types import SimpleNamespace

import osdp
import osdp._bus as bus
import osdp._command as command
import osdp._types as types

ADDRESS = 1


def say(kind, **facts):
    line = json.dumps({"kind": kind, "at": time.time(), **facts}) + "\n"
    os.write(1, line.encode())  # in one piece, whichever thread says it


class Panel(osdp.ControlPanel):
    def on_reply_received(self, reply):
        say("reply", type=reply.type.name)
        super().on_reply_received(reply)

    def on_raw_card_data_reply_received(self, address, card):
        say("card", bits=card.bit_count, data=card.data.hex(), format=card.format_code.value)

    def on_nak_reply_received(self, address, nak):
        say("nak", code=nak.error_code.value)


class Port(osdp.SerialPortOsdpConnection):
    def open(self):
        super().open()
        self.serial_port.timeout = 0.25


def light():
    control = types.ReaderLedControl(
        0, 0, types.TemporaryReaderControlCode.SetTemporaryAndStartTimer, 5, 5, types.LedColor.Green, types.LedColor.Black, 30,
        types.PermanentReaderControlCode.Nop, 0, 0, types.LedColor.Black, types.LedColor.Black,
    )  # fmt: skip
    return command.ReaderLedControlCommand(ADDRESS, types.ReaderLedControls([control]))


def sound():
    return command.ReaderBuzzerControlCommand(
        ADDRESS, types.ReaderBuzzerControl(0, types.ToneCode.DefaultTone, 2, 1, 3)
    )


def text():
    shown = types.ReaderTextOutput(0, types.TextCommand.TempTextWithWrap, 5, 1, 1, "Welcome")
    return command.ReaderTextOutputCommand(ADDRESS, shown)


def main():
    port, mode, key, pace = sys.argv[1:]
    logging.getLogger("osdp").setLevel(logging.CRITICAL)
    bus.time = SimpleNamespace(sleep=lambda seconds: time.sleep(min(seconds, float(pace))))
    panel = Panel(master_key=bytes.fromhex(key) if key else None)
    line = panel.start_connection(Port(port, 115200))
    threading.Thread(target=obey, args=(panel, line), daemon=True).start()
    panel.add_device(line, ADDRESS, use_crc=True, use_secure_channel=mode == "secure")
    say("ready")
    stop.wait()
    panel.shutdown()


stop = threading.Event()


def obey(panel, line):
    asked = {"id": "id_report", "local": "local_status", "inputs": "input_status", "outputs": "output_status"}
    sent = {"light": light, "sound": sound, "text": text}
    for order in map(json.loads, sys.stdin):
        what = order["do"]
        if what == "anew":  # as its operator does with a reader that is offline
            panel.add_device(line, ADDRESS, use_crc=True, use_secure_channel=True)
            continue
        if what in sent:
            panel._buses[line].send_command(sent[what]())
            continue
        try:
            found = getattr(panel, asked[what])(line, ADDRESS)
        except TimeoutError:
            say(what, error="timeout")
        else:
            say(what, found=list(found.statuses) if hasattr(found, "statuses") else str(found).split())
    stop.set()


if __name__ == "__main__":
    main()
