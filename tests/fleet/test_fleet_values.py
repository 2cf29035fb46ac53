"""Values that a device must not trust: malformed, huge, of a later program, of a key that was replaced."""

import json
import zlib
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from replicas import KEYS, Site

from appliance.fleet.devices import _RECORD, OUTDATED, About, DeviceRecord, records_of
from appliance.fleet.replica import MOST_REFUSED, Replica, StoredValue
from appliance.fleet.sealing import _HEAD, MOST_BYTES, MOST_REVISIONS, Envelopes, FleetKeys, UnreadableValueError
from appliance.gallery.shares import fingerprint

LATER = FleetKeys(KEYS.id, (*KEYS.secrets, bytes(32)))

EMPTY = {"reference": "", "erased": []}


@pytest.fixture
def sites(tmp_path):
    both = [Site(tmp_path, number, "") for number in (1, 2)]
    yield both
    for site in both:
        site.gallery.close()


def sealed(key, content, revision=1):
    """The value of a device that has the key, and does not keep to what its values look like."""
    head = _HEAD.pack(1, 0, revision, bytes(32))
    return head + KEYS.seals[0].close(zlib.compress(content), "fleet", key, head.hex())


def sent(replica, identity):
    return replica.outgoing(replica.key(identity))[1]


@pytest.mark.parametrize(
    ("content", "revision"),
    [
        (b"{", 1),
        (b"[]", 1),
        (b"[" * 100_000, 1),
        (json.dumps({"reference": "0" * 16, "erased": []}).encode(), 1),
        (json.dumps({"reference": "0" * 16, "erased": [], "person": {}}).encode(), 1),
        (json.dumps({"reference": "", "erased": ["nobody"]}).encode(), 1),
        (json.dumps({"reference": "", "erased": [1]}).encode(), 1),
        (json.dumps({"reference": "", "erased": 1}).encode(), 1),
        (json.dumps(EMPTY).encode() + b" " * MOST_BYTES, 1),
        (json.dumps(EMPTY).encode(), MOST_REVISIONS + 1),
    ],
)
def test_what_a_device_of_the_fleet_wrote_and_this_one_cannot_read_is_named_and_left_alone(sites, content, revision):
    one, _ = sites
    reference, replica = one.add("anna", 1), Replica(one.gallery, Envelopes(KEYS))
    key = replica.key("anna")
    with pytest.raises(UnreadableValueError):
        Envelopes(KEYS).open(key, sealed(key, content, revision))
    replica.absorb([StoredValue(key, sealed(key, content, revision), 1)])
    assert list(replica.refused()) == [key]
    assert replica.pending() == []  # two programs that refuse each other's values do not write in turns
    assert one.content()["anna"][0] == reference
    assert replica.read_until(5) == 0


def test_the_largest_revision_leaves_room_for_the_next_ones(sites):
    one, other = sites
    replica = Replica(one.gallery, Envelopes(KEYS))
    key = replica.key("anna")
    replica.absorb([StoredValue(key, sealed(key, json.dumps(EMPTY).encode(), MOST_REVISIONS), 1)])
    assert replica.refused() == {}
    one.add("anna")
    value = sent(replica, "anna")
    Replica(other.gallery, Envelopes(KEYS)).absorb([StoredValue(key, value, 2)])


def test_a_key_that_was_replaced_opens_what_is_known_and_nothing_new(sites):
    one, other = sites
    one.add("anna", 1, "Anna")
    thief = Replica(one.gallery, Envelopes(KEYS))
    key, value = thief.key("anna"), sent(thief, "anna")
    before = Replica(other.gallery, Envelopes(KEYS))
    before.absorb([StoredValue(key, value, 1)])
    after = Replica(other.gallery, Envelopes(LATER))
    after.absorb([StoredValue(key, value, 1)])
    assert after.refused() == {}
    assert after.pending() == [key]  # it is sealed with the new key
    assert Envelopes(LATER).open(key, sent(after, "anna")).outdated is False
    thief.acknowledged([(key, thief._wanted(key), 1)])
    one.rename("anna", "Somebody else")
    after.absorb([StoredValue(key, sent(thief, "anna"), 2)])
    assert after.refused() == {key: "sealed with a key that was replaced"}
    assert other.name("anna") == "Anna"
    assert after.pending() == [key]


def test_a_value_that_cannot_be_read_is_a_problem_until_it_can(sites):
    one, other = sites
    one.add("anna", 1)
    replica = Replica(other.gallery, Envelopes(KEYS))
    key = replica.key("anna")
    replica.absorb([StoredValue(key, sent(Replica(one.gallery, Envelopes(LATER)), "anna"), 1)])
    replica._refused[key] = float("-inf"), replica.refused()[key]  # long ago
    assert list(replica.refused()) == [key]
    replica.absorb([StoredValue(key, sent(Replica(one.gallery, Envelopes(KEYS)), "anna"), 2)])
    assert replica.refused() == {}


def test_a_flood_of_refused_values_does_not_fill_the_memory(sites):
    replica = Replica(sites[0].gallery, Envelopes(KEYS))
    replica.absorb([StoredValue(f"{number:032x}", b"x", number + 1) for number in range(MOST_REFUSED + 9)])
    assert len(replica.refused()) == MOST_REFUSED


def test_a_person_whose_value_could_not_be_read_again_is_not_forgotten(sites):
    one, other = sites
    one.add("anna", 1)
    value = sent(Replica(one.gallery, Envelopes(KEYS)), "anna")
    replica = Replica(other.gallery, Envelopes(KEYS))
    key = replica.key("anna")
    replica.absorb([StoredValue(key, value, 1)])
    with other.gallery.writing() as transaction:
        transaction.erase_person("anna")  # not an erasure, but a loss
    assert replica.missing() == [key]
    assert replica.pending() == []
    assert replica.missing() == [key]  # the servers did not answer
    replica.vanished(key)
    replica.absorb([StoredValue(key, value, 1)])
    assert other.content() == one.content()
    assert replica.missing() == []


def test_the_fingerprint_of_a_person_is_that_of_earlier_programs(sites):
    """A person without values of newer fields keeps it; otherwise each upgraded device writes everyone anew."""
    one, _ = sites
    one.add("anna", None, "Anna")
    known = one.gallery.person("anna")
    assert fingerprint(known.person, (), None) == "86cbe0138e57365c828f8752299c5f14342631a1cdfac3490935a202e88b4162"


def test_a_device_speaks_for_itself_alone_and_writes_text():
    envelopes = Envelopes(KEYS)
    good = DeviceRecord("aa", About("Door", "1.0", "ok"), 1, 0, 0, datetime.now(UTC), 1, time=1.0)
    records = [
        good,
        replace(good, device="bb"),
        replace(good, about=About("\x1b[2J", "1.0", "ok")),
        replace(good, time=float("-inf")),
    ]
    written = [("aa", envelopes.close_note(_RECORD.dump_json(each), "device", "aa")) for each in records]
    odd = replace(good, device="\x1b[2J")
    written.append((odd.device, odd.close(envelopes)))
    assert records_of(written, envelopes) == [good]


def test_a_record_by_a_replaced_key_names_a_device_that_has_to_join_again_and_confirms_nothing():
    before, after = Envelopes(KEYS), Envelopes(KEYS.rotated(bytes(32), datetime.now(UTC), 7))
    about = About("Door", "1.0", "ok", policy=3, key="a key")
    record = DeviceRecord("aa", about, 1, 0, 0, datetime.now(UTC), 5, time=1.0)
    values = [("aa", record.close(before))]
    assert records_of(values, before) == [record]
    assert records_of(values, after) == [replace(record, about=About("Door", "1.0", OUTDATED), position=0)]
    assert records_of([("aa", record.close(after))], after) == [record]
