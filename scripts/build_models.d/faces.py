"""Pictures from a folder, and the face each is about."""

from pathlib import Path

import numpy as np
from errors import BuildError

from appliance.face.types import AlignedFace, DetectLimits
from appliance.imaging.decode import EncodedPicture
from appliance.vision.detector import Detector
from appliance.vision.engine import Aligner

MAX_PIXELS = 40_000_000
"""As the service's default."""


def read_pictures(folder: Path) -> list[EncodedPicture]:
    """The .jpg files of a folder in the order of their names. Raises BuildError when there is none."""
    pictures = [EncodedPicture(path.read_bytes(), MAX_PIXELS) for path in sorted(folder.glob("*.jpg"))]
    if not pictures:
        raise BuildError(f"{folder} has no .jpg files: name a folder with pictures of one face each")
    return pictures


def central_face(detector: Detector, picture: EncodedPicture) -> AlignedFace | None:
    """The aligned face nearest to the picture's middle, where LFW has the person who is named; None without a face."""
    detections = detector.detect(picture, DetectLimits())
    middle = np.array([picture.width, picture.height]) / 2
    nearest = min(detections, key=lambda d: float(np.linalg.norm(np.array(d.box.center) - middle)), default=None)
    return None if nearest is None else Aligner().align(picture, [nearest])[0]
