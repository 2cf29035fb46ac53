"""Versions of a person on devices that are cut off, restored and served old values: all agree in the end."""

from dataclasses import dataclass, field, replace

from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from appliance.fleet.merge import DIFFERS, NOTHING, Local, MergeResult, arrived, joined, wanted
from appliance.gallery.shares import Share

CONTENTS, REFERENCES = "abc", ("r1", "r2", "r3")

versions = st.builds(
    lambda revision, digest, reference, erased: Share(
        revision, digest if reference else "", reference, tuple(sorted(erased - {reference}))
    ),
    st.integers(0, 5),
    st.sampled_from(CONTENTS),
    st.sampled_from(("", *REFERENCES)),
    st.sets(st.sampled_from(REFERENCES)),
)


@given(versions, versions)
def test_two_versions_become_one_that_is_later_than_both(one, other):
    both = joined(one, other)
    assert both == joined(other, one)
    assert joined(both, one) == joined(both, other) == joined(both, both) == both
    assert set(both.erased) == {*one.erased, *other.erased}
    assert both.reference not in both.erased
    assert both.revision >= max(one.revision, other.revision)


def test_of_two_changes_the_first_one_stays_and_the_other_is_lost():
    known = Share(1, "a", "r1")
    first = wanted(known, Local("b", "r1"))
    assert first == Share(2, "b", "r1")
    assert arrived(known, Local("c", "r1"), first) == (first, MergeResult.LOST)
    assert arrived(known, Local("a", "r1"), first) == (first, MergeResult.TAKEN)
    assert arrived(known, Local("b", "r1"), first) == (first, MergeResult.SAME)


def test_a_change_that_is_not_shared_yet_outlives_a_restart():
    known = Share(1, "a", "r1")
    assert arrived(known, Local("c", "r1"), known) == (known, MergeResult.SAME)
    assert wanted(known, Local("c", "r1")) == Share(2, "c", "r1")


def test_an_erasure_wins_against_later_changes():
    erased = Share(1, "a", "r1").buried("r1")
    changed = Share(3, "b", "r1")
    after, verdict = arrived(erased, None, changed)
    assert (after, verdict) == (Share(4, "", "", ("r1",)), MergeResult.SAME)  # nobody else can know of the erasure yet
    assert arrived(replace(erased, unshared=False), None, changed) == (after, MergeResult.REFUSED)
    assert wanted(after, None) == after
    assert arrived(changed, Local("b", "r1"), erased)[0] == after


def test_an_older_value_is_refused_and_written_again():
    known = Share(4, "b", "r1")
    assert arrived(known, Local("b", "r1"), Share(3, "a", "r1")) == (known, MergeResult.REFUSED)
    assert wanted(known, Local("b", "r1")) == known


def test_people_who_were_enrolled_differently_before_both_devices_joined_are_held():
    after, verdict = arrived(NOTHING, Local("a", "r1"), Share(1, "b", "r2"))
    assert verdict is MergeResult.HELD
    assert after.held == DIFFERS
    assert wanted(after, Local("a", "r1")) is None
    assert (
        arrived(NOTHING, Local("b", "r1"), Share(1, "b", "r2"))[1] is MergeResult.TAKEN
    )  # the same but for the reference
    assert arrived(NOTHING, Local("a", "r1"), Share(2, "", "", ("r2",)))[1] is MergeResult.HELD


def test_a_person_may_be_enrolled_again_after_their_erasure():
    erased = Share(1, "a", "r1").buried("r1")
    again = wanted(erased, Local("a", "r2"))
    assert again == Share(3, "a", "r2", ("r1",))
    assert arrived(erased, None, again) == (again, MergeResult.TAKEN)


@dataclass
class Device:
    """One person of one device: what it knows of them in the fleet, whom it has, and what it saw in the bucket last."""

    share: Share = NOTHING
    local: Local | None = None
    seen: tuple[int, Share | None] = (0, None)
    lost: int = 0
    sent: frozenset[Share] = frozenset()

    def change(self, digest: str) -> None:
        if self.local:
            self.local = replace(self.local, digest=digest)

    def erase(self) -> str:
        """As Gallery.erase does; returns the reference if the fleet knew the person."""
        reference = self.local.reference if self.local else ""
        self.local = None
        if reference and reference in {self.share.reference, self.share.sent}:
            self.share = self.share.buried(reference)
            return reference
        return ""

    def take(self, incoming: Share) -> None:
        """As Replica._take does."""
        before, local = self.share, self.local
        own = incoming in self.sent
        after, verdict = arrived(self.share, self.local, incoming, self.sent)
        self.share, self.sent = replace(after, sent=before.sent), frozenset()
        self.lost += verdict is MergeResult.LOST
        if self.local and self.local.reference in self.share.erased:
            self.local = None
        if verdict in {MergeResult.TAKEN, MergeResult.LOST} and incoming.reference:
            self.local = Local(incoming.digest, incoming.reference)
        if verdict is MergeResult.HELD or (incoming == before and local and not before.held) or own:
            assert self.local == local  # nothing new has come
        assert joined(before, self.share) == self.share


@dataclass
class Bucket:
    """One key of a bucket with compare-and-set."""

    sequence: int = 0
    value: Share | None = None
    backups: list[Share | None] = field(default_factory=list)

    def write(self, value: Share, last: int) -> bool:
        if last != (self.sequence if self.value else 0):
            return False
        self.backups.append(self.value)
        self.sequence, self.value = self.sequence + 1, value
        return True


class Fleet(RuleBasedStateMachine):
    """Three devices, of which any may be cut off at any time: they meet the bucket only when they synchronise."""

    def __init__(self) -> None:
        super().__init__()
        self.bucket, self.devices, self.references = Bucket(), [Device(), Device(), Device()], 0
        self.erased: set[str] = set()
        self.kept: list[tuple[int, Share, Local | None]] = []
        self.restarted = False

    numbers = st.integers(0, 2)

    @rule(number=numbers, digest=st.sampled_from(CONTENTS))
    def enrol(self, number, digest):
        device = self.devices[number]
        if device.local is None and not device.share.reference:
            self.references += 1
            device.local = Local(digest, f"r{self.references}")

    @rule(number=numbers, digest=st.sampled_from(CONTENTS))
    def change(self, number, digest):
        self.devices[number].change(digest)

    @rule(number=numbers)
    def erase(self, number):
        self.erased |= {self.devices[number].erase()} - {""}

    @rule(number=numbers)
    def synchronise(self, number):
        """Reads the value, and writes what is wanted."""
        device, bucket = self.devices[number], self.bucket
        if bucket.value and device.seen != (bucket.sequence, bucket.value):
            device.take(bucket.value)
        elif bucket.value and device.local is None and device.share.reference:
            device.take(bucket.value)  # a person who is missing is read again
        device.seen = bucket.sequence, bucket.value
        version = wanted(device.share, device.local)
        if version and version != bucket.value:
            assert bucket.write(version, bucket.sequence if bucket.value else 0)
            device.seen = bucket.sequence, version
            device.share = version if joined(device.share, version) != device.share else device.share

    @rule(number=numbers, digest=st.sampled_from(CONTENTS))
    def write_without_reading(self, number, digest):
        """A change that is sent before the latest value has arrived is stored only if nothing came in between."""
        device, bucket = self.devices[number], self.bucket
        device.change(digest)
        version = wanted(device.share, device.local)
        if version and version != device.seen[1]:
            current = device.seen == (bucket.sequence, bucket.value)
            stored = bucket.write(version, device.seen[0] if device.seen[1] else 0)
            assert not stored or current or not bucket.backups[-1]
            if stored:
                device.seen, device.share = (bucket.sequence, version), version

    @rule(number=numbers, digest=st.sampled_from(CONTENTS))
    def write_without_an_answer(self, number, digest):
        """The servers store a version, or do not, and this device does not know."""
        device = self.devices[number]
        device.change(digest)
        version = wanted(device.share, device.local)
        if version and version != device.seen[1]:
            device.share = replace(device.share, sent=version.reference or device.share.sent)
            self.bucket.write(version, device.seen[0] if device.seen[1] else 0)
            device.sent |= {version}

    @rule(number=numbers)
    def restart(self, number):
        """Everything is read again."""
        self.devices[number].seen, self.devices[number].sent = (0, None), frozenset()
        self.restarted = True

    @rule(data=st.data())
    def replay(self, data):
        """The servers are restored from a backup, or replay an older value."""
        if self.bucket.backups:
            old = data.draw(st.sampled_from(self.bucket.backups))
            self.bucket.sequence, self.bucket.value = self.bucket.sequence + 1, old

    @rule(number=numbers)
    def back_up(self, number):
        self.kept.append((number, self.devices[number].share, self.devices[number].local))

    @rule(data=st.data())
    def restore_the_file(self, data):
        if self.kept:
            number, share, local = data.draw(st.sampled_from(self.kept))
            self.devices[number] = Device(share, local)

    @rule(data=st.data())
    def restore_the_people(self, data):
        """`appliance people restore`: the people of a backup, and what the fleet knows of the erased ones stays."""
        if self.kept:
            number, _, local = data.draw(st.sampled_from(self.kept))
            share = self.devices[number].share.restored()
            back = local if not (local and local.reference in share.erased) else None  # erased again at the next look
            self.devices[number] = Device(share, back)

    @invariant()
    def nobody_who_is_known_to_be_erased_is_in_a_gallery(self):
        for device in self.devices:
            assert device.local is None or device.local.reference not in device.share.erased

    def teardown(self):
        known = {reference for device in self.devices for reference in device.share.erased}
        for _ in range(8):
            for number in range(3):
                self.synchronise(number)
        assert all(wanted(device.share, device.local) in (None, self.bucket.value) for device in self.devices)
        together = [device for device in self.devices if not device.share.held]
        assert len({device.local for device in together}) <= 1
        assert len({device.share for device in together}) <= 1
        present = {device.local.reference for device in self.devices if device.local}
        assert not present & known
        if not self.kept:  # without restored devices every erasure is known to the device where it happened
            assert not present & self.erased
        if not (self.kept or self.restarted):  # a device that knows what it has sent keeps no version of its own apart
            held = {device.local.reference for device in self.devices if device.share.held and device.local}
            assert not (held and self.bucket.value.reference in held)


TestFleet = Fleet.TestCase
