"""An OSDP reader at work, in a process of its own whose clocks a test moves (tests/system/clock.c). It takes orders as lines
of JSON, answers each with one, and says at the end what it has left open.
"""

import gc
import json
import sys
import threading
import time
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from told import signed

from appliance.access.log import Record
from appliance.gallery.credential import Credential, encode
from appliance.gallery.people import Person
from appliance.gallery.vault import SiteKey
from appliance.outputs.osdp import Reader
from appliance.outputs.osdp_key import PanelKey

PERSON = Person("x", "X", (), None, None, "0123456789abcdef", datetime(2026, 1, 1, tzinfo=UTC))

cards: list[Credential] = []


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def say(**facts: Any) -> None:
    print(json.dumps(facts), flush=True)


def obey(reader: Reader) -> None:
    for order in map(json.loads, sys.stdin):
        if "grant" in order:
            cards.append(Credential("34", encode("34", 1, order["grant"])))
            decision = signed()
            reader.notify(decision)
            say(decision=decision.decision.id, data=cards[-1].packed().hex())
        else:
            problem, counts = reader.problem(), reader.counts()
            say(
                problem=problem and problem.state,
                secured=time.monotonic() - reader._secured < 1,
                delivered=counts.delivered,
                dropped=counts.dropped,
            )
    reader.stop()


def main(folder: Path, port: Path) -> None:
    record = Record(folder / "decisions.db")
    gc.collect()
    threads, files = threading.active_count(), open_files()
    reader = Reader(
        port, 115200, 1, "wiegand", secure=True, serial=7, key=PanelKey(folder, lambda: SiteKey(b"k" * 32)),
        person=lambda _: replace(PERSON, credential=cards[-1]), record=record, publish=lambda _: None,
    )  # fmt: skip
    orders = threading.Thread(target=obey, args=(reader,))
    orders.start()
    reader.run()
    orders.join()
    del reader
    gc.collect()
    say(threads=threading.active_count() - threads, files=open_files() - files)


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
