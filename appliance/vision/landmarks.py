"""Where are a face's points, and which way does it look? MediaPipe Face Mesh V2 (model card, 2022)."""

from dataclasses import dataclass

import numpy as np

from appliance.face.alignment import apply, inverse, rotated_square
from appliance.face.types import Detection, Points
from appliance.vision.crop import Picture, cut, magnification
from appliance.vision.runtime import Network

REGION = 1.3
"""Side of the region the network sees over the face box's side: lowest error on HELEN and AFW with this detector."""


@dataclass(frozen=True, slots=True)
class Mesh:
    """478 points (x, y, depth) in picture pixels, and how sure the network is that there is a face (0..1)."""

    points: Points
    presence: float


class Landmarks:
    """Fits a face mesh to a detection."""

    def __init__(self, network: Network) -> None:
        self._network = network

    def locate(self, picture: Picture, detection: Detection) -> Mesh:
        """The mesh of one detected face."""
        left_eye, right_eye = detection.landmarks[:2]
        roll = float(np.arctan2(right_eye[1] - left_eye[1], right_eye[0] - left_eye[0]))
        size = self._network.file.width
        affine = rotated_square(detection.box.center, detection.box.side * REGION, roll, size)
        outputs = self._network.run(cut(picture, affine, size))
        mesh = next(output for output in outputs if output.size == 478 * 3).reshape(-1, 3)
        logit = float(next(output for output in outputs if output.shape == (1, 1, 1)).item())
        points = np.column_stack([apply(inverse(affine), mesh[:, :2]), mesh[:, 2] / magnification(affine)])
        return Mesh(points.astype(np.float32), 1 / (1 + float(np.exp(-np.clip(logit, -60, 60)))))
