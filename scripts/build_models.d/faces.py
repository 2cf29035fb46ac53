"""Pictures from a folder, and the face each is about."""

from pathlib import Path

import numpy as np
from errors import BuildError

from appliance.face.types import AlignedFace, DetectLimits
from appliance.imaging.codec import EncodedPicture
from appliance.vision.engine import FaceEngine

MAX_PIXELS = 40_000_000
"""As the service's default."""


def read_pictures(folder: Path) -> list[EncodedPicture]:
    """The .jpg files of a folder in the order of their names. Raises BuildError when there is none."""
    pictures = [EncodedPicture(path.read_bytes(), MAX_PIXELS) for path in sorted(folder.glob("*.jpg"))]
    if not pictures:
        raise BuildError(f"{folder} has no .jpg files: name a folder with pictures of one face each")
    return pictures


def central_face(engine: FaceEngine, picture: EncodedPicture) -> AlignedFace | None:
    """The aligned face nearest to the picture's middle, where LFW has the person who is named; None without a face.

    Raises Fault.
    """
    middle = np.array([picture.width, picture.height]) / 2
    faces = engine.align(picture, DetectLimits())
    return min(faces, key=lambda face: float(np.linalg.norm(np.array(face.box.center) - middle)), default=None)
