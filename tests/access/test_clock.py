"""What can be said for the clock: by what has set it, by what it showed before, and against the time since boot."""

import json
import logging
import os
import shutil
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.access import clock as clock_module
from appliance.access import clock as time_service
from appliance.access.clock import RELEASED, STEP_SECONDS, Clock
from appliance.access.policy import ClockState

SYNCHRONISED, PLAUSIBLE, UNSET = ClockState.SYNCHRONISED, ClockState.PLAUSIBLE, ClockState.UNSET
LATER = RELEASED.timestamp() + 86_400
HOUR = 3600.0
SHIM = Path(__file__).parents[1] / "system" / "clock.c"


class Board:
    """A device's clocks, and who has set them: its wall clock stands at `wall` when it has been up for a minute."""

    def __init__(self, wall=LATER):
        self.wall, self.boot, self.kernel, self.file = wall, 60.0, False, None

    def clock(self):
        return Clock(lambda: self.kernel, lambda: self.file, lambda: (self.wall, self.boot))

    def runs(self, seconds):
        self.wall += seconds
        self.boot += seconds

    def set(self, seconds):
        """By hand: the kernel then says that nobody can vouch for it."""
        self.wall += seconds
        self.kernel = False

    def touch(self):
        self.file = int(self.wall * 1e9)


def test_an_unset_clock_is_plausible_from_the_release_on():
    board = Board()
    assert board.clock().read().state is PLAUSIBLE
    board.wall = RELEASED.timestamp() - HOUR
    assert board.clock().read().state is UNSET
    board.wall = 0.0
    assert board.clock().read().state is UNSET


@pytest.mark.parametrize("who", ["kernel", "file"])
def test_a_time_service_vouches_for_it_until_it_is_set_otherwise(who):
    board = Board()
    clock = board.clock()
    board.kernel, board.file = who == "kernel", int(board.wall * 1e9) if who == "file" else None
    assert clock.read().state is SYNCHRONISED
    board.kernel = False  # what the kernel was told is nine hours old; the network is gone
    board.runs(30 * HOUR)
    assert clock.read().state is SYNCHRONISED
    board.set(HOUR)
    assert clock.read().state is PLAUSIBLE
    board.runs(60)
    assert clock.read().state is PLAUSIBLE
    board.touch()
    assert clock.read().state is SYNCHRONISED


def test_a_file_of_the_future_vouches_for_nothing():
    board = Board()
    board.file = int((board.wall + HOUR) * 1e9)  # the clock was set back since
    assert board.clock().read().state is PLAUSIBLE


def test_a_clock_that_is_set_back_by_hand_is_wrong_until_it_has_caught_up():
    board = Board()
    clock = board.clock()
    assert clock.read().state is PLAUSIBLE
    board.set(-HOUR)
    reading = clock.read()
    assert (reading.state, reading.stepped) == (UNSET, -HOUR)
    board.runs(2 * HOUR)
    assert (clock.read().state, clock.read().stepped) == (UNSET, 0)  # time went on: it is still an hour late
    board.set(HOUR)
    assert clock.read().state is PLAUSIBLE


def test_a_time_service_may_set_it_back():
    board = Board(LATER + 365 * 24 * HOUR)
    clock = board.clock()
    assert clock.read().state is PLAUSIBLE
    board.set(-365 * 24 * HOUR)
    board.kernel = True
    assert clock.read().state is SYNCHRONISED
    board.runs(HOUR)
    assert clock.read().state is SYNCHRONISED


def states(clock):
    return clock.read().state, [(problem.part, problem.state) for problem in clock.problems()]


BACK = [("clock", "went_back")]


@pytest.mark.parametrize("who", ["kernel", "file"])
def test_a_time_service_is_not_believed_before_the_release(who):
    board = Board(datetime(2020, 2, 2, tzinfo=UTC).timestamp())
    clock = board.clock()
    board.kernel, board.file = who == "kernel", int(board.wall * 1e9) if who == "file" else None
    for seconds in (60, 2 * HOUR, 0):
        assert states(clock) == (UNSET, [])
        board.runs(seconds)
    board.wall = LATER
    board.kernel = True
    assert states(clock) == (SYNCHRONISED, [])


def test_a_time_service_is_not_believed_before_the_newest_record():
    board = Board()
    clock = board.clock()
    board.kernel = True
    clock.not_before(datetime.fromtimestamp(board.wall, UTC) + timedelta(hours=1))
    assert states(clock) == (UNSET, BACK)
    board.runs(HOUR - STEP_SECONDS)
    assert states(clock) == (SYNCHRONISED, [])


@pytest.mark.parametrize("noted", ["before it is set", "afterwards"])
def test_an_entry_of_a_wrong_clock_does_not_outweigh_a_time_service(noted, caplog):
    board = Board()
    clock = board.clock()
    wrong = datetime(2099, 1, 1, tzinfo=UTC)
    if noted == "before it is set":
        clock.not_before(wrong)
        assert states(clock) == (UNSET, BACK)
    board.kernel = True
    clock.read()
    for _ in range(2):
        clock.not_before(wrong)
        assert states(clock) == (SYNCHRONISED, [("clock", "record_ahead")])
    assert len(caplog.messages) == 1
    clock.not_before(datetime.fromtimestamp(board.wall, UTC) + timedelta(hours=1))
    assert states(clock) == (UNSET, BACK)
    board.runs(HOUR)
    assert states(clock) == (SYNCHRONISED, [("clock", "record_ahead")])


def test_a_record_ahead_is_no_reason_to_believe_a_time_service_that_goes_back():
    board = Board()
    clock = board.clock()
    board.kernel = True
    assert states(clock) == (SYNCHRONISED, [])
    clock.not_before(datetime.fromtimestamp(board.wall, UTC))
    board.wall -= 48 * HOUR
    assert states(clock) == (UNSET, BACK)
    board.wall += 48 * HOUR
    assert states(clock) == (SYNCHRONISED, [])


def test_a_time_service_that_sets_it_back_is_believed_when_that_time_has_come_again():
    board = Board()
    clock = board.clock()
    board.kernel = True
    assert states(clock) == (SYNCHRONISED, [])
    board.wall -= 30
    assert states(clock) == (UNSET, BACK)
    board.runs(20)
    assert states(clock) == (UNSET, BACK)
    board.runs(8)
    assert states(clock) == (SYNCHRONISED, [])


@pytest.mark.parametrize("recorded", [False, True])
def test_a_time_service_that_was_far_ahead_is_believed_again_when_it_has_been_corrected_for_an_hour(recorded, caplog):
    board = Board()
    clock = board.clock()
    right = board.wall
    board.wall = datetime(2099, 1, 1, tzinfo=UTC).timestamp()
    board.kernel = True
    assert states(clock) == (SYNCHRONISED, [])
    if recorded:
        clock.not_before(datetime.fromtimestamp(board.wall, UTC))
    board.wall = right
    ahead = [("clock", "record_ahead")] if recorded else []
    for _ in range(6):
        assert states(clock) == (UNSET, BACK)
        board.runs(HOUR / 6)
    assert states(clock) == (SYNCHRONISED, ahead)
    assert "it is believed again" in "".join(caplog.messages)
    board.wall -= 30
    assert states(clock) == (UNSET, BACK)


def test_the_hour_begins_again_whenever_the_clock_is_set():
    board = Board()
    clock = board.clock()
    board.kernel = True
    clock.read()
    board.wall -= 48 * HOUR
    for _ in range(5):
        assert states(clock) == (UNSET, BACK)
        board.runs(HOUR / 2)
        board.wall -= 10
    board.set(0)
    board.kernel = False  # nobody vouches for it: it does not become right by waiting
    board.wall -= 10
    for _ in range(3):
        assert states(clock)[0] is UNSET
        board.runs(HOUR)


def test_a_step_back_by_hand_is_a_problem_and_a_clock_that_was_never_set_is_none():
    board = Board(0.0)
    clock = board.clock()
    assert states(clock) == (UNSET, [])
    board.set(LATER)
    assert states(clock) == (PLAUSIBLE, [])
    board.set(-10)
    assert states(clock) == (UNSET, BACK)


def test_it_was_later_already_when_the_record_says_so():
    board = Board()
    clock = board.clock()
    clock.not_before(datetime.fromtimestamp(board.wall, UTC) + timedelta(hours=1))
    assert clock.read().state is UNSET
    board.runs(2 * HOUR)
    assert clock.read().state is UNSET  # the record was made before these two hours
    board.kernel = True
    assert clock.read().state is SYNCHRONISED


def test_the_record_of_yesterday_is_no_objection():
    board = Board()
    clock = board.clock()
    clock.not_before(datetime.fromtimestamp(board.wall, UTC) - timedelta(days=1))
    assert clock.read().state is PLAUSIBLE


@given(st.lists(st.tuples(st.floats(0, 1e6), st.floats(-STEP_SECONDS / 20, STEP_SECONDS / 20)), max_size=10))
def test_what_time_services_do_by_and_by_is_no_step(passing):
    board = Board()
    clock = board.clock()
    for seconds, leap in passing:
        board.runs(seconds)
        board.wall += leap
        assert (clock.read().stepped, clock.read().state) == (0, PLAUSIBLE)


@given(st.lists(st.sampled_from([-HOUR, -10.0, 0.0, 10.0, HOUR]), max_size=20))
def test_by_hand_it_never_becomes_earlier_than_it_was_and_stays_believed(steps):
    board, latest = Board(), 0.0
    clock = board.clock()
    for step in steps:
        board.runs(60)
        board.set(step)
        latest = max(latest + 60, board.wall)
        reading = clock.read()
        assert reading.state is (PLAUSIBLE if board.wall >= latest - STEP_SECONDS else UNSET)
        assert reading.stepped == step


def test_a_step_is_reported_in_the_log(caplog):
    board = Board()
    clock = board.clock()
    board.set(-HOUR)
    with caplog.at_level(logging.WARNING, clock_module.__name__):
        clock.read()
        clock.read()
    assert [record.getMessage() for record in caplog.records] == ["the clock was set back by 3600 s"]


def test_now_is_local_time_in_the_zone_of_now(monkeypatch):
    board = Board(datetime(2026, 12, 24, 23, 30, tzinfo=UTC).timestamp())
    clock = board.clock()
    for zone, told in (("Europe/Berlin", "2026-12-25T00:30:00+01:00"), ("America/Lima", "2026-12-24T18:30:00-05:00")):
        monkeypatch.setenv("TZ", zone)
        assert clock.read().now.isoformat() == told
    monkeypatch.undo()
    time.tzset()


class Command:
    """A program in place of timedatectl, which prints the answer of a file, or fails while there is none."""

    def __init__(self, folder):
        self.path, self.answer = folder / "timedatectl", folder / "answer"
        self.path.write_text(f"#!/bin/sh\necho asked >>{folder}/asked\ncat {self.answer}\n")
        self.path.chmod(0o755)

    def asked(self):
        return len((self.path.parent / "asked").read_text().splitlines())


def test_timedated_is_asked_again_while_it_says_no(tmp_path, caplog):
    command = Command(tmp_path)
    told = time_service.Timedated([command.path], 0)
    assert [told(), told()] == [False, False]
    assert len(caplog.messages) == 1
    assert caplog.messages[0].endswith("No such file or directory")
    for answer in ("no", "yes"):
        command.answer.write_text(f"{answer}\n")
        assert told() is (answer == "yes")
    assert command.asked() == 4


def test_timedated_is_not_asked_all_the_time(tmp_path):
    command = Command(tmp_path)
    command.answer.write_text("no\n")
    told = time_service.Timedated([command.path], 1000)
    assert [told() for _ in range(5)] == [False] * 5
    assert command.asked() == 1


def test_a_board_without_timedatectl_says_so_once(tmp_path, caplog):
    told = time_service.Timedated([tmp_path / "timedatectl"], 0)
    assert [told(), told()] == [False, False]
    assert [message.partition(":")[0] for message in caplog.messages] == [
        "timedatectl does not say whether the clock is synchronised, only systemd-timesyncd can"
    ]


@pytest.mark.skipif(shutil.which("timedatectl") is None, reason="needs timedatectl: sudo apt install systemd")
def test_the_real_timedatectl_answers_or_is_not_to_be_asked(caplog):
    told = time_service.Timedated()()
    done = subprocess.run(time_service.TIMEDATED, capture_output=True, text=True, timeout=10, check=False)
    assert done.stdout.strip() in ({"yes", "no"} if done.returncode == 0 else {""})
    assert told is (done.stdout.strip() == "yes")
    assert bool(caplog.messages) is (done.returncode != 0)


def test_systemd_s_file_is_asked_for_its_time(tmp_path):
    path = tmp_path / "synchronized"
    assert time_service.touched(path) is None
    path.touch()
    os.utime(path, ns=(1, 5))
    assert time_service.touched(path) == 5


WATCH = """
import json, sys
from pathlib import Path
from appliance.access.clock import Clock
clock = Clock(service=lambda: False, touched=lambda: None)
for line in sys.stdin:
    Path(sys.argv[1]).write_text(line)
    reading = clock.read()
    print(json.dumps([reading.state, round(reading.stepped)]), flush=True)
"""


@pytest.mark.skipif(shutil.which("cc") is None, reason="needs a C compiler: sudo apt install gcc libc6-dev")
def test_a_real_clock_that_is_set_is_noticed(tmp_path):
    library, off = tmp_path / "clock.so", tmp_path / "off"
    subprocess.run(["cc", "-shared", "-fPIC", "-o", library, SHIM], check=True, timeout=60)
    off.write_text("0")
    done = subprocess.run(
        [sys.executable, "-c", WATCH, off],
        input="0\n7200\n3600\n7200\n-86400\n",
        env=os.environ | {"LD_PRELOAD": str(library), "CLOCK_OFF": str(off)},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    if json.loads(done.stdout.splitlines()[0])[0] == UNSET:
        pytest.skip("this machine's own clock is before the release")
    assert [json.loads(line) for line in done.stdout.splitlines()] == [
        [PLAUSIBLE, 0],
        [PLAUSIBLE, 7200],
        [UNSET, -3600],
        [PLAUSIBLE, 3600],
        [UNSET, -93_600],
    ]
