"""A policy that one device signs and publishes, and the others follow: taken, refused when it is old, altered, unknown or not
signed by the device that it names, kept, opted out of.
"""

import asyncio
import json
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from devices import Child, until
from hypothesis import given
from hypothesis import strategies as st
from replicas import KEYS, Site, make_buckets, with_bucket
from servers import NatsServer

from appliance import state
from appliance.cli.main import main
from appliance.fleet.link import Address, Link
from appliance.fleet.member import devices_bucket
from appliance.fleet.membership import FILE
from appliance.fleet.policy import PolicyBook, PublishedPolicy, SignedPolicy, policy_signer, write_keys
from appliance.fleet.publishing import KEY, PolicyFollower, policy_bucket, publish
from appliance.fleet.sealing import Envelopes, FleetKeys, RefusedValueError
from appliance.gallery.vault import SiteKey
from appliance.sections import DoorSection

OWN = DoorSection(schedules=[{"groups": ["staff"], "begin": "07:00", "end": "19:00"}], min_quality=0.5)
NIGHT = DoorSection(schedules=[{"groups": ["guards"], "begin": "19:00", "end": "07:00"}], min_quality=0.9).shared_rules

SIGNER, OTHER = (policy_signer(SiteKey(bytes([number]) * 32)) for number in (1, 2))


def book(folder, *, shared=True, fleet=KEYS.id, publishers=()):
    folder.mkdir(exist_ok=True)
    state.write_document(folder / FILE, {"fleet": fleet})
    return PolicyBook(folder, OWN.merged_rules, shared=shared, publishers=publishers)


def published(revision, rules=NIGHT, device="d1", signer=SIGNER, fleet=KEYS.id):
    time = datetime(2026, 11, 29, 12, tzinfo=UTC)
    policy = PublishedPolicy(fleet, revision, device, "Main door", signer.public.text, time, dict(rules))
    return SignedPolicy.of(policy, signer)


def offer(here, signed):
    return here.offer(signed, SIGNER.public.text)


def groups(found):
    return [each.groups for each in found.rules.schedules]


def test_a_policy_takes_the_place_of_the_rules_that_are_not_about_one_door(tmp_path):
    here = book(tmp_path)
    assert (groups(here), here.document()) == ([("staff",)], {"of": "device"})
    assert offer(here, published(3)) is False
    assert (groups(here), here.rules.min_quality) == ([("guards",)], 0.5)
    assert here.changed() == here.rules
    assert here.changed() is None
    assert (here.document()["revision"], here.document()["key"]) == (3, SIGNER.public.id)
    again = book(tmp_path)
    assert (groups(again), again.kept) == ([("guards",)], published(3))
    again.configure(DoorSection(min_quality=0.7).merged_rules)
    assert (groups(again), again.rules.min_quality) == ([("guards",)], 0.7)
    assert groups(book(tmp_path, fleet="another")) == [("staff",)]
    assert groups(book(tmp_path, shared=False)) == [("staff",)]
    assert groups(book(tmp_path, publishers=["d1"])) == [("guards",)]
    assert groups(book(tmp_path, publishers=["d2"])) == [("staff",)]


@pytest.mark.parametrize(
    ("policy", "named", "lost"),
    [
        (published(2), "older than 3", True),
        (published(4, {"min_quality": 0.1}), "min_quality", False),
        (published(4, {"schedules": [{"groups": []}]}), "schedules", False),
        (published(4, {"prompts": 7}), "prompts", False),
        (published(4, signer=OTHER), "not signed with the key", False),
        (published(4, device="d2", signer=OTHER), "not signed with the key", False),
        (published(4, fleet="ab" * 6), "of another fleet", True),
    ],
)
def test_a_policy_that_is_old_or_not_understood_or_not_its_devices_is_refused_and_named(tmp_path, policy, named, lost):
    here = book(tmp_path)
    offer(here, published(3))
    assert offer(here, policy) is lost
    (problem,) = here.problems()
    assert (problem.state, named in problem.text) == ("fleet_policy_refused", True)
    assert groups(here) == [("guards",)]
    assert offer(here, published(3)) is False
    assert here.problems() == []


def test_only_the_devices_that_may_publish_are_followed(tmp_path):
    here = book(tmp_path, publishers=["d2"])
    assert offer(here, published(3)) is False
    assert "policy_from" in here.problems()[0].text
    assert here.offer(published(1, device="d2"), None) is False
    assert "not in the fleet" in here.problems()[0].text
    offer(here, published(1, device="d2"))
    assert (here.problems(), here.kept.policy.device) == ([], "d2")


@given(st.data())
def test_a_policy_with_a_flipped_bit_is_refused(data):
    document = published(3).document()
    part = data.draw(st.sampled_from(sorted(document)))
    content = bytearray(document[part].encode())
    content[data.draw(st.integers(0, len(content) - 1))] ^= 1 << data.draw(st.integers(0, 6))
    with pytest.raises(RefusedValueError):
        SignedPolicy.read(document | {part: content.decode()})


def test_a_policy_without_a_signature_is_refused():
    with pytest.raises(RefusedValueError, match="without a signature"):
        SignedPolicy.read({"policy": published(3).text})


def test_a_published_policy_reaches_every_device_and_one_that_is_replayed_is_replaced(tmp_path):
    with NatsServer(tmp_path / "nats") as server:
        make_buckets(server.url)
        sites = [Site(tmp_path, number, server.url) for number in (1, 2)]
        books = [book(tmp_path / each.device) for each in sites]
        for site, here in zip(sites, books, strict=True):
            site.companions = [PolicyFollower(here, site.device)]

        async def put(rules):
            async with Link.to(Address((server.url,)), "test") as link:
                return (await publish(link, KEYS, sites[0].device, "Main door", rules, 0, sites[0].signer)).policy

        def on_server(work):
            return asyncio.run(with_bucket(server.url, work, policy_bucket(KEYS.id)))

        async def read(bucket):
            return await bucket.read(KEY)

        with sites[0].running(), sites[1].running():
            assert asyncio.run(put(NIGHT)).revision == 1
            assert until(lambda: all(groups(each) == [("guards",)] for each in books))
            old = on_server(read)
            assert asyncio.run(put(OWN.shared_rules | {"passback_strict": True})).revision == 2
            assert until(lambda: all(each.rules.passback_strict for each in books))
            for value in (old.value, b"", old.value[:-1] + bytes([old.value[-1] ^ 1])):

                async def forge(bucket, value=value):
                    return await bucket.write(KEY, value, (await bucket.read(KEY)).sequence)

                forged = on_server(forge)
                assert until(lambda forged=forged: on_server(read).sequence > forged)
                assert all(each.rules.passback_strict for each in books)
        server.stop()
        kept = b"".join(file.read_bytes() for file in server.folder.rglob("*") if file.is_file())
        assert b"guards" not in kept
        for site in sites:
            site.gallery.close()


def test_after_a_rotation_the_policy_in_force_is_sealed_anew_and_one_by_the_old_key_is_refused(tmp_path):
    with NatsServer(tmp_path / "nats") as server:
        make_buckets(server.url)
        site = Site(tmp_path, 1, server.url, FleetKeys(KEYS.id, (*KEYS.secrets, bytes(32))))
        here, not_shared = book(tmp_path / "state"), book(tmp_path / "other", shared=False)

        def on_server(work):
            return asyncio.run(with_bucket(server.url, work, policy_bucket(KEYS.id)))

        async def generation(bucket):
            return (await bucket.read(KEY)).value[0]

        def by_the_old_key(policy):
            async def put(bucket):
                value = sealed(policy)
                await bucket.write(KEY, value, found.sequence if (found := await bucket.read(KEY)) else 0)

            on_server(put)

        offer(here, published(1))
        by_the_old_key(published(1))
        with site.running(PolicyFollower(here, site.device), PolicyFollower(not_shared, site.device)):
            assert until(lambda: on_server(generation) == 1)
            assert here.problems() == []
            by_the_old_key(published(2, OWN.shared_rules))
            assert until(lambda: "replaced" in "".join(each.text for each in here.problems()))
            assert (here.kept.policy.revision, not_shared.problems()) == (1, [])
        site.gallery.close()


def test_a_policy_that_another_device_signed_is_named_and_a_later_device_takes_the_right_one(tmp_path):
    with NatsServer(tmp_path / "nats") as server:
        make_buckets(server.url)
        first, second, third = (Site(tmp_path, number, server.url) for number in (1, 2, 3))

        def put(signed):
            async def write(bucket):
                await bucket.write(KEY, sealed(signed), found.sequence if (found := await bucket.read(KEY)) else 0)

            asyncio.run(with_bucket(server.url, write, policy_bucket(KEYS.id)))

        def named(here, text):
            return until(lambda: text in "".join(each.text for each in here.problems()))

        def signed_by(site, revision, device=None):
            return published(revision, device=device or site.device, signer=site.signer)

        with first.running(), second.running():
            assert until(lambda: asyncio.run(with_bucket(server.url, count, devices_bucket(KEYS.id))) == 2)
        put(signed_by(first, 1))
        here = book(tmp_path / "second")
        with second.running(PolicyFollower(here, second.device)):  # while the first one is away
            assert until(lambda: here.kept == signed_by(first, 1))
            put(signed_by(second, 2, first.device))
            assert named(here, "not signed with the key")
            put(published(2, device=third.device, signer=third.signer))
            assert named(here, "not in the fleet")
            put(replace(signed_by(first, 2), text=signed_by(first, 3).text))
            assert named(here, "altered")
            assert here.kept == signed_by(first, 1)
            put(signed_by(first, 2))
            assert until(lambda: here.kept == signed_by(first, 2))
            assert here.problems() == []
        with first.running():
            assert until(lambda: asyncio.run(with_bucket(server.url, count, devices_bucket(KEYS.id))) == 2)
        asyncio.run(with_bucket(server.url, empty(first.device), devices_bucket(KEYS.id)))  # it leaves
        later = book(tmp_path / "third")
        with third.running(PolicyFollower(later, third.device)):
            assert named(later, "not in the fleet")
            write_keys(
                tmp_path / "third", {first.device: here.key(first.device)}
            )  # as an invitation of the second one does
            assert until(lambda: later.kept == signed_by(first, 2), 15)
        for site in (first, second, third):
            site.gallery.close()


def sealed(signed):
    return Envelopes(KEYS).close_note(json.dumps(signed.document()).encode(), KEY)


async def count(bucket):
    return len(await bucket.values())


def empty(device):
    async def write(bucket):
        await bucket.write(device, b"", (await bucket.read(device)).sequence)

    return write


@pytest.mark.timeout(180)
def test_a_device_says_whose_policy_is_in_force(tmp_path, capsys):
    with NatsServer(tmp_path / "nats") as server:
        settings = f'[state]\nfolder = "{tmp_path}/state"\n[gallery]\nkey_file = "{tmp_path}/site.key"\n'
        door = '[lan]\nname = "Main door"\n[fleet]\nenabled = true\n[door]\nschedules = [{groups = ["staff"]}]\n'
        (tmp_path / "door.toml").write_text(settings + door)

        def run(*words):
            status = main([*words, "--config", str(tmp_path / "door.toml")])
            return status, *capsys.readouterr()

        assert run("fleet", "create", server.url)[0] == 0
        assert "policy: of this device" in run("policy", "explain")[1]
        status, _, said = run("fleet", "publish-policy")
        assert (status, "revision 1, published by Main door" in said, "signed with its key" in said) == (0, True, True)
        (tmp_path / "door.toml").write_text(
            settings + door.replace("enabled = true", 'enabled = true\npolicy_from = ["012345678901"]')
        )
        assert "policy: of this device" in run("policy", "explain")[1]
        status, _, said = run("fleet", "publish-policy")
        assert (status, "fleet.policy_from" in said) == (1, True)
        (tmp_path / "door.toml").write_text(settings + door.replace("staff", "others"))
        explained = run("policy", "explain", "--groups", "staff", "--clock", "synchronised")[1]
        assert "policy: of the fleet, revision 1, published by Main door" in explained
        assert "granted: every rule passed" in explained
        assert json.loads(run("policy", "explain", "--json")[1])["policy"]["revision"] == 1
        with Child(tmp_path, settings + door.replace("enabled = true", "enabled = true\npolicy = false")) as child:
            assert child.ready().get("/healthz").document["policy"] == {"of": "device"}
        with Child(tmp_path, settings + door) as child:
            policy = child.ready().get("/healthz").document["policy"]
            assert (policy["name"], len(policy["key"])) == ("Main door", 16)
