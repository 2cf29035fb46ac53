"""The file that keeps the operating points of this device, and what a running device makes of it."""

import logging
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from pydantic import ValidationError

from appliance import state
from appliance.audit import log as audit
from appliance.calibration.entries import Calibration, CalibrationError, Entry, Kind, record

log = logging.getLogger(__name__)

FILE = "calibration.json"


def read(path: Path) -> Calibration:
    """What a file says; nothing when it is not there. Raises CalibrationError when it is damaged or cannot be read."""
    try:
        return Calibration.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return Calibration()
    except OSError as error:
        raise CalibrationError(f"{path}: {error.strerror}") from error
    except ValidationError as error:
        mistake = error.errors(include_url=False)[0]
        where = ".".join(map(str, mistake["loc"]))
        raise CalibrationError(
            f"{path} is damaged ({where + ': ' if where else ''}{mistake['msg']}): "
            "`appliance calibrate similarity --reset` begins anew"
        ) from error


def keep(path: Path, kind: Kind, entries: tuple[Entry, ...]) -> None:
    """Puts these entries in the place of those of their kind. Raises CalibrationError, OSError."""
    with state.held(path):
        _write(path, read(path).with_entries(kind, entries))


def forget(path: Path, kind: Kind) -> None:
    """Drops the entries of a kind; all of them when the file is damaged. Raises OSError."""
    with state.held(path):
        try:
            before = read(path)
        except CalibrationError:
            before = Calibration()
        _write(path, before.with_entries(kind, ()))


class CalibrationStore:
    """The operating points of a running device, which notices by itself when the file has changed."""

    def __init__(self, path: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._watch = state.Watch(path, clock)
        self._told: frozenset[str] = frozenset()
        self._calibration = Calibration()
        self._take()

    def thresholds(self) -> Mapping[str, float]:
        """The operating points by the sha256 of their model. What is given never changes. Of a file that is
        damaged they are those before it was, as far as this process knows.
        """
        self.refresh()
        return self._thresholds

    def refresh(self) -> None:
        """Reads the file again when it has changed; looks at it once a second at most."""
        with self._lock:
            if self._watch.changed():
                before = self._calibration
                self._take()
                self._tell(before)

    def facts(self, kind: Kind, model: str, shipped: Mapping[str, Any]) -> dict[str, Any]:
        """What is in use for a model (its sha256): the device's own operating point, or `shipped` with the reason why the
        device's is ignored: it is of another model ("stale") or its file cannot be read ("damaged"; what was read before goes
        on being used).
        """
        self.refresh()
        entries = self._calibration.of(kind)
        for entry in entries:
            if entry.model == model:
                return {"source": "device", "ignored": "damaged" if self._problem else None, **record(entry)}
        ignored = "damaged" if self._problem else "stale" if entries else None
        return {"source": "shipped", "ignored": ignored, "model": model, **shipped}

    def problem(self) -> str | None:
        """Why the file cannot be read; None when it can, or is not there."""
        self.refresh()
        return self._problem

    def warn_of_stale(self, kind: Kind, model: str) -> None:
        """One line in the log, the first time, when there are operating points of a kind and none is of this model."""
        entries = self._calibration.of(kind)
        mark = f"{kind} {model} {[entry.model for entry in entries]}"
        if entries and mark not in self._told and all(entry.model != model for entry in entries):
            self._told |= {mark}
            log.warning("the %s calibration is of another model and not used: `appliance calibrate %s`", kind, kind)

    def _take(self) -> None:
        try:
            self._calibration, self._problem = read(self._path), None
        except CalibrationError as error:
            self._problem = str(error)
            kept = "those of before" if any(self._calibration.of(kind) for kind in Kind) else "the shipped ones"
            log.error("of the operating points %s are used: %s", kept, error)
        self._thresholds = MappingProxyType(self._calibration.thresholds())

    def _tell(self, before: Calibration) -> None:
        if self._problem is not None:
            return
        for kind in Kind:
            old, new = (_words(each.of(kind)) for each in (before, self._calibration))
            if old != new:
                audit.info("calibration: %s: %s -> %s", kind, old, new)


def _words(entries: tuple[Entry, ...]) -> str:
    points = (
        f"{entry.threshold:.4f} ({', '.join(f'{name} {share:g}' for name, share in entry.wanted.items())}; {entry.basis})"
        for entry in entries
    )
    return ", ".join(points) or "shipped"


def _write(path: Path, calibration: Calibration) -> None:
    state.write_atomically(path, calibration.model_dump_json(indent=1).encode() + b"\n", 0o600)
