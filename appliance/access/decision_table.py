"""Decisions on record as a CSV table, by time, person and result."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time

from appliance.access.log import DECISION, Entry, Record, voided
from appliance.access.reason import Reason
from appliance.access.token import Direction, stamp
from appliance.faults import ReportedError
from appliance.gallery.people import Person

COLUMNS = ("sequence", "time", "result", "reason", "text", "direction", "person", "name", "pass")

VOID, VOID_TEXT = "void", "recorded too late, and replaced by the next decision"
"""The result of a decision that was never answered, and why."""

WORDS = {"result": ("granted", "denied", VOID), "reason": tuple(Reason), "direction": tuple(Direction)}
"""What these parts of a decision can be."""


class FilterError(ReportedError):
    """No decision can be as it is asked for; the text names the part and its possible words."""


@dataclass(frozen=True, slots=True)
class ListedDecision:
    """A decision as lists show it. `person` is None when they are erased, and for decisions about no person."""

    entry: Entry
    result: str
    reason: str
    text: str
    person: Person | None

    def row(self) -> Sequence[object]:
        """Its cells in a table of COLUMNS."""
        facts, known = self.entry.facts, self.person
        who = (known.id, known.name) if known else ("", "")
        result = (self.result, self.reason, self.text, facts["direction"])
        return self.entry.sequence, stamp(self.entry.time), *result, *who, facts.get("pass", "")


@dataclass(frozen=True, slots=True)
class DecisionFilter:
    """Which decisions are listed: those from `since` until just before `until` whose parts are as named; None: any."""

    since: datetime | None = None
    until: datetime | None = None
    person: str | None = None
    result: str | None = None
    reason: str | None = None
    direction: str | None = None

    def __post_init__(self) -> None:
        """Raises FilterError for a word that no decision can have."""
        for name, words in WORDS.items():
            word = getattr(self, name)
            if word is not None and word not in words:
                raise FilterError(f"{name}: {word[:40]!r} is none of {', '.join(words)}")

    def listed(self, record: Record, named: Callable[[str], Person | None]) -> Iterator[ListedDecision]:
        """The decisions, newest first; `named` returns the person with a reference. Raises RecordError."""
        void: set[object] = set()
        for entry in record.each(DECISION):
            void |= voided([entry])  # the entry that voids another one is newer, and so comes first
            if (self.since and entry.time < self.since) or (self.until and entry.time >= self.until):
                continue
            found = listed_decision(entry, named, void=entry.sequence in void)
            parts = {"result": found.result, "reason": found.reason, "direction": entry.facts["direction"]}
            if self.person is not None and (found.person is None or found.person.id != self.person):
                continue
            if all(getattr(self, name) in {None, part} for name, part in parts.items()):
                yield found


def listed_decision(entry: Entry, named: Callable[[str], Person | None], *, void: bool) -> ListedDecision:
    """An entry of the kind DECISION as it is listed."""
    reason = str(entry.facts["reason"])
    text = VOID_TEXT if void else next((each.text for each in Reason if each == reason), reason)
    reference = entry.facts["person"]
    person = None if reference is None else named(str(reference))
    return ListedDecision(entry, VOID if void else str(entry.facts["result"]), reason, text, person)


def moment(text: str, *, end: bool) -> datetime:
    """A time (RFC 3339, local without an offset), or a local day: its begin, or with `end` that of the next one. Raises
    ValueError.
    """
    try:
        day = date.fromisoformat(text)
    except ValueError:
        return datetime.fromisoformat(text).astimezone()
    if end:
        day = date.fromordinal(day.toordinal() + 1)
    return datetime.combine(day, time()).astimezone()
