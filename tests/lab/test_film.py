"""The bench's film, and what it reads off a process."""

import os
from pathlib import Path

import cv2
import numpy as np
import psutil
import pytest
from lab.bench.material import FILM, PICTURES, film
from lab.bench.parts import replay
from lab.device import Device, own_device, resident_megabytes
from lab.pictures import blank


@pytest.mark.nightly
def test_the_film_s_pictures_differ_as_a_sensor_s_do(tmp_path: Path) -> None:
    film(tmp_path, blank(64, 36))
    played = cv2.VideoCapture(str(tmp_path / FILM), cv2.CAP_FFMPEG)
    frames = []
    while (frame := played.read()[1]) is not None:
        frames.append(frame.astype(int))
    assert [frame.shape for frame in frames] == [(720, 1280, 3)] * PICTURES
    assert all(0 < np.abs(a - b).mean() < 6 for a, b in zip(frames, frames[1:] + frames[:1], strict=True))


@pytest.mark.nightly
def test_a_device_replays_the_film(tmp_path: Path) -> None:
    film(tmp_path, blank(1280, 720))
    engine = dict.fromkeys(("detector", "embedder", "liveness"), "float16")
    with own_device({"engine": engine, "camera": replay(tmp_path)}) as device, Device(device.url) as client:
        assert client.ask("GET", "/camera/frame.jpg").body.startswith(b"\xff\xd8")
        assert psutil.Process(device.process_id).cpu_percent(1) > 0
        assert 50 < resident_megabytes(device.process_id) < 2000


def test_memory_is_that_of_the_process() -> None:
    assert 10 < resident_megabytes(os.getpid()) < 4000
