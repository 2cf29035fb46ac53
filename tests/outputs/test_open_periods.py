"""When the door is open for everyone, by a scripted clock."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from devices import until
from situations import ADA
from told import PERSON, running, signed

from appliance.access.clock import Clock
from appliance.access.policy import ClockState, Rules
from appliance.access.schedule import Schedule
from appliance.outputs.periods import OpenPeriods

OFFICE = Schedule((), ("mon", "tue", "wed", "thu", "fri"), 9 * 60, 17 * 60)
THURSDAY = datetime(2026, 11, 26).astimezone()


class Period:
    """Open periods by a clock that a time service has set, or not."""

    def __init__(self, *periods, vouched=True, **rules):
        self.seconds, self.vouched = THURSDAY.timestamp(), vouched
        clock = Clock(
            lambda: self.vouched, lambda: None, lambda: (self.seconds, self.seconds - THURSDAY.timestamp() + 60)
        )
        self.people = {PERSON: replace(ADA, groups=("staff",)), "guest": replace(ADA, groups=("guests",))}
        self.happened = []
        self.rules = Rules(open_periods=periods, **rules)
        self.output = OpenPeriods(lambda: self.rules, clock, self.people.get, self.happened.append)

    def at(self, hours, granted=None):
        self.seconds = THURSDAY.timestamp() + hours * 3600
        self.output.look(granted)

    @property
    def kinds(self):
        return [each.kind.value for each in self.happened]


def test_it_is_open_from_the_begin_to_the_end():
    period = Period(OFFICE)
    for hours, kinds in ((8.99, []), (9, ["unlocked"]), (16.99, ["unlocked"]), (17, ["unlocked", "locked"])):
        period.at(hours)
        assert period.kinds == kinds
    period.at(4 * 24 + 10)  # on Monday
    assert period.kinds == ["unlocked", "locked", "unlocked"]


def test_it_stays_locked_on_a_holiday():
    period = Period(OFFICE, holidays=("2026-11-26",))
    period.at(10)
    assert period.kinds == []
    period.at(34)
    assert period.kinds == ["unlocked"]


def test_a_period_with_groups_begins_with_the_first_of_their_people_each_day():
    period = Period(replace(OFFICE, groups=("staff",)))
    period.at(8.5, PERSON)  # too early
    period.at(9.5)
    period.at(9.6, "guest")
    period.at(9.7, "nobody")
    assert period.kinds == []
    period.at(10, PERSON)
    period.at(11)
    assert period.kinds == ["unlocked"]
    period.at(17)
    period.at(24 + 10)  # the next day it takes another one
    assert period.kinds == ["unlocked", "locked"]
    period.at(24 + 11, PERSON)
    assert period.kinds == ["unlocked", "locked", "unlocked"]


@pytest.mark.parametrize(
    ("vouched", "clock", "kinds"),
    [(False, ClockState.SYNCHRONISED, []), (False, ClockState.PLAUSIBLE, ["unlocked"])],
)
def test_a_clock_that_is_not_as_required_opens_nothing(vouched, clock, kinds):
    period = Period(OFFICE, vouched=vouched, clock=clock, without_clock=True)
    period.at(10)
    assert period.kinds == kinds


def test_a_clock_that_is_set_back_locks_again():
    period = Period(OFFICE)
    period.at(10)
    period.vouched = False
    period.seconds -= 1800
    period.output.look()
    assert period.kinds == ["unlocked", "locked"]


def test_other_rules_are_followed_at_once():
    period = Period()
    period.at(10)
    assert period.kinds == []
    period.rules = Rules(open_periods=(OFFICE,))
    period.at(10.1)
    period.rules = Rules()
    period.at(10.2)
    assert period.kinds == ["unlocked", "locked"]


def test_at_work_a_grant_is_heard():
    period = Period(replace(OFFICE, groups=("staff",)))
    period.seconds += 10 * 3600
    with running(period.output) as output:
        output.notify(signed(granted=False))
        output.notify(signed())
        assert until(lambda: period.kinds == ["unlocked"])
    assert abs(period.happened[0].time - datetime.now(UTC)) < timedelta(minutes=1)
