"""Last passages that the doors of a fleet share, for anti-passback: one sealed value per person.

A door decides at once, by what it knows. Its passage is shared as soon as the decision is answered, by compare-and-set; of
passages that two doors did not know of each other the newer one stays.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Annotated

from pydantic import AwareDatetime, Field, TypeAdapter, ValidationError

from appliance.faults import Fault, Problem
from appliance.fleet.link import Bucket, Link, LinkError, OvertakenError
from appliance.fleet.replica import MOST_REFUSED, REMEMBERED_SECONDS, StoredValue
from appliance.fleet.sealing import Envelopes, FleetKeys, RefusedValueError, UnreadableValueError
from appliance.gallery.gallery import Gallery
from appliance.gallery.people import GalleryError, LastPassage
from appliance.gallery.repository import GallerySnapshot

log = logging.getLogger(__name__)

CHECK_SECONDS = 1.0
"""How often the bucket is asked for its last sequence number; after two such questions without the values in between, the
subscription is blind, and is made anew.
"""

PATIENCE_SECONDS = 10.0
"""How long passages may not be shared, while the servers answer, before that is a problem."""

TRIES = 3
"""Attempts to write a passage while other doors write passages of the same person."""


@dataclass(frozen=True, slots=True)
class SharedPassage:
    """A person's last passage as the fleet has it: its direction and time by the clock of its device, and the passage that this
    device knew to be the one before.
    """

    direction: Annotated[str, Field(pattern=r"^(in|out)$")]
    time: AwareDatetime
    device: str
    previous: LastPassage | None

    @property
    def passage(self) -> LastPassage:
        return self.direction, self.time

    def over(self, other: "SharedPassage") -> bool:
        """Whether it is the later one: its device knew of the other, or neither knew and its time is later."""
        return self.previous == other.passage or (other.previous != self.passage and self.time > other.time)


@dataclass(frozen=True, slots=True)
class BucketPassage:
    """What is known of a value: its sequence number, the passage in it (None if it is refused or empty), the latest one that
    the fleet has had, and whether it is sealed with a key that this device does not have.
    """

    sequence: int = 0
    value: SharedPassage | None = None
    latest: SharedPassage | None = None
    unread: bool = False


def own(latest: SharedPassage | None, local: LastPassage | None, device: str) -> SharedPassage | None:
    """Returns the last passage at a device: `latest` is that of the fleet as far as the device knows, `local` its own."""
    if local is None or (latest and local == latest.passage):
        return latest
    return SharedPassage(*local, device, latest.passage if latest else None)


def taken(latest: SharedPassage | None, local: LastPassage | None, incoming: SharedPassage, device: str) -> bool | None:
    """Whether `incoming` becomes the last passage at a device, with arguments as of `own`; None if it is refused, because it is
    older than what the fleet has had.
    """
    here = own(latest, local, device)
    if here is None or incoming.over(here):
        return True
    return None if here == latest and incoming.passage != here.passage else False


def after(latest: SharedPassage | None, incoming: SharedPassage) -> SharedPassage:
    """Returns that of the fleet once `incoming` has arrived."""
    return incoming if latest is None or incoming.passage == latest.passage or incoming.over(latest) else latest


class PassageBoard:
    """What the bucket has, and what this device has to say. Of one thread, except `refused`. Methods raise GalleryError."""

    def __init__(self, gallery: Gallery, envelopes: Envelopes, device: str) -> None:
        self._gallery, self._envelopes, self._device = gallery, envelopes, device
        self._seen: dict[str, BucketPassage] = {}
        self._keys: dict[str, str] = {}
        """The keys of people by their references."""
        self._references: dict[str, str] = {}
        self._looked_at: GallerySnapshot | None = None
        self._open: dict[str, LastPassage | None] = {}
        """The keys of which this device, or the bucket, has got another passage, and that of this device the last time."""
        self._gone: set[str] = set()
        self._refused: dict[str, float] = {}

    def start_anew(self) -> None:
        """Forgets what the bucket holds, because it was made anew or restored."""
        self._seen = {key: BucketPassage(latest=each.latest) for key, each in self._seen.items()}
        self._open |= dict.fromkeys(self._references)

    def key(self, reference: str) -> str:
        """Returns the key of a person of this gallery in the bucket."""
        if reference not in self._keys:
            self._look()
        return self._keys.get(reference, "")

    def absorb(self, values: Iterable[StoredValue]) -> None:
        """Takes values as they arrive, those that are later than this device's into the gallery."""
        new = {each.key: each for each in values if each.sequence > self._at(each.key).sequence}
        if any(key not in self._references for key in new):
            self._look()
        passages, seen, due = self._gallery.snapshot.passages, dict[str, BucketPassage](), dict[str, LastPassage]()
        for key, value in new.items():
            before = self._at(key)
            try:
                incoming, unread = self._opened(value), False
            except UnreadableValueError as error:
                self._refuse(key, str(error))
                incoming, unread = None, True
            reference = self._references.get(key, "")
            local = passages.get(reference)
            verdict = taken(before.latest, local, incoming, self._device) if incoming else False
            if verdict is None:
                self._refuse(key, "an older passage")
            if verdict is None or incoming is None:
                seen[key] = replace(before, sequence=value.sequence, value=None, unread=unread)
                continue
            seen[key] = BucketPassage(value.sequence, incoming, after(before.latest, incoming))
            if verdict and reference:
                due[reference] = incoming.passage
        self._write(due, passages)
        self._seen |= seen
        self._open |= {key: self._open.get(key) for key in new}

    def pending(self) -> list[str]:
        """Returns the keys whose value in the bucket is not this device's last passage, and was not the last time either: a
        passage may be taken back while its decision is being recorded. Gives people who have come since their passages.
        """
        self._look()
        passages, due, ready, still = self._gallery.snapshot.passages, {}, [], dict[str, LastPassage | None]()
        for key, before in self._open.items():
            reference, value = self._references.get(key, ""), self._at(key).value
            local = passages.get(reference)
            if local is None and value and reference:
                due[reference] = value.passage
            elif local is not None and self._lacks(key, local):
                still[key] = local
                if before == local:
                    ready.append(key)
        self._write(due, passages)
        self._open = still
        return ready

    def outgoing(self, key: str) -> tuple[SharedPassage, bytes, int] | None:
        """Returns the passage that the bucket should have, its value and the sequence number of the value that it replaces (0:
        none); None if there is nothing to write.
        """
        local, seen = self._gallery.snapshot.passages.get(self._references.get(key, "")), self._at(key)
        passage = own(seen.latest, local, self._device)
        if local is None or passage is None or not self._lacks(key, local):
            return None
        return passage, self._envelopes.close_note(_PASSAGE.dump_json(passage), "passage", key), seen.sequence

    def stored(self, key: str, passage: SharedPassage | None, sequence: int) -> None:
        """Notes that the servers have stored this passage with this sequence number; None: that they have erased it."""
        if sequence > self._at(key).sequence:
            self._seen[key] = BucketPassage(sequence, passage, passage)

    def vanished(self, key: str) -> None:
        """Notes that the bucket has no value of this key any more."""
        self._seen[key] = replace(self._at(key), sequence=0, value=None, unread=False)

    def erased(self) -> list[tuple[str, int]]:
        """Returns the keys and sequence numbers of the values that are still there of people who were erased here."""
        self._gone = {key for key in self._gone if key not in self._references and self._at(key).value}
        return [(key, self._at(key).sequence) for key in self._gone]

    def refused(self) -> int:
        """Returns the number of keys whose values were refused within the last hour, or cannot be read."""
        oldest = time.monotonic() - REMEMBERED_SECONDS
        return sum(when >= oldest or self._at(key).unread for key, when in self._refused.copy().items())

    def _at(self, key: str) -> BucketPassage:
        return self._seen.get(key, BucketPassage())

    def _lacks(self, key: str, local: LastPassage) -> bool:
        """Whether the bucket should get this passage; what this device cannot read is not its to replace."""
        seen = self._at(key)
        return not seen.unread and (seen.value is None or seen.value.passage != local)

    def _opened(self, value: StoredValue) -> SharedPassage | None:
        """Returns the passage in a value; None if it is empty, refused, or sealed with a key that was replaced. Raises
        UnreadableValueError.
        """
        if not value.value:
            return None
        try:
            content = self._envelopes.open_note(value.value, "passage", value.key)
            return None if self._envelopes.outdated(value.value) else _PASSAGE.validate_json(content)
        except ValidationError as error:
            raise UnreadableValueError("malformed, or by a later program") from error
        except UnreadableValueError:
            raise
        except RefusedValueError as error:
            self._refuse(value.key, str(error))
            return None

    def _refuse(self, key: str, reason: str) -> None:
        if self._refused.pop(key, None) is None:
            log.warning("a last passage of the fleet's servers is refused: %s: %s", key, reason)
        self._refused[key] = time.monotonic()
        if len(self._refused) > MOST_REFUSED:
            del self._refused[next(iter(self._refused))]

    def _write(self, due: Mapping[str, LastPassage], before: Mapping[str, LastPassage]) -> None:
        """Gives people these last passages, unless they have passed here since they had those of `before`."""
        if not due:
            return
        with self._gallery.writing() as transaction:
            for reference, passage in due.items():
                same = transaction.contents.passages.get(reference) == before.get(reference)
                if same and reference in transaction.contents.references:
                    transaction.write_passage(reference, passage)

    def _look(self) -> None:
        """Finds out who has come, gone and passed."""
        snapshot, before = self._gallery.snapshot, self._looked_at
        if snapshot is before:
            return
        for reference in snapshot.references:
            if reference not in self._keys:
                self._keys[reference] = key = self._envelopes.key(f"passage {reference}")
                self._references[key] = reference
                self._open.setdefault(key)
        for reference in [each for each in self._keys if each not in snapshot.references]:
            key = self._keys.pop(reference)
            del self._references[key]
            self._gone.add(key)
        for reference, passage in snapshot.passages.items():
            if before is None or before.passages.get(reference) is not passage:
                self._open.setdefault(self._keys[reference])
        self._looked_at = snapshot


class PassageSharing:
    """Shares last passages while the rules depend on them. `passed` and `problems` may be called by any thread."""

    def __init__(self, gallery: Callable[[], Gallery], device: str, remembers: Callable[[], bool]) -> None:
        """`gallery` raises GalleryError or Fault while there is none; `remembers` says whether last passages matter."""
        self._gallery, self._device, self._remembers = gallery, device, remembers
        self._joined: FleetKeys | None = None
        self._board: PassageBoard | None = None
        self._bucket: Bucket | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._pushes: set[asyncio.Task[None]] = set()
        self._created: datetime | None = None
        self._position = 0
        self._trouble, self._since = "", 0.0

    def passed(self, reference: str) -> None:
        """Shares the passage of a person at once."""
        if self._loop is not None and self._bucket is not None:
            with suppress(RuntimeError):  # the loop has ended
                self._loop.call_soon_threadsafe(self._begin_push, reference)

    def problems(self) -> list[Problem]:
        """What is wrong, for `/healthz`."""
        found = []
        if self._board and (refused := self._board.refused()):
            text = f"{refused} last passages of the fleet's servers were refused as older or altered: see the log."
            found.append(Problem("fleet", "fleet_values_refused", text))
        if self._trouble and time.monotonic() - self._since > PATIENCE_SECONDS:
            text = f"Anti-passback knows this door alone: {self._trouble}."
            found.append(Problem("fleet", "fleet_passages_waiting", text))
        return found

    async def run(self, link: Link, keys: FleetKeys) -> None:
        """Works until it is cancelled, which it is with the connection."""
        self._loop = asyncio.get_running_loop()
        try:
            while not link.closed.is_set():
                try:
                    if self._board is None or keys != self._joined:
                        board = PassageBoard(self._gallery(), Envelopes(keys), self._device)
                        self._board, self._joined, self._created = board, keys, None
                    if self._remembers():
                        self._bucket = await link.bucket(passages_bucket(keys.id))
                        await self._follow(self._bucket, self._board)
                    else:
                        self._trouble = ""
                except (LinkError, GalleryError, Fault) as error:
                    self._failed(str(error))
                await asyncio.sleep(CHECK_SECONDS)
        finally:
            self._bucket, self._trouble = None, ""

    async def _follow(self, bucket: Bucket, board: PassageBoard) -> None:
        """One subscription, until it is blind, the bucket is another one, or passages do not matter any more."""
        state = await bucket.state()
        if state.created != self._created:
            board.start_anew()
            self._created, self._position = state.created, 0
        async with bucket.following(self._position + 1) as feed:
            doubts, due = 0, time.monotonic()
            while self._remembers():
                if values := await feed.batch(CHECK_SECONDS):
                    board.absorb(values)
                    self._position, doubts = values[-1].sequence, 0
                    if time.monotonic() < due:
                        continue
                due, state = time.monotonic() + CHECK_SECONDS, await bucket.state()
                if state.created != self._created or state.last < self._position:
                    self._created = None
                    return
                if not state.values:  # after a loss, the next sequence number is not the first one
                    self._position = state.last
                if state.last == self._position:
                    self._trouble = ""
                    await self._settle(bucket, board)
                elif not values:
                    doubts += 1
                    if doubts == 2:
                        return

    async def _settle(self, bucket: Bucket, board: PassageBoard) -> None:
        for key in board.pending():
            await self._push(bucket, board, key)
        for key, sequence in board.erased():
            with suppress(OvertakenError):
                board.stored(key, None, await bucket.write(key, b"", sequence))

    async def _push(self, bucket: Bucket, board: PassageBoard, key: str) -> None:
        for _ in range(TRIES):
            if (outgoing := board.outgoing(key)) is None:
                return
            passage, value, last = outgoing
            try:
                board.stored(key, passage, await bucket.write(key, value, last))
            except OvertakenError:
                if found := await bucket.read(key):
                    board.absorb([found])
                else:
                    board.vanished(key)

    def _begin_push(self, reference: str) -> None:
        if self._bucket is None or self._board is None:
            return
        task = asyncio.ensure_future(self._pushed(self._bucket, self._board, reference))
        self._pushes.add(task)  # else it may be collected before it has run
        task.add_done_callback(self._pushes.discard)

    async def _pushed(self, bucket: Bucket, board: PassageBoard, reference: str) -> None:
        with suppress(LinkError, GalleryError):  # then it is shared later
            await self._push(bucket, board, board.key(reference))

    def _failed(self, trouble: str) -> None:
        if trouble != self._trouble:
            log.warning("fleet: last passages are not shared: %s", trouble)
        self._since = self._since if self._trouble else time.monotonic()
        self._trouble = trouble


def passages_bucket(fleet: str) -> str:
    """Returns the name of the bucket with the last passages of a fleet."""
    return f"fleet-{fleet}-passages"


_PASSAGE = TypeAdapter(SharedPassage)
