"""Servers that know each device by its nkey, with the permissions of docs/fleet.md."""

import asyncio
import os
from datetime import UTC, datetime
from pathlib import Path

import nkeys
import pytest
from devices import until
from replicas import KEYS, Site, alike, make_buckets
from servers import NatsServer

from appliance.access.log import DOOR, Record
from appliance.fleet.link import Address, Link, LinkError
from appliance.fleet.member import devices_bucket
from appliance.fleet.passages import PassageSharing
from appliance.fleet.presence import Presence, survey
from appliance.fleet.publishing import publish
from appliance.fleet.sealing import Envelopes
from appliance.fleet.stream import DecisionReader, Forwarder, decisions_stream

PAGE = Path(__file__).parent.parent.parent / "docs" / "fleet.md"


async def attempt(address, work):
    async with Link.to(address, "test") as link:
        return await work(link)


async def read(link):
    stream = await link.log(decisions_stream(KEYS.id))
    return [each["device"] async for each in DecisionReader(Envelopes(KEYS), 1).entries(stream, follow=False)]


@pytest.fixture
def addresses(tmp_path):
    """A server with the permissions of the page, as two devices reach it."""
    printed = PAGE.read_text("utf-8").partition("authorization { users = [\n")[2].partition("] }\n```")[0]
    assert "PUBLIC_KEY" in printed
    users = ""
    with NatsServer(tmp_path / "nats") as open_server:
        make_buckets(open_server.url)
    for number in (1, 2):
        seed = nkeys.encode_seed(os.urandom(32), nkeys.PREFIX_BYTE_USER)
        public = nkeys.from_seed(bytearray(seed)).public_key.decode()
        user = printed.replace("PUBLIC_KEY", public).replace("FLEET", KEYS.id)
        users += user.replace("DEVICE", f"{number:012x}")
        (tmp_path / f"{number}.seed").write_bytes(seed)
    (tmp_path / "nats.conf").write_text(f"authorization {{ users = [\n{users}] }}\n")
    with NatsServer(tmp_path / "nats", "-c", str(tmp_path / "nats.conf")) as server:
        yield [Address((server.url,), None, tmp_path / f"{number}.seed") for number in (1, 2)]


@pytest.fixture
def sites(addresses, tmp_path):
    both = [Site(tmp_path, number, each.urls, files=each) for number, each in enumerate(addresses, 1)]
    yield both
    for each in both:
        each.gallery.close()


def test_each_device_may_write_only_its_own_record_and_decisions(addresses, sites, tmp_path):
    async def forge_record(link):
        await (await link.bucket(devices_bucket(KEYS.id))).write(one.device, b"forged", 0)

    async def forge_decision(link):
        await (await link.log(decisions_stream(KEYS.id))).write(one.device, b"forged", 1)

    async def publish_a_policy(link):
        await publish(link, KEYS, other.device, "Side door", {}, 0, other.signer)

    one, other = sites
    one.add("anna", 1)
    for each in sites:
        each.companions = [PassageSharing(lambda each=each: each.gallery, each.device, lambda: True)]
    record = Record(tmp_path / "record.db")
    record.append(DOOR, {"event": "forced"})
    with one.running(Forwarder(record, one.device, tmp_path / "place")), other.running():
        assert alike(one, other)
        assert set(other.content()) == {"anna"}
        assert until(lambda: asyncio.run(attempt(addresses[1], read)) == [one.device])
        one.gallery.note_passage(one.gallery.person("anna").person.reference, "in", datetime.now(UTC))
        assert until(lambda: other.gallery.snapshot.passages)
        for forge in (forge_record, forge_decision, publish_a_policy):
            with pytest.raises(LinkError):
                asyncio.run(attempt(addresses[1], forge))
        with pytest.raises(LinkError, match=r"(?i)authorization"):
            asyncio.run(attempt(Address(addresses[0].urls), read))


def test_each_device_may_answer_only_for_itself(addresses, sites):
    async def online(link):
        return [each.online for each in await survey(link, KEYS, records)]

    async def answer_for_both(link):
        responders = [Presence(each.device, lambda each=each: each) for each in records]
        answers = [asyncio.create_task(each.run(link, KEYS)) for each in responders]
        await asyncio.sleep(0.2)
        found = await attempt(addresses[0], online)
        for each in answers:
            each.cancel()
        return found

    with sites[0].running(), sites[1].running():
        assert until(lambda: all(each.member._current() for each in sites))
        records = [each.member._current() for each in sites]
        assert asyncio.run(attempt(addresses[0], online)) == [True, True]
    assert asyncio.run(attempt(addresses[1], answer_for_both)) == [False, True]


@pytest.mark.parametrize("seed", [None, b"", b"UABC\n"])
def test_a_file_without_a_seed_is_named_and_does_not_end_the_device(tmp_path, seed):
    if seed is not None:
        (tmp_path / "seed").write_bytes(seed)

    async def enter():
        async with Link.to(Address(("nats://127.0.0.1:9",), None, tmp_path / "seed"), "one"):
            pass

    with pytest.raises(LinkError, match=r"fleet\.nkey_file" if seed is not None else "No such file"):
        asyncio.run(enter())
