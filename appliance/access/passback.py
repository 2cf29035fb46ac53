"""Anti-passback: what the last passage of a person says of the next one."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from appliance.access.reason import Reason
from appliance.access.token import Direction


@dataclass(frozen=True, slots=True)
class Passage:
    """The last time a person was granted, and in which direction."""

    direction: Direction
    time: datetime


def against_direction(last: Passage | None, direction: Direction) -> Reason | None:
    """Why a person whose last passage is `last` may not pass in `direction`: they must go the other way first."""
    if last is None or last.direction is not direction:
        return None
    return Reason.ALREADY_IN if direction is Direction.IN else Reason.ALREADY_OUT


def depends_on_time(last: Passage | None, direction: Direction, least_s: float) -> bool:
    """Whether `against_time` needs the time."""
    return least_s > 0 and last is not None and last.direction is direction


def against_time(last: Passage | None, direction: Direction, now: datetime, least_s: float) -> Reason | None:
    """Why a person may not pass in the same direction again yet: the last passage was less than `least_s` seconds ago. One that
    seems to lie ahead, because the clock went back, counts as now.
    """
    if last is None or not depends_on_time(last, direction, least_s):
        return None
    return Reason.TOO_SOON if now - last.time < timedelta(seconds=least_s) else None
