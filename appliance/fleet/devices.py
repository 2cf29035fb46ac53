"""What each device of a fleet says of itself, for the others to read: sealed, in a value that it alone writes."""

import time
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from pydantic import TypeAdapter, ValidationError

from appliance.fleet.sealing import Envelopes, RefusedValueError


@dataclass(frozen=True, slots=True)
class About:
    """The name of a device on the LAN, the version of its program, and its status in /healthz."""

    name: str
    version: str
    status: str


@dataclass(frozen=True, slots=True)
class DeviceRecord:
    """A device: what it is, how many people it has, how many of them are held (differ from the fleet's) and pending (not
    shared yet), and the sequence number up to which it could read the bucket, which was made at `created`. `time` is that of
    the record, in seconds since 1970.
    """

    device: str
    about: About
    people: int
    held: int
    pending: int
    created: datetime
    position: int
    time: float

    def close(self, envelopes: Envelopes) -> bytes:
        """Returns the sealed value."""
        return envelopes.close_note(_RECORD.dump_json(self), "device", self.device)

    def has(self, created: datetime, position: int) -> bool:
        """Whether the device could read everything up to this place in the bucket."""
        return self.created == created and self.position >= position

    @property
    def age_s(self) -> float:
        """Seconds since the record was written, by the clocks of both devices."""
        return max(0.0, time.time() - self.time)


_RECORD = TypeAdapter(DeviceRecord)


def records_of(values: Iterable[tuple[str, bytes]], envelopes: Envelopes) -> list[DeviceRecord]:
    """Returns the records in these values by device id; those that no device of the fleet has written are left out."""
    found = []
    for device, value in values:
        try:
            found.append(_RECORD.validate_json(envelopes.open_note(value, "device", device)))
        except (RefusedValueError, ValidationError):
            continue
    return sorted(found, key=lambda record: record.device)
