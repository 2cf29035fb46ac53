"""A device as a process of its own, with a camera: replayed pictures and video files, losses, hangs, jumps of the clock."""

import os
import shutil
import subprocess
import time
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path

import cv2
import pytest
from cameras import noisy, on_canvas
from client import Client, request
from devices import Child, until
from document import assert_refusal

from appliance.camera.replay import DECODED


def config(source: Path, **options: object) -> str:
    settings = {"driver": "replay", "source": str(source), "width": 640, "height": 360, **options}
    lines = "\n".join(
        f"{key} = {str(value).lower() if isinstance(value, bool) else repr(value)}" for key, value in settings.items()
    )
    engine = "".join(
        f'{role} = "float16"\n' for role in ("detector", "embedder", "liveness")
    )  # not timed: it is ready sooner
    return f"[engine]\nengines = 1\n{engine}[camera]\n{lines}\n"


def healthy(client: Client) -> bool:
    return client.get("/healthz").status == 200


def states(client: Client) -> list[str]:
    return [reason["state"] for reason in client.get("/healthz").document["reasons"]]


@pytest.fixture
def pictures(tmp_path: Path, portrait: bytes) -> Path:
    """Eight frames of a camera before which somebody sits."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    for number in range(8):
        pixels = noisy(on_canvas(portrait))(number)
        cv2.imwrite(str(folder / f"{number}.png"), cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR))
    return folder


@pytest.fixture
def video(tmp_path: Path, portrait: bytes) -> Path:
    """Four seconds of somebody who moves to the right."""
    path = tmp_path / "film.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 15, (640, 360))
    for number in range(60):
        pixels = noisy(on_canvas(portrait, left=0.2 + 0.005 * number))(number)
        writer.write(cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR))
    writer.release()
    return path


@pytest.mark.nightly
def test_a_video_file_is_watched(tmp_path: Path, video: Path) -> None:
    with Child(tmp_path, config(video)) as child:
        client = child.ready()
        assert until(lambda: healthy(client))
        places = []
        for _ in range(4):
            answer = client.get("/faces")
            assert answer.document["count"] == 1
            places.append(answer.document["faces"][0]["box"]["x"])
            time.sleep(0.4)
        assert max(places) - min(places) > 10, "it moves"
        assert client.get("/liveness/multiframe").status == 200
        report = client.get("/healthz").document["camera"]
        assert (report["driver"], report["demonstration"]) == (f"replay {video}", False)
        assert report["fps"] == pytest.approx(15, abs=3)
        assert child.terminate() == 0


def test_a_source_that_vanishes_and_comes_back(tmp_path: Path, pictures: Path) -> None:
    aside = tmp_path / "aside"
    pictures.rename(aside)
    with Child(tmp_path, config(pictures)) as child:
        client = child.ready()
        assert until(lambda: states(client) == ["no_camera"])
        assert_refusal(client.get("/faces"), 503, "INF-08")
        aside.rename(pictures)
        assert until(lambda: healthy(client))
        assert client.get("/faces").document["count"] == 1
        assert child.terminate() == 0


@pytest.mark.parametrize("fps", [1, 30])
def test_a_stop_while_a_frame_is_awaited(tmp_path: Path, pictures: Path, fps: int) -> None:
    with Child(tmp_path, config(pictures, fps=fps)) as child:
        client = child.ready()
        assert until(lambda: client.get("/camera/frame.jpg").status == 200)
        with client.wire() as stream, client.wire() as events:
            stream.send(request("GET", "/camera/stream.mjpg"))
            events.send(request("GET", "/events"))
            assert events.socket.recv(15) == b"HTTP/1.1 200 OK"
            time.sleep(0.5)
            begun = time.monotonic()
            assert child.terminate() == 0
            assert time.monotonic() - begun < 5


@pytest.fixture
def hanging(tmp_path: Path) -> Path:
    """A source whose driver never returns from opening it: a pipe that nobody writes to."""
    pipe = tmp_path / "pipe.avi"
    os.mkfifo(pipe)
    return pipe


@pytest.mark.nightly
@pytest.mark.logs_errors("driver of replay")
def test_a_driver_that_hangs_ends_the_process_with_a_reason(tmp_path: Path, hanging: Path, portrait: bytes) -> None:
    with Child(tmp_path, config(hanging, restart_after_s=5)) as child:
        client = child.ready()
        assert client.post("/faces", portrait).document["count"] == 1
        assert_refusal(client.get("/faces"), 503, "INF-08")
        assert child.process.wait(20) == 1
        child.logged(r"CRITICAL.*driver of replay .*pipe\.avi has not returned for \d+ s; the process ends")


def test_a_stop_while_the_driver_hangs(tmp_path: Path, hanging: Path) -> None:
    with Child(tmp_path, config(hanging)) as child:
        child.ready()
        begun = time.monotonic()
        assert child.terminate() == 0
        assert time.monotonic() - begun < 5
        child.logged("does not close")


@pytest.mark.logs_errors("camera: replay")
def test_a_camera_that_does_not_come_back_ends_the_process(tmp_path: Path, pictures: Path) -> None:
    for number in range(DECODED):  # those that are played first stay in memory
        shutil.copy(pictures / f"{number % 8}.png", pictures / f"{number + 8}.png")
    with Child(tmp_path, config(pictures, restart_after_s=5)) as child:
        client = child.ready()
        assert until(lambda: healthy(client))
        shutil.rmtree(pictures)
        assert until(lambda: states(client) == ["no_camera"])
        assert child.process.wait(20) == 1
        child.logged(r"CRITICAL.*has been lost for \d+ s: .*; the process ends")


@pytest.mark.nightly
@pytest.mark.skipif(shutil.which("cc") is None, reason="needs a C compiler: sudo apt install gcc libc6-dev")
def test_the_clock_may_jump(tmp_path: Path, pictures: Path) -> None:
    library, off = tmp_path / "clock.so", tmp_path / "off"
    subprocess.run(
        ["cc", "-shared", "-fPIC", "-o", str(library), str(Path(__file__).parent / "clock.c")], check=True, timeout=60
    )
    off.write_text("0")
    environment = {"LD_PRELOAD": str(library), "CLOCK_OFF": str(off)}
    with Child(tmp_path, config(pictures), environment=environment, forked=False) as child:
        client = child.ready()
        assert until(lambda: healthy(client))
        for days in (400, -400, 0):
            off.write_text(str(days * 86_400))
            answer = client.get("/faces")
            assert answer.document["count"] == 1
            assert 0 <= float(answer.headers["X-Frame-Age"]) < 2000
            told = parsedate_to_datetime(answer.headers["Date"]) - datetime.now(UTC)
            assert abs(told.total_seconds() / 86_400 - days) < 1, "the clock did not jump"
            frames = client.get("/healthz").document["camera"]["frames"]
            assert until(lambda before=frames: client.get("/healthz").document["camera"]["frames"] > before + 5)
            assert set(states(client)) <= {"went_back"}, "the camera works, whatever the clock does"
        assert child.terminate() == 0


def test_the_demonstration_stands_in_for_a_camera_only_when_asked(tmp_path: Path) -> None:
    arguments = ("--port", "0", "--demonstration=without-camera")
    with Child(tmp_path, "[engine]\nengines = 1\n", arguments=arguments) as child:
        client = child.ready()
        assert until(lambda: healthy(client))
        assert client.get("/healthz").document["camera"]["demonstration"] is True
        assert client.get("/faces").document["count"] == 1
        child.logged("this is a demonstration")
        assert child.terminate() == 0


def test_without_a_camera_nothing_stands_in(tmp_path: Path) -> None:
    if list(Path("/dev").glob("video*")):
        pytest.skip("there is a camera")
    with Child(tmp_path, "[engine]\nengines = 1\n") as child:
        client = child.ready()
        assert until(lambda: states(client) == ["no_camera"])
        assert_refusal(client.get("/faces"), 503, "INF-08")
        child.logged("picamera2 is not installed.*no camera")
        assert child.terminate() == 0


def test_a_frozen_camera_is_named(tmp_path: Path, portrait: bytes) -> None:
    cv2.imwrite(str(tmp_path / "still.png"), cv2.cvtColor(on_canvas(portrait), cv2.COLOR_RGB2BGR))
    with Child(tmp_path, config(tmp_path / "still.png")) as child:
        client = child.ready()
        assert until(lambda: states(client) == ["frozen"])
        assert_refusal(client.get("/faces"), 503, "INF-08")
        assert child.terminate() == 0
