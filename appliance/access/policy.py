"""Who may pass: every rule that is looked at, in the order in which the first that fails decides."""

import hashlib
import json
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final

from appliance.access.token import Direction
from appliance.gallery.people import Person
from appliance.gallery.search import Outcome


class Reason(StrEnum):
    """Why a door stays shut, or does not: words for programs, which stay as they are."""

    GRANTED = "granted"
    GALLERY_UNAVAILABLE = "gallery_unavailable"
    NONCE_REPEATED = "nonce_repeated"
    CAMERA_BLIND = "camera_blind"
    RECORD_UNAVAILABLE = "record_unavailable"
    NOBODY = "nobody"
    MORE_THAN_ONE_PERSON = "more_than_one_person"
    NOT_FOLLOWED = "not_followed"
    ANOTHER_PERSON = "another_person"
    LIVENESS_OFF = "liveness_off"
    NOT_LIVE = "not_live"
    POOR_PICTURE = "poor_picture"
    UNKNOWN = "unknown"
    AMBIGUOUS = "ambiguous"
    CLOCK_UNSET = "clock_unset"
    CLOCK_NOT_SYNCHRONISED = "clock_not_synchronised"
    NOT_YET_VALID = "not_yet_valid"
    NO_LONGER_VALID = "no_longer_valid"
    NO_SCHEDULE = "no_schedule"
    OUTSIDE_SCHEDULE = "outside_schedule"
    ALREADY_IN = "already_in"
    ALREADY_OUT = "already_out"
    TOO_SOON = "too_soon"

    @property
    def text(self) -> str:
        """The same for people."""
        return _TEXTS[self]


class Mark(StrEnum):
    """What a rule came to: it lets pass; it would not, but the configuration says otherwise; it does not; an earlier rule
    left it nothing to judge.
    """

    PASSED = "passed"
    RELAXED = "relaxed"
    FAILED = "failed"
    MOOT = "moot"


@dataclass(frozen=True, slots=True)
class Step:
    """One rule that was looked at: its name, what it came to, for which reason (None where it passed or is moot), and what
    it saw, in a person's words.
    """

    rule: str
    mark: Mark
    reason: Reason | None
    text: str

    @property
    def passed(self) -> bool:
        return self.mark in (Mark.PASSED, Mark.RELAXED)


@dataclass(frozen=True, slots=True)
class Ruling:
    """Granted when every rule lets pass; else the first that failed has decided."""

    steps: tuple[Step, ...]

    @property
    def granted(self) -> bool:
        return bool(self.steps) and all(step.passed for step in self.steps)

    @property
    def decided(self) -> Step | None:
        """The rule that decided; None when all let pass."""
        return next((step for step in self.steps if step.mark is Mark.FAILED), None)

    @property
    def reason(self) -> Reason:
        """That of the rule that decided."""
        return Reason.GRANTED if self.decided is None or self.decided.reason is None else self.decided.reason

    @property
    def text(self) -> str:
        """The reason for people."""
        return self.reason.text

    @property
    def relaxed(self) -> tuple[Step, ...]:
        """The rules that would not have let pass, but for the configuration."""
        return tuple(step for step in self.steps if step.mark is Mark.RELAXED)


_TEXTS = {
    Reason.GRANTED: "come in",
    Reason.GALLERY_UNAVAILABLE: "nobody can be recognised just now",
    Reason.NONCE_REPEATED: "this question has been asked before",
    Reason.CAMERA_BLIND: "the camera does not show what is before it",
    Reason.RECORD_UNAVAILABLE: "the decision cannot be recorded",
    Reason.NOBODY: "nobody stands before the camera",
    Reason.MORE_THAN_ONE_PERSON: "one at a time, please",
    Reason.NOT_FOLLOWED: "stay before the camera for a moment",
    Reason.ANOTHER_PERSON: "the frames do not show one and the same person",
    Reason.LIVENESS_OFF: "whether somebody is alive is not checked on this device",
    Reason.NOT_LIVE: "this does not look like a living person",
    Reason.POOR_PICTURE: "the face cannot be seen well enough",
    Reason.UNKNOWN: "nobody who is known here",
    Reason.AMBIGUOUS: "it could be more than one person",
    Reason.CLOCK_UNSET: "the clock is wrong, and the time matters",
    Reason.CLOCK_NOT_SYNCHRONISED: "the clock has not been set by a time service, and the time matters",
    Reason.NOT_YET_VALID: "not yet valid",
    Reason.NO_LONGER_VALID: "no longer valid",
    Reason.NO_SCHEDULE: "no schedule lets this person pass",
    Reason.OUTSIDE_SCHEDULE: "not at this time",
    Reason.ALREADY_IN: "in already, and must go out first",
    Reason.ALREADY_OUT: "out already, and must come in first",
    Reason.TOO_SOON: "too soon after the last time",
}


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


def against_direction(last: Passage | None, direction: Direction) -> Reason | None:
    """Why somebody who passed `last` may not pass in `direction`, now or ever: they must first go the other way. Who has never
    passed may do either.
    """
    if last is None or last.direction is not direction:
        return None
    return Reason.ALREADY_IN if direction is Direction.IN else Reason.ALREADY_OUT


def depends_on_time(last: Passage | None, direction: Direction, least_s: float) -> bool:
    """Whether `against_time` would have to know what time it is."""
    return least_s > 0 and last is not None and last.direction is direction


def against_time(last: Passage | None, direction: Direction, now: datetime, least_s: float) -> Reason | None:
    """Why somebody may not yet pass in the same direction again: fewer than `least_s` seconds have gone by since. A passage
    that seems to lie ahead (the clock went back) is one that was just now.
    """
    if last is None or not depends_on_time(last, direction, least_s):
        return None
    return Reason.TOO_SOON if now - last.time < timedelta(seconds=least_s) else None


DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
"""In the order of datetime.weekday()."""

MINUTES_A_DAY = 24 * 60


@dataclass(frozen=True, slots=True)
class Schedule:
    """Lets `groups` pass on `days` (names of DAYS) from `begin` until just before `end`: minutes since midnight, 0..1439 and
    0..1440. An end at or before the begin is on the next day, and the hours after midnight belong to the day they began on.

    Local wall time alone counts: where the clocks are put back, the hour that comes twice is let in, or kept out, both times;
    where they are put forward, the hour that is left out is nobody's.
    """

    groups: tuple[str, ...]
    days: tuple[str, ...] = DAYS
    begin: int = 0
    end: int = MINUTES_A_DAY

    @classmethod
    def of(cls, groups: Collection[str], days: Collection[str], begin: str, end: str) -> "Schedule":
        """As the configuration has it: times as "07:30", the end up to "24:00". Raises ValueError that names the mistake."""
        if unknown := [day for day in days if day not in DAYS]:
            raise ValueError(f"days: {unknown[0]!r} is none of {', '.join(DAYS)}")
        return cls(tuple(groups), tuple(day for day in DAYS if day in days), minutes(begin, 1439), minutes(end, 1440))

    def names(self, groups: Collection[str]) -> bool:
        """Whether it is about somebody of these groups."""
        return not set(groups).isdisjoint(self.groups)

    def covers(self, moment: datetime) -> bool:
        """Whether it lets pass at `moment`, in local time."""
        today, minute = moment.weekday(), 60 * moment.hour + moment.minute
        if self.begin < self.end:
            return DAYS[today] in self.days and self.begin <= minute < self.end
        this_evening = DAYS[today] in self.days and minute >= self.begin
        since_yesterday = DAYS[today - 1] in self.days and minute < self.end
        return this_evening or since_yesterday

    def __str__(self) -> str:
        return f"{' '.join(self.groups)}: {' '.join(self.days)} {clock_face(self.begin)}-{clock_face(self.end)}"


def minutes(text: str, most: int) -> int:
    """Minutes since midnight of "HH:MM", at most `most`. Raises ValueError."""
    hour, colon, minute = text.partition(":")
    digits = (hour + minute).isascii() and (hour + minute).isdigit()
    if digits and colon and len(hour) == len(minute) == 2 and int(minute) < 60 and int(hour) * 60 + int(minute) <= most:
        return int(hour) * 60 + int(minute)
    raise ValueError(f'a time of day is written as "07:30", from "00:00" to "{clock_face(most)}"')


def clock_face(minute: int) -> str:
    """Such as "07:30"."""
    return f"{minute // 60:02}:{minute % 60:02}"


@dataclass(frozen=True, slots=True)
class Rules:
    """`schedules` are alternatives; none: at any time. `min_quality` is the least of the face's picture, 0..1. `passback_s`
    and `passback_strict` are anti-passback's; `clock` is what is asked of the clock where time matters: SYNCHRONISED or
    PLAUSIBLE. Each `without_…` lets pass where liveness is off, the clock is not as asked, or the decision cannot be recorded.
    """

    schedules: tuple[Schedule, ...] = ()
    min_quality: float = 0.4
    passback_s: float = 0
    passback_strict: bool = False
    clock: ClockState = ClockState.SYNCHRONISED
    without_liveness: bool = False
    without_clock: bool = False
    without_record: bool = False

    @classmethod
    def of(
        cls,
        schedules: Iterable[Mapping[str, Any]],
        clock: str,
        without_liveness: str,
        without_clock: str,
        without_record: str,
        **others: Any,
    ) -> "Rules":
        """As the configuration has it: schedules as `Schedule.of` takes them, the relaxations as "grant" or "deny"."""
        return cls(
            schedules=tuple(Schedule.of(**each) for each in schedules),
            clock=ClockState(clock),
            without_liveness=without_liveness == "grant",
            without_clock=without_clock == "grant",
            without_record=without_record == "grant",
            **others,
        )

    @property
    def remembers(self) -> bool:
        """Whether anybody's last passage matters."""
        return self.passback_strict or self.passback_s > 0

    def digest(self) -> str:
        """SHA-256 in hexadecimal, by which the record of decisions says under which rules it went on."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True, separators=(",", ":")).encode()).hexdigest()


Finding = tuple[Mark, Reason | None, str]
"""The mark, the reason where there is one, and what was seen, in a person's words."""

Rule = Callable[[Rules, Situation], Finding]


def passed(text: str) -> Finding:
    """It lets pass."""
    return Mark.PASSED, None, text


def failed(reason: Reason, text: str) -> Finding:
    """It does not."""
    return Mark.FAILED, reason, text


def moot() -> Finding:
    """There is nothing to judge: an earlier rule has failed."""
    return Mark.MOOT, None, "nobody to judge"


def unless(relaxed: bool, reason: Reason, text: str, key: str) -> Finding:  # noqa: FBT001
    """It does not, unless the configuration says otherwise at `key`."""
    return (Mark.RELAXED, reason, f'{text}; let pass by {key} = "grant"') if relaxed else failed(reason, text)


def at_least(value: float, least: float, reason: Reason, also: str) -> Finding:
    """It lets pass from `least` on; a value that is no number is not enough. `also` is told with it."""
    text = f"{value:.2f}, at least {least:.2f}{also}"
    return passed(text) if value >= least else failed(reason, text)


ALIVE = 0.5
"""The operating point of the liveness check, which its scale is laid around (calibration)."""


def gallery(_: Rules, situation: Situation) -> Finding:
    """Somebody can be recognised at all."""
    return failed(Reason.GALLERY_UNAVAILABLE, situation.gallery) if situation.gallery is not None else passed("open")


def nonce(_: Rules, situation: Situation) -> Finding:
    """The question is a new one."""
    return failed(Reason.NONCE_REPEATED, "used before") if situation.repeated else passed("new")


def camera(_: Rules, situation: Situation) -> Finding:
    """The camera shows what is before it, now."""
    return failed(Reason.CAMERA_BLIND, situation.trouble) if situation.trouble is not None else passed("sees")


def record(rules: Rules, situation: Situation) -> Finding:
    """The decision can be kept."""
    if situation.recordable:
        return passed("has room")
    return unless(rules.without_record, Reason.RECORD_UNAVAILABLE, "cannot be written", "door.without_record")


def one_face(_: Rules, situation: Situation) -> Finding:
    """There is one face in the frames, and no second."""
    if situation.faces == 1:
        return passed("one face")
    return failed(Reason.NOBODY if situation.faces < 1 else Reason.MORE_THAN_ONE_PERSON, f"{situation.faces} faces")


def followed(_: Rules, situation: Situation) -> Finding:
    """One face is in all four."""
    if situation.sighting is None:
        return failed(Reason.NOT_FOLLOWED, "no face is in all four frames")
    return passed("the same face in all four frames")


def one_person(_: Rules, situation: Situation) -> Finding:
    """It is one person's throughout."""
    if situation.sighting is None:
        return moot()
    if not situation.sighting.one_person:
        return failed(Reason.ANOTHER_PERSON, "the frames show more than one person")
    return passed("one person in all four frames")


def liveness(rules: Rules, situation: Situation) -> Finding:
    """The person is alive, by the same frames."""
    if situation.sighting is None:
        return moot()
    alive = situation.sighting.liveness
    if alive is None:
        return unless(rules.without_liveness, Reason.LIVENESS_OFF, 'liveness.mode = "single"', "door.without_liveness")
    return at_least(alive, ALIVE, Reason.NOT_LIVE, "")


def quality(rules: Rules, situation: Situation) -> Finding:
    """The face's picture is worth enough."""
    sighting = situation.sighting
    if sighting is None:
        return moot()
    return at_least(sighting.quality, rules.min_quality, Reason.POOR_PICTURE, f", weakest: {sighting.weakest}")


def identity(_: Rules, situation: Situation) -> Finding:
    """The gallery knows whose it is, and nobody else's."""
    if situation.sighting is None:
        return moot()
    match situation.sighting:
        case Sighting(outcome=Outcome.IDENTIFIED, person=Person()):
            return passed("identified")
        case Sighting(outcome=Outcome.AMBIGUOUS):
            return failed(Reason.AMBIGUOUS, "two people are too alike to tell")
    return failed(Reason.UNKNOWN, "like nobody in the gallery")


def clock(rules: Rules, situation: Situation) -> Finding:
    """The clock is as it is asked to be, where the time matters for this person."""
    person = _person(situation)
    if person is None:
        return moot()
    asking = _asking_the_time(rules, situation, person)
    if not asking:
        return passed(f"{situation.clock}; nothing depends on it")
    text = f"{situation.clock}, asked for by: {', '.join(asking)}"
    if situation.clock is ClockState.UNSET:
        return unless(rules.without_clock, Reason.CLOCK_UNSET, text, "door.without_clock")
    if situation.clock is ClockState.PLAUSIBLE and rules.clock is ClockState.SYNCHRONISED:
        return unless(rules.without_clock, Reason.CLOCK_NOT_SYNCHRONISED, text, "door.without_clock")
    return passed(text)


def valid_from(rules: Rules, situation: Situation) -> Finding:
    """Their first day has come."""
    person = _person(situation)
    if person is None:
        return moot()
    if person.valid_from is None:
        return passed("from the beginning")
    today, text = situation.now.date(), f"from {person.valid_from}"
    return passed(text) if today >= person.valid_from else _timely(rules, situation, Reason.NOT_YET_VALID, text)


def valid_until(rules: Rules, situation: Situation) -> Finding:
    """Their last day has not gone by."""
    person = _person(situation)
    if person is None:
        return moot()
    if person.valid_until is None:
        return passed("without an end")
    today, text = situation.now.date(), f"until {person.valid_until}"
    return passed(text) if today <= person.valid_until else _timely(rules, situation, Reason.NO_LONGER_VALID, text)


def schedule(rules: Rules, situation: Situation) -> Finding:
    """One of the schedules of their groups lets pass at this time."""
    person = _person(situation)
    if person is None:
        return moot()
    if not rules.schedules:
        return passed("none: at any time")
    theirs = _theirs(rules, person)
    if not theirs:
        return failed(Reason.NO_SCHEDULE, f"none for {' '.join(person.groups) or 'who is in no group'}")
    for schedule in theirs:
        if schedule.covers(situation.now):
            return passed(str(schedule))
    text = f"{DAYS[situation.now.weekday()]} {situation.now:%H:%M} is in none of: {'; '.join(map(str, theirs))}"
    return _timely(rules, situation, Reason.OUTSIDE_SCHEDULE, text)


def passback_direction(rules: Rules, situation: Situation) -> Finding:
    """They come from the other side."""
    if _person(situation) is None:
        return moot()
    if not rules.passback_strict:
        return passed("not asked")
    against = against_direction(situation.last, situation.direction)
    text = f"{situation.direction}, {_last(situation)}"
    return passed(text) if against is None else failed(against, text)


def passback_time(rules: Rules, situation: Situation) -> Finding:
    """Their last passage in this direction is long enough ago."""
    if _person(situation) is None:
        return moot()
    if not rules.passback_s:
        return passed("not asked")
    against = against_time(situation.last, situation.direction, situation.now, rules.passback_s)
    text = f"{situation.direction}, at least {rules.passback_s:g} s apart, {_last(situation)}"
    return passed(text) if against is None else _timely(rules, situation, against, text)


def _person(situation: Situation) -> Person | None:
    """Whoever was identified; nobody else is judged by their dates and groups."""
    sighting = situation.sighting
    return sighting.person if sighting is not None and sighting.outcome is Outcome.IDENTIFIED else None


def _theirs(rules: Rules, person: Person) -> list[Schedule]:
    return [schedule for schedule in rules.schedules if schedule.names(person.groups)]


def _asking_the_time(rules: Rules, situation: Situation, person: Person) -> list[str]:
    """The rules for which it matters what time it is."""
    asking = {
        "valid_from": person.valid_from is not None,
        "valid_until": person.valid_until is not None,
        "schedule": bool(_theirs(rules, person)),
        "passback_time": depends_on_time(situation.last, situation.direction, rules.passback_s),
    }
    return [rule for rule, asks in asking.items() if asks]


def _timely(rules: Rules, situation: Situation, reason: Reason, text: str) -> Finding:
    """What a rule that goes by the clock failed with; a clock that is certainly wrong proves nothing where the configuration
    says to do without one.
    """
    unknown = situation.clock is ClockState.UNSET
    return unless(rules.without_clock and unknown, reason, text, "door.without_clock")


def _last(situation: Situation) -> str:
    last = situation.last
    return "never passed before" if last is None else f"last {last.direction} at {last.time:%Y-%m-%d %H:%M:%S}"


RULES: Final[dict[str, Rule]] = {
    "gallery": gallery,
    "nonce": nonce,
    "camera": camera,
    "record": record,
    "one_face": one_face,
    "followed": followed,
    "one_person": one_person,
    "liveness": liveness,
    "quality": quality,
    "identity": identity,
    "clock": clock,
    "valid_from": valid_from,
    "valid_until": valid_until,
    "schedule": schedule,
    "passback_direction": passback_direction,
    "passback_time": passback_time,
}
"""In their order: first what the device lacks, then what the frames show, then who it is, then when and which way. The clock
stands before what depends on it, so that a wrong one is named and not what follows from it.
"""


class Policy:
    """Says of a situation whether its person may pass. It remembers nothing: the same situation has the same ruling."""

    def __init__(self, rules: Rules) -> None:
        self.rules = rules

    def rule(self, situation: Situation) -> Ruling:
        """Looks at every rule, so that all there is to know is told, whichever decides."""
        return Ruling(tuple(Step(name, *rule(self.rules, situation)) for name, rule in RULES.items()))
