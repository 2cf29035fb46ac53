"""What is known at the moment of a decision, as the policy sees it."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from appliance.gallery.matching import Outcome
from appliance.gallery.people import Person


class Direction(StrEnum):
    """Which way somebody wants to pass."""

    IN = "in"
    OUT = "out"


class ClockState(StrEnum):
    """What can be said of the device's clock: set by a time service, not against anything known, or certainly wrong."""

    SYNCHRONISED = "synchronised"
    PLAUSIBLE = "plausible"
    UNSET = "unset"


@dataclass(frozen=True, slots=True)
class Passage:
    """The last time somebody was let through."""

    direction: Direction
    time: datetime


@dataclass(frozen=True, slots=True)
class Sighting:
    """What the four frames show of the one face that is in all of them: whether it is alive (0..1, 0.5 is the operating point;
    None where `liveness.mode` is "single", so that nobody has looked) and one person's throughout, what its picture is worth
    (0..1) and what spoils it, and what the gallery says.
    """

    liveness: float | None
    one_person: bool
    quality: float
    weakest: str
    outcome: Outcome
    person: Person | None


@dataclass(frozen=True, slots=True)
class Situation:
    """Everything the policy decides on. `now` is local time with its offset. `trouble` says why the camera shows nothing, or
    not what is before it now. `faces` is the largest number of faces in any of the frames; `sighting` is None when no face is
    in all of them. `gallery` says why nobody can be recognised, `recordable` whether the decision can be kept, `repeated` that
    its nonce has been used before.
    """

    now: datetime
    clock: ClockState
    trouble: str | None
    gallery: str | None
    recordable: bool
    repeated: bool
    direction: Direction
    faces: int
    sighting: Sighting | None
    last: Passage | None
