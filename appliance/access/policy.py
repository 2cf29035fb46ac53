"""Who may pass: the rules, in the order in which the first that fails decides."""

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import date, datetime
from enum import StrEnum
from typing import Any, Final

from appliance.access.challenge import ChallengeMode, Response
from appliance.access.factors import ALWAYS_THE_FACE, NOTHING_GIVEN, FactorRules, Factors, Given, PinCheck, StepKind
from appliance.access.passback import against_direction, against_time, depends_on_time
from appliance.access.passes import VisitorPass
from appliance.access.reason import Reason
from appliance.access.schedule import Schedule, day_of
from appliance.access.token import Direction
from appliance.gallery.people import LastPassage, Person
from appliance.gallery.search import Outcome
from appliance.vision.engine import Portrait
from appliance.vision.liveness import ALIVE, SURE


class Mark(StrEnum):
    """The result of a rule: it passed; it failed, but the configuration grants all the same (relaxed); it failed; an earlier
    rule left it nothing to judge (moot).
    """

    PASSED = "passed"
    RELAXED = "relaxed"
    FAILED = "failed"
    MOOT = "moot"


class ClockState(StrEnum):
    """What is known of the clock: a time service has set it; it may be right, or late; it is certainly wrong."""

    SYNCHRONISED = "synchronised"
    PLAUSIBLE = "plausible"
    UNSET = "unset"


@dataclass(frozen=True, slots=True)
class RuleResult:
    """The result of one rule, the reason (None where it passed or is moot), and what it found, as a phrase."""

    rule: str
    mark: Mark
    reason: Reason | None
    text: str

    @property
    def passed(self) -> bool:
        return self.mark in (Mark.PASSED, Mark.RELAXED)


ASKS: Final = {
    Reason.CHALLENGE_REQUIRED: StepKind.CHALLENGE,
    Reason.PIN_REQUIRED: StepKind.PIN,
    Reason.PIN_INSTEAD: StepKind.PIN,
}
"""The reasons for which a person is asked for something more."""


@dataclass(frozen=True, slots=True)
class PolicyResult:
    """Granted when every rule passed; otherwise the first that failed decided."""

    steps: tuple[RuleResult, ...]

    @property
    def granted(self) -> bool:
        return bool(self.steps) and all(step.passed for step in self.steps)

    @property
    def decided(self) -> RuleResult | None:
        """The rule that decided; None when all passed."""
        return next((step for step in self.steps if step.mark is Mark.FAILED), None)

    @property
    def reason(self) -> Reason:
        """That of the rule that decided."""
        if self.decided is not None and self.decided.reason is not None:
            return self.decided.reason
        demonstrated = any(step.reason is Reason.DEMONSTRATION for step in self.steps)
        return Reason.DEMONSTRATION if demonstrated else Reason.GRANTED

    @property
    def text(self) -> str:
        return self.reason.text

    @property
    def asks(self) -> StepKind | None:
        """The step that may still lead to a grant; None when the result is final."""
        return ASKS.get(self.reason)

    @property
    def relaxed(self) -> tuple[RuleResult, ...]:
        return tuple(step for step in self.steps if step.mark is Mark.RELAXED)


@dataclass(frozen=True, slots=True)
class Subject:
    """The one face that is in all four frames: whether it is upright in each, its liveness (0..1, or None if `liveness.mode` is
    "single"), whether it is one person's throughout, the quality of its picture (0..1) and what limits that, and the result of
    the search in the gallery; whether it is that of a demonstration, whose liveness does not count. `portrait` is that of the
    frame of the best quality, if a person is identified.
    """

    upright: bool
    liveness: float | None
    one_person: bool
    quality: float
    weakest: str
    outcome: Outcome
    person: Person | None
    demonstration: bool = False
    portrait: Portrait | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Observation:
    """What the camera shows: `trouble` says why it does not show the present scene; `captured` are the times of the four frames
    (seconds of `time.monotonic`); `faces` is the largest number in any of them; `subject` is None when no face is in all;
    `visitor` is the pass that is shown by a person who is not identified.
    """

    trouble: str | None = None
    captured: tuple[float, ...] = ()
    faces: int = 0
    subject: Subject | None = None
    visitor: VisitorPass | None = None


@dataclass(frozen=True, slots=True)
class Facts:
    """Everything the policy decides on. `now` is local time with its offset; `gallery` says why people cannot be recognised;
    `recordable` whether the decision can be recorded; `repeated` whether its nonce was used before; `last` is the person's
    last passage; `given` what they have given in further steps.
    """

    now: datetime
    clock: ClockState
    direction: Direction
    repeated: bool
    gallery: str | None
    recordable: bool
    seen: Observation
    last: LastPassage | None
    given: Given = NOTHING_GIVEN

    @property
    def person(self) -> Person | None:
        """The person whom an id and a PIN name, or who is identified by the face."""
        return self.given.person or (self.seen.subject.person if self.seen.subject else None)

    @property
    def visitor(self) -> VisitorPass | None:
        """The pass that is shown instead of a face that is identified."""
        return None if self.person else self.seen.visitor


@dataclass(frozen=True, slots=True)
class Rules:
    """`schedules` are alternatives; without any, every time is allowed. `holidays` are days ("2026-12-25") on which only
    schedules with the day "holiday" hold. In `open_periods` the door is open for everyone; those with groups begin with the
    first grant of one of these. `factors` says what is required besides the face, or instead of it. `min_quality` is 0..1.
    `challenge` says when a person is asked to move, `prompts` how often. `passback_s` and `passback_strict` are about
    anti-passback. `clock` is what a rule that depends on the time requires, SYNCHRONISED or PLAUSIBLE. Each `without_…` grants
    although liveness is off, the clock is not as required, or nothing can be recorded.
    """

    schedules: tuple[Schedule, ...] = ()
    holidays: tuple[str, ...] = ()
    open_periods: tuple[Schedule, ...] = ()
    factors: FactorRules = ALWAYS_THE_FACE
    min_quality: float = 0.4
    challenge: ChallengeMode = ChallengeMode.NEVER
    prompts: int = 1
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
        holidays: Iterable[date],
        open_periods: Iterable[Mapping[str, Any]],
        factors: Iterable[Mapping[str, Any]],
        challenge: str,
        clock: str,
        without_liveness: str,
        without_clock: str,
        without_record: str,
        **others: Any,
    ) -> "Rules":
        """From the configuration: schedules as `Schedule.of` takes them, the relaxations as "grant" or "deny"."""
        return cls(
            schedules=tuple(Schedule.of(**each) for each in schedules),
            holidays=tuple(sorted(each.isoformat() for each in holidays)),
            open_periods=tuple(Schedule.of(**each) for each in open_periods),
            factors=FactorRules.of(factors),
            challenge=ChallengeMode(challenge),
            clock=ClockState(clock),
            without_liveness=without_liveness == "grant",
            without_clock=without_clock == "grant",
            without_record=without_record == "grant",
            **others,
        )

    @property
    def remembers(self) -> bool:
        """Whether last passages matter."""
        return self.passback_strict or self.passback_s > 0

    def open_period(self, now: datetime, clock: ClockState) -> tuple[Schedule, date] | None:
        """The period in which the door is open for everyone at `now` (local time), and the day on which it began; None outside
        of all, and while the clock is not as required.
        """
        if clock is ClockState.UNSET or (clock is ClockState.PLAUSIBLE and self.clock is ClockState.SYNCHRONISED):
            return None
        began = ((each, each.began(now, self.holidays)) for each in self.open_periods)
        return next(((each, day) for each, day in began if day is not None), None)

    def required(self, person: Person, now: datetime, clock: ClockState) -> Factors:
        return self.factors.required(person, now, self.holidays, known=clock is not ClockState.UNSET)

    def digest(self) -> str:
        """SHA-256 in hexadecimal, by which the record says under which rules decisions were made."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True, separators=(",", ":")).encode()).hexdigest()


Finding = tuple[Mark, Reason | None, str]
"""What a rule returns: see RuleResult."""

_MOOT: Finding = Mark.MOOT, None, "nothing to judge"

_WITH_PASS: Finding = Mark.PASSED, None, "not required with a pass"


def _passed(text: str) -> Finding:
    return Mark.PASSED, None, text


def _failed(reason: Reason, text: str) -> Finding:
    return Mark.FAILED, reason, text


def _unless(relaxed: bool, reason: Reason, text: str, key: str) -> Finding:  # noqa: FBT001
    """Failed, or relaxed by the configuration's `key`."""
    return (Mark.RELAXED, reason, f'{text}; relaxed by {key} = "grant"') if relaxed else _failed(reason, text)


def _at_least(value: float, least: float, reason: Reason, also: str = "") -> Finding:
    """Passed from `least` on; NaN fails."""
    text = f"{value:.2f}, at least {least:.2f}{also}"
    return _passed(text) if value >= least else _failed(reason, text)


def _gallery(_: Rules, facts: Facts) -> Finding:
    return _failed(Reason.GALLERY_UNAVAILABLE, facts.gallery) if facts.gallery is not None else _passed("open")


def _nonce(_: Rules, facts: Facts) -> Finding:
    return _failed(Reason.NONCE_REPEATED, "used before") if facts.repeated else _passed("new")


def _camera(_: Rules, facts: Facts) -> Finding:
    trouble = facts.seen.trouble
    return _failed(Reason.CAMERA_BLIND, trouble) if trouble is not None else _passed("sees")


def _record(rules: Rules, facts: Facts) -> Finding:
    if facts.recordable:
        return _passed("has room")
    return _unless(rules.without_record, Reason.RECORD_UNAVAILABLE, "cannot be written", "door.without_record")


def _pass(rules: Rules, facts: Facts) -> Finding:
    shown = facts.visitor
    if shown is None:
        return _passed("none is shown")
    text = f"{shown.id}, valid from {shown.valid_from:%Y-%m-%d %H:%M} to {shown.valid_until:%Y-%m-%d %H:%M} UTC"
    if shown.revoked is not None:
        return _failed(Reason.PASS_REVOKED, text)
    if shown.single_use and shown.used is not None:
        return _failed(Reason.PASS_USED, f"{text}, for a single use")
    return _pass_in_time(rules, facts, shown, text)


def _pass_in_time(rules: Rules, facts: Facts, shown: VisitorPass, text: str) -> Finding:
    """Also where the door does without a clock that is as required, one that is not certainly wrong counts."""
    clock = _clock_for(rules, facts, ["pass"])
    if clock[0] is Mark.FAILED:
        return clock
    if facts.now < shown.valid_from:
        return _timed(rules, facts, Reason.PASS_NOT_YET_VALID, text)
    if facts.now >= shown.valid_until:
        return _timed(rules, facts, Reason.PASS_EXPIRED, text)
    return _passed(text) if clock[0] is Mark.PASSED else clock


def _one_face(_: Rules, facts: Facts) -> Finding:
    faces = facts.seen.faces
    if faces == 1 or (faces < 1 and facts.visitor):
        return _passed("one face" if faces else "no face, and a pass")
    return _failed(Reason.NOBODY if faces < 1 else Reason.MORE_THAN_ONE_PERSON, f"{faces} faces")


def _followed(_: Rules, facts: Facts) -> Finding:
    if facts.visitor:
        return _WITH_PASS
    if facts.seen.subject is None:
        return _failed(Reason.NOT_FOLLOWED, "no face is in all four frames")
    return _passed("the same face in all four frames")


def _upright(_: Rules, subject: Subject) -> Finding:
    if not subject.upright:
        return _failed(Reason.NOT_UPRIGHT, "turned by more than 45 degrees, or by an unknown angle")
    return _passed("upright in all four frames")


def _one_person(_: Rules, subject: Subject) -> Finding:
    if not subject.one_person:
        return _failed(Reason.ANOTHER_PERSON, "the frames show more than one person")
    return _passed("one person in all four frames")


def _liveness(rules: Rules, subject: Subject) -> Finding:
    if subject.demonstration:
        return Mark.RELAXED, Reason.DEMONSTRATION, "not checked in a demonstration"
    if subject.liveness is None:
        return _unless(rules.without_liveness, Reason.LIVENESS_OFF, 'liveness.mode = "single"', "door.without_liveness")
    return _at_least(subject.liveness, ALIVE, Reason.NOT_LIVE)


def _quality(rules: Rules, subject: Subject) -> Finding:
    return _at_least(subject.quality, rules.min_quality, Reason.POOR_PICTURE, f", weakest: {subject.weakest}")


def _identity(_: Rules, subject: Subject) -> Finding:
    match subject:
        case Subject(outcome=Outcome.IDENTIFIED, person=Person()):
            return _passed("identified")
        case Subject(outcome=Outcome.AMBIGUOUS):
            return _failed(Reason.AMBIGUOUS, "two people are too similar")
    return _failed(Reason.UNKNOWN, "similar to no person in the gallery")


def _clock(rules: Rules, facts: Facts, person: Person) -> Finding:
    return _clock_for(rules, facts, _time_dependent(rules, facts, person))


def _clock_for(rules: Rules, facts: Facts, depending: Sequence[str]) -> Finding:
    """Whether the clock is as required by the rules that depend on it."""
    if not depending:
        return _passed(f"{facts.clock}; nothing depends on it")
    text = f"{facts.clock}, required by: {', '.join(depending)}"
    if facts.clock is ClockState.UNSET:
        return _unless(rules.without_clock, Reason.CLOCK_UNSET, text, "door.without_clock")
    if facts.clock is ClockState.PLAUSIBLE and rules.clock is ClockState.SYNCHRONISED:
        return _unless(rules.without_clock, Reason.CLOCK_NOT_SYNCHRONISED, text, "door.without_clock")
    return _passed(text)


def _valid_from(rules: Rules, facts: Facts, person: Person) -> Finding:
    if person.valid_from is None:
        return _passed("without a first day")
    today, text = facts.now.date(), f"from {person.valid_from}"
    return _passed(text) if today >= person.valid_from else _timed(rules, facts, Reason.NOT_YET_VALID, text)


def _valid_until(rules: Rules, facts: Facts, person: Person) -> Finding:
    if person.valid_until is None:
        return _passed("without a last day")
    today, text = facts.now.date(), f"until {person.valid_until}"
    return _passed(text) if today <= person.valid_until else _timed(rules, facts, Reason.NO_LONGER_VALID, text)


def _schedule(rules: Rules, facts: Facts, person: Person) -> Finding:
    if not rules.schedules:
        return _passed("none: at any time")
    theirs = _schedules_of(rules, person)
    if not theirs:
        return _failed(Reason.NO_SCHEDULE, f"none for {' '.join(person.groups) or 'a person without groups'}")
    for schedule in theirs:
        if schedule.covers(facts.now, rules.holidays):
            return _passed(str(schedule))
    text = f"{day_of(facts.now.date(), rules.holidays)} {facts.now:%H:%M} is in none of: {'; '.join(map(str, theirs))}"
    return _timed(rules, facts, Reason.OUTSIDE_SCHEDULE, text)


def _passback_direction(rules: Rules, facts: Facts, _: Person) -> Finding:
    if not rules.passback_strict:
        return _passed("not required")
    against = against_direction(facts.last, facts.direction)
    text = f"{facts.direction}, {_last(facts)}"
    return _passed(text) if against is None else _failed(against, text)


def _passback_time(rules: Rules, facts: Facts, _: Person) -> Finding:
    if not rules.passback_s:
        return _passed("not required")
    against = against_time(facts.last, facts.direction, facts.now, rules.passback_s)
    text = f"{facts.direction}, at least {rules.passback_s:g} s apart, {_last(facts)}"
    return _passed(text) if against is None else _timed(rules, facts, against, text)


def _challenge(rules: Rules, facts: Facts, _: Person) -> Finding:
    subject, response = facts.seen.subject, facts.given.challenge
    sure = subject is not None and subject.liveness is not None and subject.liveness >= SURE
    required = {ChallengeMode.NEVER: False, ChallengeMode.UNSURE: not sure, ChallengeMode.ALWAYS: True}
    if not required[rules.challenge]:
        return _passed(f"{rules.challenge}: not required")
    match response:
        case None:
            return _failed(Reason.CHALLENGE_REQUIRED, f"{rules.challenge}: none yet")
        case Response.PASSED:
            return _passed(f"{rules.challenge}: passed")
        case Response.NOT_ASKED:
            return _failed(Reason.CHALLENGE_LIMIT, f"{rules.challenge}: too many failed ones")
    return _failed(Reason.CHALLENGE_FAILED, f"{rules.challenge}: {response}")


def _factors(rules: Rules, facts: Facts, person: Person) -> Finding:
    instead, pin = facts.given.person is not None, facts.given.pin
    required = rules.required(person, facts.now, facts.clock)
    if instead and required is not Factors.FACE_OR_PIN:
        return _failed(Reason.WRONG_PIN, f"{required}: an id and a PIN are not enough")
    if required is Factors.FACE or (required is Factors.FACE_OR_PIN and not instead):
        return _passed(f"{required}: the face is enough")
    return _failed(Reason.PIN_REQUIRED, f"{required}: no PIN yet") if pin is None else _typed(pin, required)


def _instead(rules: Rules, facts: Facts, unrecognised: Finding) -> Finding:
    """The identity of a person who is not recognised by the face, but may be by an id and a PIN."""
    if facts.given.person is not None:
        return _passed("by id and PIN")
    if facts.given.pin not in (None, PinCheck.RIGHT):
        return _typed(facts.given.pin, Factors.FACE_OR_PIN)
    if rules.factors.instead(facts.now, rules.holidays):
        return _failed(Reason.PIN_INSTEAD, f"{unrecognised[2]}; {Factors.FACE_OR_PIN}: no id and PIN yet")
    return unrecognised


_PIN: Final = {
    PinCheck.WRONG: (Reason.WRONG_PIN, "the PIN is wrong"),
    PinCheck.SLOWED: (Reason.PIN_SLOWED, "after too many wrong PINs it was not compared"),
    PinCheck.UNSET: (Reason.PIN_UNSET, "the person has no PIN"),
    PinCheck.UNCOUNTED: (Reason.PIN_UNCOUNTED, "the guess cannot be counted on the disk, so it was not compared"),
}


def _typed(pin: PinCheck, required: Factors) -> Finding:
    if pin is PinCheck.RIGHT:
        return _passed(f"{required}: the PIN is right")
    reason, text = _PIN[pin]
    return _failed(reason, f"{required}: {text}")


def _schedules_of(rules: Rules, person: Person) -> list[Schedule]:
    return [schedule for schedule in rules.schedules if schedule.names(person.groups)]


def _time_dependent(rules: Rules, facts: Facts, person: Person) -> list[str]:
    """The rules whose result for this person depends on the time."""
    depending = {
        "valid_from": person.valid_from is not None,
        "valid_until": person.valid_until is not None,
        "schedule": bool(_schedules_of(rules, person)),
        "passback_time": depends_on_time(facts.last, facts.direction, rules.passback_s),
        "factors": rules.factors.timed(person),
    }
    return [rule for rule, depends in depending.items() if depends]


def _timed(rules: Rules, facts: Facts, reason: Reason, text: str) -> Finding:
    """The failure of a rule that goes by the clock: a clock that is certainly wrong proves nothing where the configuration does
    without one.
    """
    return _unless(rules.without_clock and facts.clock is ClockState.UNSET, reason, text, "door.without_clock")


def _last(facts: Facts) -> str:
    if facts.last is None:
        return "never passed before"
    direction, time = facts.last
    return f"last {direction} at {time:%Y-%m-%d %H:%M:%S}"


_OF_THE_DEVICE: Final[dict[str, Callable[[Rules, Facts], Finding]]] = {
    "gallery": _gallery,
    "nonce": _nonce,
    "camera": _camera,
    "record": _record,
    "pass": _pass,
    "one_face": _one_face,
    "followed": _followed,
}

_OF_THE_SUBJECT: Final[dict[str, Callable[[Rules, Subject], Finding]]] = {
    "upright": _upright,
    "one_person": _one_person,
    "liveness": _liveness,
    "quality": _quality,
    "identity": _identity,
}

_OF_THE_PERSON: Final[dict[str, Callable[[Rules, Facts, Person], Finding]]] = {
    "clock": _clock,
    "valid_from": _valid_from,
    "valid_until": _valid_until,
    "schedule": _schedule,
    "passback_direction": _passback_direction,
    "passback_time": _passback_time,
    "challenge": _challenge,
    "factors": _factors,
}

RULES: Final = (*_OF_THE_DEVICE, *_OF_THE_SUBJECT, *_OF_THE_PERSON)
"""The names of the rules in their order. The clock comes before what depends on it, so that the decision names a wrong clock
and not what follows from it.
"""


class Policy:
    """Judges facts by rules. It has no memory: the same facts have the same result."""

    def __init__(self, rules: Rules) -> None:
        self.rules = rules

    def judge(self, facts: Facts) -> PolicyResult:
        """The results of all rules, also of those after the one that decides."""
        rules, subject, person = self.rules, facts.seen.subject, facts.person
        if subject is not None and subject.outcome is not Outcome.IDENTIFIED:
            person = facts.given.person
        found = {name: rule(rules, facts) for name, rule in _OF_THE_DEVICE.items()}
        moot = _WITH_PASS if facts.visitor else _MOOT
        of_subject = {name: rule(rules, subject) if subject else _MOOT for name, rule in _OF_THE_SUBJECT.items()}
        if of_subject["identity"][0] is Mark.FAILED:
            of_subject["identity"] = _instead(rules, facts, of_subject["identity"])
        found |= dict.fromkeys(of_subject, _WITH_PASS) if facts.visitor else of_subject
        found |= {name: rule(rules, facts, person) if person else moot for name, rule in _OF_THE_PERSON.items()}
        return PolicyResult(tuple(RuleResult(name, *finding) for name, finding in found.items()))
