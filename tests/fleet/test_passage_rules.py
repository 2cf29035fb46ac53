"""Last passages on doors that are cut off, restarted and served old values: all agree in the end, on the newest."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from appliance.fleet.passages import SharedPassage, after, own, taken

NOON = datetime(2026, 11, 29, 12, tzinfo=UTC)


def at(direction, minute):
    return direction, NOON + timedelta(minutes=minute)


def passage(direction, minute, previous=None, device="a"):
    return SharedPassage(*at(direction, minute), device, previous)


def test_a_passage_counts_that_followed_on_one_that_was_known_though_its_clock_is_behind():
    known = passage("in", 10)
    out = passage("out", 5, known.passage, "b")
    assert taken(known, known.passage, out, "a") is True
    assert taken(out, out.passage, known, "b") is None  # also when the one before is served again
    assert taken(known, out.passage, known, "b") is False  # and when the other servers do not have it yet


def test_an_older_value_is_refused_and_one_that_was_written_again_is_not():
    known = passage("in", 10, at("out", 5))
    assert taken(known, known.passage, passage("out", 5), "a") is None
    assert taken(known, known.passage, passage("in", 10, None, "b"), "a") is False
    assert taken(known, None, passage("out", 5), "a") is None


def test_of_passages_that_two_doors_did_not_know_of_each_other_the_newer_one_stays():
    assert taken(passage("out", 0), at("in", 7), passage("out", 6, at("out", 0)), "a") is False
    assert taken(passage("out", 0), at("in", 7), passage("out", 8, at("out", 0)), "a") is True
    assert taken(None, at("in", 7), passage("out", 6), "a") is False


@dataclass
class Door:
    """One person at one door: their last passage here, and the bucket as it was seen: up to where, its passage, the latest."""

    name: str
    local: tuple[str, datetime] | None = None
    position: int = 0
    value: SharedPassage | None = None
    latest: SharedPassage | None = None


@dataclass
class Bucket:
    """The values of one key, the last of which counts."""

    values: list[SharedPassage] = field(default_factory=list)

    def give(self, door):
        """A door reads what it has not seen; as a bucket keeps one value, only the last one."""
        if door.position == len(self.values):
            return
        door.position, incoming = len(self.values), self.values[-1]
        verdict = taken(door.latest, door.local, incoming, door.name)
        door.value = None if verdict is None else incoming
        if verdict is not None:
            door.latest = after(door.latest, incoming)
        if verdict:
            door.local = incoming.passage

    def take(self, door):
        """A door writes what the bucket lacks; whether it did. It has read everything: compare-and-set succeeds."""
        if door.local is None or (door.value and door.value.passage == door.local):
            return False
        door.value = door.latest = own(door.latest, door.local, door.name)
        self.values.append(door.value)
        door.position = len(self.values)
        return True


class Site(RuleBasedStateMachine):
    """Three doors with right clocks; a person passes at any of them, whether it can reach the servers or not."""

    def __init__(self):
        super().__init__()
        self.doors, self.bucket, self.minute, self.replayed = [Door(name) for name in "abc"], Bucket(), 0, False

    @rule(number=st.integers(0, 2), direction=st.sampled_from(["in", "out"]))
    def passes(self, number, direction):
        self.minute += 1
        self.doors[number].local = direction, NOON + timedelta(minutes=self.minute)

    @rule(number=st.integers(0, 2))
    def reaches_the_servers(self, number):
        self.bucket.give(self.doors[number])
        self.bucket.take(self.doors[number])

    @rule(number=st.integers(0, 2))
    def starts_anew(self, number):
        door = self.doors[number]
        self.doors[number] = Door(door.name, door.local)

    @rule(back=st.integers(1, 5))
    def an_older_value_is_served(self, back):
        if len(self.bucket.values) >= back:
            self.bucket.values.append(self.bucket.values[-back])

    @invariant()
    def all_agree_on_the_newest_once_they_are_connected(self):
        doors = [Door(each.name, each.local, each.position, each.value, each.latest) for each in self.doors]
        bucket, newest = (
            Bucket(list(self.bucket.values)),
            max((each.local[1] for each in doors if each.local), default=None),
        )
        for _ in range(6):
            wrote = False
            for door in doors:
                bucket.give(door)
                wrote |= bucket.take(door)
            if not wrote:
                break
        else:
            raise AssertionError("the doors go on writing")
        assert {door.local and door.local[1] for door in doors} == {newest}


TestSite = Site.TestCase
