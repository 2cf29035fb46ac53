"""When a schedule lets pass: held against a model that ticks off every minute of a week."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from situations import moments, schedules

from appliance.access.schedule import DAYS, EVERY_DAY, MINUTES_A_DAY, Schedule

WEEK = 7 * MINUTES_A_DAY


def minutes_of(schedule):
    """Every minute of the week, Monday first, that a schedule covers: walked through one by one from each begin."""
    covered = set()
    for number, day in enumerate(DAYS):
        minute = schedule.begin
        while day in schedule.days:
            covered.add((number * MINUTES_A_DAY + minute) % WEEK)
            minute += 1
            if minute in (schedule.end, schedule.end + MINUTES_A_DAY):
                break
    return covered


@given(schedules(), moments)
def test_it_covers_what_the_walk_through_the_week_does(schedule, moment):
    minute = moment.weekday() * MINUTES_A_DAY + moment.hour * 60 + moment.minute
    assert schedule.covers(moment) == (minute in minutes_of(schedule))


@pytest.mark.parametrize(
    ("days", "moment", "covered"),
    [
        (("thu",), "2026-11-26T12:00", False),
        (("thu", "holiday"), "2026-11-26T12:00", True),
        (("holiday",), "2026-11-26T12:00", True),
        (("holiday",), "2026-11-27T12:00", False),
        (("thu",), "2026-12-03T12:00", True),
        (EVERY_DAY, "2026-11-26T12:00", True),
        (DAYS, "2026-11-26T12:00", False),
    ],
)
def test_a_holiday_is_no_day_of_the_week(days, moment, covered):
    schedule = Schedule(("staff",), days, 8 * 60, 18 * 60)
    assert schedule.covers(datetime.fromisoformat(moment), ("2026-11-26",)) is covered


def test_a_night_belongs_to_the_day_it_began_on_holiday_or_not():
    night = Schedule(("guards",), ("wed", "thu"), 22 * 60, 6 * 60)
    covered = [
        hour
        for hour in range(48)
        if night.covers(datetime(2026, 11, 25, tzinfo=UTC) + timedelta(hours=hour), ("2026-11-26",))
    ]
    assert covered == [22, 23, *range(24, 30)]  # into the holiday, and not from it


@given(schedules())
def test_every_minute_of_a_week_agrees(schedule):
    monday = datetime(2026, 11, 23, tzinfo=UTC)
    asked = range(0, WEEK, 7)  # every one of them in turn, as 7 divides neither an hour nor a day
    assert [minute for minute in asked if schedule.covers(monday + timedelta(minutes=minute))] == sorted(
        minutes_of(schedule) & set(asked)
    )


@pytest.mark.parametrize(
    ("begin", "end", "inside", "outside"),
    [
        ("07:00", "19:00", ["26T07:00:00", "26T18:59:59"], ["26T06:59:59", "26T19:00:00", "27T08:00:00"]),
        (
            "22:00",
            "06:00",
            ["26T22:00:00", "27T05:59:59"],
            ["26T21:59:59", "26T05:00:00", "27T06:00:00", "27T22:00:00"],
        ),
        ("00:00", "24:00", ["26T00:00:00", "26T23:59:59"], ["25T23:59:59", "27T00:00:00"]),
        ("08:00", "00:00", ["26T08:00:00", "26T23:59:59"], ["26T07:59:59", "27T00:00:00"]),
        ("08:00", "08:00", ["26T08:00:00", "27T07:59:59"], ["26T07:59:59", "27T08:00:00"]),
        ("23:59", "24:00", ["26T23:59:59"], ["26T23:58:59", "27T00:00:00"]),
    ],
)
def test_the_begin_is_in_the_end_is_not_and_the_night_belongs_to_its_evening(begin, end, inside, outside):
    schedule = Schedule.of(["staff"], ["thu"], begin, end)  # 2026-11-26 is one
    assert [moment for moment in inside + outside if schedule.covers(datetime.fromisoformat(f"2026-11-{moment}"))] == (
        inside
    )


def test_the_week_is_round():
    night = Schedule.of(["staff"], ["sun"], "22:00", "06:00")
    assert night.covers(datetime(2026, 11, 23, 5, 59, tzinfo=UTC))  # Monday
    assert not night.covers(datetime(2026, 11, 22, 5, 59, tzinfo=UTC))  # Sunday


@pytest.mark.parametrize("fold", [0, 1])
def test_the_hour_that_comes_twice_is_in_both_times(fold):
    berlin = ZoneInfo("Europe/Berlin")
    twice = datetime(2026, 10, 25, 2, 30, tzinfo=berlin, fold=fold)
    assert Schedule.of(["staff"], ["sun"], "02:15", "02:45").covers(twice)
    assert not Schedule.of(["staff"], ["sun"], "03:00", "04:00").covers(twice)


def test_the_night_the_clocks_are_put_forward_is_an_hour_shorter():
    berlin, night = ZoneInfo("Europe/Berlin"), Schedule.of(["staff"], ["sat"], "22:00", "06:00")
    ten = datetime(2026, 3, 28, 22, 0, tzinfo=berlin).astimezone(UTC)
    inside = [night.covers((ten + timedelta(minutes=minute)).astimezone(berlin)) for minute in range(10 * 60)]
    assert inside == [True] * (7 * 60) + [False] * (3 * 60)


@pytest.mark.parametrize(
    ("days", "begin", "end"),
    [
        (["someday"], "07:00", "19:00"),
        (["mon"], "24:00", "19:00"),
        (["mon"], "07:00", "24:01"),
        (["mon"], "7:00", "19:00"),
        (["mon"], "07:60", "19:00"),
        (["mon"], "0700", "19:00"),
        (["mon"], "+7:00", "19:00"),
        (["mon"], "\u0660\u0667:\u0660\u0660", "19:00"),
        (["mon"], "", "19:00"),
    ],
)
def test_what_is_no_day_and_no_time_of_day_is_refused(days, begin, end):
    with pytest.raises(ValueError, match=r"days: 'someday' is none of|a time of day is written as"):
        Schedule.of(["staff"], days, begin, end)


@given(st.integers(0, 1439), st.integers(0, 1440))
def test_it_reads_as_it_is_written(begin, end):
    schedule = Schedule(("staff", "guests"), ("mon", "sun"), begin, end)
    groups, _, rest = str(schedule).partition(": ")
    *days, times = rest.split()
    assert Schedule.of(groups.split(), days, *times.split("-")) == schedule
