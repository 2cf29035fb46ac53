"""Erasing people from the command line, and the receipts for it."""

import json
import sys
from collections.abc import Sequence

from appliance import state
from appliance.access_control import receipts
from appliance.access_control.record import FOLDER, Record
from appliance.caretaker import place
from appliance.config import Config


def erase(settings: Config, people: Sequence[str] | None, *, sure: bool) -> int:
    """Erases people by their ids, or everybody (None), after asking unless it is `sure`, and prints a receipt (JSON) each; the
    exit status. When one of them is not known, nobody is erased. Raises GalleryError, OSError.
    """
    with place.opened(settings, make=False) as gallery:
        ids = [known.person.id for known in gallery.people()] if people is None else list(dict.fromkeys(people))
        for identity in ids:
            gallery.person(identity)
        if not (sure or _confirmed(len(ids))):
            return 1
        record, status = Record(state.folder(settings.state.folder) / FOLDER), 0
        for identity in ids:
            erasure = gallery.erase(identity)
            entry = receipts.entered(record, erasure)
            print(json.dumps({"id": identity, **receipts.receipt(erasure, entry)}), flush=True)
            status = status if entry and erasure.complete else 1
    return status


def _confirmed(count: int) -> bool:
    if not sys.stdin.isatty():
        print("nobody is erased: say --yes", file=sys.stderr)
        return False
    print(f"Erase {count} people with all their templates? [y/N] ", end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().lower() in {"y", "yes"}
