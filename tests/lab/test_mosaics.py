"""A mosaic has as many faces as it says, and the device's own engine finds each of them."""

import io
from pathlib import Path

import numpy as np
import pytest
from devices import shipped_engine
from lab.bench.material import COLUMNS, MOSAIC, MOST_FACES, ROWS, Subject, mosaic, pictures_of
from PIL import Image

from appliance.calibration.rates import Reals
from appliance.face.types import DetectLimits
from appliance.imaging.codec import EncodedPicture
from appliance.vision.engine import FaceEngine
from appliance.vision.loading import Choice


@pytest.fixture(scope="module")
def engine(choice: Choice) -> FaceEngine:
    return shipped_engine(choice)


def decoded(content: bytes) -> EncodedPicture:
    return EncodedPicture(content, MOSAIC[0] * MOSAIC[1])


@pytest.fixture(scope="module")
def subjects(engine: FaceEngine, portrait: bytes, hopper: bytes) -> list[Subject]:
    return [Subject(content, box_of(engine, content)) for content in (portrait, hopper)]


def box_of(engine: FaceEngine, content: bytes) -> Reals:
    box = engine.detect(decoded(content), DetectLimits())[0].detection.box.squared()
    return np.array([box.x, box.y, box.width, box.height])


@pytest.mark.parametrize("count", [1, 7, MOST_FACES])
def test_each_face_is_in_its_tile(engine: FaceEngine, subjects: list[Subject], count: int) -> None:
    faces = engine.detect(decoded(mosaic(subjects, count)), DetectLimits(count=1000))
    width, height = MOSAIC[0] / COLUMNS, MOSAIC[1] / ROWS
    tiles = {(int(y / height), int(x / width)) for x, y in (face.detection.box.center for face in faces)}
    assert len(faces) == count
    assert tiles == {divmod(number, COLUMNS) for number in range(count)}


def test_a_subject_is_as_large_as_it_is_wanted(engine: FaceEngine, subjects: list[Subject]) -> None:
    picture = subjects[1].on((640, 480), 160)
    assert Image.open(io.BytesIO(picture)).size == (640, 480)
    box = box_of(engine, picture)
    assert box[3] == pytest.approx(160, rel=0.15)
    assert (box[:2] + box[2:] / 2).tolist() == pytest.approx([320, 240], abs=20)


def test_pictures_of_a_folder_are_taken_at_even_distances(tmp_path: Path) -> None:
    for number in range(10):
        (tmp_path / f"{number}.JPG").touch()
    (tmp_path / "notes.txt").touch()
    assert [path.stem for path in pictures_of(tmp_path, 4)] == ["0", "2", "5", "7"]
    assert len(pictures_of(tmp_path, 10)) == 10


def test_a_folder_without_pictures_is_reported(tmp_path: Path) -> None:
    with pytest.raises(OSError, match=r"no \.jpg"):
        pictures_of(tmp_path, 4)
