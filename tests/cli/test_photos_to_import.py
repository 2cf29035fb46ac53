"""Whose photo it is, and which face in it is meant."""

from pathlib import Path

import numpy as np
import pytest

from appliance.cli.photos import Photo, listed, numbered, subject
from appliance.face.types import AlignedFace, Box


def face(x, y, side):
    return AlignedFace(Box(x, y, side, side), np.zeros((112, 112, 3), np.uint8))


@pytest.fixture
def folder(tmp_path):
    for name in (
        "Ann/1.jpg",
        "Ann/2.PNG",
        "Ann/.3.jpg",
        "Ann/notes.txt",
        "Bo/x.jpeg",
        "Cy_Lee_0001.jpg",
        "Cy_Lee_02.jpg",
        "Di.jpg",
    ):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.touch()
    return tmp_path


def test_a_folder_or_the_name_of_a_file_says_whose_photo_it_is(folder):
    found = [(str(photo.path.relative_to(folder)), photo.person) for photo in listed([folder])]
    assert found == [
        ("Ann/1.jpg", "Ann"),
        ("Ann/2.PNG", "Ann"),
        ("Bo/x.jpeg", "Bo"),
        ("Cy_Lee_0001.jpg", "Cy_Lee"),
        ("Cy_Lee_02.jpg", "Cy_Lee"),
        ("Di.jpg", "Di"),
    ]


def test_people_are_numbered_by_name_over_all_folders():
    photos = [Photo(Path("x"), person) for person in ("Bo", "Ann", "Bo")]
    assert numbered(photos).tolist() == [1, 0, 1]
    assert numbered([]).size == 0


def test_a_folder_that_is_not_there_is_named(folder):
    with pytest.raises(FileNotFoundError, match="none"):
        listed([folder, folder / "none"])


def test_the_face_that_is_meant_is_large_and_in_the_middle():
    middle, large, corner = face(90, 90, 60), face(60, 60, 110), face(0, 0, 80)
    assert subject([], (250, 250)) is None
    assert subject([corner], (250, 250)) is corner
    assert subject([corner, middle], (250, 250)) is middle
    assert subject([middle, large], (250, 250)) is large
