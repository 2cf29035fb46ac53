"""The rules of when, and which way, whoever was identified may pass."""

from appliance.access_control import passback
from appliance.access_control.finding import Finding, failed, moot, passed, unless
from appliance.access_control.rules import Rules
from appliance.access_control.ruling import Reason
from appliance.access_control.schedule import DAYS, Schedule
from appliance.access_control.situation import ClockState, Situation
from appliance.gallery.matching import Outcome
from appliance.gallery.people import Person


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
    against = passback.against_direction(situation.last, situation.direction)
    text = f"{situation.direction}, {_last(situation)}"
    return passed(text) if against is None else failed(against, text)


def passback_time(rules: Rules, situation: Situation) -> Finding:
    """Their last passage in this direction is long enough ago."""
    if _person(situation) is None:
        return moot()
    if not rules.passback_s:
        return passed("not asked")
    against = passback.against_time(situation.last, situation.direction, situation.now, rules.passback_s)
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
        "passback_time": passback.depends_on_time(situation.last, situation.direction, rules.passback_s),
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
