"""This device as a member of its fleet: one thread with an event loop of its own keeps the gallery and the servers in step."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Sequence
from concurrent.futures import CancelledError
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from datetime import datetime
from typing import Any, Protocol, TypeVar

from appliance.faults import Fault, Problem
from appliance.fleet.devices import About, DeviceRecord, Overview, PersonPlace, records_of
from appliance.fleet.link import Address, Bucket, BucketState, Link, LinkError, OvertakenError
from appliance.fleet.membership import FleetError, Membership
from appliance.fleet.own_record import OwnRecord
from appliance.fleet.presence import Presence
from appliance.fleet.replica import Replica
from appliance.fleet.sealing import Envelopes, FleetKeys
from appliance.gallery.gallery import Gallery
from appliance.gallery.people import ChangedElsewhereError, GalleryError
from appliance.gallery.shares import Share
from appliance.supervision import give_back

log = logging.getLogger(__name__)

CHECK_SECONDS = 1.0
"""How often a member without news asks for the bucket's last sequence number. After two such questions without the values in
between, it subscribes again: a subscription may be blind (see `link`).
"""

RETRY_SECONDS = 1.0
"""From the loss of a connection to the next attempt."""

SHARE_SECONDS = 1.0
"""How long the answer to a change waits for the servers; after that it says that the change is not shared yet."""

TRIES = 3
"""Attempts to write a person whom other devices change at the same time."""

AT_ONCE = 64
"""Values on their way to the servers at the same time."""

NOTED_AT_ONCE = 1024
"""Values that are written between two transactions of the gallery, each of which costs as much as there are people."""

PATIENCE_SECONDS = 10.0
"""How long the servers may be away before that is a problem."""

OVERVIEW_SECONDS = 5.0
"""How long an overview waits for the servers and for the thread."""

OWN_CONFLICT = 2.0
"""A conflict of a person is that of the change whose answer waits if it is not older than so many seconds."""

T = TypeVar("T")


class Companion(Protocol):
    """What uses the connection beside the gallery."""

    async def run(self, link: Link, keys: FleetKeys) -> None:
        """Works until it is cancelled, at the end of the connection."""

    def problems(self) -> list[Problem]:
        """What is wrong, for `/healthz`."""


class Member:
    """Shares the people of the gallery. `share`, `problems` and `silent_s` may be called by any thread."""

    def __init__(
        self,
        membership: Callable[[], Membership],
        files: Address,
        device: str,
        gallery: Callable[[], Gallery],
        refresh: Callable[[], None],
        about: Callable[[], About],
        clock: Callable[[], float] = time.monotonic,
        companions: Sequence[Companion] = (),
    ) -> None:
        """`membership` is read before each connection; `files` has the certificate authority and the nkey seed, `device` is the
        id of this device. `gallery` raises GalleryError or Fault while there is none; `refresh` takes over and publishes what
        has changed in it.
        """
        self._membership, self._files, self._device, self._clock = membership, files, device, clock
        self._gallery, self._refresh, self._about = gallery, refresh, about
        self._presence = Presence(device, self._current)
        self._companions = (self._presence, *companions)
        self._joined: Membership | None = None
        self._envelopes: Envelopes | None = None
        self._replica: Replica | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[None] | None = None
        self._link: Link | None = None
        self._bucket: Bucket | None = None
        self._devices: Bucket | None = None
        self._records: list[DeviceRecord] = []
        self._created: datetime | None = None
        self._position = 0
        self._own = OwnRecord(device, clock)
        self._many = False
        """Whether so many people were read or written that it took memory for a moment."""
        self._heard = clock()
        self.heard = False
        """Whether the servers have confirmed since the start that this device has everything."""
        self._trouble: str | None = None
        self._stopped = False

    def run(self) -> None:
        """Works until `stop`."""
        with suppress(asyncio.CancelledError):
            asyncio.run(self._work())
        assert self._stopped, "the thread of the fleet has ended by itself"

    def stop(self) -> None:
        """Ends `run`; what is not shared by then is shared after the next start."""
        self._stopped = True
        if self._loop is not None and self._task is not None:
            with suppress(RuntimeError):  # the loop has ended by itself
                self._loop.call_soon_threadsafe(self._task.cancel)

    def share(self, identity: str) -> bool:
        """Returns whether the servers have the person as they are in the gallery, or their erasure; waits for that for a
        moment. Raises ChangedElsewhereError if another device's change came first, which the gallery has then.
        """
        if self._loop is None or self._bucket is None:
            return False
        answer = asyncio.run_coroutine_threadsafe(self._share(self._bucket, identity), self._loop)
        try:
            return answer.result(SHARE_SECONDS)
        except ChangedElsewhereError:
            raise
        except (TimeoutError, CancelledError, LinkError, GalleryError):
            answer.cancel()
            return False

    def overview(self, identities: Sequence[str]) -> Overview:
        """Returns what is known of the fleet, and where these people of the gallery are known; waits for the servers for a
        moment, and falls back on what they said last.
        """
        if self._loop is None:
            return Overview()
        answer = asyncio.run_coroutine_threadsafe(self._overview(identities), self._loop)
        try:
            return answer.result(OVERVIEW_SECONDS)
        except (TimeoutError, CancelledError, GalleryError):
            answer.cancel()
            return Overview()

    def ask(self, work: Callable[[Link, Membership], Coroutine[Any, Any, T]]) -> T:
        """Returns the result of what uses the connection. Raises LinkError, also while there is none."""
        if self._loop is None or self._link is None or self._joined is None:
            raise LinkError("there is no connection to the fleet's servers")
        answer = asyncio.run_coroutine_threadsafe(work(self._link, self._joined), self._loop)
        try:
            return answer.result(OVERVIEW_SECONDS)
        except (TimeoutError, CancelledError) as error:
            answer.cancel()
            raise LinkError("the fleet's servers do not answer") from error

    def silent_s(self) -> float:
        """Returns the seconds since the servers last confirmed that this device has everything, or since the start."""
        return self._clock() - self._heard

    def problems(self) -> list[Problem]:
        """What is wrong, for `/healthz`."""
        found, refused = [], self._replica.refused() if self._replica else {}
        if self.silent_s() > PATIENCE_SECONDS and (self._trouble or not refused):
            found.append(Problem("fleet", "fleet_unreachable", "The fleet's servers cannot be reached: see the log."))
        if refused:
            text = f"{len(refused)} values of the fleet's servers were refused, because they are older or altered: see the log."
            found.append(Problem("fleet", "fleet_values_refused", text))
        if self._replica and (held := self._replica.held()):
            text = f"{len(held)} people differ from those of the fleet: `appliance fleet status` lists them."
            found.append(Problem("fleet", "fleet_people_differ", text))
        of_others = (problem for each in self._companions for problem in each.problems())
        return [*found, *self._own.problems(), *of_others]

    async def synchronise(self, *, reseal: bool = False) -> Replica:
        """Connects, brings the gallery and the servers in step once, and returns the replica; with `reseal`, has every value
        sealed anew. Raises LinkError, FleetError, GalleryError.
        """
        async with self._connection() as (link, bucket, devices, replica):
            while (self._trouble or replica.pending()) and not link.closed.is_set():
                await self._follow(link, bucket, devices, replica)
            if reseal:
                replica.reseal()
                await self._settle(bucket, replica)
        return replica

    async def _work(self) -> None:
        self._loop, self._task = asyncio.get_running_loop(), asyncio.current_task()
        while not self._stopped:
            try:
                async with self._connection() as (link, bucket, devices, replica):
                    log.info("fleet: connected")
                    assert self._joined is not None
                    async with _beside(link, (each.run(link, self._joined.keys) for each in self._companions)):
                        while not self._over(link):
                            await self._follow(link, bucket, devices, replica)
                        if not link.closed.is_set():
                            return
                raise LinkError("the connection to the fleet's servers is lost")
            except (LinkError, FleetError, GalleryError, Fault) as error:
                if str(error) != self._trouble:
                    log.warning("fleet: %s", error)
                self._trouble = str(error)
            await asyncio.sleep(RETRY_SECONDS)

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[tuple[Link, Bucket, Bucket, Replica]]:
        gallery, membership = self._gallery(), self._membership()
        if self._replica is None or membership != self._joined:
            self._joined, self._envelopes = membership, Envelopes(membership.keys)
            self._replica, self._created = Replica(gallery, self._envelopes), None
            self._own = OwnRecord(self._device, self._clock)
        self._trouble = self._trouble or "not yet in step"
        fleet, address = membership.keys.id, replace(self._files, urls=membership.urls)
        async with Link.to(address, self._device) as link:
            self._bucket, self._devices = [await link.bucket(name(fleet)) for name in (people_bucket, devices_bucket)]
            self._link = link
            try:
                yield link, self._bucket, self._devices, self._replica
            finally:
                self._link = self._bucket = self._devices = None

    async def _follow(self, link: Link, bucket: Bucket, devices: Bucket, replica: Replica) -> None:
        """One subscription, until it is blind, or the bucket is another one."""
        state = await bucket.state()
        if state.created != self._created:
            replica.start_anew()
            self._created, self._position = state.created, 0
        async with bucket.following(self._position + 1) as feed:
            doubts, due = 0, self._clock()
            while not self._over(link):
                if values := await feed.batch(CHECK_SECONDS):
                    replica.absorb(values)
                    self._many |= len(values) > AT_ONCE
                    self._position, doubts = values[-1].sequence, 0
                    if self._clock() < due:
                        continue
                due, expected = self._clock() + CHECK_SECONDS, replica.values
                state = await self._state(bucket)
                lacks = state.last < self._position or state.values < expected
                if state.created != self._created or (lacks and doubts):
                    self._created = None
                    return
                if state.last == self._position and not lacks:
                    if await self._in_step(bucket, devices, replica):
                        return
                elif lacks or not values:  # the bucket may lack values for a moment, under a new leader
                    doubts += 1
                    if doubts == 2:
                        return

    def _over(self, link: Link) -> bool:
        """Whether the connection is lost, or this member was stopped: a message that comes in the moment of a cancellation ends
        that (asyncio.wait_for of Python 3.11).
        """
        return self._stopped or link.closed.is_set()

    async def _state(self, bucket: Bucket) -> BucketState:
        """Takes over what has changed on this device; returns the state of the bucket. Raises FleetError if this device has
        left or joined meanwhile.
        """
        self._refresh()
        if self._membership() != self._joined:
            raise FleetError("the membership of this device has changed")
        state = await bucket.state()
        if not state.values:  # after a loss, the next sequence number is not the first one
            self._position = state.last
        return state

    async def _in_step(self, bucket: Bucket, devices: Bucket, replica: Replica) -> bool:
        """Once everything has arrived: shares what is pending. Returns whether a member that does this once is done."""
        self._trouble = None
        if replica.read_until(self._position) == self._position:
            self._heard, self.heard = self._clock(), True
        if await self._settle(bucket, replica):
            return False  # until these come back
        if self._many:
            self._many = False
            give_back()
        assert self._envelopes is not None
        await self._own.report(devices, self._envelopes, self._current)
        return self._loop is None

    async def _settle(self, bucket: Bucket, replica: Replica) -> bool:
        """Writes what the servers do not have, and reads what this device does not have any more; returns whether it has
        written anything.
        """
        for key in replica.missing():
            found = await bucket.read(key)
            replica.vanished(key)
            if found:
                replica.absorb([found])
        keys = replica.pending()
        begin = int(self._device, 16) % max(1, len(keys))  # devices that share the same people begin at different ones
        keys = keys[begin:] + keys[:begin]
        self._many |= len(keys) > AT_ONCE
        for first in range(0, len(keys), NOTED_AT_ONCE):
            await self._write(bucket, replica, keys[first : first + NOTED_AT_ONCE])
        return bool(keys)

    async def _write(self, bucket: Bucket, replica: Replica, keys: Sequence[str]) -> None:
        replica.announce(keys)
        stored: list[tuple[str, Share, int] | None] = []
        for first in range(0, len(keys), AT_ONCE):
            part = keys[first : first + AT_ONCE]
            stored += await asyncio.gather(*(self._write_one(bucket, replica, key) for key in part))
        replica.acknowledged([each for each in stored if each])

    async def _write_one(self, bucket: Bucket, replica: Replica, key: str) -> tuple[str, Share, int] | None:
        outgoing = replica.outgoing(key)
        if outgoing is None:
            return None
        version, value, last = outgoing
        try:
            return key, version, await bucket.write(key, value, last)
        except OvertakenError:
            if found := await bucket.read(key):
                replica.absorb([found])
            else:
                replica.vanished(key)
            return None

    def _current(self) -> DeviceRecord | None:
        """This device's record, None before the first connection."""
        if self._replica is None or self._created is None:
            return None
        people, pending = len(self._gallery().snapshot.people), len(self._replica.pending())
        facts = self._device, self._about(), people, len(self._replica.held()), pending, self._created
        return DeviceRecord(*facts, self._replica.read_until(self._position), time.time(), self._own.instance)

    async def _overview(self, identities: Sequence[str]) -> Overview:
        replica, reached, last, online = self._replica, False, self._position, None
        if self._joined is None or self._envelopes is None or replica is None:
            return Overview()
        if self._bucket and self._devices:
            with suppress(LinkError):
                last, values = (await self._bucket.state()).last, await self._devices.values()
                self._records = records_of(((each.key, each.value) for each in values), self._envelopes)
                reached, online = True, self._presence.online(self._records)
        if (created := self._created) is None:
            return Overview(self._joined.keys.id, reached)
        people = {}
        for identity in identities:
            state, sequence = replica.place(replica.key(identity))
            lacking = (each.device for each in self._records if state == "unshared" or not each.has(created, sequence))
            people[identity] = PersonPlace(state, tuple(device for device in lacking if device != self._device))
        devices = tuple((each, each.lag(created, last)) for each in self._records)
        return Overview(self._joined.keys.id, reached, devices, people, online)

    async def _share(self, bucket: Bucket, identity: str) -> bool:
        replica = self._replica
        assert replica is not None
        key = replica.key(identity)
        for _ in range(TRIES):
            await self._write(bucket, replica, [key])
            for conflict in replica.conflicts:
                if conflict.key == key and time.monotonic() - conflict.time < OWN_CONFLICT:
                    replica.conflicts.remove(conflict)
                    raise ChangedElsewhereError(
                        f"another device has changed {identity} at the same time, and its change stays"
                    )
            if replica.shared(key):
                return True
        return False


@asynccontextmanager
async def _beside(link: Link, works: Iterable[Coroutine[Any, Any, None]]) -> AsyncIterator[None]:
    """Does this work meanwhile, and cancels it at the end. Work that ends by itself has failed, and ends the connection."""
    tasks = [asyncio.create_task(work) for work in works]
    for task in tasks:
        task.add_done_callback(lambda _: link.closed.set())
    try:
        yield
    finally:
        while left := [task for task in tasks if not task.done()]:
            for task in left:
                task.cancel()
            await asyncio.wait(left, timeout=RETRY_SECONDS)  # a message that comes in this moment ends the cancellation
        for task in tasks:
            if not task.cancelled():
                task.result()


def people_bucket(fleet: str) -> str:
    """Returns the name of the bucket with the people of a fleet."""
    return f"fleet-{fleet}-people"


def devices_bucket(fleet: str) -> str:
    """Returns the name of the bucket with the records of a fleet's devices."""
    return f"fleet-{fleet}-devices"
