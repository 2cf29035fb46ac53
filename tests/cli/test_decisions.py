"""`appliance decisions`: the newest entries, and whether the record is whole."""

import json
from datetime import UTC, datetime, timedelta

import pytest

from appliance.access.log import RECORD_FILE, Record

DECISIONS = [
    {"result": "granted", "reason": "granted", "direction": "in", "person": "0123456789abcdef", "nonce": "n" * 22},
    {"result": "denied", "reason": "not_live", "direction": "in", "person": None, "nonce": "m" * 22},
]


@pytest.fixture
def device(tmp_path):
    """A configuration, and the record of a device with three entries of three days."""
    now = [datetime(2026, 11, 24, 8, 0, 0, 500_000, tzinfo=UTC)]
    record = Record(tmp_path / RECORD_FILE, lambda: now[0])
    entries = []
    for kind, facts in (
        ("decision", DECISIONS[0]),
        ("decision", DECISIONS[1]),
        ("erased", {"person": "ab" * 8, "n": 2}),
    ):
        entries.append(record.append(kind, facts))
        now[0] += timedelta(days=1)
    (tmp_path / "device.toml").write_text(f'[state]\nfolder = "{tmp_path}"\n', "utf-8")
    return tmp_path / "device.toml", entries


def test_the_newest_come_first(run, device):
    config, _ = device
    done = run("decisions", "list", "--config", config, "--count", 2)
    assert (done.returncode, done.stderr) == (0, "")
    erased, denied = done.stdout.splitlines()
    assert erased.split()[0] == "3"
    assert erased.endswith(f"erased    {'ab' * 8} n=2")
    assert denied.endswith("decision  denied not_live in")
    everything = run("decisions", "list", "--config", config).stdout.splitlines()
    assert everything[:2] == [erased, denied]
    assert everything[2].endswith("decision  granted granted in 0123456789abcdef")


def test_as_json_there_is_all_of_it(run, device):
    config, entries = device
    done = run("decisions", "list", "--config", config, "--json")
    told = [json.loads(line) for line in done.stdout.splitlines()]
    assert [each["hash"] for each in told] == [entry.hash for entry in reversed(entries)]
    assert told[-1] == {
        "sequence": 1,
        "time": "2026-11-24T08:00:00.500Z",
        "kind": "decision",
        "facts": DECISIONS[0],
        "hash": entries[0].hash,
    }


def test_a_record_that_is_whole_is_sound(run, device):
    config, entries = device
    done = run("decisions", "verify", "--config", config)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"sound: 3 entries, 1 to 3; anchor 3:{entries[-1].hash}\n"
    anchor = done.stdout.split()[-1]
    assert run("decisions", "verify", "--config", config, "--anchor", anchor).returncode == 0
    told = json.loads(run("decisions", "verify", "--config", config, "--json").stdout)
    assert told == {"entries": 3, "first": 1, "last": 3, "hash": entries[-1].hash, "problem": None, "sound": True}


def test_an_altered_entry_is_named_by_its_number(run, device):
    config, _ = device
    path = config.parent / RECORD_FILE
    path.write_bytes(path.read_bytes().replace(b"not_live", b"not_seen"))
    done = run("decisions", "verify", "--config", config)
    assert (done.returncode, done.stderr) == (1, "")
    assert done.stdout == "sound up to 1; entry 2: its hash is another one\n"
    done = run("decisions", "list", "--config", config)
    assert done.returncode == 1
    assert done.stderr == "entry 2: its hash is another one\n"


def test_a_cut_off_end_is_found_by_an_anchor(run, device):
    config, entries = device
    (config.parent / RECORD_FILE).unlink()
    record = Record(config.parent / RECORD_FILE, lambda: entries[0].time)
    assert record.append("decision", DECISIONS[0]) == entries[0]
    assert run("decisions", "verify", "--config", config).returncode == 0
    done = run("decisions", "verify", "--config", config, "--anchor", f"3:{entries[-1].hash}")
    assert done.returncode == 1
    assert done.stdout == "sound up to 1; entries 2 to 3 are missing at the end, by the anchor\n"


def test_an_anchor_that_has_expired_is_reported(run, device):
    config, entries = device
    Record(config.parent / RECORD_FILE, lambda: datetime(2026, 11, 27, tzinfo=UTC)).expire(2)
    done = run("decisions", "verify", "--config", config, "--anchor", f"1:{entries[0].hash}")
    assert done.returncode == 0
    assert done.stdout.endswith("; entry 1, which the anchor names, has expired\n")


def test_where_nothing_is_recorded_nothing_is_made(run, tmp_path):
    (tmp_path / "device.toml").write_text(f'[state]\nfolder = "{tmp_path}/state"\n', "utf-8")
    done = run("decisions", "verify", "--config", tmp_path / "device.toml")
    assert (done.returncode, done.stdout) == (0, "nothing is recorded\n")
    assert run("decisions", "list", "--config", tmp_path / "device.toml").stdout == ""
    assert not (tmp_path / "state").exists()


@pytest.mark.parametrize("arguments", [["verify", "--anchor", "3"], ["list", "--count", "0"], []])
def test_wrong_usage_is_reported(run, arguments):
    done = run("decisions", *arguments)
    assert (done.returncode, done.stdout) == (2, "")


def test_a_decision_that_another_one_replaced_is_void(run, device):
    config, _ = device
    record = Record(config.with_name(RECORD_FILE))
    record.append("decision", DECISIONS[0])
    record.append("decision", {**DECISIONS[0], "result": "denied", "reason": "camera_blind", "voids": 4})
    denied, void, _, _, granted = run("decisions", "list", "--config", config).stdout.splitlines()
    assert denied.endswith("denied camera_blind in 0123456789abcdef (voids 4)")
    assert void.endswith("granted granted in 0123456789abcdef (void)")
    assert granted.endswith("granted granted in 0123456789abcdef")
    listed = [json.loads(line) for line in run("decisions", "list", "--config", config, "--json").stdout.splitlines()]
    assert [each.get("void", False) for each in listed] == [False, True, False, False, False]
