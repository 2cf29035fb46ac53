"""The receipt for somebody who was erased: an entry in the record, and the same for whoever asked for it."""

import logging
from datetime import UTC
from typing import Any

from appliance.access_control.chain import Entry
from appliance.access_control.recall import RecordError
from appliance.access_control.record import Record
from appliance.gallery.erasure import Erasure

log = logging.getLogger(__name__)

KIND = "erased"
"""Of the entry in the record of decisions."""

COPIES = (
    "Backups and exports made before still hold them, and so do copies of the state folder together with the site key: "
    "erase those, too. Blocks that a memory card has put aside hold only what the site key seals."
)
"""What no device can erase."""


def entered(record: Record, erasure: Erasure) -> Entry | None:
    """Records that somebody was erased, by their reference; None, and a line in the log, when it cannot be recorded."""
    try:
        return record.append(KIND, {"person": erasure.reference, "templates": erasure.templates})
    except RecordError as error:
        log.error("person %s: erased, and not recorded: %s", erasure.reference, error)
        return None


def receipt(erasure: Erasure, entry: Entry | None) -> dict[str, Any]:
    """What says that, when and how thoroughly somebody was erased, as JSON. `complete`: nothing sealed of them is left in the
    files; `record`: where the record says so.
    """
    return {
        "reference": erasure.reference,
        "templates": erasure.templates,
        "time": erasure.time.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
        "complete": erasure.complete,
        "record": entry and {"sequence": entry.sequence, "hash": entry.hash},
        "copies": COPIES,
    }
