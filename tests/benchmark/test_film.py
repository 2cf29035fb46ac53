"""The bench before a film: what it writes, and what it reads off a process."""

import os
import time
from pathlib import Path

import cv2
import numpy as np

from appliance import config
from appliance.benchmark import camera
from appliance.evaluation.pictures import blank


def test_the_film_s_pictures_differ_as_a_sensor_s_do(tmp_path: Path) -> None:
    camera.film(tmp_path, blank(64, 36))
    film = cv2.VideoCapture(str(tmp_path / camera.FILM), cv2.CAP_FFMPEG)
    frames = []
    while (frame := film.read()[1]) is not None:
        frames.append(frame.astype(int))
    assert [frame.shape for frame in frames] == [(720, 1280, 3)] * camera.PICTURES
    assert all(0 < np.abs(a - b).mean() < 6 for a, b in zip(frames, frames[1:] + frames[:1], strict=True))


def test_a_device_without_a_camera_has_none(tmp_path: Path) -> None:
    assert config.load(camera.without_camera(tmp_path), {}).camera.driver == "none"


def test_a_device_before_the_film_counts_its_frames_and_its_time(tmp_path: Path) -> None:
    camera.film(tmp_path, blank(1280, 720))
    with camera.camera_device(tmp_path, real_time=False) as device:
        before = camera._cpu_seconds(device.process_id)
        time.sleep(1)
        assert camera._cpu_seconds(device.process_id) > before
        assert 50 < camera.resident_megabytes(device.process_id) < 2000


def test_processor_time_is_this_process_s() -> None:
    before, begun = camera._cpu_seconds(os.getpid()), time.process_time()
    while time.process_time() - begun < 0.3:
        sum(range(1000))
    assert 0.2 < camera._cpu_seconds(os.getpid()) - before < 1.0
