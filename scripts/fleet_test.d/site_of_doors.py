"""A site: the first synchronisation, the age of a change, servers that are killed, and what they could learn."""

import argparse
import asyncio
import base64
import contextlib
import random
import statistics
import threading
import time
from pathlib import Path

import nats
from common import SEED, equal, fill, name_of, percentile, say, since, wait
from replicas import KEYS, Site, make_buckets, unit, with_bucket
from servers import NatsServer, Tap, cluster

from appliance.fleet.link import Bucket, LinkError
from appliance.gallery.people import ChangedElsewhereError, NoSuchPersonError
from appliance.gallery.pin import StoredPin


def measure(folder: Path, options: argparse.Namespace) -> None:
    """All of it, one after another, with the same servers and devices."""
    with contextlib.ExitStack() as stack:
        servers = stack.enter_context(cluster(folder / "nats", options.servers))
        urls = [server.url for server in servers]
        make_buckets(urls, replicas=options.servers)
        tap = stack.enter_context(Tap(servers[0].port))
        sites = [Site(folder, number, urls) for number in range(1, options.replicas + 1)]
        first, second, *others = sites
        fill(first.gallery, options.people)
        first.gallery.set_pin(name_of(1), pin := StoredPin.of("4071"))
        begun = time.monotonic()
        stack.enter_context(first.running())
        wait(lambda: has(first, options.people), pause=0.1)
        say(f"the first device shared {options.people} people in", since(begun))
        second.url, begun = tap.url, time.monotonic()
        with second.running():
            wait(lambda: has(second, options.people), pause=0.1)
            say(f"a new device had {options.people} people after", since(begun))
            second.rename(name_of(0), "Nobody else's name")
            assert second.member.share(name_of(0))
        look_for(known(first, pin), tap.seen, "the traffic of a device")
        second.url, begun = urls, time.monotonic()
        for site in (second, *others):
            stack.enter_context(site.running())
        wait(lambda: all(has(site, options.people) for site in sites), pause=1)
        say(f"{len(others)} more, all at once, after", since(begun))
        ages(sites, options)
        kills(sites, servers, options)
        for site in sites:
            site.member.stop()
        total = sum(file.stat().st_size for file in servers[0].folder.rglob("*") if file.is_file())
        say(f"a server keeps {total / options.people / 1000:.1f} kB a person")
        for server in servers:
            kept = b"".join(file.read_bytes() for file in server.folder.rglob("*") if file.is_file())
            look_for(known(first, pin), kept, "the disk of a server")


def has(site: Site, people: int) -> bool:
    """Whether a device has so many people, and knows that the fleet has them."""
    snapshot = site.gallery.snapshot
    return len(snapshot.people) == people == sum(bool(each.reference) for each in snapshot.shares.values())


def ages(sites: list[Site], options: argparse.Namespace) -> None:
    """The age of a change when the last device has it."""
    dice, found = random.Random(SEED), []
    for number in range(options.changes):
        site, identity, name = dice.choice(sites), name_of(dice.randrange(options.people)), f"change {number}"
        begun = time.monotonic()
        site.rename(identity, name)
        wait(lambda: site.member.share(identity), 30)  # noqa: B023 - called at once
        wait(lambda: all(each.name(identity) == name for each in sites), 30)  # noqa: B023 - called at once
        found.append(time.monotonic() - begun)
    median, last = statistics.median(found), percentile(found, 99)
    say(f"a change was on all {len(sites)} devices after {median:.3f} s (median), {last:.3f} s (p99)")


def known(site: Site, pin: StoredPin) -> list[bytes]:
    """What the servers must not see: of a hundred people, of the PIN, and the keys."""
    words = [*KEYS.secrets, pin.salt, pin.digest]
    for person in (each.person for each in site.gallery.people()[:100]):
        words += [person.id.encode(), person.name.encode(), person.reference.encode()]
    words += [unit(number).tobytes()[:48] for number in range(100)]
    return [form for word in words for form in (word, word.hex().encode(), base64.b64encode(word)[:-4])]


def look_for(words: list[bytes], content: bytes, where: str) -> None:
    """Asserts that none of them is in the content."""
    assert len(content) > 100_000
    assert not [word for word in words if word in content]
    say(f"{where} ({len(content) / 1e6:.0f} MB) has none of {len(words)} forms of names, ids, templates, PINs and keys")


def kills(sites: list[Site], servers: list[NatsServer], options: argparse.Namespace) -> None:
    """Servers are killed and come back while three devices enrol, change and erase."""
    worker = Work(options.acts // 3, options.kills * 5.0)
    workers = [threading.Thread(target=worker.run, args=(site, number)) for number, site in enumerate(sites[:3])]
    for each in workers:
        each.start()
    dice, done = random.Random(SEED), {"the leader": 0, "a follower": 0, "two": 0}
    for count in range(options.kills):
        what = list(done)[count % 3]
        first = leader(servers)
        followers = [server for server in servers if server is not first]
        gone = {"the leader": [first], "a follower": [dice.choice(followers)], "two": [first, dice.choice(followers)]}[
            what
        ]
        done[what] += 1
        for server in gone:
            server.stop(kill=True)
        time.sleep(dice.uniform(0.5, 2))
        for server in gone:
            server.start()
        time.sleep(dice.uniform(2, 4))
    worker.enough.set()
    for each in workers:
        each.join()
    begun = time.monotonic()
    wait(lambda: all(shared(site, name_of(0)) for site in sites), 60)
    wait(lambda: equal(sites), 120, pause=0.1)
    counts = ", ".join(f"{what} {times} times" for what, times in done.items())
    say(f"killed during {worker.acts} changes on three devices: {counts}")
    say(
        f"  {worker.acknowledged} acknowledged as shared at once, {worker.conflicts} lost to another device, which was told"
    )
    say(f"  {len(worker.erased)} people are erased, {len(worker.shared)} as they were acknowledged")
    say("all devices were equal, by content,", since(begun), "after the last change")
    people = sites[0].gallery.snapshot.people
    assert not {each.person.reference for each in people.values()} & worker.erased, "an erased person is back"
    for identity, name in worker.shared.items():
        assert identity in people, f"{identity} was acknowledged as shared and is lost"
        assert people[identity].person.name == name, f"{identity}: {people[identity].person.name} instead of {name}"


def shared(site: Site, identity: str) -> bool:
    """Whether the fleet has what this device has of a person; a device whose change has lost says so once."""
    with contextlib.suppress(ChangedElsewhereError):
        return bool(site.member.share(identity))
    return False


def leader(servers: list[NatsServer]) -> NatsServer:
    """The server that leads the bucket, once there is one."""

    async def ask(bucket: Bucket) -> str:
        jetstream = bucket._link.jetstream  # noqa: SLF001
        return (await jetstream.stream_info(bucket.stream)).cluster.leader

    while True:
        with contextlib.suppress(LinkError, nats.errors.Error):
            name = asyncio.run(with_bucket([server.url for server in servers], ask))
            if found := [server for server in servers if server.folder.name == name]:
                return found[0]
        time.sleep(0.2)


class Work:
    """What devices do to people of their own, and to some that all change; notes what was acknowledged as shared."""

    def __init__(self, acts: int, seconds: float) -> None:
        """At least so many on each device, which take so many seconds, and more of them until it is `enough`."""
        self._least, self._pause, self.enough = acts, seconds / acts, threading.Event()
        self.shared: dict[str, str] = {}
        self.erased: set[str] = set()
        self.acts = self.acknowledged = self.conflicts = 0

    def run(self, site: Site, number: int) -> None:
        """On one device."""
        dice, mine = random.Random(number), []
        act = 0
        while act < self._least or not self.enough.is_set():
            begun = time.monotonic()
            act += 1
            self.acts += 1
            what = dice.choice(("add", "add", "change", "change", "erase", "common")) if mine else "add"
            identity = {"add": f"device-{number}-{act}", "common": name_of(act % 9)}.get(what) or dice.choice(mine)
            with contextlib.suppress(NoSuchPersonError):
                self._act(site, what, identity, f"{what} {number} {act}", mine)
            time.sleep(max(0.0, self._pause - (time.monotonic() - begun)))

    def _act(self, site: Site, what: str, identity: str, name: str, mine: list[str]) -> None:
        if what == "add":
            site.add(identity, len(self.erased), name)
            mine.append(identity)
        elif what == "erase":
            self.erased.add(site.gallery.erase(identity).reference)
            mine.remove(identity)
        else:
            site.rename(identity, name)
        self.shared.pop(identity, None)
        try:
            if site.member.share(identity):
                self.acknowledged += 1
                if what in {"add", "change"}:
                    self.shared[identity] = name
        except ChangedElsewhereError:
            self.conflicts += 1
