"""Faces of a moving picture, followed: what the detector finds is found, at once or within the promised time."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pytest
from devices import shipped_engine

from appliance.camera.replay import Replay
from appliance.camera.source import CameraFrame, Orientation
from appliance.face.types import Box, Detection, DetectLimits, Face, Pixels
from appliance.imaging.codec import EncodedPicture
from appliance.observation.following import SEARCH_SECONDS, Follower
from appliance.vision.detector import Picture
from appliance.vision.engine import FaceEngine
from appliance.vision.landmarks import Fit
from appliance.vision.loading import Choice

WIDTH, HEIGHT, FPS = 640, 360, 30

Place = tuple[float, float]
"""The centre of a face, in pixels."""


@dataclass
class Counted:
    """A real engine, and how often it searched."""

    engine: FaceEngine
    searches: int = 0

    def detect(self, picture: Picture, limits: DetectLimits, upright: Sequence[Box] = ()) -> list[Face]:
        self.searches += 1
        return self.engine.detect(picture, limits, upright)

    def fit(self, picture: Picture, detection: Detection) -> Fit:
        return self.engine.fit(picture, detection)


@pytest.fixture(scope="module")
def engine(choice: Choice) -> FaceEngine:
    return shipped_engine(choice)


@pytest.fixture
def counted(engine: FaceEngine) -> Counted:
    return Counted(engine)


@pytest.fixture(scope="module")
def heads(portrait: bytes, hopper: bytes) -> dict[str, Pixels]:
    """Both heads, 150 pixels high."""
    pixels = [EncodedPicture(content, 10**7).frame(1.0).pixels for content in (portrait, hopper)]
    cut = [pixels[0][40:200, 150:300], pixels[1][60:330, 130:370]]
    return {
        name: np.asarray(cv2.resize(head, None, fx=150 / len(head), fy=150 / len(head), interpolation=cv2.INTER_AREA))
        for name, head in zip(("portrait", "hopper"), cut, strict=True)
    }


def room() -> Pixels:
    """A wall with shelves and shadows, nothing of which is a face."""
    wall = np.random.default_rng(3).integers(60, 180, (6, 9, 3), np.uint8)
    return np.asarray(cv2.resize(wall, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC), np.uint8)


def shown(canvas: Pixels, head: Pixels, place: Place) -> Pixels:
    """The canvas with an oval head, placed to a fraction of a pixel; it may reach past the border."""
    height, width = head.shape[:2]
    shift = np.array([[1, 0, place[0] - width / 2], [0, 1, place[1] - height / 2]])
    center, axes = (width // 2, height // 2), (width // 2 - 2, height // 2 - 2)
    oval = cv2.ellipse(np.zeros((height, width), np.float32), center, axes, 0, 0, 360, 1, -1)
    size = (canvas.shape[1], canvas.shape[0])
    share = cv2.warpAffine(cv2.GaussianBlur(oval, (0, 0), 2), shift, size)[..., np.newaxis]
    return (canvas * (1 - share) + cv2.warpAffine(head, shift, size) * share).astype(np.uint8)


def replayed(folder: Path, pictures: Iterator[Pixels]) -> list[CameraFrame]:
    """The pictures with a sensor's noise, as motion JPEGs through the replay camera, at 30 frames a second."""
    writer = cv2.VideoWriter(str(folder / "film.avi"), cv2.VideoWriter.fourcc(*"MJPG"), FPS, (WIDTH, HEIGHT))
    random, count = np.random.default_rng(0), 0
    for picture in pictures:
        noise = random.normal(0, 3, picture.shape)
        writer.write(np.clip(picture[:, :, ::-1] + noise, 0, 255).astype(np.uint8))
        count += 1
    writer.release()
    camera = Replay([folder / "film.avi"], WIDTH, HEIGHT, FPS, Orientation(), real_time=False)
    camera.open()
    frames = [camera.read() for _ in range(count)]
    camera.close()
    return [
        CameraFrame(frame.pixels, number / FPS, sequence=number + 1) for number, frame in enumerate(frames) if frame
    ]


def boxes(faces: Sequence[Face]) -> list[Box]:
    return [face.detection.box for face in faces]


def at(faces: Sequence[Face], place: Place, within: float = 30) -> bool:
    """Whether there is a face whose centre is this."""
    return any(np.hypot(*np.subtract(box.center, place)) < within for box in boxes(faces))


def test_a_face_that_moves_is_followed_with_few_searches(
    counted: Counted, heads: dict[str, Pixels], tmp_path: Path
) -> None:
    """A head sways as people do, before a wall that stands still."""
    places = [(320 + 12 * np.sin(n / 9), 180 + 5 * np.sin(n / 5)) for n in range(45)]
    frames = replayed(tmp_path, (shown(room(), heads["portrait"], place) for place in places))
    follower, errors, overlaps = Follower(), [], []
    for frame in frames:
        (face,) = follower.faces(counted, frame)
        if frame.sequence % 4:
            continue
        (true,) = counted.engine.detect(frame, DetectLimits())
        eyes = np.linalg.norm(true.points[104] - true.points[105])
        errors.append(np.linalg.norm(face.points - true.points, axis=1).mean() / eyes)
        overlaps.append(face.detection.box.overlap(true.detection.box))
    assert counted.searches <= len(frames) / 4
    assert np.mean(errors) < 0.04
    assert min(overlaps) > 0.7


@pytest.mark.parametrize("every", [1, 3, 6], ids=["30 a second", "10 a second", "5 a second"])
def test_a_second_face_is_seen_within_a_third_of_a_second(
    counted: Counted, heads: dict[str, Pixels], tmp_path: Path, every: int
) -> None:
    """However often the device is asked."""
    appears = 13
    alone = shown(room(), heads["portrait"], (200, 180))
    both = shown(alone, heads["hopper"], (460, 190))
    frames = replayed(tmp_path, (both if n >= appears else alone for n in range(25)))
    follower = Follower()
    seen = [(frame, follower.faces(counted, frame)) for frame in frames[::every]]
    first = next(frame.captured for frame, faces in seen if at(faces, (460, 190), 40))
    assert first - appears / FPS <= 0.3


def test_a_second_face_that_walks_in_is_seen_as_soon_as_the_detector_finds_it(
    counted: Counted, heads: dict[str, Pixels], tmp_path: Path
) -> None:
    alone = shown(room(), heads["portrait"], (200, 180))
    frames = replayed(tmp_path, (shown(alone, heads["hopper"], (700 - 12 * n, 190)) for n in range(24)))
    follower, seen, found = Follower(), [], []
    for frame in frames:
        seen.append(len(follower.faces(counted, frame)))
        found.append(len(counted.engine.detect(frame, DetectLimits())))
    assert seen.index(2) - found.index(2) <= 0.3 * FPS


def test_a_face_that_comes_without_any_motion_is_found_within_half_a_second(
    counted: Counted, heads: dict[str, Pixels], tmp_path: Path
) -> None:
    """It fades in, so that no frame differs much from the one that was searched."""
    empty, there = room().astype(float), shown(room(), heads["portrait"], (320, 180)).astype(float)
    shares = np.linspace(0, 1, 45)
    frames = replayed(tmp_path, ((empty + (there - empty) * share).astype(np.uint8) for share in shares))
    follower, missed = Follower(), 0
    for frame in frames:
        there_now = bool(counted.engine.detect(frame, DetectLimits()))
        missed = missed + 1 if there_now and not follower.faces(counted, frame) else 0
        assert missed <= SEARCH_SECONDS * FPS


def test_nothing_that_stands_still_is_missed_where_nothing_moves(
    counted: Counted, heads: dict[str, Pixels], tmp_path: Path
) -> None:
    """An empty room is searched twice a second, and a face in it is never longer unseen than that."""
    frames = replayed(tmp_path, (room() if n < 16 else shown(room(), heads["hopper"], (320, 180)) for n in range(26)))
    follower = Follower()
    found = [len(follower.faces(counted, frame)) for frame in frames]
    assert not any(found[:16])
    assert all(found[16 + round(0.2 * FPS) :])


def test_a_face_that_leaves_is_gone(counted: Counted, heads: dict[str, Pixels], tmp_path: Path) -> None:
    """It walks out of the picture, or is there no more from one frame to the next."""
    walking = [(560 + 14 * n, 180) for n in range(16)]
    frames = replayed(tmp_path, (shown(room(), heads["portrait"], place) for place in walking))
    follower = Follower()
    counts = [len(follower.faces(counted, frame)) for frame in frames]
    assert counts[0] == 1
    assert counts[-1] == 0

    there = shown(room(), heads["portrait"], (320, 180))
    frames = replayed(tmp_path, (there if n < 10 else room() for n in range(16)))
    follower = Follower()
    counts = [len(follower.faces(counted, frame)) for frame in frames]
    assert counts[9] == 1
    assert counts[-1] == 0


def test_two_faces_that_cross_stay_two(counted: Counted, heads: dict[str, Pixels], tmp_path: Path) -> None:
    """The one in front hides the other for a moment; afterwards both are where they are, and none is there twice."""

    def scene(n: int) -> Pixels:
        behind = shown(room(), heads["hopper"], (160 + 13 * n, 190))
        return shown(behind, heads["portrait"], (480 - 13 * n, 180))

    frames = replayed(tmp_path, map(scene, range(26)))
    follower = Follower()
    for n, frame in enumerate(frames):
        faces = follower.faces(counted, frame)
        found = boxes(counted.engine.detect(frame, DetectLimits()))
        assert len(faces) <= 2
        assert len(faces) < 2 or boxes(faces)[0].overlap(boxes(faces)[1]) < 0.3
        if n in (0, len(frames) - 1):
            assert len(found) == len(faces) == 2
            assert at(faces, (160 + 13 * n, 190), 40)
            assert at(faces, (480 - 13 * n, 180), 40)


def test_the_same_frame_is_answered_without_work(counted: Counted, heads: dict[str, Pixels], tmp_path: Path) -> None:
    (frame,) = replayed(tmp_path, iter([shown(room(), heads["portrait"], (320, 180))]))
    follower = Follower()
    assert follower.faces(counted, frame) == follower.faces(counted, frame)
    assert counted.searches == 1


def test_after_a_pause_it_searches_again(counted: Counted, heads: dict[str, Pixels], tmp_path: Path) -> None:
    """What was there long ago says nothing, and neither does a frame that is older than the last one."""
    there = shown(room(), heads["portrait"], (320, 180))
    frames = replayed(tmp_path, iter([there] * 3))
    follower = Follower()
    for sequence, captured in enumerate((5.0, 5.3, 9.0, 8.9)):
        frame = CameraFrame(frames[0].pixels, captured, sequence=sequence + 1)
        assert len(follower.faces(counted, frame)) == 1
        assert counted.searches == sequence + 1


def turned(pixels: Pixels) -> Pixels:
    return np.asarray(cv2.rotate(pixels, cv2.ROTATE_180), np.uint8)


def test_turned_faces_are_searched_for(counted: Counted, heads: dict[str, Pixels], tmp_path: Path) -> None:
    large = cv2.resize(heads["portrait"], None, fx=1.7, fy=1.7)
    frames = replayed(tmp_path, iter([turned(shown(room(), large, (320, 180)))] * 6))
    follower = Follower()
    for frame in frames:
        assert [face.upright for face in follower.faces(counted, frame)] == [False]
    assert counted.searches == len(frames)


@pytest.mark.data
def test_real_sequences_are_followed_as_they_are_detected(counted: Counted, data: Path) -> None:
    """People before real cameras, as if their four frames, 0.3 s apart, were 0.1 s apart: the points of every second frame."""
    errors: list[float] = []
    for folder in sorted((data / "liveness").glob("nuaa_real_*"))[::4]:
        follower = Follower()
        for number in range(1, 5):
            pixels = EncodedPicture((folder / f"{number}.jpg").read_bytes(), 10**8).frame(1.0).pixels
            frame = CameraFrame(pixels, number / 10, sequence=number)
            followed, found = follower.faces(counted, frame), counted.engine.detect(frame, DetectLimits())
            assert len(followed) >= min(1, len(found))
            if found:
                eyes = np.linalg.norm(found[0].points[104] - found[0].points[105])
                errors.append(float(np.linalg.norm(followed[0].points - found[0].points, axis=1).mean() / eyes))
    assert len(errors) > 40
    assert np.median(errors) < 0.03
    assert np.percentile(errors, 95) < 0.1
