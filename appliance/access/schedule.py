"""Days and hours in local time."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import date, datetime, timedelta

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
"""In the order of datetime.weekday()."""

HOLIDAY = "holiday"
"""What a holiday is instead of a day of the week."""

EVERY_DAY = (*DAYS, HOLIDAY)

MINUTES_A_DAY = 24 * 60


@dataclass(frozen=True, slots=True)
class Schedule:
    """When `groups` may pass: on `days` (names of EVERY_DAY) from `begin` until just before `end`, minutes since midnight
    (0..1439 and 0..1440). An end at or before the begin is on the next day, and the hours after midnight belong to the day on
    which they began.

    Local wall time decides: an hour that comes twice when the clocks go back counts twice.
    """

    groups: tuple[str, ...]
    days: tuple[str, ...] = EVERY_DAY
    begin: int = 0
    end: int = MINUTES_A_DAY

    @classmethod
    def of(cls, groups: Collection[str], days: Collection[str], begin: str, end: str) -> "Schedule":
        """From the configuration: times as "07:30", the end up to "24:00". Raises ValueError, which names the mistake."""
        if unknown := [day for day in days if day not in EVERY_DAY]:
            raise ValueError(f"days: {unknown[0]!r} is none of {', '.join(EVERY_DAY)}")
        return cls(
            tuple(groups), tuple(day for day in EVERY_DAY if day in days), minutes(begin, 1439), minutes(end, 1440)
        )

    def names(self, groups: Collection[str]) -> bool:
        return not set(groups).isdisjoint(self.groups)

    def began(self, moment: datetime, holidays: Collection[str] = ()) -> date | None:
        """The day on which the period began that `moment` (local time) is in; None if it is in none. `holidays` are days such
        as "2026-12-25".
        """
        today, minute = moment.date(), 60 * moment.hour + moment.minute
        if self.begin < self.end:
            return today if day_of(today, holidays) in self.days and self.begin <= minute < self.end else None
        if day_of(today, holidays) in self.days and minute >= self.begin:
            return today
        yesterday = today - timedelta(days=1)
        return yesterday if day_of(yesterday, holidays) in self.days and minute < self.end else None

    def covers(self, moment: datetime, holidays: Collection[str] = ()) -> bool:
        return self.began(moment, holidays) is not None

    def __str__(self) -> str:
        hours = f"{' '.join(self.days)} {clock_face(self.begin)}-{clock_face(self.end)}"
        return f"{' '.join(self.groups)}: {hours}" if self.groups else hours


def day_of(day: date, holidays: Collection[str]) -> str:
    """Its name among EVERY_DAY."""
    return HOLIDAY if day.isoformat() in holidays else DAYS[day.weekday()]


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
