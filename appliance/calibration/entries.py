"""What is kept of a calibration."""

from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Any, Self

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, FiniteFloat, model_validator

Share = Annotated[FiniteFloat, Field(ge=0, le=1)]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class Kind(StrEnum):
    """What an operating point decides: are two faces one person, is one alive."""

    SIMILARITY = "similarity"
    LIVENESS = "liveness"


class Basis(StrEnum):
    """What an operating point was found on."""

    STATISTICS = "bundled statistics"
    PHOTOS = "photos"
    CAMERA = "camera"


class CalibrationError(Exception):
    """No operating point can be had, or none can be kept; the text is one line that says why and what to do."""


class _Facts(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Measured(_Facts):
    """`count` of `total` trials, and the 95 % bounds on the true rate, 0..1."""

    count: Annotated[int, Field(ge=0)]
    total: Annotated[int, Field(ge=1)]
    lower: Share
    upper: Share

    @property
    def value(self) -> float:
        """The observed rate, 0..1."""
        return self.count / self.total


class Entry(_Facts):
    """An operating point of this device for one model.

    `wanted`: the rates it was chosen for (fmr; bpcer, apcer); `measured`: those it has (fmr, tmr; bpcer, "apcer SPECIES");
    `counts`: of what it was found on.
    """

    model: Sha256
    threshold: FiniteFloat
    wanted: dict[str, Share]
    measured: dict[str, Measured]
    counts: dict[str, Annotated[int, Field(ge=0)]]
    basis: Basis
    date: AwareDatetime


class SimilarityEntry(Entry):
    """The threshold is a cosine."""

    threshold: Annotated[FiniteFloat, Field(gt=-1, lt=1)]


class LivenessEntry(Entry):
    """The threshold is log odds; the network's own end at 8."""

    threshold: Annotated[FiniteFloat, Field(ge=-8, le=8)]


class Calibration(_Facts):
    """All operating points of this device; an entry for each model that it may choose."""

    similarity: tuple[SimilarityEntry, ...] = ()
    liveness: tuple[LivenessEntry, ...] = ()

    @model_validator(mode="after")
    def _one_entry_a_model(self) -> Self:
        models = [entry.model for entry in (*self.similarity, *self.liveness)]
        if len(set(models)) < len(models):
            raise ValueError("two entries of one model")
        return self

    def of(self, kind: Kind) -> tuple[Entry, ...]:
        """The entries of one kind."""
        return self.similarity if kind is Kind.SIMILARITY else self.liveness

    def with_entries(self, kind: Kind, entries: tuple[Entry, ...]) -> Self:
        """The same with other entries of one kind."""
        return self.model_copy(update={kind.value: entries})

    def thresholds(self) -> dict[str, float]:
        """The operating points by the sha256 of their model."""
        return {entry.model: entry.threshold for entry in (*self.similarity, *self.liveness)}


def record(entry: Entry) -> dict[str, Any]:
    """An entry as JSON."""
    return entry.model_dump(mode="json")


def now() -> datetime:
    """The date of an entry, to the second."""
    return datetime.now(UTC).replace(microsecond=0)
