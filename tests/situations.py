"""Situations before a door: a flawless one to spoil, and strategies for any."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta, timezone

from hypothesis import strategies as st

from appliance.access.challenge import ChallengeMode, Response
from appliance.access.factors import Given
from appliance.access.policy import ClockState, Facts, Observation, Rules, Subject
from appliance.access.schedule import DAYS, Schedule
from appliance.access.token import Direction
from appliance.gallery.people import Person
from appliance.gallery.search import Outcome

NOW = datetime(2026, 11, 26, 8, 0, tzinfo=timezone(timedelta(hours=1)))
"""A Thursday."""

ADA = Person("1815", "Ada", ("staff",), None, None, "0123456789abcdef", datetime(2026, 1, 1, tzinfo=UTC))

SUBJECT = Subject(
    upright=True,
    liveness=0.9,
    one_person=True,
    quality=0.8,
    weakest="light",
    outcome=Outcome.IDENTIFIED,
    person=ADA,
)

FLAWLESS = Facts(
    now=NOW,
    clock=ClockState.SYNCHRONISED,
    direction=Direction.IN,
    repeated=False,
    gallery=None,
    recordable=True,
    seen=Observation(captured=(1.0, 1.3, 1.6, 1.9), faces=1, subject=SUBJECT),
    last=None,
)


def spoilt(**changes):
    """The flawless facts with other values; those of the observation, the subject and the person go where they belong."""
    person = {name: changes.pop(name) for name in ("groups", "valid_from", "valid_until") if name in changes}
    subject = {name: changes.pop(name) for name in Subject.__slots__ if name in changes}
    seen = {name: changes.pop(name) for name in Observation.__slots__ if name in changes}
    spoilt_subject = replace(SUBJECT, **({"person": replace(ADA, **person)} | subject))
    return replace(FLAWLESS, seen=replace(FLAWLESS.seen, **({"subject": spoilt_subject} | seen)), **changes)


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
    challenge=st.sampled_from(ChallengeMode),
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

subjects = st.builds(
    Subject,
    liveness=st.none() | st.floats(0, 1) | st.just(float("nan")),
    upright=st.booleans(),
    one_person=st.booleans(),
    quality=st.floats(0, 1) | st.just(float("nan")),
    weakest=st.just("pose"),
    outcome=st.sampled_from(Outcome),
    person=st.none() | people,
)

situations = st.builds(
    Facts,
    now=moments,
    clock=st.sampled_from(ClockState),
    gallery=st.none() | st.just("no key"),
    recordable=st.booleans(),
    repeated=st.booleans(),
    direction=st.sampled_from(Direction),
    seen=st.builds(
        Observation,
        trouble=st.none() | st.just("dark"),
        captured=st.just((1.0, 1.3, 1.6, 1.9)),
        faces=st.integers(0, 3),
        subject=st.none() | subjects,
    ),
    last=st.none() | st.tuples(st.sampled_from(["in", "out"]), moments),
    given=st.builds(Given, challenge=st.none() | st.sampled_from(Response)),
)
"""Any at all; few are granted."""

well = st.builds(
    replace,
    st.just(FLAWLESS),
    now=moments,
    clock=st.sampled_from(ClockState),
    recordable=st.booleans(),
    direction=st.sampled_from(Direction),
    last=st.none() | st.tuples(st.sampled_from(["in", "out"]), moments),
    given=st.builds(Given, challenge=st.none() | st.sampled_from(Response)),
    seen=st.builds(
        replace,
        st.just(FLAWLESS.seen),
        subject=st.builds(replace, st.just(SUBJECT), liveness=st.none() | st.floats(0.5, 1), person=people),
    ),
)
"""Somebody known stands alone before a camera that sees; many are granted."""
