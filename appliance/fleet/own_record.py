"""This device's record in the fleet: written when it changes, and what its place on the servers says of this device."""

import secrets
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace

from appliance.faults import Problem
from appliance.fleet.devices import COMMAND, DeviceRecord, records_of
from appliance.fleet.link import Bucket, OvertakenError
from appliance.fleet.replica import StoredValue
from appliance.fleet.sealing import Envelopes

RECORD_SECONDS = (2.0, 30.0)
"""How often a device writes its record: at most, and at least."""

TWIN_SECONDS = 3 * RECORD_SECONDS[1]
"""How long another device with this id is a problem after its last record."""

CLOCK_SECONDS = 2.0
"""By how much clocks may differ: as long as an answer of the servers may take, and passages of one person take longer."""


class OwnRecord:
    """Of one thread, except `problems`."""

    def __init__(
        self, device: str, clock: Callable[[], float] = time.monotonic, now: Callable[[], float] = time.time
    ) -> None:
        self._device, self._clock, self._now = device, clock, now
        self.instance = secrets.token_hex(8)
        """Tells the records of this process from those of another one."""
        self._written: tuple[float, DeviceRecord | None] = (float("-inf"), None)
        self._stored: tuple[int, float, float] | None = None
        """The sequence number of the newest record, and when it was sent and acknowledged."""
        self._twin = float("-inf")
        self._ahead = 0.0

    def problems(self) -> list[Problem]:
        """What is wrong, for `/healthz`."""
        found, ahead = [], self._ahead
        if self._clock() - self._twin < TWIN_SECONDS:
            text = f"Another device has this device's id, {self._device}: a copy of its card needs an id of its own."
            found.append(Problem("fleet", "fleet_device_twice", text))
        if abs(ahead) > CLOCK_SECONDS:
            differs = f"{abs(ahead):.0f} s {'ahead of' if ahead > 0 else 'behind'}"
            found.append(Problem("fleet", "fleet_clock", f"The clock is {differs} that of the fleet's servers."))
        return found

    async def report(self, devices: Bucket, envelopes: Envelopes, current: Callable[[], DeviceRecord | None]) -> None:
        """Writes the record when it has changed, or is old. Raises LinkError."""
        written, before = self._written
        age = self._clock() - written
        if age < RECORD_SECONDS[0] or (record := current()) is None:
            return
        if before == replace(record, time=before.time if before else 0.0) and age < RECORD_SECONDS[1]:
            return
        if found := await devices.read(self._device):
            self._examine(found, envelopes)
        with suppress(OvertakenError):
            sent, value = self._now(), record.close(envelopes)
            sequence = await devices.write(self._device, value, found.sequence if found else 0)
            self._written, self._stored = (self._clock(), record), (sequence, sent, self._now())

    def _examine(self, found: StoredValue, envelopes: Envelopes) -> None:
        """What another record than the last one says, if that was written later, and not by a command; or when the servers
        stored the last one, by their clock.
        """
        if self._stored is None:
            return
        sequence, sent, acknowledged = self._stored
        if found.sequence == sequence and found.time is not None:
            stored = found.time.timestamp()
            self._ahead = max(sent - stored, 0.0) or min(acknowledged - stored, 0.0)
        for record in records_of([(found.key, found.value)], envelopes) if found.sequence > sequence else []:
            another = record.instance != self.instance and record.about.status != COMMAND
            if another and record.time > sent:
                self._twin = self._clock()
