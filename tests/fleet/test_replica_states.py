"""Two galleries and a bucket without a network: what a replica remembers is what it would find by looking at everything."""

import tempfile
from datetime import UTC, datetime
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st
from replicas import KEYS, Site

from appliance.fleet.replica import Replica, StoredValue
from appliance.fleet.sealing import Envelopes
from appliance.gallery.people import GalleryError
from appliance.gallery.pin import StoredPin
from appliance.gallery.shares import fingerprint

PIN = StoredPin(bytes(16), bytes(32), bytes(32))

ACTS = ("add", "rename", "erase", "pin", "lose", "pass", "restore", "again", "write", "read", "vanish")


class Device:
    """A gallery, its replica, and the bucket that it shares with another one."""

    def __init__(self, folder, number, bucket):
        self.site, self.bucket = Site(folder, number, ""), bucket
        self.replica = Replica(self.site.gallery, Envelopes(KEYS))

    def act(self, what, identity, text):
        gallery = self.site.gallery
        acts = {
            "add": lambda: self.site.add(identity, None, text),
            "rename": lambda: self.site.rename(identity, text),
            "erase": lambda: gallery.erase(identity),
            "pin": lambda: gallery.set_pin(identity, PIN),
            "lose": lambda: self.lose(identity),
            "pass": lambda: gallery.note_passage(gallery.person(identity).person.reference, "in", datetime.now(UTC)),
            "restore": lambda: gallery.replace(list(gallery.export())),
            "again": self.replica.start_anew,
            "write": self.write,
            "read": self.read,
            "vanish": lambda: self.replica.vanished(self.replica.key(identity)),
        }
        acts[what]()

    def lose(self, identity):
        """As damage does, or another program."""
        with self.site.gallery.writing() as transaction:
            transaction.erase_person(identity)

    def read(self):
        self.replica.absorb([StoredValue(key, *stored) for key, stored in self.bucket.items()])

    def write(self):
        """Everything that is pending; what another one has written meanwhile is read instead."""
        keys = self.replica.pending()
        self.replica.announce(keys)
        stored = []
        for key in keys:
            if (outgoing := self.replica.outgoing(key)) is None:
                continue
            version, value, last = outgoing
            if last == self.bucket.get(key, (b"", 0))[1]:
                sequence = max((each for _, each in self.bucket.values()), default=0) + 1
                self.bucket[key] = value, sequence
                stored.append((key, version, sequence))
            else:
                self.replica.absorb([StoredValue(key, *self.bucket[key])])
        self.replica.acknowledged(stored)

    def settle(self):
        """As a member does: reads, reads again what is missing, and writes."""
        self.read()
        for key in self.replica.missing():
            self.replica.vanished(key)
            self.replica.absorb([StoredValue(key, *self.bucket[key])])
        self.write()

    def check(self):
        replica, snapshot = self.replica, self.site.gallery.snapshot
        pending = set(replica.pending())
        everything = {*map(replica.key, snapshot.people), *snapshot.shares, *replica._seen}
        assert pending == {
            key for key in everything if (version := replica._wanted(key)) and version != replica._seen_at(key)[1]
        }
        assert set(replica.missing()) == set(filter(replica._is_missing, everything))
        assert replica._ids == {replica.key(identity): identity for identity in snapshot.people}
        for identity, known in snapshot.people.items():
            pin = snapshot.pins.get(known.person.reference)
            assert replica._locals[identity][3].digest == fingerprint(known.person, known.templates, pin)


@settings(max_examples=8, deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from(ACTS), st.integers(0, 1), st.sampled_from(("anna", "bert")), st.sampled_from("xyz")),
        min_size=5,
        max_size=30,
    )
)
def test_what_changed_is_found_without_a_look_at_everything(acts):
    bucket = {}
    with tempfile.TemporaryDirectory() as folder:
        devices = [Device(Path(folder), number, bucket) for number in (1, 2)]
        for what, number, identity, text in acts:
            try:
                devices[number].act(what, identity, text)
            except GalleryError:
                continue
            devices[number].check()
        for _ in range(4):
            for device in devices:
                device.settle()
                device.check()
        assert not [key for device in devices for key in device.replica.pending()]
        if not any(device.replica.held() for device in devices):
            assert devices[0].site.content() == devices[1].site.content()
        for device in devices:
            device.site.gallery.close()
