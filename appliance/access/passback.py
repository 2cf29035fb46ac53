"""Anti-passback: what the last passage of a person says of the next one."""

from datetime import datetime, timedelta

from appliance.access.reason import Reason
from appliance.access.token import Direction
from appliance.gallery.people import LastPassage


def against_direction(last: LastPassage | None, direction: Direction) -> Reason | None:
    """Why a person whose last passage is `last` may not pass in `direction`: they must go the other way first."""
    if last is None or last[0] != direction:
        return None
    return Reason.ALREADY_IN if direction is Direction.IN else Reason.ALREADY_OUT


def depends_on_time(last: LastPassage | None, direction: Direction, least_s: float) -> bool:
    """Whether `against_time` needs the time."""
    return least_s > 0 and last is not None and last[0] == direction


def against_time(last: LastPassage | None, direction: Direction, now: datetime, least_s: float) -> Reason | None:
    """Why a person may not pass in the same direction again yet: the last passage was less than `least_s` seconds ago. One that
    seems to lie ahead, because the clock went back, counts as now.
    """
    if last is None or not depends_on_time(last, direction, least_s):
        return None
    return Reason.TOO_SOON if now - last[1] < timedelta(seconds=least_s) else None
