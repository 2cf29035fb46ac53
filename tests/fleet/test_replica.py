"""A device's copy of the fleet while the gallery changes, fails or cannot read: no server is needed for that."""

import sqlite3

import pytest
from replicas import KEYS, Site

from appliance.fleet.merge import NOTHING
from appliance.fleet.replica import Replica, StoredValue
from appliance.fleet.sealing import Envelopes, FleetKeys
from appliance.gallery.people import GalleryUnavailableError


@pytest.fixture
def sites(tmp_path):
    both = [Site(tmp_path, number, "") for number in (1, 2)]
    yield both
    for site in both:
        site.gallery.close()


def sent(replica, identity):
    key = replica.key(identity)
    replica.announce([key])
    return key, *replica.outgoing(key)


def test_an_erasure_while_the_servers_store_the_person_is_not_forgotten_with_their_answer(sites):
    one, _ = sites
    reference, replica = one.add("anna", 1), Replica(one.gallery, Envelopes(KEYS))
    key, version, value, _ = sent(replica, "anna")
    one.gallery.erase("anna")
    replica.acknowledged([(key, version, 1)])
    assert replica.missing() == []
    assert replica.pending() == [key]
    erased, _, last = replica.outgoing(key)
    assert (erased.erased, last) == ((reference,), 1)
    replica.absorb([StoredValue(key, value, 2)])
    assert one.content() == {}
    assert one.gallery.snapshot.shares[key].erased == (reference,)


def test_a_change_after_a_version_whose_answer_was_lost_stays(sites):
    one, other = sites
    one.add("anna", 1)
    replica, receiver = (Replica(site.gallery, Envelopes(KEYS)) for site in sites)
    for before, name in enumerate(("Anna B", "Anna C", "Anna D")):
        key, _, value, last = sent(replica, "anna")
        assert last == before
        one.rename("anna", name)
        replica.absorb([StoredValue(key, value, last + 1)])
        assert (replica.held(), list(replica.conflicts), one.name("anna")) == ({}, [], name)
        assert replica.pending() == [key]
    version, value, last = replica.outgoing(key)
    replica.acknowledged([(key, version, last + 1)])
    receiver.absorb([StoredValue(key, value, last + 1)])
    assert (other.name("anna"), replica.pending(), receiver.pending()) == ("Anna D", [], [])


@pytest.mark.parametrize("both_arrive", [True, False])
@pytest.mark.parametrize("changed", [True, False])
def test_a_change_of_another_device_after_one_whose_answer_was_lost_wins(sites, changed, both_arrive):
    one, other = sites
    one.add("anna", 1)
    replica, elsewhere = (Replica(site.gallery, Envelopes(KEYS)) for site in sites)
    key, _, value, _ = sent(replica, "anna")
    elsewhere.absorb([StoredValue(key, value, 1)])
    other.rename("anna", "Anna of the other door")
    later = StoredValue(key, elsewhere.outgoing(key)[1], 2)
    if changed:
        one.rename("anna", "Anna of this door")
    for each in [StoredValue(key, value, 1)] * both_arrive + [later]:
        replica.absorb([each])
    assert (one.name("anna"), replica.pending(), replica.held()) == ("Anna of the other door", [], {})
    assert [conflict.identity for conflict in replica.conflicts] == ["anna"] * changed


def test_what_the_gallery_could_not_take_is_taken_when_it_comes_again(sites, tmp_path):
    one, other = sites
    sender, replica = (Replica(site.gallery, Envelopes(KEYS)) for site in sites)
    one.add("anna", 1)
    key, version, value, _ = sent(sender, "anna")
    sender.acknowledged([(key, version, 1)])
    replica.absorb([StoredValue(key, value, 1)])
    one.gallery.erase("anna")
    erased = StoredValue(key, sender.outgoing(key)[1], 2)
    file, away = tmp_path / f"{other.device}.db", tmp_path / "away"
    file.rename(away)
    with pytest.raises(GalleryUnavailableError):
        replica.absorb([erased])
    away.rename(file)
    replica.absorb([erased])
    assert other.content() == {}
    assert replica.pending() == []


def test_what_cannot_be_read_before_a_device_joins_again_is_not_said_to_be_taken(sites):
    one, other = sites
    one.add("anna", 1)
    later = Replica(one.gallery, Envelopes(FleetKeys(KEYS.id, (*KEYS.secrets, bytes(32)))))
    replica = Replica(other.gallery, Envelopes(KEYS))
    key, _, value, _ = sent(later, "anna")
    replica.absorb([StoredValue(key, value, 7)])
    assert (replica.read_until(9), replica.read_until(6)) == (6, 6)
    assert other.gallery.snapshot.shares.get(key, NOTHING) == NOTHING
    replica.absorb([StoredValue(key, sent(Replica(one.gallery, Envelopes(KEYS)), "anna")[2], 8)])
    assert replica.read_until(9) == 9


def test_what_damage_has_taken_from_one_gallery_is_not_taken_from_the_fleet(sites, tmp_path):
    one, _ = sites
    one.add("anna", 1)
    replica = Replica(one.gallery, Envelopes(KEYS))
    key, version, *_ = sent(replica, "anna")
    replica.acknowledged([(key, version, 1)])
    one.gallery.close()
    with sqlite3.connect(tmp_path / f"{one.device}.db") as database:
        database.execute("UPDATE templates SET sealed = zeroblob(length(sealed))")
    database.close()
    again = Site(tmp_path, 1, "")
    damaged = Replica(again.gallery, Envelopes(KEYS))
    assert again.gallery.problem()
    assert not again.gallery.person("anna").templates
    damaged._seen[key] = 1, version
    assert (damaged.pending(), damaged.outgoing(key)) == ([], None)
    again.gallery.close()


def test_problems_are_told_without_a_look_that_only_the_thread_of_the_fleet_may_take(sites):
    one, _ = sites
    replica = Replica(one.gallery, Envelopes(KEYS))
    one.add("anna")
    replica.pending()
    one.add("bert")
    before = replica._looked_at
    assert (replica.held(), replica.refused()) == ({}, {})
    assert replica._looked_at is before is not one.gallery.snapshot
