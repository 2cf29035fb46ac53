"""What is posted to the device while its time and memory are taken."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
from PIL import Image

from appliance.evaluation.device import IMAGE_TYPE, Answer, Device, multipart, zipped
from appliance.evaluation.pictures import jpeg, pasted

CANVAS = (1280, 720)
"""Width and height of the picture: what a camera delivers."""

FACE_HEIGHT = 240
"""Pixels: a third of the picture's height, someone in front of a door."""

STEP = 4
"""Pixels by which the face grows from frame to frame of the sequence, so that it is no still."""

MIX = (
    "faces", "similarity", "faces", "alignedfaces", "similarity",
    "faces", "liveness", "similarity", "alignedfaces", "broken",
)  # fmt: skip
"""One round of mixed requests."""

EXPECTED = {"broken": "INF-04"}
"""The result code of a request; INF-00 where nothing else is said."""


@dataclass(frozen=True, slots=True)
class Material:
    """A JPEG of 1280 x 720 with one face, that face as an aligned JPEG of 112 x 112, and a zip of four frames."""

    picture: bytes
    aligned: bytes
    sequence: bytes

    @classmethod
    def made_from(cls, portrait: bytes, device: Device) -> Self:
        """From a picture with one face; the device is asked where it is. Raises UnexpectedAnswerError."""
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
            "similarity": ("/similarity/v2", *multipart({"image_a": self.aligned, "image_b": self.aligned})),
            "liveness": ("/liveness/multiframe", *multipart({"images": self.sequence})),
            "broken": ("/faces", self.picture[: len(self.picture) // 2], IMAGE_TYPE),
        }


def as_expected(kind: str, answer: Answer) -> bool:
    """Whether the answer to a kind of request has the result code it should have."""
    return answer.code == EXPECTED.get(kind, "INF-00")
