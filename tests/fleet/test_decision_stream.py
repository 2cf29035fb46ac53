"""Records of devices in the stream of their fleet, on a real server: all entries, each once, in order, whatever is away."""

import asyncio
import time
from contextlib import contextmanager
from datetime import UTC, datetime

import pytest
from devices import until
from replicas import KEYS, Site, make_buckets
from servers import NatsServer

from appliance.access.log import DECISION, DOOR, Record
from appliance.fleet.link import Address, BucketState, Link
from appliance.fleet.membership import Membership
from appliance.fleet.replica import StoredValue
from appliance.fleet.sealing import Envelopes, FleetKeys, RefusedValueError
from appliance.fleet.stream import _HEAD, PLACE_FILE, DecisionReader, Forwarder, _sealed, decisions_stream

STREAM = decisions_stream(KEYS.id)

DEVICE = f"{1:012x}"

REFERENCE = "4a1d0c2be6f34a0e8c11d9f2a7b35e60"


@pytest.fixture
def site(server, tmp_path):
    one = Site(tmp_path, 1, server.url)
    yield one
    one.gallery.close()


@pytest.fixture
def record(tmp_path):
    return Record(tmp_path / "decisions.db")


@contextmanager
def forwarding(site, record, file):
    """A process of the device."""
    forwarder = Forwarder(record, site.device, file)
    with site.running(forwarder):
        yield forwarder


def decide(record, count=1):
    return [record.append(DECISION, {"result": "granted", "person": REFERENCE}).sequence for _ in range(count)]


async def with_stream(url, work):
    async with Link.to(Address((url,)), "test") as link:
        return await work(await link.log(STREAM))


def remove_stream(url):
    async def remove():
        async with Link.to(Address((url,)), "test") as link:
            await link.jetstream.delete_stream(STREAM)

    asyncio.run(remove())


def read(url, keys=KEYS, start=1):
    """What a member reads."""

    async def all_of(stream):
        return [each async for each in DecisionReader(Envelopes(keys), start).entries(stream, follow=False)]

    return asyncio.run(with_stream(url, all_of))


def sequences(url):
    return [each["sequence"] for each in read(url)]


def test_what_was_recorded_while_servers_or_the_process_were_away_comes_once_and_in_order(
    server, site, record, tmp_path
):
    file = tmp_path / PLACE_FILE
    decide(record, 70)
    with forwarding(site, record, file) as forwarder:
        assert until(lambda: sequences(server.url) == [*range(1, 71)])
        server.stop(kill=True)
        decide(record, 3)
        server.start()
        assert until(lambda: site.member.silent_s() < 1)
        record.append(DOOR, {"event": "forced"})
        assert until(lambda: sequences(server.url)[-1:] == [74])
        assert forwarder.problems() == []
    decide(record, 2)
    file.unlink()  # as after a crash
    with forwarding(site, record, file):
        assert until(lambda: sequences(server.url)[-1] == 76)
    lines = read(server.url)
    assert [each["sequence"] for each in lines] == [*range(1, 77)]
    assert [each["follows"] for each in lines] == [None, *[True] * 75]
    newest = record.newest(1)[0]
    assert lines[-1] == {
        "position": 76,
        "id": f"{DEVICE}-76-{newest.hash[:8]}",
        "device": DEVICE,
        **newest.document(),
        "follows": True,
    }
    assert [each["position"] for each in read(server.url, start=75)] == [75, 76]
    assert file.exists()
    kept = b"".join(each.read_bytes() for each in server.folder.rglob("*") if each.is_file())
    assert DEVICE.encode() in kept
    assert not [word for word in (REFERENCE, newest.hash, "granted", "forced") if word.encode() in kept]


def test_entries_that_servers_have_dropped_for_their_age_are_not_sent_again(tmp_path, record):
    async def short(stream_url):
        async with Link.to(Address((stream_url,)), "test") as link:
            await link.log(STREAM, replicas=1, max_age=1.0)

    with NatsServer(tmp_path / "nats") as server:
        asyncio.run(short(server.url))
        make_buckets(server.url)  # the stream stays as it is
        site = Site(tmp_path, 1, server.url)
        decide(record, 3)
        with forwarding(site, record, tmp_path / PLACE_FILE):
            assert until(lambda: sequences(server.url) == [1, 2, 3])
            assert until(lambda: sequences(server.url) == [])
        with forwarding(site, record, tmp_path / PLACE_FILE):
            decide(record)
            assert until(lambda: sequences(server.url) == [4])
        site.gallery.close()


def test_a_stream_that_was_made_anew_gets_everything_again_and_a_record_made_anew_comes_with_other_ids(
    server, site, record, tmp_path
):
    decide(record, 2)
    file = tmp_path / PLACE_FILE
    with forwarding(site, record, file):
        assert until(lambda: sequences(server.url) == [1, 2])
        remove_stream(server.url)
        make_buckets(server.url)
        decide(record)
        assert until(lambda: sequences(server.url) == [1, 2, 3])
    (tmp_path / "decisions.db").unlink()
    again = Record(tmp_path / "decisions.db")
    decide(again, 2)
    with forwarding(site, again, file):
        assert until(lambda: len(read(server.url)) == 5)
    lines = read(server.url)
    assert [each["sequence"] for each in lines] == [1, 2, 3, 1, 2]
    assert [each["follows"] for each in lines] == [None, True, True, False, True]
    assert len({each["id"] for each in lines}) == 5


def test_what_the_servers_alter_move_or_repeat_is_named(server, site, record, tmp_path):
    decide(record, 2)
    with forwarding(site, record, tmp_path / PLACE_FILE):
        assert until(lambda: sequences(server.url) == [1, 2])

    async def tamper(stream):
        second = await stream.read(DEVICE)
        flipped = second.value[:-1] + bytes([second.value[-1] ^ 1])
        await stream.write(f"{2:012x}", second.value, 0)
        newest = await stream.write(DEVICE, flipped, second.sequence)
        await stream.write(DEVICE, second.value, newest)

    asyncio.run(with_stream(server.url, tamper))
    *_, moved, flipped, repeated = read(server.url)
    assert str(moved) == "position 3, device 000000000002: altered, or of another place"
    assert str(flipped).startswith(f"position 4, device {DEVICE}: altered")
    assert (repeated["sequence"], repeated["follows"]) == (2, False)
    other_key = FleetKeys(KEYS.id, (bytes(32),))
    assert all("altered" in str(each) for each in read(server.url, other_key))


def test_what_is_sent_with_a_key_that_was_replaced_is_named_and_sent_again_once_the_device_has_joined_again(
    server, site, record, tmp_path
):
    async def state(stream):
        return await stream.state()

    file = tmp_path / PLACE_FILE
    decide(record, 3)
    with forwarding(site, record, file):
        assert until(lambda: sequences(server.url) == [1, 2, 3])
        end = asyncio.run(with_stream(server.url, state))
        later = KEYS.rotated(bytes(32), end.created, end.last)
        decide(record, 2)
        assert until(lambda: len(read(server.url, later)) == 5)
    assert [each["sequence"] for each in read(server.url, later)[:3]] == [1, 2, 3]  # from before the rotation
    assert ["replaced" in str(each) for each in read(server.url, later)[3:]] == [True, True]
    site.keys = Membership.unpack(Membership((server.url,), later).pack()).keys
    with forwarding(site, record, file):
        assert until(lambda: len(read(server.url, later)) == 7)
        assert [(each["sequence"], each["follows"]) for each in read(server.url, later)[5:]] == [(4, True), (5, True)]
        remove_stream(server.url)
        make_buckets(server.url)
        decide(record)
        assert until(lambda: [each["sequence"] for each in read(server.url, later)] == [1, 2, 3, 4, 5, 6])


def test_a_stream_that_is_not_there_is_a_problem_and_people_are_shared_all_the_same(server, site, record, tmp_path):
    remove_stream(server.url)
    decide(record)
    site.add("anna")
    ahead = 0.0
    forwarder = Forwarder(record, DEVICE, tmp_path / PLACE_FILE, lambda: time.monotonic() + ahead)
    with site.running(forwarder):
        assert until(lambda: site.member.share("anna"))
        assert site.member.problems() == []  # not yet
        ahead = 60.0
        assert until(lambda: [each.state for each in site.member.problems()] == ["fleet_decisions_waiting"])
        make_buckets(server.url)
        assert until(lambda: site.member.problems() == [])
        assert until(lambda: sequences(server.url) == [1])


def test_a_reader_that_follows_goes_on_after_the_server_was_away(server, site, record, tmp_path):
    seen, reader = [], DecisionReader(Envelopes(KEYS), 1)

    async def follow(stream):
        async for each in reader.entries(stream, follow=True):
            seen.append((each["sequence"], each["follows"]))
            if len(seen) % 2 == 0:
                return

    with forwarding(site, record, tmp_path / PLACE_FILE):
        decide(record, 2)
        asyncio.run(with_stream(server.url, follow))
        server.stop(kill=True)
        decide(record)
        server.start()
        decide(record)
        asyncio.run(with_stream(server.url, follow))
    assert seen == [(1, None), (2, True), (3, True), (4, True)]


def test_an_entry_that_is_not_json_is_named_and_ends_nothing():
    envelopes, state = Envelopes(KEYS), BucketState(datetime.now(UTC), 8, 8, 1)
    value = _HEAD.pack(1) + envelopes.close_note(b"not JSON", "decision", DEVICE, "1")
    found = DecisionReader(envelopes, 1)._line(StoredValue(DEVICE, value, 7), state)
    assert isinstance(found, RefusedValueError)
    assert "position 7" in str(found)
    assert "\x1b" not in str(DecisionReader(envelopes, 1)._line(StoredValue("\x1b[2J", value, 8), state))


def test_the_length_of_an_entry_does_not_say_what_it_is(record):
    facts = [{"result": "granted", "person": REFERENCE}, {"result": "denied", "person": None}]
    entries = [*(record.append(DECISION, each) for each in facts), record.append(DOOR, {"event": "forced"})]
    assert len({len(_sealed(each, DEVICE, Envelopes(KEYS))) for each in entries}) == 1
