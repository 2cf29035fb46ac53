"""What a calibration has found, for people and for programs."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from appliance.calibration.entries import Entry, Kind, Measured, record

UNITS = {Kind.SIMILARITY: "cosine", Kind.LIVENESS: "log odds"}

NAMES = {"fmr": "FMR", "tmr": "TMR", "bpcer": "BPCER", "apcer": "APCER"}


@dataclass(frozen=True, slots=True)
class Point:
    """An operating point that was found: for which file, and where it was before."""

    file: str
    before: float
    entry: Entry


@dataclass(frozen=True, slots=True)
class Outcome:
    """The operating points that were found, and what else is to be said."""

    kind: Kind
    points: tuple[Point, ...]
    notes: tuple[str, ...] = ()
    checked: Mapping[str, Mapping[str, Measured]] = field(default_factory=dict)
    """By file: the rates on photos that were not used."""

    @property
    def entries(self) -> tuple[Entry, ...]:
        return tuple(point.entry for point in self.points)


def document(outcome: Outcome, *, written: bool) -> dict[str, Any]:
    """The same as JSON."""
    points = [{"file": point.file, "before": point.before, **record(point.entry)} for point in outcome.points]
    checked = {
        file: {name: each.model_dump() for name, each in rates.items()} for file, rates in outcome.checked.items()
    }
    return {
        "kind": outcome.kind,
        "written": written,
        "points": points,
        "checked": checked,
        "notes": list(outcome.notes),
    }


def lines(outcome: Outcome) -> Iterator[str]:
    """The same for people."""
    for point in outcome.points:
        entry = point.entry
        counts = ", ".join(f"{count:,} {name.replace('_', ' ')}" for name, count in entry.counts.items())
        yield f"{point.file}, from {entry.basis}: {counts}"
        yield f"  threshold ({UNITS[outcome.kind]}): {entry.threshold:.4f}, it was {point.before:.4f}"
        for name, rate in entry.measured.items():
            yield f"  {_title(name)}: {in_words(rate)}{_wish(name, entry)}"
        for name, rate in outcome.checked.get(point.file, {}).items():
            yield f"  {_title(name)} of photos that were not used: {in_words(rate)}"
    yield from outcome.notes


def in_words(rate: Measured) -> str:
    """Such as "0.10 % [0.06 … 0.18], 98 of 98,123"."""
    if rate.count == 0:
        bounds = f"[at most {100 * rate.upper:.3g} %, rule of three]"
    else:
        bounds = f"[{100 * rate.lower:.3g} … {100 * rate.upper:.3g}]"
    return f"{100 * rate.value:.3g} % {bounds}, {rate.count:,} of {rate.total:,}"


def _title(name: str) -> str:
    head, _, rest = name.partition(" ")
    return f"{NAMES[head]} {rest}".strip()


def _wish(name: str, entry: Entry) -> str:
    wanted = entry.wanted.get(name.partition(" ")[0])
    if wanted is None:
        return ""
    missed = " and NOT kept" if entry.measured[name].value > wanted else ""
    return f" (wanted: at most {100 * wanted:g} %{missed})"
