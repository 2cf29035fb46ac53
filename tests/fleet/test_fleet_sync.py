"""Galleries that share their people over a real server: what is shared, lost, refused and erased, also after it was away."""

import asyncio
from base64 import b64encode

import pytest
from devices import until
from replicas import KEYS, Site, alike, unit, with_bucket
from servers import Tap

from appliance.fleet.member import people_bucket
from appliance.fleet.membership import NoFleetError
from appliance.fleet.merge import NOTHING
from appliance.fleet.replica import Replica
from appliance.fleet.sealing import Envelopes
from appliance.gallery.people import ChangedElsewhereError
from appliance.gallery.pin import StoredPin


@pytest.fixture
def sites(server, tmp_path):
    both = [Site(tmp_path, number, server.url) for number in (1, 2)]
    yield both
    for site in both:
        site.gallery.close()


def connected(site):
    return until(
        lambda: site.member.share("nobody") is False and site.member._bucket is not None and site.member.silent_s() < 2
    )


def test_people_are_known_and_erased_on_both_devices(sites):
    one, other = sites
    one.add("anna", 1)
    one.gallery.set_pin("anna", StoredPin.of("4071"))
    other.add("bert", 2)
    with one.running(), other.running():
        assert alike(one, other)
        assert set(one.content()) == {"anna", "bert"}
        assert other.gallery.ranking(unit(1))[0].reference == one.gallery.person("anna").person.reference
        number = one.gallery.person("anna").templates[0].number
        other.rename("anna", "Anna of the other device")
        assert other.member.share("anna")
        assert until(lambda: one.name("anna") == "Anna of the other device")
        assert one.gallery.person("anna").templates[0].number == number  # and its picture is still there
        assert list(one.gallery.pictures(one.gallery.person("anna").person.reference)) == [(number, b"a picture")]
        other.gallery.erase("anna")
        assert other.member.share("anna")
        assert until(lambda: one.name("anna") is None)
        one.add("anna", 3)  # another person, or the same one again
        assert one.member.share("anna")
        assert until(lambda: other.name("anna"))
        assert one.member.problems() == other.member.problems() == []


def test_what_changed_while_the_server_was_away_is_shared_afterwards(sites, server):
    one, other = sites
    for number in range(20):
        one.add(f"p{number}", number)
    with one.running(), other.running():
        assert alike(one, other)
        server.stop(kill=True)
        assert until(lambda: not one.member.share("p0"))
        one.gallery.erase("p1")
        one.rename("p2", "of one")
        other.rename("p1", "erased meanwhile")
        other.rename("p3", "of the other")
        other.add("new", 50)
        assert other.member.share("new") is False
        server.start()
        assert alike(one, other)
        assert one.name("p1") is None
        assert (one.name("p2"), one.name("p3"), one.name("new")) == ("of one", "of the other", "Somebody")


@pytest.mark.parametrize("rounds", [3])
def test_of_two_changes_at_the_same_time_one_is_refused_with_the_newer_version(sites, server, rounds):
    one, other = sites
    one.add("anna")
    with one.running(), other.running():
        assert alike(one, other)
        for number in range(rounds):
            one.rename("anna", f"one {number}")
            other.rename("anna", f"other {number}")
            results = []
            for site in sites:
                try:
                    results.append(site.member.share("anna"))
                except ChangedElsewhereError:
                    results.append(site.name("anna"))
            assert alike(one, other)
            winner = one.name("anna")
            assert winner in {f"one {number}", f"other {number}"}
            assert sorted(map(str, results)) == sorted(["True", winner])


def test_differing_people_of_devices_that_join_are_held_and_named(sites):
    one, other = sites
    one.add("anna", 1, "Anna")
    other.add("anna", 2, "Anders")
    with one.running():
        assert until(lambda: one.member.share("anna"))
        with other.running():
            assert until(other.member.problems)
            assert [each.state for each in other.member.problems()] == ["fleet_people_differ"]
            one.rename("anna", "Anna Maria")
            assert one.member.share("anna")
            assert (one.name("anna"), other.name("anna")) == ("Anna Maria", "Anders")
            other.gallery.erase("anna")  # the fleet's is taken
            assert until(lambda: other.name("anna") == "Anna Maria")
            assert until(lambda: not other.member.problems())


def test_a_value_that_is_altered_moved_or_old_is_refused_named_and_replaced(sites, server):
    one, other = sites
    one.add("anna", 1)
    one.add("bert", 2)
    anna = "anna"
    with one.running() as member:
        assert until(lambda: member.share("anna") and member.share("bert"))
        key, moved = member._replica.key("anna"), member._replica.key("bert")

        async def read(bucket):
            return await bucket.read(key), await bucket.read(moved)

        old, berts = asyncio.run(with_bucket(server.url, read))
        one.rename(anna, "Anna Maria")
        assert member.share("anna")
        for value in (old.value, berts.value, old.value[:-1] + bytes([old.value[-1] ^ 1]), b""):

            async def forge(bucket, value=value):
                return await bucket.write(key, value, (await bucket.read(key)).sequence)

            forged = asyncio.run(with_bucket(server.url, forge))
            assert until(lambda forged=forged: asyncio.run(with_bucket(server.url, read))[0].sequence > forged)
            assert [each.state for each in member.problems()] == ["fleet_values_refused"]
            assert one.name("anna") == "Anna Maria"
    with other.running():
        assert alike(one, other)
        assert other.member.problems() == []


def test_neither_the_disk_nor_the_traffic_of_a_server_tells_a_name_an_id_or_a_template(sites, server):
    one, other = sites
    reference = one.add("anna-4711", 1, "Anna Lovelace")
    one.gallery.set_pin("anna-4711", pin := StoredPin.of("4071"))
    with Tap(server.port) as tap:
        one.url = other.url = tap.url
        with one.running(), other.running():
            assert alike(one, other)
    server.stop()
    kept = b"".join(file.read_bytes() for file in server.folder.rglob("*") if file.is_file())
    words = b"anna-4711", b"Lovelace", b"staff", reference.encode(), unit(1).tobytes()[:15], pin.salt, KEYS.secrets[0]
    for content in (kept, tap.seen):
        assert len(content) > 2000
        assert not [
            word for word in words for form in (word, word.hex().encode(), b64encode(word)[:-4]) if form in content
        ]


def test_a_bucket_that_was_made_anew_is_filled_again_and_an_erasure_in_between_is_not_lost(sites, server):
    one, other = sites
    for number in range(5):
        one.add(f"p{number}", number)
    with one.running(), other.running():
        assert alike(one, other)

        async def remake(bucket):
            await bucket._link.jetstream.delete_stream(bucket.stream)
            await bucket._link.bucket(people_bucket(KEYS.id), replicas=1)

        asyncio.run(with_bucket(server.url, remake))
        one.gallery.erase("p1")
        assert until(lambda: one.member.share("p1"))
        assert alike(one, other)
        assert set(other.content()) == {"p0", "p2", "p3", "p4"}
        assert until(lambda: other.member.share("p0"))


def test_a_person_who_was_erased_before_the_servers_answered_does_not_come_back(sites):
    one, other = sites
    reference = one.add("anna", 1)
    replica = Replica(one.gallery, Envelopes(KEYS))
    key = replica.key("anna")
    replica.announce([key])
    _, value, _ = replica.outgoing(key)
    one.gallery.erase("anna")

    async def write(bucket):
        await bucket.write(key, value, 0)  # it arrives late

    asyncio.run(with_bucket(one.url, write))
    with one.running(), other.running():
        assert until(lambda: one.member.share("anna"))
        assert until(lambda: reference in other.gallery.snapshot.shares.get(key, NOTHING).erased)
        assert one.content() == other.content() == {}
        assert one.member.problems() == other.member.problems() == []


def test_a_running_device_notices_that_it_has_left_and_writes_nothing_more(sites):
    one, other = sites
    one.add("anna", 1)
    with one.running(), other.running():
        assert alike(one, other)
        joined = one.member._membership()

        def membership():
            if left:
                raise NoFleetError("it has left")
            return joined

        left = []
        one.member._membership = membership
        left.append(True)  # as `appliance fleet leave` does: first the file, then what the fleet knew
        with one.gallery.writing() as transaction:
            for key, share in one.gallery.snapshot.shares.items():
                transaction.write_share(key, share.restored())
        assert until(lambda: one.member._trouble == "it has left")
        other.rename("anna", "Anna B")
        assert other.member.share("anna")
        assert one.name("anna") == "Somebody"
        assert other.member.problems() == []
