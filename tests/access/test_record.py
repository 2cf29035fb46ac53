"""The record of decisions: what is acknowledged is there, in its place, whatever ends the process or fills the disk."""

import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta

import pytest

from appliance.access import log
from appliance.access.log import SEGMENT_BYTES, START, Record, RecordDamagedError, RecordError, segments
from appliance.access.verify_log import Anchor, verify

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


def files(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def adder(folder, count, name):
    return subprocess.Popen(
        [sys.executable, "-c", APPEND, folder, str(count), name],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_entries_hang_on_one_another(tmp_path):
    record = Record(tmp_path / "decisions")
    first, second = record.append("decision", FACTS), record.append("erased", {"person": "0123456789abcdef"})
    assert (first.sequence, first.previous) == (1, START)
    assert (second.sequence, second.previous) == (2, first.hash)
    assert record.newest(5) == (second, first)
    assert (record.newest(1), record.newest(5, "decision"), record.newest(5, "decisio")) == ((second,), (first,), ())
    assert record.problem() is None


def test_it_belongs_to_its_owner_alone(tmp_path):
    before = os.umask(0)
    try:
        Record(tmp_path / "decisions").append("decision", FACTS)
    finally:
        os.umask(before)
    (segment,) = segments(tmp_path / "decisions")
    assert segment.path.stat().st_mode & 0o777 == 0o600
    assert segment.folder.stat().st_mode & 0o777 == 0o700


def test_another_start_goes_on_where_the_last_one_ended(tmp_path):
    first = Record(tmp_path).append("decision", FACTS)
    second = Record(tmp_path).append("decision", FACTS)
    assert (second.sequence, second.previous) == (2, first.hash)
    assert verify(tmp_path, Anchor(2, second.hash)).sound


def test_two_at_once_do_not_know_of_each_other_and_need_not(tmp_path):
    one, other = Record(tmp_path), Record(tmp_path)
    for number in range(10):
        (one if number % 3 else other).append("decision", {"number": number})
    assert [entry.facts["number"] for entry in one.newest(20)] == list(range(9, -1, -1))
    assert verify(tmp_path).entries == 10


def test_threads_may_share_one(tmp_path):
    record, acknowledged = Record(tmp_path), []

    def add(name):
        acknowledged.extend(record.append("decision", {"by": name}) for _ in range(25))

    threads = [threading.Thread(target=add, args=(name,)) for name in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(entry.sequence for entry in acknowledged) == list(range(1, 101))
    assert (verify(tmp_path).entries, verify(tmp_path).problem) == (100, None)


def test_processes_may_append_at_the_same_time(tmp_path):
    children = [adder(tmp_path, 100, name) for name in ("service", "command", "another")]
    told = [child.communicate(timeout=60) for child in children]
    assert [child.returncode for child in children] == [0, 0, 0], told
    acknowledged = sorted(int(line.split()[0]) for out, _ in told for line in out.splitlines())
    assert acknowledged == list(range(1, 301))
    assert (verify(tmp_path).entries, verify(tmp_path).problem) == (300, None)


def test_whatever_was_acknowledged_before_kill_9_is_there(tmp_path):
    chance, acknowledged = random.Random(9), {}
    for _ in range(8):
        children = [adder(tmp_path, 1_000_000, name) for name in ("service", "command")]
        for child in children:
            line = child.stdout.readline()  # it is at work
            acknowledged[int(line.split()[0])] = line.split()[1]
        time.sleep(chance.uniform(0, 0.2))
        for child in children:
            child.send_signal(signal.SIGKILL)
        for child in children:
            out, _ = child.communicate(timeout=60)
            lines = [line.split() for line in out.splitlines(keepends=True) if line.endswith("\n")]
            acknowledged |= {int(sequence): digest for sequence, digest in lines}
        Record(tmp_path)  # cuts off what is torn
        verdict = verify(tmp_path)
        assert verdict.problem is None
    there = {entry.sequence: entry.hash for entry in log.newest_entries(tmp_path, verdict.entries)}
    assert acknowledged.items() <= there.items()
    assert len(acknowledged) > 50
    assert verify(tmp_path, Anchor(max(acknowledged), acknowledged[max(acknowledged)])).sound


def test_wherever_the_last_line_is_torn_it_is_cut_off_and_told(tmp_path, caplog):
    record = Record(tmp_path)
    record.append("decision", FACTS)
    (segment,) = segments(tmp_path)
    whole = segment.path.stat().st_size
    second = record.append("decision", FACTS)
    content = segment.path.read_bytes()
    for end in range(whole + 1, len(content)):
        segment.path.write_bytes(content[:end])
        caplog.clear()
        again = Record(tmp_path)
        assert f"{segment.path}: {end - whole} bytes of a torn line cut off" in caplog.text
        assert verify(tmp_path) == verify(tmp_path, Anchor(1, second.previous))
        assert again.append("decision", FACTS).sequence == 2
        assert verify(tmp_path).entries == 2


def test_a_first_line_that_is_torn_leaves_no_file(tmp_path):
    Record(tmp_path).append("decision", FACTS)
    (segment,) = segments(tmp_path)
    for content in (segment.path.read_bytes()[:-1], b""):
        segment.path.write_bytes(content)
        assert Record(tmp_path).problem() is None
        assert files(tmp_path) == {}
    assert Record(tmp_path).append("decision", FACTS).sequence == 1


def test_another_process_that_was_killed_is_cleaned_up_after_by_the_one_that_goes_on(tmp_path):
    record = Record(tmp_path)
    record.append("decision", FACTS)
    (segment,) = segments(tmp_path)
    with segment.path.open("ab") as file:
        file.write(b'{"facts":{"by":"comm')
    assert record.append("decision", FACTS).sequence == 2
    assert verify(tmp_path).sound


def test_nothing_is_hung_on_a_line_that_was_altered(tmp_path, caplog):
    Record(tmp_path).append("decision", FACTS)
    (segment,) = segments(tmp_path)
    segment.path.write_bytes(segment.path.read_bytes().replace(b"denied", b"permit"))
    record = Record(tmp_path)
    assert record.problem() == f"{segment.path}, line 1: its hash is another one"
    assert record.problem() in caplog.text
    before = files(tmp_path)
    for act in (lambda: record.append("decision", FACTS), lambda: record.newest(1), lambda: log.latest_time(tmp_path)):
        with pytest.raises(RecordDamagedError, match="line 1: its hash is another one"):
            act()
    assert files(tmp_path) == before


def test_what_disappears_under_a_running_device_is_noticed(tmp_path):
    record = Record(tmp_path)
    record.append("decision", FACTS)
    record.append("decision", FACTS)
    (segment,) = segments(tmp_path)
    segment.path.unlink()
    assert record.problem() == f"{tmp_path}: entries 1 to 2 have gone"
    with pytest.raises(RecordDamagedError, match="entries 1 to 2 have gone"):
        record.append("decision", FACTS)


def test_what_may_not_be_recorded_leaves_nothing(tmp_path):
    record = Record(tmp_path)
    with pytest.raises(ValueError, match="float has no place"):
        record.append("decision", {"liveness": 0.9})
    assert record.append("decision", FACTS).sequence == 1


def test_a_file_has_a_mebibyte_at_most(tmp_path):
    record = Record(tmp_path, Days())
    for _ in range(25):
        record.append("decision", {"text": "x" * 100_000})
    assert [segment.first for segment in segments(tmp_path)] == [1, 11, 21]
    assert all(segment.path.stat().st_size <= SEGMENT_BYTES for segment in segments(tmp_path))
    assert (verify(tmp_path).entries, verify(tmp_path).problem) == (25, None)
    assert len(record.newest(100)) == 25


def test_each_day_has_its_own_file_and_goes_when_it_is_old(tmp_path):
    clock = Days()
    record = Record(tmp_path, clock)
    for _ in range(5):
        record.append("decision", FACTS)
        record.append("decision", FACTS)
        clock.now += timedelta(days=1)
    clock.now -= timedelta(days=1)
    assert [segment.day for segment in segments(tmp_path)] == [date(2026, 11, 26) + timedelta(days=n) for n in range(5)]
    assert record.expire(4) == 0
    assert record.expire(2) == 2
    assert [segment.first for segment in segments(tmp_path)] == [5, 7, 9]
    verdict = verify(tmp_path)
    assert (verdict.first, verdict.last, verdict.entries, verdict.problem) == (5, 11, 7, None)
    (told,) = record.newest(1)
    assert (told.kind, told.facts) == ("expired", {"until": 4})
    assert record.expire(2) == 0


def test_a_door_that_nobody_uses_forgets_all_the_same(tmp_path):
    clock = Days()
    record = Record(tmp_path, clock)
    record.append("decision", FACTS)
    clock.now += timedelta(days=91)
    assert record.expire(90) == 1
    assert [(entry.sequence, entry.kind, entry.facts) for entry in record.newest(9)] == [(2, "expired", {"until": 1})]
    assert verify(tmp_path).sound
    clock.now += timedelta(days=91)
    assert record.expire(90) == 1
    assert [entry.sequence for entry in record.newest(9)] == [3]
    assert verify(tmp_path).sound
    assert Record(tmp_path, clock).append("decision", FACTS).sequence == 4


def test_a_crash_in_the_middle_of_forgetting_is_no_loss(tmp_path):
    clock = Days()
    record = Record(tmp_path, clock)
    for _ in range(4):
        record.append("decision", FACTS)
        clock.now += timedelta(days=1)
    kept = files(tmp_path)
    record.expire(1)
    _, second, third = sorted(set(kept) - set(files(tmp_path)))  # the oldest goes first
    (tmp_path / third).write_bytes(kept[third])
    assert verify(tmp_path).first == 3
    assert verify(tmp_path).sound
    (tmp_path / second).write_bytes(kept[second])
    assert verify(tmp_path).sound
    assert Record(tmp_path, clock).expire(1) == 2
    assert verify(tmp_path).sound


def test_a_change_is_told_once(tmp_path):
    record = Record(tmp_path)
    assert record.note_change("policy", {"digest": "a"}).sequence == 1
    record.append("decision", FACTS)
    assert record.note_change("policy", {"digest": "a"}) is None
    assert Record(tmp_path).note_change("policy", {"digest": "a"}) is None
    assert record.note_change("policy", {"digest": "b"}).sequence == 3
    assert record.note_change("policy", {"digest": "a"}).sequence == 4


def test_the_latest_time_is_that_of_the_last_file(tmp_path):
    clock = Days()
    assert log.latest_time(tmp_path / "nothing") is None
    record = Record(tmp_path, clock)
    assert log.latest_time(tmp_path) is None
    record.append("decision", FACTS)
    clock.now -= timedelta(hours=1)
    record.append("decision", FACTS)
    assert log.latest_time(tmp_path) == clock.now + timedelta(hours=1)


def test_the_local_day_is_not_asked(tmp_path):
    east = datetime.fromisoformat("2026-11-27T05:00:00+12:00")
    record = Record(tmp_path, lambda: east)
    record.append("decision", FACTS)
    assert [segment.day for segment in segments(tmp_path)] == [date(2026, 11, 26)]
    assert verify(tmp_path).sound


def acknowledge(record, acknowledged):
    def add():
        acknowledged.append(record.append("decision", {"text": "x" * 3000}))
        return acknowledged

    return add


@contextmanager
def disk(folder, options):
    """A small file system of its own."""
    if os.geteuid() != 0 or not shutil.which("mount"):
        pytest.skip("needs root and mount: sudo scripts/test")
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", folder], capture_output=True, check=False)
    if mounted.returncode:
        pytest.skip(f"nothing can be mounted here: {mounted.stderr.decode().strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


def test_a_full_disk_is_told_and_what_was_half_written_is_taken_back(tmp_path):
    with disk(tmp_path / "disk", "size=256k") as small:
        record, acknowledged = Record(small / "decisions"), []
        assert record.problem() == f"{small / 'decisions'}: the disk is full"  # for a whole file there is no room
        add = acknowledge(record, acknowledged)
        with pytest.raises(RecordError, match="No space left on device"):
            deque(iter(add, None))
        assert len(acknowledged) > 50
        for _ in range(3):
            with pytest.raises(RecordError, match="No space left on device"):
                record.append("decision", {"text": "x" * 5000})
        verdict = verify(small / "decisions")
        assert (verdict.problem, verdict.entries, verdict.hash) == (None, len(acknowledged), acknowledged[-1].hash)
        subprocess.run(["mount", "-o", "remount,size=4m", small], check=True)
        assert record.problem() is None
        assert record.append("decision", FACTS).sequence == len(acknowledged) + 1
        assert verify(small / "decisions").sound


def test_a_new_file_that_finds_no_room_is_not_left_behind(tmp_path):
    with disk(tmp_path / "disk", "size=256k") as small:
        clock = Days()
        record = Record(small / "decisions", clock)
        record.append("decision", FACTS)
        with (small / "ballast").open("wb", buffering=0) as file, pytest.raises(OSError, match="No space"):
            deque(iter(lambda: file.write(b"x" * 4096), None))
        clock.now += timedelta(days=1)
        with pytest.raises(RecordError, match="No space left on device"):
            record.append("decision", FACTS)
        assert len(segments(small / "decisions")) == 1
        (small / "ballast").unlink()
        assert record.append("decision", FACTS).sequence == 2
        assert verify(small / "decisions").sound


def test_a_read_only_disk_is_told(tmp_path):
    with disk(tmp_path / "disk", "size=4m") as small:
        record = Record(small / "decisions")
        first = record.append("decision", FACTS)
        subprocess.run(["mount", "-o", "remount,ro", small], check=True)
        for it in (record, Record(small / "decisions")):
            assert it.problem() == f"{small / 'decisions'}: it cannot be written"
            with pytest.raises(RecordError, match="Read-only file system"):
                it.append("decision", FACTS)
            assert it.newest(1) == (first,)
        subprocess.run(["mount", "-o", "remount,rw", small], check=True)
        assert record.problem() is None
        assert record.append("decision", FACTS).sequence == 2


LIMITED = """
import resource, sys
from pathlib import Path
from appliance.access.log import Record
from appliance.access.log import RecordError
record = Record(Path(sys.argv[1]))
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), int(sys.argv[2])))
while True:
    try:
        print(record.append("decision", {"text": "x" * 50}).hash, flush=True)
    except RecordError as error:
        print(error)
        break
"""


@pytest.mark.parametrize("bytes_there_are", [1, 100, 1000, 1234, 4095, 4096])
def test_a_line_that_goes_in_by_half_is_taken_back(tmp_path, bytes_there_are):
    """The system's bound on a file's size stands in for a full disk: it, too, writes what fits and refuses the rest."""
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, tmp_path, str(bytes_there_are)],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    *acknowledged, complaint = done.stdout.splitlines()
    assert complaint == f"{tmp_path}: File too large"
    verdict = verify(tmp_path)
    assert (verdict.problem, verdict.entries) == (None, len(acknowledged))
    assert [entry.hash for entry in reversed(log.newest_entries(tmp_path, 1000))] == acknowledged


def test_a_folder_that_cannot_be_had_is_told(tmp_path):
    (tmp_path / "file").write_text("not a folder")
    record = Record(tmp_path / "file" / "decisions")
    assert record.problem() == f"{tmp_path / 'file' / 'decisions'}: Not a directory"
    with pytest.raises(RecordError, match="Not a directory"):
        record.append("decision", FACTS)
