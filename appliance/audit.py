"""The audit trail: who was let in or turned away, and what was changed. Lines of the log, under a name of their own."""

import json
import logging
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from appliance import state

log = logging.getLogger(__name__)

CONFIGURATION = "configuration.json"
"""The configuration of the last start."""

Tables = Mapping[str, Mapping[str, Any]]
"""Section -> key -> value, as JSON knows them."""


def configuration(folder: Path, tables: Tables) -> None:
    """Tells what has changed since the last start, and keeps `tables` for the next one; a folder that cannot be written is a
    warning.
    """
    path = folder / CONFIGURATION
    before = _kept(path)
    if before == tables:
        return
    for change in changes(tables if before is None else before, tables):
        log.info("configuration: %s", change)
    try:
        state.write_atomically(path, json.dumps(tables, indent=1).encode(), 0o600)
    except OSError as error:
        log.warning("configuration: not kept for the next start: %s: %s", error.filename, error.strerror)


def changes(before: Tables, after: Tables) -> Iterator[str]:
    """A line a key, `camera.fps: 15 -> 30`; what is absent is null."""
    for section in dict.fromkeys([*before, *after]):
        old, new = before.get(section, {}), after.get(section, {})
        for key in dict.fromkeys([*old, *new]):
            if old.get(key) != new.get(key):
                yield f"{section}.{key}: {json.dumps(old.get(key))} -> {json.dumps(new.get(key))}"


def _kept(path: Path) -> Tables | None:
    """What was kept at the last start; None when that cannot be known."""
    try:
        kept = json.loads(path.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        log.warning("configuration: that of the last start is not known: %s: %s", path, error)
        return None
    return kept if isinstance(kept, dict) and all(isinstance(table, dict) for table in kept.values()) else None
