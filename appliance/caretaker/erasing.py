"""Erasing people, and the receipts for it."""

import json
import sys
from collections.abc import Sequence
from typing import Any

from appliance import state
from appliance.access_control.recall import RecordError
from appliance.access_control.record import FOLDER, Record
from appliance.api.people import moment
from appliance.caretaker import place
from appliance.config import Config
from appliance.gallery.erasure import Erasure

KIND = "erased"
"""Of the entry in the record of decisions."""

COPIES = (
    "Backups and exports made before still hold them, and so do copies of the state folder together with the site key: "
    "erase those, too. Blocks that a memory card has put aside hold only what the site key seals."
)
"""What no device can erase."""


def erase(settings: Config, people: Sequence[str] | None, *, sure: bool) -> int:
    """Erases people by their ids, or everybody (None), after asking unless it is `sure`, and prints a receipt (JSON) each; the
    exit status. When one of them is not known, nobody is erased. Raises GalleryError, OSError.
    """
    with place.opened(settings) as gallery:
        ids = [known.person.id for known in gallery.people()] if people is None else list(dict.fromkeys(people))
        for identity in ids:
            gallery.person(identity)
        if not (sure or _confirmed(len(ids))):
            return 1
        record, status = Record(state.folder(settings.state.folder) / FOLDER), 0
        for identity in ids:
            erasure = gallery.erase(identity)
            entry = _recorded(record, erasure)
            print(json.dumps(receipt(identity, erasure, entry)), flush=True)
            status = status if entry and erasure.complete else 1
    return status


def receipt(identity: str, erasure: Erasure, entry: dict[str, Any] | None) -> dict[str, Any]:
    """What says that, when and how thoroughly somebody was erased. `complete`: nothing sealed of them is left in the files."""
    return {
        "id": identity,
        "reference": erasure.reference,
        "templates": erasure.templates,
        "time": moment(erasure.time),
        "complete": erasure.complete,
        "record": entry,
        "copies": COPIES,
    }


def _recorded(record: Record, erasure: Erasure) -> dict[str, Any] | None:
    """Its place in the record of decisions; None, and a line, when it could not be recorded."""
    try:
        entry = record.append(KIND, {"person": erasure.reference, "templates": erasure.templates})
    except RecordError as error:
        print(f"erased, but not recorded: {error}", file=sys.stderr)
        return None
    return {"sequence": entry.sequence, "hash": entry.hash}


def _confirmed(count: int) -> bool:
    if not sys.stdin.isatty():
        print("nobody is erased: say --yes", file=sys.stderr)
        return False
    print(f"Erase {count} people with all their templates? [y/N] ", end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().lower() in {"y", "yes"}
