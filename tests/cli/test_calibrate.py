"""Operating points from the command line: what is printed, what is kept, and what is refused in one line."""

import json
import socket
from datetime import UTC, datetime

import cv2
import numpy as np
import pytest

from appliance.calibration import points
from appliance.calibration.points import Calibration

FAST, STRONG = "embedder_float16.tflite", "strong_embedder_float16.tflite + strong_head_int8.tflite"
WAYS = [FAST, STRONG, f"{FAST} + {STRONG}"]
"""By what faces are compared: the fast embedder, the strong one's two networks, and both. Each has its operating point."""


@pytest.fixture
def configured(tmp_path, quick):
    """A configuration whose state is in a folder that is not there yet."""
    path = tmp_path / "appliance.toml"
    path.write_text(f'{quick.read_text("utf-8")}[state]\nfolder = "{tmp_path / "state"}"\n', "utf-8")
    return path


def kept(configured):
    return configured.parent / "state" / points.FILE


def complaints(done):
    """Standard error without what the runtime says of itself."""
    return [line for line in done.stderr.splitlines() if not line.startswith("INFO: ")]


@pytest.fixture(scope="module")
def album(tmp_path_factory, portrait, hopper):
    """Two people with six photos each, in folders of their names; a photo without anybody, and a file that is none."""
    folder = tmp_path_factory.mktemp("album")
    for name, content in (("portrait", portrait), ("hopper", hopper)):
        (folder / name).mkdir()
        photo = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)
        for number in range(6):
            picture = cv2.convertScaleAbs(photo, alpha=1 - 0.1 * number, beta=5 * number)
            cv2.imwrite(str(folder / name / f"{number}.jpg"), picture)
    cv2.imwrite(str(folder / "hopper" / "nobody.png"), np.full((200, 200, 3), 128, np.uint8))
    (folder / "hopper" / "cut.jpg").write_bytes(hopper[:9000])
    (folder / "hopper" / "notes.txt").write_text("no photo", "utf-8")
    return folder


def test_the_bundled_statistics_give_an_operating_point_which_is_kept_until_it_is_reset(run, configured):
    done = run("calibrate", "similarity", "--fmr", "1e-4", "--json", "--config", configured)
    assert (done.returncode, complaints(done)) == (0, [])
    found = json.loads(done.stdout)
    assert (found["kind"], found["written"]) == ("similarity", True)
    assert [point["file"] for point in found["points"]] == WAYS
    for point in found["points"]:
        assert point["basis"] == "bundled statistics"
        assert point["before"] < point["threshold"] < 1
        fmr = point["measured"]["fmr"]
        assert fmr["count"] <= 1e-4 * fmr["total"]
        assert fmr["lower"] <= fmr["count"] / fmr["total"] <= fmr["upper"]
        assert point["measured"]["tmr"]["lower"] > 0.8
        assert abs((datetime.fromisoformat(point["date"]) - datetime.now(UTC)).total_seconds()) < 60
    strict = {point["model"]: point["threshold"] for point in found["points"]}
    assert points.read(kept(configured)).thresholds() == strict

    done = run("calibrate", "similarity", "--config", configured)
    assert all(f"before: {threshold:.4f}" in done.stdout for threshold in strict.values())
    assert "wanted: at most 0.1 %" in done.stdout
    usual = points.read(kept(configured)).thresholds()
    assert usual.keys() == strict.keys()
    assert all(usual[model] < strict[model] for model in strict)

    done = run("calibrate", "similarity", "--reset", "--config", configured)
    assert (done.returncode, done.stdout) == (0, "")
    assert points.read(kept(configured)) == Calibration()


def test_a_dry_run_writes_nothing(run, configured):
    done = run("calibrate", "similarity", "--dry-run", "--config", configured)
    assert done.returncode == 0
    assert "nothing is written" in done.stdout
    assert not kept(configured).parent.exists()


def test_photos_of_one_s_own_give_it_too(run, configured, album):
    done = run("calibrate", "similarity", album, "--fmr", "0.1", "--check", album, "--json", "--config", configured)
    assert (done.returncode, complaints(done)) == (0, [])
    found = json.loads(done.stdout)
    assert [point["file"] for point in found["points"]] == WAYS
    for point in found["points"]:
        assert point["basis"] == "photos"
        assert point["counts"] == {"people": 2, "pictures": 12, "impostor_pairs": 36, "genuine_pairs": 30}
        assert point["measured"]["fmr"]["count"] == 3
        assert point["measured"]["tmr"]["count"] == 30
    few, unusable, *alike, last = found["notes"]
    assert "2 people say little" in few
    assert "have no face: 2" in unusable
    assert 1 <= len(alike) <= len(WAYS)
    assert all("hopper and portrait" in note for note in alike)
    assert last == "checked on 0 people, 0 photos, none of which were used"
    assert found["checked"] == {}
    own = {point["model"]: point["threshold"] for point in found["points"]}
    assert points.read(kept(configured)).thresholds() == own

    compared = run("compare", album / "hopper" / "0.jpg", album / "portrait" / "0.jpg", "--config", configured)
    assert float(compared.stdout.split()[1]) == pytest.approx(0.5, abs=0.4)


def test_too_few_photos_are_refused_with_the_number_that_is_needed(run, configured, album):
    done = run("calibrate", "similarity", album, "--config", configured)
    assert (done.returncode, done.stdout) == (1, "")
    (line,) = complaints(done)
    assert line == (
        "FMR 0.001 needs 3,000 pairs of different people (such as 78 people with a photo each), these photos make 48: "
        "add people, or choose a larger --fmr"
    )
    assert not kept(configured).exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("similarity", "--fmr", "1e-9"), "needs 3,000,000,000 pairs of different people, the bundled statistics have"),
        (("similarity", "no-such-folder"), "no-such-folder: No such file or directory"),
        (("liveness", "--device", "ftp://device"), "is not http://HOST:PORT"),
    ],
)
def test_what_cannot_be_done_is_reported_in_one_line(run, configured, arguments, said):
    done = run("calibrate", *arguments, "--config", configured)
    assert (done.returncode, done.stdout) == (1, "")
    (line,) = complaints(done)
    assert said in line


def test_a_device_that_does_not_run_is_reported_in_one_line(run, configured):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
        done = run("calibrate", "liveness", "--device", url, "--config", configured)
    assert (done.returncode, done.stdout) == (1, "")
    (line,) = complaints(done)
    assert line.startswith(f"no device answers at {url} (")


def test_a_damaged_file_is_reported_and_left_until_it_is_reset(run, configured):
    kept(configured).parent.mkdir()
    kept(configured).write_bytes(b"{")
    for arguments in (("similarity",), ("liveness",)):
        done = run("calibrate", *arguments, "--config", configured)
        assert (done.returncode, done.stdout) == (1, "")
        (line,) = complaints(done)
        assert "is damaged" in line
        assert "--reset" in line
    assert kept(configured).read_bytes() == b"{"
    assert run("calibrate", "similarity", "--reset", "--config", configured).returncode == 0
    assert points.read(kept(configured)) == Calibration()


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("everything",),
        ("similarity", "--fmr", "0"),
        ("similarity", "--fmr", "0.2"),
        ("similarity", "--fmr", "x"),
        ("liveness", "--minutes", "0"),
        ("liveness", "--attack", "real"),
        ("liveness", "--attack", "A B"),
        ("liveness", "--bpcer", "1"),
    ],
)
def test_wrong_usage_is_2(run, arguments):
    assert run("calibrate", *arguments).returncode == 2
