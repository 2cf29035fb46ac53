"""Situations before a door: a flawless one to spoil, and strategies for any."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta, timezone

from hypothesis import strategies as st

from appliance.access.policy import DAYS, ClockState, Passage, Rules, Schedule, Sighting, Situation
from appliance.access.token import Direction
from appliance.gallery.people import Person
from appliance.gallery.search import Outcome

NOW = datetime(2026, 11, 26, 8, 0, tzinfo=timezone(timedelta(hours=1)))
"""A Thursday."""

ADA = Person("1815", "Ada", ("staff",), None, None, "0123456789abcdef", datetime(2026, 1, 1, tzinfo=UTC))

SEEN = Sighting(liveness=0.9, one_person=True, quality=0.8, weakest="light", outcome=Outcome.IDENTIFIED, person=ADA)

FLAWLESS = Situation(
    now=NOW,
    clock=ClockState.SYNCHRONISED,
    trouble=None,
    gallery=None,
    recordable=True,
    repeated=False,
    direction=Direction.IN,
    faces=1,
    sighting=SEEN,
    last=None,
)


def spoilt(**changes):
    """The flawless situation with other values; those of the sighting and the person are found where they belong."""
    person = {name: changes.pop(name) for name in ("groups", "valid_from", "valid_until") if name in changes}
    seen = {name: changes.pop(name) for name in Sighting.__slots__ if name in changes}
    sighting = replace(SEEN, **({"person": replace(ADA, **person)} | seen))
    return replace(FLAWLESS, **({"sighting": sighting} | changes))


def schedules(groups=("staff", "cleaners")):
    return st.builds(
        Schedule,
        groups=st.lists(st.sampled_from(groups), min_size=1, unique=True).map(tuple),
        days=st.lists(st.sampled_from(DAYS), min_size=1, unique=True).map(tuple),
        begin=st.integers(0, 1439),
        end=st.integers(0, 1440),
    )


rules = st.builds(
    Rules,
    schedules=st.lists(schedules(), max_size=3).map(tuple),
    min_quality=st.floats(0, 1),
    passback_s=st.sampled_from([0, 60, 86_400]),
    passback_strict=st.booleans(),
    clock=st.sampled_from([ClockState.SYNCHRONISED, ClockState.PLAUSIBLE]),
    without_liveness=st.booleans(),
    without_clock=st.booleans(),
    without_record=st.booleans(),
)

_FIRST = datetime(2020, 1, 1, tzinfo=UTC)

moments = st.integers(0, 10 * 366 * 86_400 * 1000).map(lambda ms: _FIRST + timedelta(milliseconds=ms))

days = st.none() | st.dates(date(2020, 1, 1), date(2030, 1, 1))

people = st.builds(
    replace,
    st.just(ADA),
    groups=st.lists(st.sampled_from(["staff", "cleaners", "guests"]), unique=True).map(tuple),
    valid_from=days,
    valid_until=days,
)

sightings = st.builds(
    Sighting,
    liveness=st.none() | st.floats(0, 1) | st.just(float("nan")),
    one_person=st.booleans(),
    quality=st.floats(0, 1) | st.just(float("nan")),
    weakest=st.just("pose"),
    outcome=st.sampled_from(Outcome),
    person=st.none() | people,
)

situations = st.builds(
    Situation,
    now=moments,
    clock=st.sampled_from(ClockState),
    trouble=st.none() | st.just("dark"),
    gallery=st.none() | st.just("no key"),
    recordable=st.booleans(),
    repeated=st.booleans(),
    direction=st.sampled_from(Direction),
    faces=st.integers(0, 3),
    sighting=st.none() | sightings,
    last=st.none() | st.builds(Passage, st.sampled_from(Direction), moments),
)
"""Any at all; few are granted."""

well = st.builds(
    replace,
    st.just(FLAWLESS),
    now=moments,
    clock=st.sampled_from(ClockState),
    recordable=st.booleans(),
    direction=st.sampled_from(Direction),
    last=st.none() | st.builds(Passage, st.sampled_from(Direction), moments),
    sighting=st.builds(replace, st.just(SEEN), liveness=st.none() | st.floats(0.5, 1), person=people),
)
"""Somebody known stands alone before a camera that sees; many are granted."""
