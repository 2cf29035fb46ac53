"""Folders of labelled pictures in the layouts that the evaluation reads, made of two public-domain portraits."""

from collections.abc import Sequence
from io import BytesIO
from pathlib import Path

import numpy as np
from bodies import jpeg, opened
from lab.device import FoundFace
from lab.evaluate.datasets import LABEL_ORIGIN
from lab.evaluate.landmarks import SHARED_POINTS
from PIL import Image, ImageEnhance

EYE_CORNERS_OF_68 = {36: 52, 45: 61}
"""The outer eye corners: index in the 68 of 300-W, index in the 106."""


def varied(picture: bytes, number: int) -> bytes:
    """The same picture, a little lighter or darker, so that it is another file."""
    return jpeg(ImageEnhance.Brightness(opened(picture)).enhance(0.8 + 0.01 * number), quality=90)


def filmed(picture: bytes, number: int) -> list[bytes]:
    """Four frames of a still picture, with the noise of a sensor."""
    pixels = np.asarray(opened(picture)).astype(np.int16)
    noises = (np.random.default_rng([number, frame]).integers(-3, 4, pixels.shape) for frame in range(4))
    return [jpeg(Image.fromarray((pixels + noise).clip(0, 255).astype(np.uint8))) for noise in noises]


def lfw(folder: Path, people: dict[str, bytes], folds: int, pairs: int, *, below: str = "") -> Path:
    """`folds` times `pairs` pairs of one person and as many of two; every picture is of another brightness."""
    names = list(people)
    lines = [f"{folds}\t{pairs}"]
    number = 0
    for fold in range(folds):
        for each in range(pairs):
            lines.append(f"{names[(fold + each) % 2]}\t{number + 1}\t{number + 2}")
            number += 2
        for _ in range(pairs):
            lines.append(f"{names[0]}\t{number + 1}\t{names[1]}\t{number + 2}")
            number += 2
    for line in lines[1:]:
        first, *rest = line.split("\t")
        second = rest[-2] if len(rest) == 3 else first
        for name, index in ((first, int(rest[0])), (second, int(rest[-1]))):
            path = folder / below / name / f"{name}_{index:04d}.jpg"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(varied(people[name], index))
    (folder / "pairs.txt").write_text("\n".join(lines) + "\n", "utf-8")
    return folder


def boxes(folder: Path, pictures: dict[str, bytes], labels: dict[str, Sequence[float]]) -> Path:
    """A table of one box a picture."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = ["image,x,y,w,h"]
    for name, content in pictures.items():
        (folder / name).write_bytes(content)
        rows.append(",".join([name, *(f"{value:.3f}" for value in labels[name])]))
    (folder / "faces.csv").write_text("\n".join(rows) + "\n", "utf-8")
    return folder


def shapes(folder: Path, pictures: dict[str, bytes], faces: dict[str, FoundFace]) -> Path:
    """Pictures with .pts files that say what the device said of the points that both schemes share."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in pictures.items():
        (folder / f"{name}.jpg").write_bytes(content)
        points = np.tile(faces[name].points[46], (68, 1))
        for of_68, of_106 in (*SHARED_POINTS, *EYE_CORNERS_OF_68.items()):
            points[of_68] = faces[name].points[of_106]
        (folder / f"{name}.pts").write_text(pts(points + LABEL_ORIGIN), "ascii")
    return folder


def pts(points: np.ndarray) -> str:
    """The format of 300-W."""
    rows = "\n".join(f"{x:.4f} {y:.4f}" for x, y in points)
    return f"version: 1\nn_points: {len(points)}\n{{\n{rows}\n}}\n"


def poses(folder: Path, pictures: dict[str, bytes], angles: dict[str, Sequence[float]]) -> Path:
    """A table of angles, the pictures in images/."""
    (folder / "images").mkdir(parents=True, exist_ok=True)
    rows = ["image,yaw,pitch,roll"]
    for name, content in pictures.items():
        (folder / "images" / name).write_bytes(content)
        rows.append(",".join([name, *(f"{angle:.4f}" for angle in angles[name])]))
    (folder / "angles.csv").write_text("\n".join(rows) + "\n", "utf-8")
    return folder


def sequences(folder: Path, filmed_by_label: dict[str, list[list[bytes]]]) -> Path:
    """A folder a label, a folder a sequence in it."""
    for label, films in filmed_by_label.items():
        for number, frames in enumerate(films):
            sequence = folder / label / f"{number:02d}"
            sequence.mkdir(parents=True, exist_ok=True)
            for place, frame in enumerate(frames, 1):
                (sequence / f"{place}.jpg").write_bytes(frame)
    return folder


def smaller(picture: bytes, side: int) -> bytes:
    """The picture with this longer side."""
    image = Image.open(BytesIO(picture)).convert("RGB")
    image.thumbnail((side, side))
    return jpeg(image)
