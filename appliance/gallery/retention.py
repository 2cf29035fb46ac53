"""Retention: what has been kept for so long that it has to go."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, timedelta

from appliance.gallery.people import Known, Person


@dataclass(frozen=True, slots=True)
class Expired:
    """People, and templates (whose, and their number) of people who stay."""

    people: tuple[Person, ...]
    templates: tuple[tuple[Person, int], ...]


def expired(
    everybody: Iterable[Known], today: date, people_after_days: int | None, templates_after_days: int | None
) -> Expired:
    """Who was valid for the last time more than so many days before today, and which templates are so many days old or
    older; None: none. `today` must be sure: by a clock that runs ahead everybody has been kept for too long.
    """
    gone: list[Known] = []
    staying: list[Known] = []
    for known in everybody:
        (gone if _over(known.person.valid_until, people_after_days, today) else staying).append(known)
    old = (
        (known.person, template.number)
        for known in staying
        for template in known.templates
        if templates_after_days is not None and _days(template.created.date(), today) >= templates_after_days
    )
    return Expired(tuple(known.person for known in gone), tuple(old))


def _over(last: date | None, days: int | None, today: date) -> bool:
    return last is not None and days is not None and _days(last, today) > days


def _days(then: date, today: date) -> int:
    return (today - then) // timedelta(days=1)
