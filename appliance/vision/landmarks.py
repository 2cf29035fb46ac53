"""Where are a face's points, and which way does it look? MediaPipe's Face Mesh V2 (model card, 2022), or its lighter Face Mesh
(Kartynnik et al., "Real-time Facial Surface Geometry from Monocular Video on Mobile GPUs", 2019).
"""

from dataclasses import dataclass

import numpy as np

from appliance.face.alignment import Affine, apply, inverse, rotated_square
from appliance.face.mesh import head_pose, points_106
from appliance.face.types import Detection, Points, Pose
from appliance.vision.detector import Picture, cut, magnification
from appliance.vision.runtime import Runs

REGION = 1.3
"""Side of the region the network sees over the face box's side: lowest error on HELEN and AFW with this detector."""

PRESENCE_OUTPUT = (1, 1, 1)
"""Shape of the output that has the presence logit; the largest output has the mesh."""


@dataclass(frozen=True, slots=True)
class Fit:
    """A face's 106 points (picture pixels), its pose, and how sure the network is that there is a face (0..1)."""

    points: Points
    pose: Pose
    presence: float


class Landmarks:
    """Fits a face mesh to a detection, with one run of either network. Their points count from the crop's corner, not from the
    first pixel's centre.
    """

    def __init__(self, network: Runs) -> None:
        self._network = network

    def locate(self, picture: Picture, detection: Detection) -> Fit:
        """The points and the pose of one detected face."""
        left_eye, right_eye = detection.landmarks[:2]
        roll = float(np.arctan2(right_eye[1] - left_eye[1], right_eye[0] - left_eye[0]))
        size = self._network.file.width
        affine = rotated_square(detection.box.center, detection.box.side * REGION, roll, size)
        outputs = self._network.run(cut(picture, affine, size))
        vertices = max(outputs, key=lambda output: output.size).reshape(-1, 3)
        (logit,) = (float(output.item()) for output in outputs if output.shape == PRESENCE_OUTPUT)
        mesh = _in_picture(vertices, affine)
        return Fit(points_106(mesh), head_pose(mesh), 1 / (1 + float(np.exp(-np.clip(logit, -60, 60)))))


def _in_picture(vertices: Points, affine: Affine) -> Points:
    flat = apply(inverse(affine), vertices[:, :2])
    return np.column_stack([flat, vertices[:, 2] / np.float32(magnification(affine))])
