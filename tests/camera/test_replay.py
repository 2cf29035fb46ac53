"""Pictures and real video files as a camera."""

import struct
import time
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import pytest
from cameras import on_canvas

from appliance.camera.replay import DEMONSTRATION, Replay
from appliance.camera.source import CameraError, LazyPixels, NoCameraError, Orientation
from appliance.face.types import Pixels

UPRIGHT = Orientation()


def fast(*paths: Path, width: int = 320, height: int = 180, **options: object) -> Replay:
    return Replay(paths, width, height, 30, UPRIGHT, real_time=False, **options)


def save(path: Path, pixels: Pixels) -> None:
    assert cv2.imwrite(str(path), cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR))


def read(source: Replay) -> Pixels:
    frame = source.read()
    assert frame is not None
    return frame.pixels


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    for name, colour in (("2.png", (0, 255, 0)), ("1.png", (255, 0, 0)), ("3.PNG", (0, 0, 255))):
        save(tmp_path / name, np.full((180, 320, 3), colour, np.uint8))
    (tmp_path / "notes.txt").write_text("no picture")
    return tmp_path


@pytest.fixture
def video(tmp_path: Path) -> Path:
    """Ten frames, each of another brightness, 25 a second."""
    path = tmp_path / "film.mp4"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), 25, (320, 180))
    for number in range(10):
        writer.write(np.full((180, 320, 3), (0, 0, 20 * number + 20), np.uint8))
    writer.release()
    return path


def test_pictures_come_in_the_order_of_their_names_in_rgb_over_and_over(pictures: Path) -> None:
    source = fast(pictures)
    source.open()
    colours = [tuple(read(source)[90, 160]) for _ in range(6)]
    assert colours == [(255, 0, 0), (0, 255, 0), (0, 0, 255)] * 2


def test_a_picture_is_fitted_whole(tmp_path: Path) -> None:
    save(tmp_path / "tall.png", np.full((400, 200, 3), 255, np.uint8))
    source = fast(tmp_path / "tall.png")
    source.open()
    pixels = read(source)
    assert pixels.shape == (180, 320, 3)
    white = (pixels == 255).all(axis=2)
    assert white.sum() == 180 * 90
    assert white[:, 115:205].all()


def test_a_picture_of_the_right_size_is_not_touched(portrait: bytes, tmp_path: Path) -> None:
    pixels = on_canvas(portrait, 320, 180)
    save(tmp_path / "1.png", pixels)
    source = fast(tmp_path)
    source.open()
    assert np.array_equal(read(source), pixels)


@pytest.mark.parametrize("share", [0.1, 0.9])
def test_a_damaged_picture_is_an_error_and_no_half_of_one(portrait: bytes, tmp_path: Path, share: float) -> None:
    (tmp_path / "1.jpg").write_bytes(portrait[: int(share * len(portrait))])
    source = fast(tmp_path)
    source.open()
    with pytest.raises(CameraError, match=r"1\.jpg is not a readable picture: INF-04"):
        source.read()


def test_a_quarter_turn_gives_the_configured_size(tmp_path: Path) -> None:
    left_red = np.zeros((320, 180, 3), np.uint8)
    left_red[:, :90] = (255, 0, 0)
    save(tmp_path / "1.png", left_red)
    source = Replay([tmp_path], 320, 180, 30, Orientation(rotation=90), real_time=False)
    source.open()
    pixels = read(source)
    assert pixels.shape == (180, 320, 3)
    assert tuple(pixels[10, 160]) == (255, 0, 0), "what was on the left is on top"
    assert tuple(pixels[170, 160]) == (0, 0, 0)


def test_a_mirrored_picture() -> None:
    pixels = np.zeros((2, 4, 3), np.uint8)
    pixels[0, 0] = 9
    assert np.array_equal(np.argwhere(Orientation(mirror=True).applied(pixels)[..., 0]), [[0, 3]])
    assert np.array_equal(np.argwhere(Orientation(180).applied(pixels)[..., 0]), [[1, 3]])
    assert np.array_equal(np.argwhere(Orientation(180, mirror=True).applied(pixels)[..., 0]), [[1, 0]])
    assert np.array_equal(np.argwhere(Orientation(270).applied(pixels)[..., 0]), [[3, 0]])


def test_a_held_picture_sways_and_stays_in_view(portrait: bytes, tmp_path: Path) -> None:
    save(tmp_path / "1.png", on_canvas(portrait, 320, 180))
    source = fast(tmp_path, hold_s=2)
    source.open()
    frames = [read(source).astype(np.int16) for _ in range(60)]
    assert all(np.abs(a - b).mean() > 0 for a, b in pairwise(frames)), "a still picture would be a frozen camera's"
    assert max(np.abs(a - b).mean() for a, b in pairwise(frames)) < 5, "it does not jump"


def test_a_video_is_played_and_begins_again(video: Path) -> None:
    source = fast(video)
    source.open()
    levels = [int(read(source)[90, 160, 0]) for _ in range(25)]
    assert all(abs(level - (20 * (n % 10) + 20)) < 12 for n, level in enumerate(levels)), levels
    source.close()
    source.open()
    assert read(source)[90, 160, 0] < 40, "opened again, it begins again"
    source.close()


def test_motion_jpegs_are_decoded_when_their_pixels_are_asked_for(tmp_path: Path) -> None:
    """And fitted and turned: what is not asked for costs nothing."""
    path = tmp_path / "film.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 25, (160, 320))
    for number in range(4):
        writer.write(np.full((320, 160, 3), (0, 0, 50 * number + 20), np.uint8))
    writer.release()
    source = Replay([path], 320, 180, 30, Orientation(90), real_time=False)
    source.open()
    frames = [source.read() for _ in range(10)]
    assert all(frame is not None and isinstance(frame.content, LazyPixels) for frame in frames)
    for number, frame in enumerate(frames):
        assert frame is not None
        assert (frame.width, frame.height) == (320, 180)
        assert frame.pixels.shape == (180, 320, 3)
        assert abs(int(frame.pixels[90, 160, 0]) - (50 * (number % 4) + 20)) < 12
    source.close()


MATRICES = {0: (1, 0, 0, 1), 90: (0, 1, -1, 0), 180: (-1, 0, 0, -1), 270: (0, -1, 1, 0)}
"""The display matrix of a track that is shown turned clockwise (ISO/IEC 14496-12, 8.3.2), without its third column."""


@pytest.mark.parametrize("turn", MATRICES)
def test_a_video_is_turned_as_its_metadata_say(tmp_path: Path, turn: int) -> None:
    corner = np.zeros((180, 320, 3), np.uint8)
    corner[:90, :160] = (0, 0, 255)  # BGR
    path = tmp_path / "film.mp4"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), 25, (320, 180))
    for _ in range(3):
        writer.write(corner)
    writer.release()
    content = path.read_bytes()
    upright = struct.pack(">9i", 1 << 16, 0, 0, 0, 1 << 16, 0, 0, 0, 1 << 30)
    a, b, c, d = (each << 16 for each in MATRICES[turn])
    track = content.index(b"tkhd")
    assert upright in content[track : track + 92]
    turned = content[track:].replace(upright, struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 1 << 30), 1)
    path.write_bytes(content[:track] + turned)
    width, height = (180, 320) if turn in (90, 270) else (320, 180)
    source = fast(path, width=width, height=height)
    source.open()
    expected = np.rot90(corner[:, :, 2], -turn // 90) > 128
    for _ in range(5):  # and when it begins again
        pixels = read(source)
        assert pixels.shape == (height, width, 3)
        assert ((pixels[:, :, 0] > 128) == expected).mean() > 0.98
    source.close()


def test_a_video_keeps_its_own_time(video: Path) -> None:
    source = Replay([video], 320, 180, 5, UPRIGHT)
    source.open()
    times = []
    for _ in range(26):
        frame = source.read()
        assert frame is not None
        times.append(frame.captured)
    source.close()
    assert times[-1] - times[0] == pytest.approx(1.0, abs=0.3)


def test_pictures_come_at_the_configured_rate_even_after_a_stall(pictures: Path) -> None:
    source = Replay([pictures], 320, 180, 50, UPRIGHT)
    source.open()
    read(source)
    time.sleep(0.5)
    begun = time.monotonic()
    for _ in range(11):
        read(source)
    assert time.monotonic() - begun > 0.15, "missed frames are not made up for"


@pytest.mark.parametrize("name", ["absent", "absent.jpg", "empty", "text.mp4"])
def test_what_cannot_be_replayed_is_named(tmp_path: Path, name: str) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "text.mp4").write_text("no video")
    source = fast(tmp_path / name)
    with pytest.raises(CameraError, match=name):
        source.open()
    source.close()


def test_an_absent_one_counts_as_no_camera(tmp_path: Path) -> None:
    with pytest.raises(NoCameraError):
        fast(tmp_path / "absent.mp4").open()


def test_a_broken_picture_is_named(pictures: Path) -> None:
    (pictures / "2.png").write_bytes(b"\x89PNG\r\n\x1a\nbroken")
    source = fast(pictures)
    source.open()
    read(source)
    with pytest.raises(CameraError, match=r"2\.png"):
        source.read()


def test_the_demonstration_is_reported_as_one() -> None:
    source = Replay([DEMONSTRATION], 320, 180, 30, UPRIGHT, demonstration=True)
    assert source.demonstration
    assert not fast(DEMONSTRATION).demonstration
