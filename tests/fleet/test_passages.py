"""Anti-passback across doors over a real server: shared, newest kept, refused, erased with the person, and at a door."""

import asyncio
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from devices import Child, until
from replicas import KEYS, Site, alike, with_bucket

from appliance.cli.main import main
from appliance.fleet.membership import read_membership
from appliance.fleet.passages import _PASSAGE, PassageBoard, PassageSharing, SharedPassage, passages_bucket
from appliance.fleet.replica import MOST_REFUSED, StoredValue
from appliance.fleet.sealing import Envelopes
from appliance.gallery.vault import read_site_key

NOON = datetime(2026, 11, 29, 12, tzinfo=UTC)


@pytest.fixture
def doors(server, tmp_path):
    both = [Site(tmp_path, number, server.url) for number in (1, 2)]
    for door in both:
        door.passages = PassageSharing(lambda gallery=door.gallery: gallery, door.device, lambda: True)
        door.companions = [door.passages]
    yield both
    for door in both:
        door.gallery.close()


def let_pass(door, identity, direction, minute):
    """As a decision does: noted, then shared."""
    reference = door.gallery.person(identity).person.reference
    door.gallery.note_passage(reference, direction, NOON + timedelta(minutes=minute))
    door.passages.passed(reference)


def last(door, identity):
    known = door.gallery.snapshot.people.get(identity)
    return known and door.gallery.last_passage(known.person.reference)


def at(direction, minute):
    return direction, NOON + timedelta(minutes=minute)


def on_server(server, work):
    return asyncio.run(with_bucket(server.url, work, passages_bucket(KEYS.id)))


def test_a_passage_at_one_door_is_known_at_the_other(doors, server):
    one, other = doors
    one.add("anna")
    with one.running(), other.running():
        assert alike(one, other)
        let_pass(one, "anna", "in", 0)
        assert until(lambda: last(other, "anna") == at("in", 0))
        let_pass(other, "anna", "out", -5)  # its clock is behind, and it knew
        assert until(lambda: last(one, "anna") == at("out", -5))
        one.gallery.erase("anna")

        async def values(bucket):
            return await bucket.values()

        assert until(lambda: all(not each.value for each in on_server(server, values)))
        assert [each.problems() for each in (one.passages, other.passages)] == [[], []]


def test_while_the_server_is_away_each_door_knows_its_own_and_the_newest_stays(doors, server):
    one, other = doors
    one.add("anna")
    one.add("bert")
    with one.running(), other.running():
        assert alike(one, other)
        let_pass(one, "anna", "in", 0)
        assert until(lambda: last(other, "anna"))
        server.stop(kill=True)
        let_pass(one, "anna", "out", 2)
        let_pass(other, "anna", "out", 1)
        let_pass(other, "bert", "in", 3)
        assert (last(other, "anna"), last(one, "bert")) == (at("out", 1), None)
        server.start()
        assert until(lambda: last(other, "anna") == at("out", 2))
        assert until(lambda: last(one, "bert") == at("in", 3))
        assert last(one, "anna") == at("out", 2)


def test_a_passage_that_is_altered_moved_or_old_is_refused_named_and_replaced(doors, server):
    one, other = doors
    one.add("anna")
    one.add("bert")
    with one.running(), other.running():
        assert alike(one, other)
        let_pass(one, "anna", "in", 0)
        let_pass(one, "bert", "in", 1)
        assert until(lambda: last(other, "bert"))
        keys = [one.passages._board.key(one.gallery.person(each).person.reference) for each in ("anna", "bert")]

        async def read(bucket):
            return [await bucket.read(key) for key in keys]

        old, berts = on_server(server, read)
        let_pass(one, "anna", "out", 2)
        assert until(lambda: last(other, "anna") == at("out", 2))
        for value in (old.value, berts.value, old.value[:-1] + bytes([old.value[-1] ^ 1])):

            async def forge(bucket, value=value):
                return await bucket.write(keys[0], value, (await bucket.read(keys[0])).sequence)

            forged = on_server(server, forge)
            assert until(lambda forged=forged: on_server(server, read)[0].sequence > forged)
            assert (last(one, "anna"), last(other, "anna")) == (at("out", 2), at("out", 2))
        assert [each.state for each in one.passages.problems()] == ["fleet_values_refused"]
    server.stop()
    kept = b"".join(file.read_bytes() for file in server.folder.rglob("*") if file.is_file())
    for word in (b"anna", b"direction", b"2026-11-29T12:0", one.gallery.person("anna").person.reference.encode()):
        assert word not in kept


def test_a_passage_that_is_taken_back_at_once_is_not_shared(tmp_path):
    door = Site(tmp_path, 1, "")
    reference = door.add("anna")
    board = PassageBoard(door.gallery, Envelopes(KEYS), door.device)
    door.gallery.note_passage(reference, "in", NOON)
    assert board.pending() == []
    door.gallery.take_back_passage(reference, ("in", NOON), None)
    assert board.pending() == board.pending() == []
    door.gallery.note_passage(reference, "in", NOON)
    assert board.pending() == []
    assert board.pending() == [board.key(reference)]
    door.gallery.close()


class Busy(Envelopes):
    """While a value is opened, someone passes at this door."""

    def open_note(self, value, *place):
        self.passes()
        return super().open_note(value, *place)


@pytest.fixture
def door(tmp_path):
    site = Site(tmp_path, 1, "")
    yield site
    site.gallery.close()


def sealed(board, reference, passage, sequence, keys=KEYS):
    key = board.key(reference)
    return StoredValue(key, Envelopes(keys).close_note(_PASSAGE.dump_json(passage), "passage", key), sequence)


def test_a_passage_in_the_moment_in_which_another_arrives_is_not_lost(door):
    reference, envelopes = door.add("anna"), Busy(KEYS)
    envelopes.passes = lambda: door.gallery.note_passage(reference, *at("in", 9))
    board = PassageBoard(door.gallery, envelopes, door.device)
    board.absorb([sealed(board, reference, SharedPassage(*at("out", 8), "b", None), 1)])
    assert last(door, "anna") == at("in", 9)
    assert board.outgoing(board.key(reference))[0].passage == at("in", 9)


def test_a_passage_that_this_program_does_not_know_is_refused_until_it_can_be_read(door):
    reference = door.add("anna")
    board = PassageBoard(door.gallery, Envelopes(KEYS), door.device)
    good = SharedPassage(*at("in", 1), "b", None)
    for number, odd in enumerate((replace(good, direction="up"), replace(good, time=NOON.replace(tzinfo=None))), 1):
        board.absorb([sealed(board, reference, odd, number)])
        assert last(door, "anna") is None
    board._refused = dict.fromkeys(board._refused, float("-inf"))  # long ago
    assert board.refused() == 1
    board.absorb([sealed(board, reference, good, 3)])
    assert (board.refused(), last(door, "anna")) == (0, at("in", 1))


def test_the_passage_of_a_person_who_is_erased_is_erased_once_the_servers_answer(door):
    reference = door.add("anna")
    board = PassageBoard(door.gallery, Envelopes(KEYS), door.device)
    value = sealed(board, reference, SharedPassage(*at("in", 1), "b", None), 1)
    board.absorb([value])
    door.gallery.erase("anna")
    assert board.pending() == []
    assert board.erased() == board.erased() == [(value.key, 1)]  # they did not answer
    board.stored(value.key, None, 2)
    assert board.erased() == []


def test_the_length_of_a_passage_does_not_say_which_way_it_is(door):
    reference = door.add("anna")
    board = PassageBoard(door.gallery, Envelopes(KEYS), door.device)
    ways = [SharedPassage(*at(way, 1), "b", before) for way in ("in", "out") for before in (None, at("in", 0))]
    assert len({len(sealed(board, reference, each, 1).value) for each in ways}) == 1


def test_a_flood_of_refused_passages_does_not_fill_the_memory(door):
    board = PassageBoard(door.gallery, Envelopes(KEYS), door.device)
    board.absorb([StoredValue(f"{number:032x}", b"\0", number + 1) for number in range(MOST_REFUSED + 9)])
    assert board.refused() == MOST_REFUSED


@pytest.mark.timeout(180)
def test_who_went_in_at_one_door_cannot_go_in_at_another(server, tmp_path, portrait, capsys):
    settings = (
        f'[state]\nfolder = "{tmp_path}/state"\n[gallery]\nkey_file = "{tmp_path}/site.key"\n[fleet]\nenabled = true\n'
    )
    (tmp_path / "door.toml").write_text(f"{settings}[door]\npassback_strict = true\n")

    def run(*words):
        status = main([*words, "--config", str(tmp_path / "door.toml")])
        assert status == 0
        return capsys.readouterr().out

    run("people", "add", "eileen", "--name", "Eileen")
    run("fleet", "create", server.url)
    keys = read_membership(tmp_path / "state", read_site_key(tmp_path / "site.key")).keys
    other = Site(tmp_path, 7, server.url, keys)
    other.passages = PassageSharing(lambda: other.gallery, other.device, lambda: True)
    other.companions = [other.passages]
    arguments = ("--port", "0", "--demonstration")
    with Child(tmp_path, (tmp_path / "door.toml").read_text(), arguments) as child, other.running():
        client = child.ready()
        assert until(lambda: len(client.get("/fleet.json").document["devices"]) == 2)  # the device has joined
        assert client.post("/people/eileen/templates", portrait).document["shared"]

        def decide(nonce):
            body = json.dumps({"nonce": nonce * 16}).encode()
            return client.post("/access/decide", body).document["decision"]["reason"]

        assert until(lambda: client.get("/identify").document["faces"][0]["person"])
        assert until(lambda: last(other, "eileen") is None and "eileen" in other.content())
        assert decide("1") == "demonstration"
        assert until(lambda: last(other, "eileen"))
        assert last(other, "eileen")[0] == "in"
        minute = int((datetime.now(UTC) - NOON).total_seconds() // 60) + 60  # after the passage of the decision
        let_pass(other, "eileen", "out", minute)
        let_pass(other, "eileen", "in", minute + 1)
        shown = f"{(NOON + timedelta(minutes=minute + 1)).astimezone():%H:%M}"
        assert until(lambda: shown in run("policy", "explain", "--person", "eileen"))
        assert "already_in" in run("policy", "explain", "--person", "eileen")
        assert decide("2") == "already_in"
    explained = run("policy", "explain", "--person", "eileen")
    assert "last passages are shared with the fleet" in explained
    other.gallery.close()
