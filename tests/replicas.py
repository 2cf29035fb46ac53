"""Devices of a fleet without cameras and networks: a gallery and its member."""

import asyncio
import hashlib
import threading
from contextlib import contextmanager
from datetime import UTC, datetime

import numpy as np
from devices import until

from appliance.fleet import joining
from appliance.fleet.devices import About
from appliance.fleet.link import Address, Link, LinkError
from appliance.fleet.member import Member, people_bucket
from appliance.fleet.membership import Membership
from appliance.fleet.policy import policy_signer
from appliance.fleet.sealing import FleetKeys
from appliance.gallery.gallery import Gallery
from appliance.gallery.people import Person, Source, new_reference
from appliance.gallery.shares import fingerprint
from appliance.gallery.vault import SiteKey

MODEL = "ab" * 32

KEYS = FleetKeys("f1ee7000f1ee", (bytes(range(32)),))

NO_FILES = Address(())

PEOPLE = people_bucket(KEYS.id)


def unit(seed):
    """A unit vector, the same for a seed."""
    vector = np.random.default_rng(seed).normal(size=512)
    return (vector / np.linalg.norm(vector)).astype(np.float32)


class Site:
    """A gallery with a site key of its own, and its member while it runs."""

    def __init__(self, folder, number, url, keys=KEYS, files=NO_FILES):
        self.device = f"{number:012x}"
        site_key = SiteKey(bytes([number]) * 32)
        self.gallery = Gallery(folder / f"{self.device}.db", site_key, keep_pictures=True)
        self.signer = policy_signer(site_key)
        self.url, self.keys, self.files, self.member = url, keys, files, None
        self._prints = {}
        self.companions = []

    def add(self, identity, seed=None, name="Somebody"):
        person = Person(
            identity, name, ("staff",), None, None, new_reference(), datetime.now(UTC).replace(microsecond=0)
        )
        known = self.gallery.add(person)
        if seed is not None:
            self.gallery.enrol(identity, unit(seed), MODEL, 0.83, Source.PHOTO, b"a picture")
        return known.person.reference

    def rename(self, identity, name):
        self.gallery.change(identity, {"name": name})

    def content(self):
        """What should be the same on all devices: people by id, with their references, templates and PINs."""
        people, pins = self.gallery.snapshot.people, self.gallery.snapshot.pins
        before, self._prints = self._prints, {}
        for identity, known in people.items():
            pin, found = pins.get(known.person.reference), before.get(identity)
            if found is None or found[0] is not known or found[1] is not pin:
                found = known, pin, fingerprint(known.person, known.templates, pin)
            self._prints[identity] = found
        return {identity: (known.person.reference, digest) for identity, (known, _, digest) in self._prints.items()}

    def digest(self):
        """The same content gives the same one."""
        return hashlib.sha256(repr(sorted(self.content().items())).encode()).hexdigest()

    def name(self, identity):
        known = self.gallery.snapshot.people.get(identity)
        return known and known.person.name

    @contextmanager
    def running(self, *companions):
        urls = (self.url,) if isinstance(self.url, str) else tuple(self.url)
        membership, about = Membership(urls, self.keys), About(self.device, "1.0", "ok", key=self.signer.public.text)
        gallery = self.gallery
        self.member = Member(
            lambda: membership,
            self.files,
            self.device,
            lambda: gallery,
            gallery.refresh,
            lambda: about,
            companions=[*self.companions, *companions],
        )
        thread = threading.Thread(target=self.member.run)
        thread.start()
        try:
            yield self.member
        finally:
            self.member.stop()
            thread.join(10)
            assert not thread.is_alive()


def alike(*sites):
    """Waits until all have the same people."""
    return until(lambda: len({each.digest() for each in sites}) == 1, 15)


async def with_bucket(url, work, name=PEOPLE, **made):
    """The result of `work` with the bucket of people."""
    async with Link.to(Address((url,) if isinstance(url, str) else tuple(url)), "test") as link:
        return await work(await link.bucket(name, **made))


def make_buckets(urls, keys=KEYS, replicas=1):
    """The buckets of a fleet and the stream of its decisions, once the servers have found each other."""
    servers = (urls,) if isinstance(urls, str) else tuple(urls)

    async def make():
        async with Link.to(Address(servers), "test") as link:
            await joining.make_buckets(link, Membership(servers, keys), replicas, 30, 64)

    def made():
        try:
            asyncio.run(make())
        except LinkError:
            return False
        return True

    assert until(made, 30)
