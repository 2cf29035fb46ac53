"""What each device of a fleet says of itself, for the others to read: sealed, in a value that it alone writes."""

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Annotated, Any, Self

from pydantic import Field, FiniteFloat, TypeAdapter, ValidationError

from appliance.access.log import DECISION, Record, RecordError
from appliance.fleet.sealing import Envelopes, RefusedValueError

Text = Annotated[str, Field(pattern=r"^[^\x00-\x1f\x7f-\x9f]{0,255}$")]
"""Nothing that a terminal obeys."""

COMMAND = "command"
"""The name under which a command connects, and the status that it reports until the device itself does."""

OUTDATED = "outdated"
"""The status of a device that has to join again, because the key of its record was replaced."""


@dataclass(frozen=True, slots=True)
class LastDecision:
    """A device's newest decision, which names no person."""

    time: datetime
    result: Text
    reason: Text
    direction: Text


@dataclass(frozen=True, slots=True)
class About:
    """The name of a device on the LAN, the version of its program, its status in /healthz, the age of its camera's newest
    picture (None without one), its last decision, the revision of the fleet's policy that is in force (None: its own), and the
    public key with which it signs policies.
    """

    name: Text
    version: Text
    status: Text
    picture_age_ms: FiniteFloat | None = field(default=None, compare=False)
    decision: LastDecision | None = None
    policy: int | None = None
    key: Text = ""

    @classmethod
    def of(cls, key: str, name: str, version: str, report: Mapping[str, Any], record: Record) -> Self:
        """From a report of /healthz and the record of decisions."""
        age = (report["camera"] or {}).get("frame_age_ms")
        try:
            found = record.newest(1, DECISION)
        except RecordError:
            found = ()
        newest = [
            LastDecision(each.time, *(str(each.facts[part]) for part in ("result", "reason", "direction")))
            for each in found
        ]
        policy = report.get("policy", {}).get("revision")
        return cls(name, version, report["status"], age, newest[0] if newest else None, policy, key)


@dataclass(frozen=True, slots=True)
class DeviceRecord:
    """A device: what it is, how many people it has, how many of them are held (differ from the fleet's) and pending (not
    shared yet), and the sequence number up to which it could read the bucket, which was made at `created`. `time` is that of
    the record, in seconds since 1970; `instance` tells the processes apart that write under one id.
    """

    device: Text
    about: About
    people: int
    held: int
    pending: int
    created: datetime
    position: int
    time: FiniteFloat
    instance: Text = ""

    def close(self, envelopes: Envelopes, *question: str) -> bytes:
        """Returns the sealed value; that of an answer is valid for its question alone."""
        return envelopes.close_note(_RECORD.dump_json(self), "device", self.device, *question)

    def has(self, created: datetime, position: int) -> bool:
        """Whether the device could read everything up to this place in the bucket."""
        return self.created == created and self.position >= position

    def lag(self, created: datetime, last: int) -> int:
        """Returns how many changes the device has yet to get, of a bucket with the sequence number `last`."""
        return max(0, last - (self.position if self.created == created else 0))

    @property
    def age_s(self) -> float:
        """Seconds since the record was written, by the clocks of both devices."""
        return max(0.0, time.time() - self.time)


@dataclass(frozen=True, slots=True)
class PersonPlace:
    """How a person of this device stands in the fleet ("shared", "unshared", "differs"), and which devices do not have the
    fleet's newest version yet.
    """

    state: str
    missing: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Overview:
    """What this device knows of its fleet: its id, whether the servers answer, the records of the devices with the number of
    changes that each has yet to get, the places of people by id, and which devices are online (None: not known yet).
    """

    fleet: str | None = None
    reached: bool = False
    devices: tuple[tuple[DeviceRecord, int], ...] = ()
    people: Mapping[str, PersonPlace] = field(default_factory=dict)
    online: frozenset[str] | None = None


_RECORD = TypeAdapter(DeviceRecord)


def records_of(values: Iterable[tuple[str, bytes]], envelopes: Envelopes, *question: str) -> list[DeviceRecord]:
    """Returns the records in these values, or in answers to a question, by device id; those that no device of the fleet has
    written, that name another device, or that would write more than text into a terminal, are left out. One that is sealed with
    a key that was replaced may be that of a stolen device: it says which device has to join again, and confirms nothing.
    """
    found = []
    for device, value in values:
        try:
            record = _RECORD.validate_json(envelopes.open_note(value, "device", device, *question))
        except (RefusedValueError, ValidationError):
            continue
        if record.device == device:
            if envelopes.outdated(value):
                about = About(record.about.name, record.about.version, OUTDATED)
                record = replace(record, about=about, position=0)
            found.append(record)
    return sorted(found, key=lambda record: record.device)
