"""A policy that one device publishes and the others follow: taken, refused when old, altered or unknown, kept, opted out of."""

import asyncio
import json
from datetime import UTC, datetime

import pytest
from devices import Child, until
from replicas import KEYS, Site, make_buckets, with_bucket
from servers import NatsServer

from appliance import state
from appliance.cli.main import main
from appliance.fleet.link import Address, Link
from appliance.fleet.membership import FILE
from appliance.fleet.policy import POLICY, PolicyBook, PublishedPolicy
from appliance.fleet.publishing import KEY, PolicyFollower, policy_bucket, publish
from appliance.fleet.sealing import Envelopes, FleetKeys
from appliance.sections import DoorSection

OWN = DoorSection(schedules=[{"groups": ["staff"], "begin": "07:00", "end": "19:00"}], min_quality=0.5)
NIGHT = DoorSection(schedules=[{"groups": ["guards"], "begin": "19:00", "end": "07:00"}], min_quality=0.9).shared_rules


def book(folder, *, shared=True, fleet=KEYS.id):
    folder.mkdir(exist_ok=True)
    state.write_document(folder / FILE, {"fleet": fleet})
    return PolicyBook(folder, OWN.merged_rules, shared=shared)


def published(revision, rules=NIGHT, device="d1"):
    return PublishedPolicy(revision, device, "Main door", datetime(2026, 11, 29, 12, tzinfo=UTC), dict(rules))


def groups(found):
    return [each.groups for each in found.rules.schedules]


def test_a_policy_takes_the_place_of_the_rules_that_are_not_about_one_door(tmp_path):
    here = book(tmp_path)
    assert (groups(here), here.document()) == ([("staff",)], {"of": "device"})
    assert here.offer(published(3)) is False
    assert (groups(here), here.rules.min_quality) == ([("guards",)], 0.5)
    assert here.changed() == here.rules
    assert here.changed() is None
    assert here.document()["revision"] == 3
    again = book(tmp_path)
    assert (groups(again), again.kept) == ([("guards",)], published(3))
    again.configure(DoorSection(min_quality=0.7).merged_rules)
    assert (groups(again), again.rules.min_quality) == ([("guards",)], 0.7)
    assert groups(book(tmp_path, fleet="another")) == [("staff",)]
    assert groups(book(tmp_path, shared=False)) == [("staff",)]


@pytest.mark.parametrize(
    ("policy", "named", "lost"),
    [
        (published(2), "older than 3", True),
        (published(4, {"min_quality": 0.1}), "min_quality", False),
        (published(4, {"schedules": [{"groups": []}]}), "schedules", False),
        (published(4, {"prompts": 7}), "prompts", False),
    ],
)
def test_a_policy_that_is_old_or_not_understood_is_refused_and_named(tmp_path, policy, named, lost):
    here = book(tmp_path)
    here.offer(published(3))
    assert here.offer(policy) is lost
    (problem,) = here.problems()
    assert (problem.state, named in problem.text) == ("fleet_policy_refused", True)
    assert groups(here) == [("guards",)]
    assert here.offer(published(3)) is False
    assert here.problems() == []


def test_a_published_policy_reaches_every_device_and_one_that_is_replayed_is_replaced(tmp_path):
    with NatsServer(tmp_path / "nats") as server:
        make_buckets(server.url)
        sites = [Site(tmp_path, number, server.url) for number in (1, 2)]
        books = [book(tmp_path / each.device) for each in sites]
        for site, here in zip(sites, books, strict=True):
            site.companions = [PolicyFollower(here, site.device)]

        async def put(rules):
            async with Link.to(Address((server.url,)), "test") as link:
                return await publish(link, KEYS, sites[0].device, "Main door", rules, 0)

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
                value = Envelopes(KEYS).close_note(POLICY.dump_json(policy), KEY)
                await bucket.write(KEY, value, found.sequence if (found := await bucket.read(KEY)) else 0)

            on_server(put)

        here.offer(published(1))
        by_the_old_key(published(1))
        with site.running(PolicyFollower(here, site.device), PolicyFollower(not_shared, site.device)):
            assert until(lambda: on_server(generation) == 1)
            assert here.problems() == []
            by_the_old_key(published(2, OWN.shared_rules))
            assert until(lambda: "replaced" in "".join(each.text for each in here.problems()))
            assert (here.kept.revision, not_shared.problems()) == (1, [])
        site.gallery.close()


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
        assert (status, "revision 1, published by Main door" in said) == (0, True)
        (tmp_path / "door.toml").write_text(settings + door.replace("staff", "others"))
        explained = run("policy", "explain", "--groups", "staff", "--clock", "synchronised")[1]
        assert "policy: of the fleet, revision 1, published by Main door" in explained
        assert "granted: every rule passed" in explained
        assert json.loads(run("policy", "explain", "--json")[1])["policy"]["revision"] == 1
        with Child(tmp_path, settings + door.replace("enabled = true", "enabled = true\npolicy = false")) as child:
            assert child.ready().get("/healthz").document["policy"] == {"of": "device"}
        with Child(tmp_path, settings + door) as child:
            assert child.ready().get("/healthz").document["policy"]["name"] == "Main door"
