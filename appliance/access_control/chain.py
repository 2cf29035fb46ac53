"""One line of the record of decisions, and how it hangs on the one before."""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

Fact = str | int | bool | tuple[str | int, ...] | None
"""No floats: scores are biometric data's next of kin, and a number that is written in two ways has two hashes."""

START = "0" * 64
"""What the first entry of all hangs on."""

KIND = re.compile(r"[a-z][a-z_]{0,31}")

_LINE = re.compile(rb'(\{.*),"hash":"([0-9a-f]{64})"\}', re.DOTALL)


class DamagedLineError(ValueError):
    """A line is not as it was written."""


@dataclass(frozen=True, slots=True)
class Entry:
    """What was recorded: `sequence` counts from 1 without a gap, `time` is UTC to the millisecond, `previous` the hash of the
    entry before, `hash` (SHA-256 in hexadecimal) that of this one, which covers all the rest.
    """

    sequence: int
    time: datetime
    kind: str
    facts: Mapping[str, Fact]
    previous: str
    hash: str


def write(sequence: int, time: datetime, kind: str, facts: Mapping[str, Fact], previous: str) -> tuple[bytes, str]:
    """The line (canonical JSON, its hash last, a newline) and the hash. Raises ValueError for what has no place in a record."""
    if not KIND.fullmatch(kind):
        raise ValueError(f"{kind!r} is no kind of entry")
    for name, fact in facts.items():
        _check(name, fact)
    body = _canonical(
        {"facts": dict(facts), "kind": kind, "previous": previous, "sequence": sequence, "time": _stamp(time)}
    )
    digest = hashlib.sha256(body).hexdigest()
    return body[:-1] + f',"hash":"{digest}"}}\n'.encode(), digest


def read(line: bytes) -> Entry:
    """The entry of a line without its newline. Raises DamagedLineError when a single bit of it is not as it was written."""
    match = _LINE.fullmatch(line)
    if not match:
        raise DamagedLineError("it is not one of this record's")
    body, digest = match[1] + b"}", match[2].decode()
    if hashlib.sha256(body).hexdigest() != digest:
        raise DamagedLineError("its hash is another one")
    try:
        entry = _entry(json.loads(body), digest)
        again, _ = write(entry.sequence, entry.time, entry.kind, entry.facts, entry.previous)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise DamagedLineError(f"it lacks what an entry has: {error}") from error
    if again != line + b"\n":
        raise DamagedLineError("it is not written as entries are")
    return entry


def _entry(found: dict[str, Any], digest: str) -> Entry:
    sequence, previous = found["sequence"], found["previous"]
    if type(sequence) is not int or not isinstance(previous, str):
        raise TypeError("sequence and previous")
    facts = {name: tuple(fact) if isinstance(fact, list) else fact for name, fact in found["facts"].items()}
    return Entry(sequence, datetime.fromisoformat(found["time"]), found["kind"], facts, previous, digest)


def _check(name: str, fact: Fact) -> None:
    parts = fact if isinstance(fact, tuple) else (fact,)
    if not all(part is None or isinstance(part, (str, int)) for part in parts):
        raise ValueError(f"{name}: {type(fact).__name__} has no place in the record")


def _canonical(value: Mapping[str, object]) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False).encode("ascii")


def _stamp(time: datetime) -> str:
    return time.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
