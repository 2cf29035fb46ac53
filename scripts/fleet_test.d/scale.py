"""How far one bucket reaches: a large gallery, many devices that follow one server, and what follows for a day."""

import argparse
import asyncio
import statistics
import time
from contextlib import AsyncExitStack, suppress
from pathlib import Path

import psutil
from common import Remote, fill, name_of, percentile, say, since, wait
from replicas import PEOPLE, Site, make_buckets
from servers import NatsServer, Tap

from appliance.fleet.link import Address, Link
from appliance.fleet.member import CHECK_SECONDS
from appliance.gallery.gallery import MOST_TEMPLATES

TIMES = 10
"""So many times the people of the other parts."""

CHANGES = 0.02
"""Of all people a day."""

FOLLOWED = 20
"""Changes whose age is measured while all devices follow."""

IDLE_SECONDS = 30
"""One record of a device."""

AT_ONCE = 50
"""Connections that are opened at the same time."""

DAY = 86_400


def measure(folder: Path, options: argparse.Namespace) -> None:
    """One server, a gallery of TIMES as many people, and so many devices."""
    people = TIMES * options.people
    with NatsServer(folder / "nats") as server, Tap(server.port) as tap:
        make_buckets(server.url)
        first = Site(folder, 1, server.url)
        fill(first.gallery, people)
        begun = time.monotonic()
        with first.running():
            wait(lambda: sum(bool(each.reference) for each in first.gallery.snapshot.shares.values()) == people, 600)
            say(f"a device shared {people} people in", since(begun))
        begun = time.monotonic()
        with Remote(folder, 2, [tap.url]) as second:
            wait(lambda: second.ask("people") == people, 600)
            say("a new device had them after", since(begun))
            value = len(tap.seen) / people
            wait(lambda: second.ask("silent") < 1, 600)
            say(f"it transferred {value:.0f} bytes for each of them")
        tap.seen.clear()
        with Remote(folder, 2, [tap.url]) as second, Remote(folder, 2, []) as alone:  # the same gallery twice
            wait(lambda: second.ask("silent") < 1, 600)
            before = len(tap.seen)
            time.sleep(IDLE_SECONDS)
            idle = (len(tap.seen) - before) / IDLE_SECONDS
            say(f"without changes it transfers {idle:.0f} bytes a second")
            for each in (second, alone):
                each.ask("give_back")
            more = second.megabytes - alone.megabytes
            say(f"its memory: {alone.megabytes:.0f} MB without a fleet, {more:.0f} MB more in one")
            share, megabytes = asyncio.run(follow(server, second, options.devices))
    for devices, enrolled in ((10, 5_000), (300, 20_000), (1000, 50_000)):
        day = DAY * idle + CHANGES * enrolled * value
        say(
            f"| {devices} | {enrolled} | {day / 1e6:.0f} MB | {devices * day / 1e9:.0f} GB | "
            f"{8 * devices * day / DAY / 1e6:.1f} Mbit/s | {enrolled * value / 1e6:.0f} MB | "
            f"{more * enrolled / people:.0f} MB | {megabytes * devices / options.devices:.0f} MB |"
        )
    say(f"half a core of a server is enough for {options.devices * 50 / share:.0f} devices")
    say(f"  a gallery has room for {MOST_TEMPLATES} templates")


async def follow(server: NatsServer, changing: Remote, count: int) -> tuple[float, float]:
    """So many devices that follow the bucket and ask for its state, as a member does; returns the share of a core, in percent,
    and the megabytes that the server takes for them.
    """
    process = psutil.Process(server._process.pid)  # noqa: SLF001
    small, door = process.memory_info().rss, asyncio.Semaphore(AT_ONCE)
    arrived: dict[int, list[float]] = {}
    ready: list[int] = []

    async def device(number: int) -> None:
        async with AsyncExitStack() as stack:
            async with door:
                link = await stack.enter_async_context(Link.to(Address((server.url,)), f"device {number}"))
                bucket = await link.bucket(PEOPLE)
                start = (await bucket.state()).last + 1
                feed = await stack.enter_async_context(bucket.following(start))
            ready.append(number)
            while True:
                for each in await feed.batch(CHECK_SECONDS):
                    arrived.setdefault(each.sequence, []).append(time.monotonic())
                await bucket.state()

    tasks = [asyncio.create_task(device(number)) for number in range(count)]
    while len(ready) < count:
        await asyncio.wait(tasks, timeout=0.1)
        assert not any(each.done() for each in tasks)
    ages = []
    for number in range(FOLLOWED):
        begun, known = time.monotonic(), len(arrived)
        await asyncio.to_thread(changing.ask, "rename", name_of(number), f"change {number}")
        while not await asyncio.to_thread(changing.ask, "share", name_of(number)):
            pass
        while len(arrived) == known or len(arrived[max(arrived)]) < count:
            await asyncio.wait(tasks, timeout=0.005)
        ages.append(max(arrived[max(arrived)]) - begun)
    begun, used = time.monotonic(), sum(process.cpu_times()[:2])
    await asyncio.sleep(IDLE_SECONDS)
    share = 100 * (sum(process.cpu_times()[:2]) - used) / (time.monotonic() - begun)
    megabytes = (process.memory_info().rss - small) / 1e6
    for each in tasks:
        each.cancel()
    with suppress(asyncio.CancelledError):
        await asyncio.gather(*tasks)
    median, last = statistics.median(ages), percentile(ages, 99)
    say(f"a change was at {count} followers, all in one process, after {median:.2f} s (median), {last:.2f} s (longest)")
    say(f"  their server took {share:.0f} % of a core and {megabytes:.0f} MB for them")
    return share, megabytes
