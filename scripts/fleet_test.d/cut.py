"""Five devices that are cut off, each in a network namespace of its own, while people change on both sides."""

import argparse
import contextlib
import time
from pathlib import Path

from common import Remote, equal, fill, name_of, say, wait
from networks import Host, ip, local_network
from replicas import Site, make_buckets
from servers import cluster

NETWORK = "198.18.94"
"""For tests of networks (RFC 2544)."""

CUT, NEAR = 5, 5


def cable(host: Host, state: str) -> None:
    """Plugs the cable of a host in ("up"), or out."""
    ip("-n", host._switch, "link", "set", f"{host.name[-1]}-eth0", state)  # noqa: SLF001


def measure(folder: Path, options: argparse.Namespace) -> None:
    """What both sides know meanwhile, and how long they take to agree."""
    addresses = [f"{NETWORK}.{number}/24" for number in range(1, CUT + 1)]
    with contextlib.ExitStack() as stack:
        hosts = stack.enter_context(local_network(folder, *addresses))
        plug_in(hosts[0]._switch)  # noqa: SLF001
        servers = stack.enter_context(cluster(folder / "nats", options.servers, f"{NETWORK}.99"))
        urls = [server.url for server in servers]
        make_buckets(urls, replicas=options.servers)
        near = [Site(folder, number, urls) for number in range(1, NEAR + 1)]
        fill(near[0].gallery, options.people)
        for site in near:
            stack.enter_context(site.running())
        away = [Remote(folder, 11 + number, urls, host.command()) for number, host in enumerate(hosts)]
        for each in away:
            stack.enter_context(each)
        wait(lambda: agree(near, away))
        for host in hosts:
            cable(host, "down")
        begun = time.monotonic()
        time.sleep(3)
        answers = changes(near, away)
        time.sleep(max(0.0, options.seconds - (time.monotonic() - begun)))
        silent = [each.ask("silent") for each in away]
        assert min(silent) > options.seconds - 5, silent
        for host in hosts:
            cable(host, "up")
        begun = time.monotonic()
        wait(lambda: agree(near, away), 60)  # the digests of ten devices, one after another
        taken = time.monotonic() - begun
        say(
            f"{CUT} of {CUT + NEAR} devices with {options.people} people were cut off for {options.seconds} s, while people"
        )
        say(
            f"  changed on both sides, and identified {answers} of {answers} faces; equal, by content, {taken:.2f} s later"
        )
        conflicts = [each.ask("conflicts") for each in away]
        assert conflicts == [[name_of(number)] for number in range(CUT)], conflicts
        for number in range(CUT):
            names = [near[0].name(name_of(each + number)) for each in (0, 100, 200)]
            assert names == ["near", "away", None], names
            assert near[0].name(f"away{number}") == away[0].ask("name", f"near{number}") == "new"
        say(
            f"the {CUT} people who were changed on both sides are as the near side has them, and named as lost on the other"
        )
        say(
            f"the {CUT} who were changed on one side, and erased on the other, are erased; all {2 * CUT} enrolled people stayed"
        )


def plug_in(switch: str) -> None:
    """This computer has a port of the switch, too; it goes with the switch."""
    ip("link", "add", "fa-fleet", "type", "veth", "peer", "here", "netns", switch)
    ip("-n", switch, "link", "set", "here", "master", "bridge", "up")
    ip("address", "add", f"{NETWORK}.99/24", "dev", "fa-fleet")
    ip("link", "set", "fa-fleet", "up")


def changes(near: list[Site], away: list[Remote]) -> int:
    """Changes people on both sides, while the cable is out; returns the number of faces that were identified."""
    answers = 0
    for number, (site, other) in enumerate(zip(near, away, strict=True)):
        for identity in (name_of(number), name_of(200 + number)):
            site.rename(identity, "near")
            assert site.member.share(identity)
        for identity in (name_of(number), name_of(100 + number)):
            assert other.ask("rename", identity, "away") is None
            assert other.ask("share", identity) is False
        other.ask("erase", name_of(200 + number))
        site.add(f"near{number}", 10**6 + number, "new")
        reference = other.ask("add", f"away{number}", 10**6 + 100 + number, "new")
        assert site.member.share(f"near{number}")
        assert other.ask("who", 10**6 + 100 + number) == reference
        assert other.ask("who", 300 + number) == near[0].gallery.person(name_of(300 + number)).person.reference
        answers += 2
    return answers


def agree(near: list[Site], away: list[Remote]) -> bool:
    """Whether all have the same people."""
    if not equal(near):
        return False
    digest = near[0].digest()
    return all(each.ask("digest") == digest for each in away)
