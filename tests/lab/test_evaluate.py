"""`appliance evaluate`, as a user types it: on folders in the known layouts, killed and gone on with, and its report."""

import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import labelled
import pytest
from browser import launched
from devices import until
from lab.device import OwnDevice
from lab.evaluate import detection, pose
from lab.evaluate.client import Client
from playwright.sync_api import sync_playwright

from appliance import config

Run = Callable[..., "subprocess.CompletedProcess[str]"]

MOST_POSES = 80

pytestmark = pytest.mark.timeout(300)  # a device, its models and browsers start, beside other tests


@pytest.fixture(scope="module")
def client(own: OwnDevice) -> Iterator[Client]:
    with Client(own.url) as asked:
        yield asked


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory, client: Client, quick: Path, portrait: bytes, hopper: bytes) -> Path:
    """A folder a question, whose labels are what the device itself says, except those that are named wrong."""
    folder = tmp_path_factory.mktemp("data")
    labelled.lfw(folder / "verification", {"Jane_Roe": portrait, "Grace_Hopper": hopper}, folds=2, pairs=2)
    pictures = {"jane.jpg": portrait, "grace.jpg": hopper}
    detect = detection.detector(client, config.load(quick, {}))
    scored = {name: detect(picture)[0][:4] for name, picture in pictures.items()}
    labelled.boxes(folder / "detection", pictures, {**scored, "grace.jpg": [5, 5, 60, 60]})
    found = {name: client.faces(picture)[0] for name, picture in pictures.items()}
    labelled.shapes(
        folder / "landmarks",
        {"jane": portrait, "grace": hopper},
        {"jane": found["jane.jpg"], "grace": found["grace.jpg"]},
    )
    known = {name: face.pose.tolist() for name, face in found.items()}
    labelled.poses(
        folder / "pose", pictures, {**known, "grace.jpg": [known["grace.jpg"][0] - 20, *known["grace.jpg"][1:]]}
    )
    labelled.sequences(
        folder / "liveness",
        {
            "real": [labelled.filmed(portrait, 1), labelled.filmed(hopper, 2)],
            "print": [[hopper] * 4],
            "mask": [[portrait[:2000]] * 4],
        },
    )
    return folder


@pytest.fixture(scope="module")
def evaluated(run: Run, quick: Path, tree: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the record and the report of everything are."""
    folder = tmp_path_factory.mktemp("evaluated")
    done = run(
        "evaluate",
        "--config",
        quick,
        "all",
        tree,
        "--workers",
        1,
        "--json",
        folder / "record.json",
        "--report",
        folder / "report",
    )
    assert done.returncode == 0, done.stderr
    assert re.search(r"^robustness: left out, there is no folder .*robustness$", done.stderr, re.MULTILINE)
    assert "do not pass it on" in done.stderr
    assert "FAIL" not in done.stdout
    assert "pass" not in done.stdout
    return folder


@pytest.fixture(scope="module")
def record(evaluated: Path) -> dict[str, Any]:
    return json.loads((evaluated / "record.json").read_text("utf-8"))


def values(record: dict[str, Any], question: str) -> dict[str, Any]:
    """Value and bounds of each measure, without what stands in brackets."""
    return {
        finding["measure"].partition(" (")[0]: (finding["value"], finding["interval"])
        for finding in record["findings"]
        if finding["question"] == question
    }


def test_the_record_says_what_was_measured(record: dict[str, Any]) -> None:
    assert record["counts"] == {
        "verification": {"pairs": 8, "pictures": 16},
        "detection": {"pictures": 2, "labelled faces": 2, "detections": 2},
        "landmarks": {"faces": 2},
        "pose": {"pictures": 2},
        "liveness": {"mask": 1, "print": 1, "real": 2},
        "identification": {"people": 2, "other strangers": 0, "pictures": 16},
    }
    assert {"sdk_version", "runtime", "models"} <= set(record["device"])
    assert all(re.fullmatch(r"[0-9a-f]{64}", model["sha256"]) for model in record["device"]["models"])
    assert all(finding["passed"] is None for finding in record["findings"])
    assert record["answers"]["remembered"] == 0


def test_verification(record: dict[str, Any]) -> None:
    found = values(record, "verification")
    assert found["accuracy, 2 folds"] == (100, [100, 100])
    assert found["FMR at 0.5"] == (0, [0, 75])
    assert found["FNMR at 0.5"] == (0, [0, 75])
    assert found["TMR at FMR 1 %"] == (None, None)
    assert found["failure to acquire"] == (0, [0, 100 * 3 / 16])


def test_detection(record: dict[str, Any]) -> None:
    # of two labelled faces one is found, and the other detection is a false one
    assert values(record, "detection")["AP all faces"][0] in (0.25, 0.5)


def test_landmarks(record: dict[str, Any]) -> None:
    found = values(record, "landmarks")
    assert found["NME of faces found, 20 points"][0] == pytest.approx(0, abs=0.01)
    assert found["failed: NME > 8 % or lost"][0] == 0
    assert found["AUC of the error curve to 8 %"][0] == pytest.approx(1, abs=0.01)
    assert 0 < found["mirrored: mean distance, 106 points"][0] < 3


def test_pose(record: dict[str, Any]) -> None:
    found = values(record, "pose")
    value, (low, high) = found["yaw: mean absolute error"]
    assert value == pytest.approx(10, abs=0.01)
    assert (low, high) == pytest.approx((10 - 19.6, 10 + 19.6), abs=0.01)
    assert found["pitch: mean absolute error"][0] == pytest.approx(0, abs=0.001)
    assert found["all angles within 10°"][0] == 50


def test_liveness(record: dict[str, Any]) -> None:
    found = values(record, "liveness")
    assert found["APCER print at 0.5"][0] == 0
    assert found["APCER mask at 0.5"][0] == 0
    assert found["APNRR: attacks, no answer"][0] == 50  # the cut picture
    assert found["BPNRR: real, no answer"][0] == 0
    assert found["still, 4 copies: greatest"][0] <= 0.3


def test_identification(record: dict[str, Any]) -> None:
    found = values(record, "identification")  # of the pictures of the verification question: there are no others
    assert found["1: FPIR"][0] == found["1: FNIR"][0] == found["1: … taken for another"][0] == 0
    assert found["1: rank 1"][0] == 100
    assert found["failure to acquire"] == (0, [0, 100 * 3 / 16])


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    with sync_playwright() as playwright:
        browser = launched(playwright)
        yield browser
        browser.close()


@pytest.mark.parametrize(("width", "scheme"), [(390, "dark"), (1280, "light")])
def test_the_report_is_whole_and_loads_nothing_else(evaluated: Path, chromium: Any, width: int, scheme: str) -> None:
    complaints: list[str] = []
    addresses: list[str] = []
    context = chromium.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
    page = context.new_page()
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("console", lambda said: complaints.append(said.text))
    context.on("request", lambda request: addresses.append(request.url))
    page.goto((evaluated / "report" / "index.html").as_uri())
    assert complaints == []
    assert [each for each in addresses if not each.startswith(("data:", "file:"))] == []
    assert sum(each.startswith("file:") for each in addresses) == 1
    assert page.get_by_text("do not pass it on").is_visible()
    chapters = [heading.lower() for heading in page.locator("h2").all_inner_texts()]
    assert chapters == ["verification", "detection", "landmarks", "pose", "liveness", "identification", "record"]
    shown = page.evaluate("[...document.images].filter(each => each.complete && each.naturalWidth > 100).length")
    assert shown == page.locator("img").count() >= 7
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    ids = page.evaluate("[...document.querySelectorAll('[id]')].map(each => each.id)")
    assert len(ids) == len(set(ids))
    context.close()


def test_a_killed_evaluation_goes_on_where_it_stopped(
    run_here: Run, quick: Path, tmp_path: Path, portrait: bytes, environment: dict[str, str], own: OwnDevice
) -> None:
    pictures = {
        f"{number:03}.jpg": labelled.varied(portrait, number % 50) + bytes(number) for number in range(MOST_POSES)
    }
    data = labelled.poses(tmp_path / "data", pictures, dict.fromkeys(pictures, (0, 0, 0)))
    answers, record = tmp_path / "answers", tmp_path / "record.json"
    arguments = ["evaluate", "--device", own.url, "pose", data, "--workers", 1, "--json", record]
    command = [sys.executable, "-m", "appliance", *map(str, [*arguments, "--answers", answers])]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment) as killed:
        assert until(lambda: answers.exists() and answers.stat().st_size >= 40_000, 60)
        os.kill(killed.pid, signal.SIGKILL)
    with closing(sqlite3.connect(answers)) as file:
        ((kept,),) = file.execute("SELECT count(*) FROM answers")
    assert killed.returncode == -signal.SIGKILL
    assert 2 <= kept < MOST_POSES

    assert run_here(*arguments, "--answers", answers).returncode == 0
    resumed = json.loads(record.read_text("utf-8"))
    assert resumed["answers"] == {"asked": MOST_POSES - kept, "remembered": kept}
    with Client(own.url) as client:
        straight = pose.measure(client, data).findings
        assert client.journal.asked == MOST_POSES
    assert resumed["findings"] == json.loads(json.dumps([each.as_json() for each in straight]))


def test_a_running_device_is_asked_over_http(run_here: Run, own: OwnDevice, tree: Path, tmp_path: Path) -> None:
    done = run_here(
        "evaluate", "verification", tree / "verification", "--device", own.url, "--json", tmp_path / "record.json"
    )
    assert done.returncode == 0, done.stderr
    record = json.loads((tmp_path / "record.json").read_text("utf-8"))
    assert record["device"]["api_version"] == "1.0"
    assert values(record, "verification")["accuracy, 2 folds"][0] == 100


def test_odd_files_are_posted_to_a_running_device(
    run_here: Run, own: OwnDevice, tmp_path: Path, portrait: bytes
) -> None:
    (tmp_path / "odd").mkdir()
    for name, content in {"cut.jpg": portrait[:5000], "text.txt": b"no picture"}.items():
        (tmp_path / "odd" / name).write_bytes(content)
    done = run_here("evaluate", "robustness", tmp_path / "odd", "--device", own.url, "--judge")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "of 20" in done.stdout


def test_one_line_about_a_folder_that_is_laid_out_otherwise(run_here: Run, quick: Path, tree: Path) -> None:
    done = run_here("evaluate", "--config", quick, "pose", tree / "liveness", "--judge")
    (line,) = (line for line in done.stderr.splitlines() if not line.startswith("INFO: "))
    assert line == f"pose: {tree / 'liveness'}: no CSV file with image, yaw, pitch, roll (degrees)"
    assert done.returncode == 1
