"""Anti-passback: nobody hands their face back over the fence, but a door that is passed twice in one direction tells of a
second person, or of a way around it.
"""

from datetime import datetime, timedelta

from appliance.access_control.ruling import Reason
from appliance.access_control.situation import Direction, Passage


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
