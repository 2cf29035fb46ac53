"""When some groups may pass, by the clock on the wall."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

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
