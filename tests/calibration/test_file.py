"""The file of operating points: whatever happens to it, a device reads an old one, a new one, or the shipped ones."""

import json
import logging
import signal
import stat
import subprocess
import sys
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance import state
from appliance.calibration import points
from appliance.calibration.points import Calibration, CalibrationError, CalibrationStore, Kind

pytestmark = pytest.mark.logs_errors("operating points are used")

SHIPPED = {"threshold": 0.3, "wanted": {"fmr": 0.001}}

WRITER = """
import sys
from pathlib import Path
from appliance.calibration import points as file
from appliance.calibration.points import Calibration, Kind
path = Path(sys.argv[1])
(entry,) = file.read(path).similarity
print("writing", flush=True)
for number in range(10**6):
    models = [f"{index:064x}" for index in range(1 + number % 50)]
    entries = (entry.model_copy(update={"model": model, "threshold": number % 1000 / 2000}) for model in models)
    file.keep(path, Kind.SIMILARITY, tuple(entries))
"""


class Clock:
    """Time in a test's hands."""

    now = 0.0

    def __call__(self):
        return self.now

    def look(self):
        self.now += state.LOOK_SECONDS


@pytest.fixture
def path(tmp_path):
    return tmp_path / "deep" / points.FILE


def test_what_is_kept_is_read_again_each_kind_by_itself(path, similarity_entry, liveness_entry):
    assert points.read(path) == Calibration()
    points.keep(path, Kind.SIMILARITY, (similarity_entry(), similarity_entry(0.5, "c" * 64)))
    points.keep(path, Kind.LIVENESS, (liveness_entry(),))
    assert points.read(path).thresholds() == {"a" * 64: 0.4, "c" * 64: 0.5, "b" * 64: -1.0}
    points.forget(path, Kind.SIMILARITY)
    assert points.read(path) == Calibration(liveness=(liveness_entry(),))
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_it_has_nothing_of_anyone(path, similarity_entry):
    points.keep(path, Kind.SIMILARITY, (similarity_entry(),))
    (entry,) = json.loads(path.read_text("utf-8"))["similarity"]
    assert set(entry) == {"model", "threshold", "wanted", "measured", "counts", "basis", "date"}
    assert entry["date"] == "2026-11-26T03:00:00Z"


@given(st.binary(max_size=200))
def test_whatever_stands_in_it_is_an_operating_point_or_damage(tmp_path_factory, content):
    path = tmp_path_factory.getbasetemp() / "any.json"
    path.write_bytes(content)
    store = CalibrationStore(path)
    damaged = store.facts(Kind.SIMILARITY, "a" * 64, SHIPPED)["ignored"]
    assert store.thresholds() == {}
    assert damaged == "damaged" or points.read(path) == Calibration()


def test_two_entries_of_one_model_are_damage(path, similarity_entry, liveness_entry):
    once = json.loads(Calibration(similarity=(similarity_entry(),), liveness=(liveness_entry(),)).model_dump_json())
    path.parent.mkdir()
    for kind in ("similarity", "liveness"):
        path.write_text(json.dumps({kind: once[kind] * 2}), "utf-8")
        with pytest.raises(CalibrationError, match="two entries of one model"):
            points.read(path)
    once["liveness"][0]["model"] = once["similarity"][0]["model"]
    path.write_text(json.dumps(once), "utf-8")
    with pytest.raises(CalibrationError, match="two entries of one model"):
        points.read(path)


@pytest.mark.parametrize("threshold", [1.0, -1.0, 7, "x", None, float("nan"), float("inf")])
def test_a_cosine_that_is_none_is_damage(path, similarity_entry, threshold):
    points.keep(path, Kind.SIMILARITY, (similarity_entry(),))
    document = json.loads(path.read_text("utf-8"))
    document["similarity"][0]["threshold"] = threshold
    path.write_text(json.dumps(document), "utf-8")
    with pytest.raises(CalibrationError, match="is damaged"):
        points.read(path)


def test_a_damaged_one_is_kept_from_changes_until_it_is_forgotten(path, similarity_entry):
    path.parent.mkdir()
    path.write_bytes(b"{")
    with pytest.raises(CalibrationError, match="is damaged"):
        points.keep(path, Kind.SIMILARITY, (similarity_entry(),))
    assert path.read_bytes() == b"{"
    points.forget(path, Kind.SIMILARITY)
    assert points.read(path) == Calibration()


def test_a_change_is_noticed_once_a_second_at_most_and_reported(path, similarity_entry, caplog):
    clock = Clock()
    store = CalibrationStore(path, clock)
    caplog.set_level(logging.INFO, "appliance.state")
    points.keep(path, Kind.SIMILARITY, (similarity_entry(),))
    before = store.thresholds()
    assert before == {}
    clock.look()
    assert store.thresholds() == {"a" * 64: 0.4}
    assert before == {}  # who has begun with one operating point ends with it
    points.forget(path, Kind.SIMILARITY)
    clock.look()
    assert store.thresholds() == {}
    assert caplog.messages == [
        "calibration: similarity: shipped -> 0.4000 (fmr 0.001; photos)",
        "calibration: similarity: 0.4000 (fmr 0.001; photos) -> shipped",
    ]


def test_facts_are_of_the_model_in_use(path, similarity_entry):
    points.keep(path, Kind.SIMILARITY, (similarity_entry(),))
    store = CalibrationStore(path)
    own = store.facts(Kind.SIMILARITY, "a" * 64, SHIPPED)
    assert (own["source"], own["ignored"], own["threshold"], own["counts"]) == ("device", None, 0.4, {"people": 3})
    assert own["measured"]["fmr"]["upper"] == 0.003
    stale = store.facts(Kind.SIMILARITY, "d" * 64, SHIPPED)
    assert stale == {"source": "shipped", "ignored": "stale", "model": "d" * 64, **SHIPPED}
    none = store.facts(Kind.LIVENESS, "b" * 64, SHIPPED)
    assert (none["source"], none["ignored"]) == ("shipped", None)


def test_that_of_another_model_is_warned_of_once(path, similarity_entry, caplog):
    points.keep(path, Kind.SIMILARITY, (similarity_entry(),))
    store = CalibrationStore(path)
    for _ in range(3):
        store.warn_of_stale(Kind.SIMILARITY, "d" * 64)
        store.warn_of_stale(Kind.SIMILARITY, "a" * 64)
        store.warn_of_stale(Kind.LIVENESS, "b" * 64)
    (line,) = caplog.messages
    assert (
        line == "the similarity calibration belongs to another model and is not used: `appliance calibrate similarity`"
    )


def test_a_damaged_file_is_reported_and_the_earlier_content_stays_in_use(path, similarity_entry, caplog):
    clock = Clock()
    points.keep(path, Kind.SIMILARITY, (similarity_entry(),))
    store = CalibrationStore(path, clock)
    path.write_bytes(path.read_bytes()[:-20])
    clock.look()
    assert store.thresholds() == {"a" * 64: 0.4}
    assert store.facts(Kind.SIMILARITY, "a" * 64, SHIPPED)["ignored"] == "damaged"
    assert "is damaged" in store.problem()
    assert CalibrationStore(path).thresholds() == {}
    assert [line.partition(": ")[0] for line in caplog.messages] == [
        "the previous operating points are used",
        "the shipped operating points are used",
    ]
    points.forget(path, Kind.SIMILARITY)
    clock.look()
    assert store.facts(Kind.SIMILARITY, "a" * 64, SHIPPED)["ignored"] is None


def test_a_writer_that_is_killed_leaves_the_old_file_or_the_new_one(path, similarity_entry):
    points.keep(path, Kind.SIMILARITY, (similarity_entry(),))
    seen = set()
    for number in range(4):
        writer = subprocess.Popen([sys.executable, "-c", WRITER, path], stdout=subprocess.PIPE)
        assert writer.stdout.readline() == b"writing\n"
        time.sleep(0.05 + 0.013 * number)
        writer.send_signal(signal.SIGKILL)
        assert writer.wait(30) == -signal.SIGKILL
        writer.stdout.close()
        entries = points.read(path).similarity
        seen.add(entries[0].threshold)
        points.keep(path, Kind.SIMILARITY, entries[:1])
    assert len(seen) > 1
