"""The record of decisions: what is acknowledged is there, in its place, whatever ends the process or fills the disk."""

import os
import random
import sqlite3
import subprocess
import sys
import threading
import time
from collections import deque
from contextlib import closing
from datetime import UTC, datetime, timedelta

import pytest
from devices import until
from disks import breaking_disk, ram_disk, remount

from appliance.access.clock import Clock
from appliance.access.log import LEAST_FREE, RECORD_FILE, START, Record, RecordDamagedError, RecordError
from appliance.access.policy import ClockState, Rules
from appliance.access.retention import Retention
from appliance.access.token import Anchor
from appliance.gallery.counter import CounterUnreadableError

SYNCHRONISED = ClockState.SYNCHRONISED
FACTS = {"result": "denied", "reason": "not_live", "person": None, "direction": "in"}

APPEND = """
import sys
from pathlib import Path
from appliance.access.log import Record
record = Record(Path(sys.argv[1]))
for number in range(int(sys.argv[2])):
    entry = record.append("decision", {"by": sys.argv[3], "number": number})
    print(entry.sequence, entry.hash, flush=True)
"""


class Days:
    """A clock that stands still until somebody sets it."""

    def __init__(self):
        self.now = datetime(2026, 11, 26, 12, tzinfo=UTC)

    def __call__(self):
        return self.now


@pytest.fixture
def path(tmp_path):
    return tmp_path / RECORD_FILE


def verify(path, anchor=None):
    return Record(path).verify(anchor)


def adder(path, count, name):
    return subprocess.Popen(
        [sys.executable, "-c", APPEND, path, str(count), name],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_entries_hang_on_one_another(path):
    record = Record(path)
    first, second = record.append("decision", FACTS), record.append("erased", {"person": "0123456789abcdef"})
    assert (first.sequence, first.previous) == (1, START)
    assert (second.sequence, second.previous) == (2, first.hash)
    assert record.newest(5) == (second, first)
    assert (record.newest(1), record.newest(5, "decision"), record.newest(5, "decisio")) == ((second,), (first,), ())
    assert record.problem() is None


def test_it_belongs_to_its_owner_alone(tmp_path):
    path = tmp_path / "state" / RECORD_FILE
    before = os.umask(0)
    try:
        Record(path).append("decision", FACTS)
    finally:
        os.umask(before)
    files = {each.name: each.stat().st_mode & 0o777 for each in path.parent.iterdir()}
    assert files == {RECORD_FILE: 0o600, f"{RECORD_FILE}-journal": 0o600}
    assert path.parent.stat().st_mode & 0o777 == 0o700


def test_another_start_goes_on_where_the_last_one_ended(path):
    first = Record(path).append("decision", FACTS)
    second = Record(path).append("decision", FACTS)
    assert (second.sequence, second.previous) == (2, first.hash)
    assert verify(path, Anchor(2, second.hash)).sound


def test_two_at_once_do_not_know_of_each_other_and_need_not(path):
    one, other = Record(path), Record(path)
    for number in range(10):
        (one if number % 3 else other).append("decision", {"number": number})
    assert [entry.facts["number"] for entry in one.newest(20)] == list(range(9, -1, -1))
    assert verify(path).entries == 10


def test_threads_may_share_one(path):
    record, acknowledged = Record(path), []

    def add(name):
        acknowledged.extend(record.append("decision", {"by": name}) for _ in range(25))

    threads = [threading.Thread(target=add, args=(name,)) for name in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(entry.sequence for entry in acknowledged) == list(range(1, 101))
    assert (verify(path).entries, verify(path).problem) == (100, None)


def test_processes_may_append_at_the_same_time(path):
    children = [adder(path, 100, name) for name in ("service", "command", "another")]
    told = [child.communicate(timeout=60) for child in children]
    assert [child.returncode for child in children] == [0, 0, 0], told
    acknowledged = sorted(int(line.split()[0]) for out, _ in told for line in out.splitlines())
    assert acknowledged == list(range(1, 301))
    assert (verify(path).entries, verify(path).problem) == (300, None)


def test_whatever_was_acknowledged_before_kill_9_is_there(path, tmp_path, thorough):
    chance, acknowledged = random.Random(9), {}
    for number in range(8 if thorough else 3):
        told = [tmp_path / f"{name}-{number}" for name in ("service", "command")]
        children = []
        for file in told:
            with file.open("w") as out:
                children.append(
                    subprocess.Popen([sys.executable, "-c", APPEND, path, "1000000", file.name], stdout=out)
                )
        assert until(lambda told=told: all(file.stat().st_size for file in told), 60)
        time.sleep(chance.uniform(0, 0.2))
        for child in children:
            child.kill()
            child.wait()
        lines = [line.split() for file in told for line in file.read_text().splitlines(keepends=True) if "\n" in line]
        acknowledged |= {int(sequence): digest for sequence, digest in lines}
        verdict = verify(path)
        assert verdict.problem is None
    there = {entry.sequence: entry.hash for entry in Record(path).newest(verdict.entries)}
    assert acknowledged.items() <= there.items()
    assert len(acknowledged) > 50
    assert verify(path, Anchor(max(acknowledged), acknowledged[max(acknowledged)])).sound


@pytest.mark.parametrize("content", [b"", b"torn"])
def test_a_file_that_was_made_and_not_filled_is_an_empty_record_or_damaged(path, content):
    path.write_bytes(content)
    if content:
        with pytest.raises(RecordDamagedError, match="not a database"):
            Record(path).append("decision", FACTS)
    else:
        assert Record(path).newest(1) == ()
        assert Record(path).append("decision", FACTS).sequence == 1


def test_a_database_whose_making_was_rolled_back_is_an_empty_record(path):
    """As SQLite leaves it after a kill between the first page and the tables."""
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA user_version = 1")
    assert path.stat().st_size > 0
    assert Record(path).problem() is None
    assert Record(path).append("decision", FACTS).sequence == 1
    assert verify(path).sound


def test_nothing_is_added_after_an_entry_that_was_altered(path, caplog):
    Record(path).append("decision", FACTS)
    path.write_bytes(path.read_bytes().replace(b"denied", b"permit"))
    record = Record(path)
    assert record.problem() == record.problem() == "entry 1: its hash is another one"
    assert caplog.text.count(record.problem()) == 1
    before = path.read_bytes()
    for act in (lambda: record.append("decision", FACTS), lambda: record.newest(1)):
        with pytest.raises(RecordDamagedError, match="entry 1: its hash is another one"):
            act()
    assert path.read_bytes() == before


def test_what_disappears_under_a_running_device_is_noticed(path):
    record = Record(path)
    record.append("decision", FACTS)
    record.append("decision", FACTS)
    path.unlink()
    assert record.problem() == f"{path}: entries 1 to 2 are missing at the end"
    with pytest.raises(RecordDamagedError, match="entries 1 to 2 are missing"):
        record.append("decision", FACTS)


def test_a_locked_record_has_not_lost_the_counter(path):
    record = Record(path)
    assert record.counter() is None
    record.keep_counter(b"sealed", None)
    assert record.counter() == b"sealed"
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(CounterUnreadableError, match="another program keeps it locked"):
            record.counter()
    assert record.counter() == b"sealed"


def test_what_may_not_be_recorded_leaves_nothing(path):
    record = Record(path)
    with pytest.raises(ValueError, match="float may not"):
        record.append("decision", {"liveness": 0.9})
    assert record.append("decision", FACTS).sequence == 1


def test_each_entry_goes_when_it_is_old(path):
    clock = Days()
    record = Record(path, clock)
    for _ in range(5):
        record.append("decision", FACTS)
        record.append("decision", FACTS)
        clock.now += timedelta(days=1)
    clock.now -= timedelta(days=1)
    assert record.expire(4) == 0
    fourth = record.newest(7)[-1]
    assert record.expire(2) == 4
    verdict = verify(path)
    assert (verdict.first, verdict.last, verdict.entries, verdict.problem) == (5, 11, 7, None)
    (told,) = record.newest(1)
    assert (told.kind, told.facts) == ("expired", {"until": 4, "hash": fourth.hash, "cause": "age"})
    assert record.expire(2) == 0
    assert Record(path, clock).newest(9)[-1].previous == fourth.hash


def test_an_entry_of_a_wrong_clock_does_not_keep_the_old_ones(path):
    clock = Days()
    record, start = Record(path, clock), clock.now
    for now in (start, datetime(2099, 1, 1, tzinfo=UTC), start + timedelta(hours=1), start + timedelta(days=5)):
        clock.now = now
        record.append("decision", FACTS)
    clock.now = datetime(1970, 1, 1, tzinfo=UTC)
    record.append("decision", FACTS)
    clock.now = start + timedelta(days=6)
    assert record.expire(2) == 3
    assert [entry.sequence for entry in record.newest(9)] == [6, 5, 4]
    assert record.expire(2) == 0
    assert verify(path).sound


def test_when_only_entries_ahead_are_left_they_stay(path):
    clock = Days()
    record, start = Record(path, clock), clock.now
    record.append("decision", FACTS)
    clock.now = datetime(2099, 1, 1, tzinfo=UTC)
    record.append("decision", FACTS)
    clock.now = start + timedelta(days=5)
    assert record.expire(2) == 1
    assert [entry.sequence for entry in record.newest(9)] == [3, 2]
    assert verify(path).sound


def test_an_unused_door_forgets_all_the_same(path):
    clock = Days()
    record = Record(path, clock)
    assert record.expire(90) == 0
    first = record.append("decision", FACTS)
    clock.now += timedelta(days=91)
    assert record.expire(90) == 1
    (entry,) = record.newest(9)
    assert (entry.sequence, entry.kind, entry.facts) == (2, "expired", {"until": 1, "hash": first.hash, "cause": "age"})
    assert verify(path).sound
    clock.now += timedelta(days=91)
    assert record.expire(90) == 1
    assert [entry.sequence for entry in record.newest(9)] == [3]
    assert verify(path).sound
    assert Record(path, clock).append("decision", FACTS).sequence == 4


def test_what_has_expired_is_not_in_the_file_any_more_which_is_smaller(path):
    clock = Days()
    record = Record(path, clock)
    for number in range(200):
        record.append("decision", {"text": "gone by then" * 20, "number": number})
    size = path.stat().st_size
    clock.now += timedelta(days=2)
    assert record.expire(1) == 200
    assert path.stat().st_size < size / 4
    assert b"gone by then" not in b"".join(each.read_bytes() for each in path.parent.iterdir())


def test_beyond_its_size_the_oldest_day_goes_first_and_that_is_recorded(path):
    clock = Days()
    record = Record(path, clock, most_bytes=100_000)
    while not record.newest(1, "expired"):
        for _ in range(10):
            record.append("decision", {"text": "x" * 800})
        clock.now += timedelta(days=1)
        assert path.stat().st_size < 110_000
    told = record.newest(9, "expired")
    assert (told[-1].facts["until"], told[-1].facts["cause"]) == (10, "size")
    verdict = verify(path)
    assert (verdict.first, verdict.problem) == (told[0].facts["until"] + 1, None)
    for _ in range(30):
        for _ in range(10):
            record.append("decision", {"text": "x" * 800})
        clock.now += timedelta(days=1)
    assert path.stat().st_size < 110_000
    assert verify(path).sound
    assert record.newest(1)[0].sequence > 400


def test_a_single_day_that_is_too_large_loses_its_oldest_quarter(path):
    record = Record(path, Days(), most_bytes=50_000)
    for _ in range(200):
        record.append("decision", {"text": "x" * 800})
        assert path.stat().st_size < 60_000
    verdict = verify(path)
    assert (verdict.sound, 20 < verdict.entries < 60) == (True, True)
    assert record.newest(1, "expired")[0].facts["cause"] == "size"


@pytest.mark.nightly
def test_kill_9_while_entries_expire_is_no_loss(path, thorough):
    clock, count = Days(), 2000 if thorough else 500
    record = Record(path, clock)
    for number in range(count):
        record.append("decision", {"text": "x" * 200, "number": number})
    end = record.newest(1)[0].anchor
    program = """
import sys
from datetime import UTC, datetime
from pathlib import Path
from appliance.access.log import Record
print("ready", flush=True)
Record(Path(sys.argv[1]), lambda: datetime(2026, 12, 26, tzinfo=UTC)).expire(1)
"""
    for delay in (0.0, 0.005, 0.01, 0.02):
        child = subprocess.Popen([sys.executable, "-c", program, path], stdout=subprocess.PIPE, text=True)
        child.stdout.readline()
        time.sleep(delay)
        child.kill()
        child.communicate()
        verdict = verify(path, end)
        assert verdict.problem is None
        assert verdict.entries in (1, count)


def test_a_change_is_reported_once(path):
    record = Record(path)
    assert record.note_change("policy", {"digest": "a"}).sequence == 1
    record.append("decision", FACTS)
    assert record.note_change("policy", {"digest": "a"}) is None
    assert Record(path).note_change("policy", {"digest": "a"}) is None
    assert record.note_change("policy", {"digest": "b"}).sequence == 3
    assert record.note_change("policy", {"digest": "a"}).sequence == 4


def test_the_rules_are_entered_again_when_their_entry_has_expired(path):
    days = Days()
    record = Record(path, days)
    clock = Clock(lambda: True, lambda: None, lambda: (days.now.timestamp(), days.now.timestamp()))
    retention = Retention(
        None, record, clock, SYNCHRONISED, people_days=None, template_days=None, record_days=2, rules=Rules()
    )
    for _ in range(10):
        retention.expire()
        (entry,) = record.newest(1, "rules")
        assert entry.facts == {"digest": Rules().digest()}
        days.now += timedelta(days=1)
    assert record.newest(9)[-1].sequence > 1
    days.now = datetime(2099, 1, 1, tzinfo=UTC)
    record.append("decision", FACTS)
    days.now = entry.time + timedelta(hours=2)
    newest = record.append("decision", FACTS)
    clock = Clock(lambda: True, lambda: None, lambda: (days.now.timestamp(), days.now.timestamp()))
    assert clock.read().state is SYNCHRONISED
    Retention(
        None, record, clock, SYNCHRONISED, people_days=None, template_days=None, record_days=2, rules=Rules()
    ).expire()
    days.now = newest.time - timedelta(hours=1)
    assert clock.read().state is ClockState.UNSET


def test_the_latest_time_is_the_latest_though_the_clock_went_back(path):
    clock = Days()
    record = Record(path, clock)
    assert record.latest() is None
    assert not path.exists()
    record.append("decision", FACTS)
    clock.now -= timedelta(hours=1)
    record.append("decision", FACTS)
    assert record.latest() == clock.now + timedelta(hours=1)


def acknowledge(record, acknowledged):
    def add():
        acknowledged.append(record.append("decision", {"text": "x" * 3000}))
        return acknowledged

    return add


def test_a_full_disk_is_reported_and_a_partial_write_is_undone(tmp_path):
    with ram_disk(tmp_path / "disk", LEAST_FREE // 4) as small:
        path, acknowledged = small / RECORD_FILE, []
        record = Record(path)
        assert record.problem() == f"{path}: the disk is full"  # there is too little room from the start
        add = acknowledge(record, acknowledged)
        with pytest.raises(RecordError, match="the disk is full"):
            deque(iter(add, None))
        assert len(acknowledged) > 30
        for _ in range(3):
            with pytest.raises(RecordError, match="the disk is full"):
                record.append("decision", {"text": "x" * 50_000})
        verdict = verify(path)
        assert (verdict.problem, verdict.entries, verdict.hash) == (None, len(acknowledged), acknowledged[-1].hash)
        subprocess.run(["mount", "-o", "remount,size=4m", small], check=True)
        assert record.problem() is None
        assert record.append("decision", FACTS).sequence == len(acknowledged) + 1
        assert verify(path).sound


def test_a_read_only_disk_is_reported(tmp_path):
    with ram_disk(tmp_path / "disk", 4 * LEAST_FREE) as small:
        path = small / RECORD_FILE
        record = Record(path)
        first = record.append("decision", FACTS)
        remount(small, "ro")
        for it in (record, Record(path)):
            assert it.problem() == f"{path}: it cannot be written"
            with pytest.raises(RecordError, match="cannot be written"):
                it.append("decision", FACTS)
            assert it.newest(1) == (first,)
            assert it.verify().sound
        remount(small, "rw")
        assert record.problem() is None
        assert record.append("decision", FACTS).sequence == 2


def test_a_disk_that_breaks_is_reported(tmp_path):
    with breaking_disk(tmp_path / "disk") as (small, break_it):
        record = Record(small / RECORD_FILE)
        first = record.append("decision", FACTS)
        break_it()
        with pytest.raises(RecordError):
            record.append("decision", FACTS)
        assert record.newest(2) == (first,)


LIMITED = """
import resource, sys
from pathlib import Path
from appliance.access.log import Record
from appliance.access.log import RecordError
record = Record(Path(sys.argv[1]))
record.append("decision", {})
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), int(sys.argv[2])))
while True:
    try:
        print(record.append("decision", {"text": "x" * 50}).hash, flush=True)
    except RecordError as error:
        print(error)
        break
"""


@pytest.mark.parametrize("bytes_there_are", [1, 1000, 4096, 20_000, 20_481])
def test_a_page_that_goes_in_by_half_is_taken_back(path, bytes_there_are):
    """The system's bound on a file's size stands in for a full disk: it, too, writes what fits and refuses the rest."""
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, path, str(bytes_there_are)],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    *acknowledged, complaint = done.stdout.splitlines()
    assert str(path) in complaint
    verdict = verify(path)
    assert (verdict.problem, verdict.entries) == (None, len(acknowledged) + 1)
    assert [entry.hash for entry in reversed(Record(path).newest(1000))][1:] == acknowledged
    assert Record(path).append("decision", FACTS).sequence == verdict.last + 1


def test_a_folder_that_cannot_be_had_is_reported(tmp_path):
    (tmp_path / "file").write_text("not a folder")
    record = Record(tmp_path / "file" / RECORD_FILE)
    assert record.problem() == f"{tmp_path / 'file'}: File exists"
    with pytest.raises(RecordError, match=r"Not a directory|File exists"):
        record.append("decision", FACTS)
