"""What a person has to show besides the face, or instead of it: the factors of a door, and what has been given of them."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from appliance.access.challenge import Response
from appliance.access.schedule import EVERY_DAY, MINUTES_A_DAY, Schedule
from appliance.gallery.people import Person


class Factors(StrEnum):
    """What a door requires: the face; the face and a PIN; the face, or an id and a PIN of a person who is not recognised."""

    FACE = "face"
    FACE_AND_PIN = "face+pin"
    FACE_OR_PIN = "face|pin"


class StepKind(StrEnum):
    """What a decision that is not finished waits for."""

    PIN = "pin"
    CHALLENGE = "challenge"


class PinCheck(StrEnum):
    """What became of a typed PIN. SLOWED: it was not compared, after too many wrong ones; UNSET: the person has none;
    UNCOUNTED: it was not compared, because the disk cannot keep the count of guesses.
    """

    RIGHT = "right"
    WRONG = "wrong"
    SLOWED = "slowed"
    UNSET = "unset"
    UNCOUNTED = "uncounted"


@dataclass(frozen=True, slots=True)
class Given:
    """What a person has given in the steps of a decision: what became of the PIN (None: none was typed yet), the person whom an
    id and the right PIN name instead of the face, whether the PIN was the one for duress, on which no rule depends, and how the
    challenge ended (None: there was none yet).
    """

    pin: PinCheck | None = None
    person: Person | None = None
    duress: bool = False
    challenge: Response | None = None


NOTHING_GIVEN = Given()


@dataclass(frozen=True, slots=True)
class FactorRule:
    """The factors within a schedule, for its groups; without groups for everyone."""

    factors: Factors
    schedule: Schedule

    @classmethod
    def of(cls, factors: str, **schedule: Any) -> "FactorRule":
        """From the configuration, as `Schedule.of` takes the rest."""
        return cls(Factors(factors), Schedule.of(**schedule))

    @property
    def timed(self) -> bool:
        """Whether it holds at some times only."""
        whole = self.schedule.days == EVERY_DAY and (self.schedule.begin, self.schedule.end) == (0, MINUTES_A_DAY)
        return not whole

    def about(self, person: Person) -> bool:
        return not self.schedule.groups or self.schedule.names(person.groups)


@dataclass(frozen=True, slots=True)
class FactorRules:
    """The first rule that is about a person and holds at the time decides; without one the face is enough."""

    rules: tuple[FactorRule, ...] = ()

    @classmethod
    def of(cls, rules: Iterable[Mapping[str, Any]]) -> "FactorRules":
        return cls(tuple(FactorRule.of(**each) for each in rules))

    def timed(self, person: Person) -> bool:
        """Whether what is required of this person depends on the time."""
        return any(rule.timed for rule in self.rules if rule.about(person))

    def required(self, person: Person, now: datetime, holidays: Collection[str], *, known: bool) -> Factors:
        """What is required of a person at `now` (local time). While the time is not `known`: a PIN besides the face, if any
        rule about them requires it, and never a PIN instead of it.
        """
        theirs = [rule for rule in self.rules if rule.about(person)]
        if not known and any(rule.timed for rule in theirs):
            required = any(rule.factors is Factors.FACE_AND_PIN for rule in theirs)
            return Factors.FACE_AND_PIN if required else Factors.FACE
        holding = (rule.factors for rule in theirs if rule.schedule.covers(now, holidays))
        return next(holding, Factors.FACE)

    def instead(self, now: datetime, holidays: Collection[str]) -> bool:
        """Whether there are people who may type an id and a PIN at `now` instead of being recognised."""
        return any(rule.factors is Factors.FACE_OR_PIN and rule.schedule.covers(now, holidays) for rule in self.rules)


ALWAYS_THE_FACE = FactorRules()
