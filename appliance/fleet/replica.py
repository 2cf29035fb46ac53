"""This device's copy of the fleet: takes what arrives into the gallery, and says what the fleet does not have yet."""

import logging
import time
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime

from appliance.fleet.merge import DIFFERS, NOTHING, Local, MergeResult, arrived, joined, wanted
from appliance.fleet.sealing import Arrival, Envelopes, RefusedValueError, UnreadableValueError
from appliance.gallery.gallery import Gallery, absorb
from appliance.gallery.people import GalleryRolledBackError, InvalidPersonError, Known, OtherEmbedderError, TooManyError
from appliance.gallery.pin import StoredPin
from appliance.gallery.repository import GallerySnapshot, Transaction
from appliance.gallery.shares import Share, fingerprint

log = logging.getLogger(__name__)

MOST_CONFLICTS = 100
"""Lost changes that are remembered."""

REMEMBERED_SECONDS = 3600.0
"""How long a refused value is a problem after the last one with its key."""

MOST_REFUSED = 1000
"""Keys with refused values that are remembered and named in the log."""

UNFIT = (OtherEmbedderError, TooManyError, InvalidPersonError)
"""Why a person of the fleet cannot be taken into this gallery."""


@dataclass(frozen=True, slots=True)
class StoredValue:
    """A value of the bucket: its key, its content (empty once it is deleted), its sequence number in the stream, and, of one
    that was asked for by its key, when the servers stored it, by their clock.
    """

    key: str
    value: bytes
    sequence: int
    time: datetime | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class Conflict:
    """A change of this device that is lost, because another device's came first: when (by the monotonic clock), to whom, and
    its fingerprint.
    """

    time: float
    key: str
    identity: str
    digest: str


class Replica:
    """Of one thread, except `refused` and `held`. Methods raise the subclasses of GalleryUnavailableError."""

    def __init__(self, gallery: Gallery, envelopes: Envelopes) -> None:
        self._gallery, self._envelopes = gallery, envelopes
        self._seen: dict[str, tuple[int, Share | None]] = {}
        """The sequence number and the version of each key in the bucket; None where the value was refused."""
        self._locals: dict[str, tuple[Known, StoredPin | None, str, Local]] = {}
        """By id: what the key and the local version were computed from, and these."""
        self._ids: dict[str, str] = {}
        self._looked_at: GallerySnapshot | None = None
        self._open: dict[str, None] = {}
        """The keys of which this device, or the bucket, has got another version since it was known that both have the same."""
        self._sent: dict[str, set[Share]] = {}
        """The versions of each key that were sent, and that the servers may have stored although no answer has come."""
        self._refused: dict[str, tuple[float, str]] = {}
        """When the last value of a key was refused, and why."""
        self._unread: dict[str, int] = {}
        """The sequence numbers of values that are sealed with a key which this device does not have."""
        self.conflicts: deque[Conflict] = deque(maxlen=MOST_CONFLICTS)

    def start_anew(self) -> None:
        """Forgets what the bucket holds, because it was made anew or restored."""
        self._open |= dict.fromkeys(self._seen)
        self._seen.clear()
        self._unread.clear()

    def reseal(self) -> None:
        """Has every value that this device knows written again, with the newest key."""
        self._seen = {key: (sequence, None) for key, (sequence, _) in self._seen.items()}
        self._open |= dict.fromkeys(self._seen)

    def absorb(self, values: Iterable[StoredValue]) -> None:
        """Takes values as they arrive, in one transaction. Values that were there before are skipped; those that the gallery
        could not take are not among them.
        """
        new = {each.key: each for each in values if each.sequence > self._seen_at(each.key)[0]}
        if not new:
            return
        self._look()
        opened = {key: self._opened(each) for key, each in new.items()}
        self._open |= dict.fromkeys(new)
        erased = False
        with self._gallery.writing() as transaction:
            if self._gallery.snapshot is not self._looked_at:
                now = transaction.contents  # which changes in a moment
                self._scan(replace(now, people=dict(now.people), pins=dict(now.pins), shares=dict(now.shares)))
            for key, (_, arrival) in opened.items():
                if arrival is not None:
                    erased |= self._take(transaction, key, arrival)
        self._seen |= {key: (new[key].sequence, version) for key, (version, _) in opened.items()}
        for key in new:
            self._sent.pop(key, None)
        if erased:
            self._gallery.empty_log()

    def pending(self) -> list[str]:
        """Returns the keys whose value in the bucket is not what this device knows. An older copy of the gallery has nothing to
        say until it has been accepted, and a damaged one until it is restored.
        """
        self._look()
        if self._gallery.problem() or isinstance(self._gallery.rollback(), GalleryRolledBackError):
            return []
        found = []
        for key in self._open:
            version, (sequence, seen) = self._wanted(key), self._seen_at(key)
            if version and version != seen:
                found.append(key)
            elif version:
                self._seen[key] = sequence, version  # one object instead of two that are equal
        self._open = dict.fromkeys((*found, *filter(self._is_missing, self._open)))
        return found

    def missing(self) -> list[str]:
        """Returns the keys of people who are in the fleet and not in this gallery."""
        self._look()
        return list(filter(self._is_missing, self._open))

    def announce(self, keys: Iterable[str]) -> None:
        """Notes whom the servers are about to get, so that an erasure reaches them even if their answer does not come."""
        self._look()
        versions = {key: version for key in keys if (version := self._wanted(key)) and version.reference}
        new = [
            key
            for key, each in versions.items()
            if each.reference not in {self._share(key).reference, self._share(key).sent}
        ]
        if new:
            with self._gallery.writing() as transaction:
                for key in new:
                    share = transaction.contents.shares.get(key, NOTHING)
                    transaction.write_share(key, replace(share, sent=versions[key].reference))

    def outgoing(self, key: str) -> tuple[Share, bytes, int] | None:
        """Returns the version that the bucket should have, its value, and the sequence number of the value that it replaces (0:
        none); None if there is nothing to write, or the gallery is damaged.
        """
        self._look()
        version = self._wanted(key)
        sequence, seen = self._seen_at(key)
        if version is None or version == seen or self._gallery.problem():
            return None
        export = pin = None
        if version.reference:
            if (known := self._gallery.named(version.reference)) is None:
                return None
            export, pin = self._gallery.exported(known), self._gallery.pin(version.reference)
        self._sent.setdefault(key, set()).add(version)
        return version, self._envelopes.close(key, version, export, pin), sequence

    def acknowledged(self, stored: Iterable[tuple[str, Share, int]]) -> None:
        """Notes that the servers have stored these versions of these keys, with these sequence numbers."""
        new = [each for each in stored if each[2] > self._seen_at(each[0])[0]]
        self._seen |= {key: (sequence, version) for key, version, sequence in new}
        self._open |= dict.fromkeys(key for key, *_ in new)
        for key, *_ in new:
            self._sent.pop(key, None)
        shares = self._gallery.snapshot.shares
        if all((share := shares.get(key)) == version and share and not share.unshared for key, version, _ in new):
            return
        with self._gallery.writing() as transaction:
            for key, version, _ in new:
                share = transaction.contents.shares.get(key, NOTHING)
                after = joined(share, version)  # the person may have been erased while the servers stored this version
                if share.unshared or after != share:
                    transaction.write_share(key, replace(after, unshared=after != version))

    def vanished(self, key: str) -> None:
        """Notes that the value of this key is not known any more: one that comes is taken, also if it was there before."""
        self._seen.pop(key, None)
        self._open[key] = None

    @property
    def values(self) -> int:
        """The number of values that are known to be in the bucket."""
        return len(self._seen)

    def shared(self, key: str) -> bool:
        """Returns whether the bucket has this person as they are here."""
        self._look()
        version = self._wanted(key)
        return version is not None and version == self._seen_at(key)[1]

    def place(self, key: str) -> tuple[str, int]:
        """Returns how a person stands in the fleet, as `PersonPlace` has it, and the sequence number of the bucket's value."""
        differs = self._share(key).held
        return "differs" if differs else "shared" if self.shared(key) else "unshared", self._seen_at(key)[0]

    def refused(self) -> dict[str, str]:
        """Returns why values were refused within the last hour, or cannot be read, by key."""
        oldest, unread = time.monotonic() - REMEMBERED_SECONDS, self._unread
        return {k: reason for k, (when, reason) in self._refused.copy().items() if when >= oldest or k in unread}

    def read_until(self, position: int) -> int:
        """Returns the place in the bucket up to which this device could read everything, `position` at most."""
        return min((sequence - 1 for sequence in self._unread.values()), default=position)

    def held(self) -> dict[str, str]:
        """Returns why people are kept apart from the fleet, by their ids; by their keys those who are not in this gallery, or
        not yet known to be.
        """
        shares = self._gallery.snapshot.shares
        return {self._ids.get(key, key): share.held for key, share in shares.items() if share.held}

    def key(self, identity: str) -> str:
        """Returns a person's key in the bucket."""
        return self._envelopes.key(identity)

    def _take(self, transaction: Transaction, key: str, arrival: Arrival) -> bool:
        """Returns whether a person or a part of them was erased."""
        share, entry = transaction.contents.shares.get(key, NOTHING), self._locals.get(self._ids.get(key, ""))
        local = entry[3] if entry else None
        after, verdict = arrived(share, local, arrival.share, self._sent.get(key, ()))
        after = replace(after, sent=share.sent)
        if verdict is MergeResult.REFUSED:
            self._refuse(key, "an older value, or a person who is erased")
        if verdict is MergeResult.LOST and entry:
            self.conflicts.append(Conflict(time.monotonic(), key, entry[0].person.id, entry[3].digest))
            log.warning("person %s: changed on two devices, the change of the other one stays", entry[3].reference)
        gone = entry is not None and entry[3].reference in after.erased
        if entry and gone:
            transaction.erase_person(entry[0].person.id)
        taken = verdict in {MergeResult.TAKEN, MergeResult.LOST} and arrival.person is not None
        if taken and arrival.person is not None:
            try:
                absorb(transaction, arrival.person, arrival.pin)
            except UNFIT as error:
                after = replace(after, held=str(error))
        if (after, after.held, after.unshared) != (share, share.held, share.unshared):
            transaction.write_share(key, after)
        return gone or (taken and entry is not None)

    def _opened(self, value: StoredValue) -> tuple[Share | None, Arrival | None]:
        """Returns the version that the bucket is taken to have, and what arrives: nothing if the value is refused."""
        try:
            arrival = self._envelopes.open(value.key, value.value)
            if arrival.person and self._envelopes.key(arrival.person.person.id) != value.key:
                raise RefusedValueError("another person's")
        except RefusedValueError as error:
            self._refuse(value.key, str(error))
            if not isinstance(error, UnreadableValueError):
                return None, None
            self._unread[value.key] = value.sequence
            return self._wanted(value.key), None  # what this device cannot read is not its to replace
        self._unread.pop(value.key, None)
        if not arrival.outdated:
            return arrival.share, arrival
        if joined(known := self._share(value.key), arrival.share) != known:
            self._refuse(value.key, "sealed with a key that was replaced")
        return None, None  # this device writes what it knows with the newest key

    def _refuse(self, key: str, reason: str) -> None:
        if self._refused.pop(key, (0.0, ""))[1] != reason:
            log.warning("a value of the fleet's servers is refused: %s: %s", key, reason)
        self._refused[key] = time.monotonic(), reason
        if len(self._refused) > MOST_REFUSED:
            del self._refused[next(iter(self._refused))]

    def _look(self) -> None:
        """Finds out what has changed in the gallery, and erases people again who came back with a restored copy."""
        snapshot = self._gallery.snapshot
        if snapshot is self._looked_at:
            return
        if back := self._scan(snapshot):
            log.warning("%d people who are erased in the fleet were in the gallery again, and are erased", len(back))
            with self._gallery.writing() as transaction:
                for identity in back:
                    if identity in transaction.contents.people:
                        transaction.erase_person(identity)
            self._gallery.empty_log()
            self._scan(self._gallery.snapshot)

    def _scan(self, snapshot: GallerySnapshot) -> list[str]:
        """Computes keys and versions of the people who have changed; returns the ids of those who are erased in the fleet."""
        people, pins, shares, locals_ = snapshot.people, snapshot.pins, snapshot.shares, self._locals
        before = self._looked_at
        old_people, old_pins, old_shares = (before.people, before.pins, before.shares) if before else ({}, {}, {})
        changed = dict.fromkeys(old_shares.keys() - shares.keys())
        changed |= {key: None for key, share in shares.items() if old_shares.get(key) is not share}
        for identity in locals_.keys() - people.keys():
            del self._ids[key := locals_.pop(identity)[2]]
            changed[key] = None
        touched = dict.fromkeys(identity for identity, known in people.items() if old_people.get(identity) is not known)
        owners = (each for each in pins.keys() | old_pins.keys() if pins.get(each) is not old_pins.get(each))
        touched |= {snapshot.references[owner].person.id: None for owner in owners if owner in snapshot.references}
        for identity in touched:
            known, entry = people[identity], locals_.get(identity)
            pin = pins.get(known.person.reference)
            key = entry[2] if entry else self._envelopes.key(identity)
            if entry is None or entry[:2] != (known, pin):
                digest, share = fingerprint(known.person, known.templates, pin), shares.get(key, NOTHING)
                digest = share.digest if share.digest == digest else digest  # one object, as above
                entry = known, pin, key, Local(digest, known.person.reference)
                changed[key] = None
            locals_[identity], self._ids[key] = (known, pin, *entry[2:]), identity
        self._looked_at = snapshot
        self._open |= changed
        found = [(self._ids[key], shares[key]) for key in changed if key in self._ids and key in shares]
        return [identity for identity, share in found if locals_[identity][3].reference in share.erased]

    def _is_missing(self, key: str) -> bool:
        """Whether the fleet has a person whom this gallery does not have, although it had them, or could take them."""
        share = self._share(key)
        return bool(share.reference) and share.held in {"", DIFFERS} and key in self._seen and key not in self._ids

    def _wanted(self, key: str) -> Share | None:
        entry = self._locals.get(self._ids.get(key, ""))
        return wanted(self._share(key), entry[3] if entry else None)

    def _share(self, key: str) -> Share:
        return self._gallery.snapshot.shares.get(key, NOTHING)

    def _seen_at(self, key: str) -> tuple[int, Share | None]:
        return self._seen.get(key, (0, None))
