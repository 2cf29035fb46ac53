"""The device's own operating points, the rounds they come from, and the files that keep both."""

import logging
import threading
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, Self, TypeVar

import numpy as np
from pydantic import (
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    FiniteFloat,
    StringConstraints,
    ValidationError,
    model_validator,
)

from appliance import state
from appliance.calibration.rates import Reals
from appliance.faults import Problem, ReportedError, wrong_value
from appliance.state import audit_log as audit

Share = Annotated[FiniteFloat, Field(ge=0, le=1)]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class Kind(StrEnum):
    """What an operating point decides: whether two faces are the same person, or whether one is live."""

    SIMILARITY = "similarity"
    LIVENESS = "liveness"


class Basis(StrEnum):
    """The data of an operating point."""

    STATISTICS = "bundled statistics"
    PHOTOS = "photos"
    CAMERA = "camera"


class CalibrationError(ReportedError):
    """An operating point cannot be found or kept; the text is one line that says why and how to fix it."""


class _Facts(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


Content = TypeVar("Content", bound=_Facts)


class Measured(_Facts):
    """`count` of `total` trials, and the 95 % bounds on the true rate, 0..1."""

    count: Annotated[int, Field(ge=0)]
    total: Annotated[int, Field(ge=1)]
    lower: Share
    upper: Share

    @property
    def value(self) -> float:
        return self.count / self.total


class PointEntry(_Facts):
    """An operating point of this device for one model. `wanted`: the rates it was chosen for (fmr; bpcer, apcer); `measured`:
    the rates it has (fmr, tmr; bpcer, "apcer SPECIES"); `counts`: the size of its data.
    """

    model: Sha256
    threshold: FiniteFloat
    wanted: dict[str, Share]
    measured: dict[str, Measured]
    counts: dict[str, Annotated[int, Field(ge=0)]]
    basis: Basis
    date: AwareDatetime


class SimilarityEntry(PointEntry):
    """The threshold is a cosine."""

    threshold: Annotated[FiniteFloat, Field(gt=-1, lt=1)]


class LivenessEntry(PointEntry):
    """The threshold is in log odds; those of the network end at 8."""

    threshold: Annotated[FiniteFloat, Field(ge=-8, le=8)]


class Calibration(_Facts):
    """All operating points of this device, one entry per model that it may choose."""

    similarity: tuple[SimilarityEntry, ...] = ()
    liveness: tuple[LivenessEntry, ...] = ()

    @model_validator(mode="after")
    def _one_entry_a_model(self) -> Self:
        models = [entry.model for entry in (*self.similarity, *self.liveness)]
        if len(set(models)) < len(models):
            raise ValueError("two entries of one model")
        return self

    def of(self, kind: Kind) -> tuple[PointEntry, ...]:
        return self.similarity if kind is Kind.SIMILARITY else self.liveness

    def with_entries(self, kind: Kind, entries: tuple[PointEntry, ...]) -> Self:
        return self.model_copy(update={kind.value: entries})

    def thresholds(self) -> dict[str, float]:
        return {entry.model: entry.threshold for entry in (*self.similarity, *self.liveness)}


def now() -> datetime:
    """The date of an entry, to the second."""
    return datetime.now(UTC).replace(microsecond=0)


log = logging.getLogger(__name__)

FILE = "calibration.json"


def read(path: Path) -> Calibration:
    """The content of a file; empty if it does not exist. Raises CalibrationError if it is damaged or cannot be read."""
    return _read(path, Calibration, Kind.SIMILARITY) or Calibration()


def keep(path: Path, kind: Kind, entries: tuple[PointEntry, ...]) -> None:
    """Replaces the entries of a kind. Raises CalibrationError, OSError."""
    with state.held(path):
        _write(path, read(path).with_entries(kind, entries))


def forget(path: Path, kind: Kind) -> None:
    """Removes the entries of a kind; all entries if the file is damaged. Raises OSError."""
    with state.held(path):
        try:
            before = read(path)
        except CalibrationError:
            before = Calibration()
        _write(path, before.with_entries(kind, ()))


class CalibrationStore:
    """The operating points of a running device; it reads the file again when it has changed."""

    def __init__(self, path: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._watch = state.Watch(path, clock)
        self._warned: frozenset[str] = frozenset()
        self._calibration = Calibration()
        self._take()

    def thresholds(self) -> Mapping[str, float]:
        """The operating points by the sha256 of their model; the mapping never changes. While the file is damaged, those read
        before it was.
        """
        self.refresh()
        return self._thresholds

    def refresh(self) -> None:
        """Reads the file again if it has changed; checks at most once a second."""
        with self._lock:
            if self._watch.changed():
                before = self._calibration
                self._take()
                self._audit(before)

    def facts(self, kind: Kind, model: str, shipped: Mapping[str, Any]) -> dict[str, Any]:
        """The operating point in use for a model (sha256): the device's own, or `shipped` with the reason why the device's is
        ignored: it belongs to another model ("stale") or the file is "damaged" (points read before remain in use).
        """
        self.refresh()
        entries = self._calibration.of(kind)
        for entry in entries:
            if entry.model == model:
                return {
                    "source": "device",
                    "ignored": "damaged" if self._problem else None,
                    **entry.model_dump(mode="json"),
                }
        ignored = "damaged" if self._problem else "stale" if entries else None
        return {"source": "shipped", "ignored": ignored, "model": model, **shipped}

    def problem(self) -> str | None:
        """Why the file cannot be read; None if it can, or does not exist."""
        self.refresh()
        return self._problem

    def problems(self) -> list[Problem]:
        if self.problem() is None:
            return []
        text = "The file of operating points cannot be read: see the log."
        return [Problem("calibration", "calibration_damaged", text)]

    def warn_of_stale(self, kind: Kind, model: str) -> None:
        """Logs once if there are operating points of a kind, but none for this model."""
        entries = self._calibration.of(kind)
        mark = f"{kind} {model} {[entry.model for entry in entries]}"
        if entries and mark not in self._warned and all(entry.model != model for entry in entries):
            self._warned |= {mark}
            log.warning(
                "the %s calibration belongs to another model and is not used: `appliance calibrate %s`", kind, kind
            )

    def _take(self) -> None:
        try:
            self._calibration, self._problem = read(self._path), None
        except CalibrationError as error:
            self._problem = str(error)
            kept = "the previous" if any(self._calibration.of(kind) for kind in Kind) else "the shipped"
            log.error("%s operating points are used: %s", kept, error)
        self._thresholds = MappingProxyType(self._calibration.thresholds())

    def _audit(self, before: Calibration) -> None:
        if self._problem is not None:
            return
        for kind in Kind:
            old, new = (_points_text(each.of(kind)) for each in (before, self._calibration))
            if old != new:
                audit.info("calibration: %s: %s -> %s", kind, old, new)


def _points_text(entries: tuple[PointEntry, ...]) -> str:
    points = (
        f"{entry.threshold:.4f} ({', '.join(f'{name} {share:g}' for name, share in entry.wanted.items())}; {entry.basis})"
        for entry in entries
    )
    return ", ".join(points) or "shipped"


def _write(path: Path, content: _Facts) -> None:
    state.write_document(path, content.model_dump(mode="json"))


def _read(path: Path, content: type[Content], reset: Kind) -> Content | None:
    try:
        return content.model_validate(state.read_document(path))
    except FileNotFoundError:
        return None
    except OSError as error:
        raise CalibrationError(f"{path}: {error.strerror}") from error
    except (state.DamagedError, ValidationError) as error:
        again = f"`appliance calibrate {reset} --reset` starts again"
        raise CalibrationError(f"{path} is damaged ({_mistake(error)}): {again}") from error


def _mistake(error: state.DamagedError | ValidationError) -> str:
    if isinstance(error, state.DamagedError):
        return str(error)
    mistake = error.errors(include_url=False)[0]
    return ": ".join(filter(None, (".".join(map(str, mistake["loc"])), wrong_value(mistake))))


ROUNDS_FILE = "liveness-rounds.json"

REAL = "real"
"""The label of real people, beside the species of attacks."""

Species = Annotated[str, StringConstraints(pattern=r"^[a-z0-9-]{1,32}$")]


class Rounds(_Facts):
    """Log odds of all rounds with one liveness model, by what was shown: REAL or a species of attack."""

    model: Sha256
    sequences: dict[Species, tuple[FiniteFloat, ...]] = {}

    def with_round(self, shown: str, odds: tuple[float, ...]) -> Self:
        together = {**self.sequences, shown: (*self.sequences.get(shown, ()), *odds)}
        return self.model_copy(update={"sequences": {name: each for name, each in together.items() if each}})

    def real(self) -> Reals:
        return np.array(self.sequences.get(REAL, ()))

    def attacks(self) -> dict[str, Reals]:
        return {name: np.array(odds) for name, odds in self.sequences.items() if name != REAL}


def read_rounds(path: Path, model: str) -> Rounds:
    """The rounds with this model so far. Raises CalibrationError if the file is damaged."""
    kept = _read(path, Rounds, Kind.LIVENESS)
    return kept if kept and kept.model == model else Rounds(model=model)


def add_rounds(path: Path, model: str, shown: str, odds: tuple[float, ...]) -> Rounds:
    """Adds a round and returns all. Raises CalibrationError, OSError."""
    with state.held(path):
        rounds = read_rounds(path, model).with_round(shown, odds)
        _write(path, rounds)
    return rounds


def put_rounds(path: Path, rounds: Rounds) -> None:
    """Replaces all rounds. Raises OSError."""
    with state.held(path):
        _write(path, rounds)
