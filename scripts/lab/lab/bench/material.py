"""The pictures and bodies that are posted to a device while it is measured, made of the bundled portraits."""

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle, islice
from pathlib import Path
from typing import Self

import cv2
import numpy as np
from PIL import Image

from appliance.calibration.rates import Reals
from lab.device import IMAGE_TYPE, Answer, Device, multipart, zipped
from lab.pictures import GREY, flickering, jpeg, pasted

CANVAS = (1280, 720)  # width and height of the picture: what a camera delivers
FACE_HEIGHT = 240  # pixels: a third of the picture's height, a person in front of a door
STEP = 4  # pixels by which the face grows from frame to frame of the sequence, so that it is no still
MIX = (
    "faces", "similarity", "faces", "alignedfaces", "similarity",
    "faces", "liveness", "similarity", "alignedfaces", "broken",
)  # fmt: skip
MOSAIC, COLUMNS, ROWS = (1920, 1080), 10, 5  # width and height of a mosaic, and its tiles
MOST_FACES = COLUMNS * ROWS
SHARE = 0.5  # height of a face over that of its tile: 108 pixels, over twice the default minimum of `/faces`
FPS, FILM, PICTURES = 30, "film.avi", 60  # of the replayed film: frames a second, file name, and how many frames it has
SUFFIXES = {".jpg", ".jpeg", ".png"}


@dataclass(frozen=True, slots=True)
class Material:
    """A JPEG of 1280 x 720 with one face, that face as an aligned JPEG of 112 x 112, and a zip of four frames."""

    picture: bytes
    aligned: bytes
    sequence: bytes

    @classmethod
    def made_from(cls, portrait: bytes, device: Device) -> Self:
        """From a picture with one face, which the device locates. Raises UnexpectedAnswerError."""
        box = device.faces(portrait)[0].box
        frames = [pasted(portrait, box, FACE_HEIGHT + STEP * number, CANVAS) for number in range(4)]
        pixels = np.frombuffer(device.aligned_faces(frames[0])[0].pixels, np.uint8).reshape(112, 112, 3)
        return cls(frames[0], jpeg(Image.fromarray(pixels)), zipped(frames, ".jpg"))

    @classmethod
    def read(cls, folder: Path) -> Self:
        """What `write` wrote."""
        return cls(*((folder / name).read_bytes() for name in cls.__slots__))

    def write(self, folder: Path) -> None:
        """One file a part, for processes that post it."""
        for name in self.__slots__:
            (folder / name).write_bytes(getattr(self, name))

    def questions(self) -> Mapping[str, tuple[str, bytes, str]]:
        """Path, body and content type of each kind of request."""
        return {
            "faces": ("/faces", self.picture, IMAGE_TYPE),
            "alignedfaces": ("/alignedfaces", self.picture, IMAGE_TYPE),
            "identify": ("/identify", self.picture, IMAGE_TYPE),
            "similarity": ("/similarity/v2", *multipart({"image_a": self.aligned, "image_b": self.aligned})),
            "liveness": ("/liveness/multiframe", *multipart({"images": self.sequence})),
            "broken": ("/faces", self.picture[: len(self.picture) // 2], IMAGE_TYPE),
        }


@dataclass(frozen=True, slots=True)
class Subject:
    """A picture with one face, and the box around it (x, y, width, height)."""

    picture: bytes
    box: Reals

    def on(self, canvas: tuple[int, int], height: float) -> bytes:
        """A JPEG of that size with the face in the middle, `height` pixels high."""
        return pasted(self.picture, self.box, height, canvas)


def as_expected(kind: str, answer: Answer) -> bool:
    """Whether the answer to a kind of request has the correct result code."""
    return answer.code == ("INF-04" if kind == "broken" else "INF-00")


def mosaic(subjects: Sequence[Subject], count: int) -> bytes:
    """A JPEG of 1920 x 1080 with `count` faces (1..50), the subjects in turn, row by row; the other tiles are grey."""
    width, height = MOSAIC[0] // COLUMNS, MOSAIC[1] // ROWS
    tiles = [Image.open(io.BytesIO(subject.on((width, height), SHARE * height))) for subject in subjects]
    ground = Image.new("RGB", MOSAIC, GREY)
    for number, tile in enumerate(islice(cycle(tiles), count)):
        row, column = divmod(number, COLUMNS)
        ground.paste(tile, (column * width, row * height))
    return jpeg(ground)


def film(folder: Path, picture: bytes) -> None:
    """Writes a film of motion JPEGs, as USB cameras send them: each frame is decoded anew, whenever it is played."""
    writer = cv2.VideoWriter(str(folder / FILM), cv2.VideoWriter.fourcc(*"MJPG"), FPS, CANVAS)
    for number in range(PICTURES):
        frame = cv2.imdecode(np.frombuffer(flickering(picture, number), np.uint8), cv2.IMREAD_COLOR)
        writer.write(cv2.resize(frame, CANVAS))
    writer.release()


def pictures_of(folder: Path, most: int) -> list[Path]:
    """The JPEG and PNG files of a folder; of more than `most`, so many at even distances.

    Raises OSError when the folder cannot be read or has none.
    """
    files = sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES)
    if not files:
        raise FileNotFoundError(2, "no .jpg and no .png in it", str(folder))
    return [files[number * len(files) // most] for number in range(most)] if len(files) > most else files
