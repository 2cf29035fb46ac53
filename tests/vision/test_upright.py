"""Faces that are turned: found with their true points, box and roll, and not taken to be upright."""

import csv
from collections.abc import Callable
from itertools import combinations
from pathlib import Path

import cv2
import numpy as np
import pytest
from living import stirred
from PIL import Image

from appliance.calibration.rates import Rate
from appliance.face.types import DetectLimits, Embedding, Face, Pixels, Points
from appliance.imaging.codec import EncodedPicture
from appliance.vision.engine import FaceEngine

EIGHTHS = range(45, 360, 45)


def turned(pixels: Pixels, degrees: float) -> tuple[Pixels, Points]:
    """The picture turned clockwise, wholly in a larger square, and the transform (2 x 3) that does it."""
    height, width = pixels.shape[:2]
    side = int(np.hypot(width, height)) + 1
    matrix = cv2.getRotationMatrix2D((width / 2, height / 2), -degrees, 1.0)
    matrix[:, 2] += np.array([side - width, side - height]) / 2
    return cv2.warpAffine(pixels, matrix, (side, side), borderValue=(90, 100, 110)), matrix


def nearest(engine: FaceEngine, picture: EncodedPicture, matrix: Points, upright: Face) -> Face:
    """The face where the upright one has been turned to. The detector's smallest network misses some turned faces, and the
    larger one Hopper's at 225 and 270 degrees.
    """
    center = matrix[:, :2] @ upright.detection.box.center + matrix[:, 2]
    faces = engine.detect(picture, DetectLimits(min_size=24))
    return min(faces, key=lambda face: float(np.linalg.norm(face.detection.box.center - center)))


def off(roll: float, wanted: float) -> float:
    """Degrees between two angles."""
    return abs((roll - wanted + 180) % 360 - 180)


@pytest.mark.parametrize(
    ("name", "degrees"),
    [*(("portrait", degrees) for degrees in EIGHTHS), *(("hopper", degrees) for degrees in (45, 90, 135, 180, 315))],
)
def test_a_turned_face_has_its_true_points_box_and_roll(engine, photos, pictured, name, degrees):
    (upright,) = engine.detect(pictured(photos[name]), DetectLimits())
    pixels, matrix = turned(photos[name], degrees)
    face = nearest(engine, pictured(pixels), matrix, upright)
    wanted = upright.points @ matrix[:, :2].T + matrix[:, 2]
    eyes = np.linalg.norm(upright.points[104] - upright.points[105])
    assert (
        np.linalg.norm(face.points - wanted, axis=1).mean() < 0.06 * eyes
    )  # .055 with OpenCV 5 and LiteRT 2.3, .05 without
    assert off(face.pose.roll, upright.pose.roll + degrees) < 5
    center = matrix[:, :2] @ upright.detection.box.center + matrix[:, 2]
    side = upright.detection.box.side
    assert np.linalg.norm(face.detection.box.center - center) < 0.15 * side
    assert face.detection.box.side == pytest.approx(side, rel=0.2)
    assert not face.upright or degrees in (45, 315)
    assert upright.upright


@pytest.mark.parametrize("degrees", EIGHTHS)
def test_a_turned_face_is_aligned_upright(engine, photos, pictured, degrees):
    pixels, matrix = turned(photos["portrait"], degrees)
    before, after = pictured(photos["portrait"]), pictured(pixels)
    (upright,) = engine.detect(before, DetectLimits())
    face = nearest(engine, after, matrix, upright)
    (a,), (b,) = engine.portray(before, [upright]), engine.portray(after, [face])
    assert engine.compare(a.aligned, b.aligned) > 0.9


@pytest.mark.parametrize("degrees", [-24, -12, 0, 12, 24])
def test_a_face_that_hardly_leans_is_answered_as_without_the_check(engine, photos, pictured, degrees):
    picture = pictured(turned(photos["portrait"], degrees)[0])
    (face,) = engine.detect(picture, DetectLimits())
    (unchecked,) = engine.detect(picture, DetectLimits(), [face.detection.box])
    assert face.upright
    assert (face.points == unchecked.points).all()
    assert (face.detection.box, face.pose) == (unchecked.detection.box, unchecked.pose)


def test_a_face_that_lies_is_found_when_there_is_no_other_and_lying_ones_are_wanted(engine, photos, montage, pictured):
    lying = turned(photos["hopper"], 90)[0]
    (face,) = engine.detect(pictured(lying), DetectLimits())
    assert not face.upright
    assert engine.detect(pictured(lying), DetectLimits(lying=False)) == []
    beside = np.zeros((1400, 1024, 3), np.uint8)
    beside[:600], beside[600 : 600 + len(lying), : len(lying)] = montage, lying
    assert [face.upright for face in engine.detect(pictured(beside), DetectLimits())] == [True, True]


def test_of_two_faces_each_has_its_own_way(engine, montage, pictured):
    montage = montage.copy()
    montage[:, 512:] = montage[::-1, 512:][:, ::-1]
    left, right = sorted(engine.detect(pictured(montage), DetectLimits()), key=lambda face: face.detection.box.x)
    assert left.upright
    assert not right.upright
    assert off(right.pose.roll, 180) < 15


def test_four_frames_of_a_turned_face_are_not_live(engine, photos, pictured):
    frames = [pictured(turned(stirred(photos["hopper"], degrees), 180 + degrees)[0]) for degrees in (0, 2, 4, 6)]
    assert engine.liveness(frames).confidence <= 0.3


@pytest.mark.data
def test_a_face_that_leans_is_not_upside_down_when_the_mesh_is_less_sure_of_that(engine, pictured, data):
    photo = cv2.cvtColor(cv2.imread(str(data / "landmarks" / "253915276_1.jpg")), cv2.COLOR_BGR2RGB)
    rolls = [
        [face.pose.roll for face in engine.detect(pictured(pixels), DetectLimits(count=1), precise=True)]
        for pixels in (photo, np.asarray(Image.fromarray(photo).rotate(-15, Image.Resampling.BICUBIC, expand=True)))
    ]
    assert off(rolls[1][0], rolls[0][0] + 15) < 5


@pytest.mark.nightly
@pytest.mark.data
@pytest.mark.timeout(3600)
def test_strangers_turned_alike_do_not_match_and_a_turned_face_matches_itself(engine, pictured, data):
    """Forty people of LFW, turned by every 15 degrees: all pairs of people, and each person with their upright picture."""
    people = list(_people(data / "verification", 40))
    upright = [_middle(engine, pictured, pixels, 0) for pixels in people]
    assert all(upright)
    false, pairs, same, found, passed, worst = 0, 0, 0, 0, 0, 0.0
    for degrees in range(0, 360, 15):
        seen = [_middle(engine, pictured, pixels, degrees) for pixels in people]
        there = [(face, self_) for face, self_ in zip(seen, upright, strict=True) if face]
        scores = [engine.similarity(a[1], b[1]) for (a, _), (b, _) in combinations(there, 2)]
        alike = sum(score >= 0.5 for score in scores)
        false, pairs, worst = false + alike, pairs + len(scores), max(worst, alike / len(scores))
        same += sum(engine.similarity(face[1], self_[1]) >= 0.5 for face, self_ in there if self_)
        found += len(there)
        if 60 <= degrees <= 300:
            passed += sum(face[0].upright for face, _ in there)
        print(f"{degrees}: found {len(there)}, false matches so far {false} of {pairs}")
    print(f"false matches {Rate(false, pairs)}, own {Rate(same, found)}, found {found} of {24 * len(people)}")
    assert worst <= 0.003
    assert found >= 0.97 * 24 * len(people)
    assert same / found >= 0.95
    assert passed <= 1


def _people(folder: Path, count: int) -> list[Pixels]:
    with (folder / "pairs.csv").open(encoding="utf-8") as file:
        names = {row["image_a"].rsplit("_", 1)[0]: row["image_a"] for row in csv.DictReader(file) if row["same"] == "1"}
    paths = {path.name: path for path in folder.rglob("*.jpg")}
    return [EncodedPicture(paths[name].read_bytes(), 10**6).frame(1.0).pixels for name in list(names.values())[:count]]


def _middle(
    engine: FaceEngine, pictured: Callable[[Pixels], EncodedPicture], pixels: Pixels, degrees: int
) -> tuple[Face, Embedding] | None:
    """The face in the middle, where the labelled one is in LFW, and its embedding."""
    canvas, _ = turned(pixels, degrees)
    picture = pictured(canvas)
    middle = np.array(canvas.shape[1::-1]) / 2
    for face in engine.detect(picture, DetectLimits()):
        if np.linalg.norm(face.detection.box.center - middle) < 0.5 * face.detection.box.side:
            return face, engine.portray(picture, [face])[0].embedding
    return None
