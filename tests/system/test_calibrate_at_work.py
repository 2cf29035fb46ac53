"""Operating points of a running process: noticed at once, refused when they are another model's, found before its camera."""

import json
import os
import re
import signal
import subprocess
import sys
from base64 import b64decode
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from bodies import form, frames
from cameras import noisy, on_canvas
from client import Client
from devices import Child, until
from living import stirred
from test_keys_at_work import QUICK

from appliance import keys
from appliance.calibration import points
from appliance.calibration.points import Basis, Kind, LivenessEntry, SimilarityEntry, now
from appliance.keys import Scope

NOTHING: dict[str, Any] = {"wanted": {"fmr": 0.001}, "measured": {}, "counts": {}, "basis": Basis.PHOTOS}


def similarity_at(model: str, threshold: float) -> SimilarityEntry:
    return SimilarityEntry(model=model, threshold=threshold, date=now(), **NOTHING)


def point(client: Client, kind: str) -> dict[str, Any]:
    found = client.get("/version").document["calibration"][kind]
    assert set(found) == {
        "source", "ignored", "model", "threshold", "wanted", "measured", "counts", "basis", "date",
    }  # fmt: skip
    return found


def compared(client: Client, portrait: bytes, hopper: bytes) -> float:
    a, b = (
        client.post("/alignedfaces", each).document["aligned_faces"][0]["image_data"] for each in (portrait, hopper)
    )
    headers, body = form({"image_a": b64decode(a), "image_b": b64decode(b)})
    return client.post("/similarity/v2", body, headers).document["similarity"]


@pytest.mark.logs_errors("operating point")
def test_a_running_device_takes_a_new_operating_point_at_once(tmp_path: Path, portrait: bytes, hopper: bytes) -> None:
    with Child(tmp_path, QUICK) as child:
        client, path = child.ready(), child.state / points.FILE
        shipped = point(client, "similarity")
        assert (shipped["source"], shipped["ignored"], shipped["date"]) == ("shipped", None, None)
        assert shipped["counts"] == {"impostor_pairs": 1197943}
        before = compared(client, portrait, hopper)
        assert before < 0.1

        points.keep(path, Kind.SIMILARITY, (similarity_at(shipped["model"], 0.0),))
        assert until(lambda: compared(client, portrait, hopper) > 0.5, 2)
        own = point(client, "similarity")
        assert (own["source"], own["threshold"], own["basis"]) == ("device", 0.0, "photos")
        assert point(client, "liveness")["source"] == "shipped"
        child.logged(r"^INFO +appliance.state: calibration: similarity: shipped -> 0.0000 \(fmr 0.001; photos\)")

        headers, body = form({"images": frames([portrait] * 4)})
        for odds in (8.0, -8.0):  # a still is at most 0.30, wherever the operating point is
            entry = LivenessEntry(model=point(client, "liveness")["model"], threshold=odds, date=now(), **NOTHING)
            points.keep(path, Kind.LIVENESS, (entry,))
            assert until(lambda odds=odds: point(client, "liveness")["threshold"] == odds, 2)
            assert client.post("/liveness/multiframe", body, headers).document["confidence"] <= 0.30

        path.write_bytes(b"{")
        assert until(lambda: point(client, "similarity")["ignored"] == "damaged", 2)
        assert compared(client, portrait, hopper) > 0.5, "as before it was damaged"
        child.logged(r"^ERROR +appliance.calibration.points: the previous operating points are used: .* is damaged")
        health = client.get("/healthz")
        assert (health.status, health.document["reasons"][0]["state"]) == (503, "calibration_damaged")


def test_that_of_another_model_is_never_taken(tmp_path: Path, portrait: bytes, hopper: bytes) -> None:
    (tmp_path / "state").mkdir()
    path = tmp_path / "state" / points.FILE
    points.keep(path, Kind.SIMILARITY, (similarity_at("0" * 64, -0.9),))
    with Child(tmp_path, QUICK) as child:
        client = child.ready()
        assert compared(client, portrait, hopper) < 0.1
        assert point(client, "similarity")["ignored"] == "stale"
        assert client.get("/healthz").status == 200
        child.logged(r"^WARNING +appliance.calibration.points: the similarity calibration belongs to another model")


class Door:
    """A device with a camera that replays pictures, which wants a key; and the command that asks it."""

    def __init__(self, folder: Path, pictures: Path) -> None:
        camera = f'[camera]\ndriver = "replay"\nsource = "{pictures}"\nwidth = 640\nheight = 360\n'
        config = QUICK.replace('[camera]\ndriver = "none"\n', camera) + "[access]\nloopback = false\n"
        self.key = keys.add(folder / "state" / keys.FILE, "installer", [Scope.LIVE])
        self.child = Child(folder, config)
        self.folder = folder

    def command(self, *arguments: str, key: str | None = None) -> list[str]:
        words = [
            "calibrate",
            "liveness",
            "--config",
            str(self.folder / "config.toml"),
            "--device",
            self.url,
            *arguments,
        ]
        return [sys.executable, "-m", "appliance", *words, "--key", self.key if key is None else key]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.child.listening().port}"

    def run(
        self, *arguments: str, key: str | None = None, state: Path | None = None
    ) -> subprocess.CompletedProcess[str]:
        command, environment = self.command(*arguments, key=key), self.environment(state)
        return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)

    def environment(self, state: Path | None = None) -> dict[str, str]:
        return {**os.environ, "STATE_DIRECTORY": str(state or self.child.state)}

    def point(self) -> dict[str, Any]:
        return self.get("/version").document["calibration"]["liveness"]

    def get(self, path: str) -> Any:
        return self.child.listening().get(path, {"Authorization": f"Bearer {self.key}"})


def film(folder: Path, pictures: Sequence[Any]) -> Path:
    folder.mkdir()
    for number, pixels in enumerate(pictures):
        bgr = cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR)
        cv2.imwrite(str(folder / f"{number}.png"), bgr, [cv2.IMWRITE_PNG_COMPRESSION, 1])
    return folder


@pytest.fixture(scope="module")
def somebody(tmp_path_factory: pytest.TempPathFactory, portrait: bytes) -> Path:
    """A film of somebody who stands there, long enough that four frames of an answer are never the same."""
    canvas = on_canvas(portrait)
    shots = [noisy(stirred(canvas, number))(number) for number in range(31)]
    return film(tmp_path_factory.mktemp("somebody") / "film", shots)


@pytest.fixture
def door(tmp_path: Path, somebody: Path) -> Iterator[Door]:
    """One before which somebody stands."""
    door = Door(tmp_path, somebody)
    with door.child as child:
        child.ready()
        assert until(lambda: door.get("/liveness/multiframe").status == 200)
        yield door


@pytest.mark.nightly
def test_liveness_is_calibrated_before_the_camera_of_a_running_device(door: Door) -> None:
    model = door.point()["model"]
    kept = door.child.state / points.ROUNDS_FILE
    seen = float(door.get("/liveness/multiframe").headers["X-Liveness-Odds"])
    few = door.run("--minutes", "0.03")
    assert (few.returncode, few.stdout) == (1, "")
    counted = re.search(r"real: (\d+) sequences, kept\n\1 sequences of real people, 20 are needed", few.stderr)
    assert counted, few.stderr

    points.add_rounds(kept, model, "real", (seen - 1,) * 19)
    done = door.run("--minutes", "0.03", "--json")
    assert done.returncode == 0, done.stderr
    assert done.stderr.endswith(f"{door.url} uses it\n")
    found = json.loads(done.stdout)["points"][0]
    assert found["file"] == "liveness_float16.tflite"
    assert found["counts"]["real_sequences"] >= 20 + int(counted[1])
    assert found["measured"]["bpcer"]["count"] <= 0.05 * found["measured"]["bpcer"]["total"]
    assert set(found["measured"]) == {"bpcer", "apcer print (bundled)", "apcer replay (bundled)"}

    assert (door.point()["source"], door.point()["threshold"]) == ("device", found["threshold"])
    answer = door.get("/liveness/multiframe")
    odds = float(answer.headers["X-Liveness-Odds"])
    assert (answer.document["confidence"] >= 0.5) == (odds >= found["threshold"])
    door.child.logged(r"appliance.state: calibration: liveness: shipped -> .* \(bpcer 0.05, apcer 0.05; camera\)")

    attack = door.run("--attack", "print", "--minutes", "0.03")
    assert attack.returncode == 1
    assert "would be rejected" in attack.stderr  # it looks more alive than most of those people
    assert door.point()["threshold"] == found["threshold"]
    assert "print" in points.read_rounds(kept, model).sequences

    assert door.run("--reset").returncode == 0
    assert not kept.exists()
    assert until(lambda: door.point()["source"] == "shipped", 2)


@pytest.mark.nightly
@pytest.mark.usefixtures("usual_signals")
def test_wrong_usage_is_reported_in_one_line_and_ctrl_c_ends_it(door: Door, tmp_path: Path) -> None:
    refused = door.run(key="wrong")
    assert (refused.returncode, refused.stdout) == (1, "")
    assert refused.stderr == f"{door.url}: an API key is required: --key KEY, with the scope live\n"

    seen = float(door.get("/liveness/multiframe").headers["X-Liveness-Odds"])
    points.add_rounds(tmp_path / "elsewhere" / points.ROUNDS_FILE, door.point()["model"], "real", (seen - 1,) * 20)
    lost = door.run("--minutes", "0.01", state=tmp_path / "elsewhere")
    assert lost.returncode == 1
    assert "does not use it, so nothing is kept: its state is not in " in lost.stderr.splitlines()[-1]
    assert points.read(tmp_path / "elsewhere" / points.FILE).liveness == ()

    with subprocess.Popen(
        door.command("--dry-run"), env=door.environment(), stderr=subprocess.PIPE, text=True
    ) as asking:
        answered = door.child.log.count("GET /liveness/multiframe")
        until(lambda: door.child.log.count("GET /liveness/multiframe") > answered + 1)
        asking.send_signal(signal.SIGINT)
        assert asking.stderr is not None
        said = asking.stderr.read()
    assert asking.returncode == 1
    assert re.fullmatch(r"ended by Ctrl-C\n[1-9] sequences of real people, 20 are needed: .*\n", said), said
    assert not (door.child.state / points.ROUNDS_FILE).exists()


@pytest.mark.nightly
def test_an_empty_scene_counts_no_one(tmp_path: Path) -> None:
    empty = noisy(np.full((360, 640, 3), 120, np.uint8))
    door = Door(tmp_path, film(tmp_path / "film", [empty(number) for number in range(4)]))
    with door.child as child:
        child.ready()
        assert until(lambda: door.get("/liveness/multiframe").code == "INF-17")
        done = door.run("--minutes", "0.03")
        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr == "real: no face was judged: stand in front of the camera and try again\n"
