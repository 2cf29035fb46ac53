"""The record of each device in a stream of the fleet, from which a site server or a SIEM reads: sealed, each entry once, in
order. The record on the device is the store; what the servers do not have yet is sent once they are there.
"""

import asyncio
import json
import logging
import math
import struct
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from appliance import state
from appliance.access.log import Entry, Record, RecordError
from appliance.access.token import Anchor
from appliance.faults import Problem
from appliance.fleet.link import Bucket, BucketState, Link, LinkError, OvertakenError
from appliance.fleet.replica import StoredValue
from appliance.fleet.sealing import Envelopes, FleetKeys, RefusedValueError

log = logging.getLogger(__name__)

PLACE_FILE = "fleet-decisions.json"
"""In the state folder: up to where the record is in the stream."""

CHECK_SECONDS = 0.5
"""How often the record is looked at for new entries; a look takes 0.4 ms (x86-64)."""

RETRY_SECONDS = 1.0
"""From a failure to the next attempt."""

PATIENCE_SECONDS = 10.0
"""How long entries may not be taken, while the servers answer, before that is a problem."""

KEPT_SECONDS = 60.0
"""How often the place is written: after a crash the servers know it, unless they have dropped the newest entry for its age."""

BATCH = 64
"""Entries that are read from the record at once."""

ENTRY_BLOCK = 768
"""Bytes to a multiple of which an entry is padded: a decision has 470 to 740, by its reason, a door event 250."""

_HEAD = struct.Struct(">Q")
"""The sequence of the entry in the record, in clear: the seal is bound to it and to the device."""


@dataclass(frozen=True, slots=True)
class StreamPlace:
    """The newest entry that the stream has, which was made at `created`: by the record, and by its position there."""

    created: str
    position: int
    anchor: Anchor


class Forwarder:
    """Sends the entries of the record. `problems` may be called by any thread."""

    def __init__(self, record: Record, device: str, file: Path, clock: Callable[[], float] = time.monotonic) -> None:
        """`file` keeps the place."""
        self._record, self._device, self._file, self._clock = record, device, file, clock
        self._place, self._kept = _read_place(file), clock()
        self._trouble, self._since = "", 0.0

    def problems(self) -> list[Problem]:
        """What is wrong, for `/healthz`."""
        if not self._trouble or self._clock() - self._since < PATIENCE_SECONDS:
            return []
        text = f"The fleet does not get the decisions of this device; they stay in its record: {self._trouble}."
        return [Problem("fleet", "fleet_decisions_waiting", text)]

    async def run(self, link: Link, keys: FleetKeys) -> None:
        """Works until it is cancelled, which it is with the connection."""
        try:
            while True:
                try:
                    await self._forward(await link.log(decisions_stream(keys.id)), Envelopes(keys))
                except OvertakenError:  # an answer was lost, or the servers have lost entries: the place is another one
                    pass
                except (LinkError, RecordError) as error:
                    self._failed(str(error))
                await asyncio.sleep(RETRY_SECONDS)
        finally:
            self._trouble = ""
            self._keep()

    async def _forward(self, stream: Bucket, envelopes: Envelopes) -> None:
        found, newest = await stream.state(), await stream.read(self._device)
        sequence, last = self._begin(found, newest, envelopes), newest.sequence if newest else 0
        if newest and newest.sequence > (reach := _reach(newest, envelopes, found)):
            refused = await stream.read(self._device, int(reach) + 1)  # sent with a key that had been replaced: again
            sequence = min(sequence, max(0, _sequence(refused) - 1))
        while True:
            entries = self._record.after(sequence, BATCH)
            for entry in entries:
                value, name = _sealed(entry, self._device, envelopes), _name(self._device, entry.sequence, entry.hash)
                last = await stream.write(self._device, value, last, f"{name}-{envelopes.generation}")
                sequence, self._place = entry.sequence, StreamPlace(found.created.isoformat(), last, entry.anchor)
            self._trouble = ""
            if len(entries) < BATCH:
                if self._clock() - self._kept > KEPT_SECONDS:
                    self._keep()
                await asyncio.sleep(CHECK_SECONDS)

    def _begin(self, found: BucketState, newest: StoredValue | None, envelopes: Envelopes) -> int:
        """The sequence of the newest entry in the stream, by the stream itself; by the place that was kept if the stream has
        none any more, or one that is not in this record; 0 for a stream that is another one.
        """
        if newest:
            try:
                document = _opened(newest, envelopes)
                if self._has(anchor := Anchor(document["sequence"], document["hash"])):
                    return anchor.sequence
            except RefusedValueError as error:
                log.warning("fleet: this device's newest entry in the stream of decisions: %s", error)
        place = self._place
        if place and place.created == found.created.isoformat() and place.position <= found.last:
            return place.anchor.sequence if self._has(place.anchor) else 0
        return 0

    def _has(self, anchor: Anchor) -> bool:
        """Whether this is an entry of the record, or one that has expired there."""
        found = self._record.after(anchor.sequence - 1, 1)
        return bool(found) and (found[0].anchor == anchor or found[0].sequence > anchor.sequence)

    def _failed(self, trouble: str) -> None:
        if trouble != self._trouble:
            log.warning("fleet: decisions are not forwarded: %s", trouble)
        self._since = self._since if self._trouble else self._clock()
        self._trouble = trouble

    def _keep(self) -> None:
        self._kept = self._clock()
        if (place := self._place) is None or place == _read_place(self._file):
            return
        anchor = {"sequence": place.anchor.sequence, "hash": place.anchor.hash}
        try:
            state.write_document(self._file, {"created": place.created, "position": place.position, **anchor})
        except OSError as error:
            log.warning("fleet: the place in the stream of decisions is not written: %s", error)


class DecisionReader:
    """Reads the stream from a position on, also after it was away or made anew."""

    def __init__(self, envelopes: Envelopes, start: int) -> None:
        self._envelopes, self._position = envelopes, start - 1
        self._created: datetime | None = None
        self._newest: dict[str, str] = {}

    async def entries(self, stream: Bucket, *, follow: bool) -> AsyncIterator[dict[str, Any] | RefusedValueError]:
        """The entries as JSON: `position` in the stream, `id` (each has its own), `device`, what `Entry.document` has, and
        `follows`: whether the one read before from this device is the one before it in the record; None for the first. Those
        that cannot be read are errors. Without `follow`, up to the newest one. Raises LinkError.
        """
        while True:
            found = await stream.state()
            if not self._continues(found):
                self._position = found.last if found.created == self._created else 0
            self._created = found.created
            async with stream.following(self._position + 1) as feed:
                blind = False
                while self._continues(found) and not blind and (follow or self._behind(found)):
                    values = await feed.batch(CHECK_SECONDS)
                    for value in values:
                        self._position = value.sequence
                        yield self._line(value, found)
                    if not values:
                        blind = self._behind(found)
                        found = await stream.state()
            if not (follow or self._behind(found)):
                return

    def _continues(self, found: BucketState) -> bool:
        return found.created == (self._created or found.created) and found.last >= self._position

    def _behind(self, found: BucketState) -> bool:
        return found.values > 0 and found.last > self._position

    def _line(self, value: StoredValue, stream: BucketState) -> dict[str, Any] | RefusedValueError:
        try:
            document = _opened(value, self._envelopes)
            if value.sequence > _reach(value, self._envelopes, stream):
                raise RefusedValueError("sealed with a key that was replaced")
        except RefusedValueError as error:
            device = repr(value.key)[1:-1]  # anyone may have written it, and a terminal obeys control characters
            return RefusedValueError(f"position {value.sequence}, device {device}: {error}")
        before, previous = self._newest.get(value.key), document.pop("previous")
        self._newest[value.key] = document["hash"]
        name = _name(value.key, document["sequence"], document["hash"])
        follows = None if before is None else previous == before
        return {"position": value.sequence, "id": name, "device": value.key, **document, "follows": follows}


def decisions_stream(fleet: str) -> str:
    """Returns the name of the stream with the records of a fleet's devices."""
    return f"fleet-{fleet}-decisions"


def _sealed(entry: Entry, device: str, envelopes: Envelopes) -> bytes:
    content = json.dumps({**entry.document(), "previous": entry.previous}).encode()
    place = "decision", device, str(entry.sequence)
    return _HEAD.pack(entry.sequence) + envelopes.close_note(content, *place, block=ENTRY_BLOCK)


def _opened(value: StoredValue, envelopes: Envelopes) -> dict[str, Any]:
    """The entry in a value. Raises RefusedValueError."""
    if len(value.value) < _HEAD.size:
        raise RefusedValueError("deleted or cut off")
    (sequence,) = _HEAD.unpack_from(value.value)
    content = envelopes.open_note(value.value[_HEAD.size :], "decision", value.key, str(sequence))
    try:
        found = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise RefusedValueError("malformed, or by a later program") from error
    if not (isinstance(found, dict) and {"sequence", "hash", "previous"} <= found.keys()):
        raise RefusedValueError("malformed, or by a later program")
    return found


def _reach(value: StoredValue, envelopes: Envelopes, stream: BucketState) -> float:
    """Up to where in the stream values that are sealed as this one count."""
    note = value.value[_HEAD.size :]
    return envelopes.reach(note, stream.created) if note else math.inf


def _sequence(value: StoredValue | None) -> int:
    """The one that it claims; 0 without any."""
    return _HEAD.unpack_from(value.value)[0] if value and len(value.value) >= _HEAD.size else 0


def _name(device: str, sequence: int, digest: str) -> str:
    """The id of an entry: that of a record which was made anew on the same device is another one."""
    return f"{device}-{sequence}-{digest[:8]}"


def _read_place(file: Path) -> StreamPlace | None:
    try:
        found = state.read_document(file)
        return StreamPlace(
            str(found["created"]), int(found["position"]), Anchor(int(found["sequence"]), str(found["hash"]))
        )
    except (OSError, state.DamagedError, KeyError, TypeError, ValueError):
        return None
