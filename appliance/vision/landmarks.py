"""Where are a face's points, and which way does it look? MediaPipe Face Mesh V2 (model card, 2022)."""

from dataclasses import dataclass

import numpy as np

from appliance.face.alignment import Affine, apply, inverse, rotated_square
from appliance.face.mesh import MESH_SIZE, head_pose, points_106
from appliance.face.types import Detection, Pixels, Points, Pose
from appliance.vision.detector import Picture, cut, magnification, mirror
from appliance.vision.runtime import Runs

REGION = 1.3
"""Side of the region the network sees over the face box's side: lowest error on HELEN and AFW with this detector."""

MESH_OUTPUT, PRESENCE_OUTPUT = (1, 1, MESH_SIZE * 3), (1, 1, 1)
"""Shapes of the two outputs that are read; the third one is not documented."""


@dataclass(frozen=True, slots=True)
class Fit:
    """A face's 106 points (picture pixels), its pose, and how sure the network is that there is a face (0..1)."""

    points: Points
    pose: Pose
    presence: float


class Landmarks:
    """Fits a face mesh to a detection, once as it is and once in the mirror.

    The network is not symmetric: alone, it moves the points of a mirrored picture by 2.3 % of the inter-ocular distance
    (AFW), and together with its mirrored run by 1.0 %. It counts from the crop's corner, not from the first pixel's centre.
    """

    def __init__(self, network: Runs) -> None:
        self._network = network

    def locate(self, picture: Picture, detection: Detection) -> Fit:
        """The points and the pose of one detected face."""
        left_eye, right_eye = detection.landmarks[:2]
        roll = float(np.arctan2(right_eye[1] - left_eye[1], right_eye[0] - left_eye[0]))
        size = self._network.file.width
        affine = rotated_square(detection.box.center, detection.box.side * REGION, roll, size)
        crop = cut(picture, affine, size)
        seen, presence = self._run(crop)
        mirrored, presence_mirrored = self._run(mirror(crop))
        mirrored = mirrored * np.array([-1, 1, 1], np.float32) + np.array([size, 0, 0], np.float32)
        mesh, reflection = (_in_picture(vertices, affine) for vertices in (seen, mirrored))
        return Fit(points_106(mesh, reflection), head_pose(mesh, reflection), (presence + presence_mirrored) / 2)

    def _run(self, crop: Pixels) -> tuple[Points, float]:
        """The mesh (478 x 3, crop pixels) and the presence."""
        outputs = {output.shape: output for output in self._network.run(crop)}
        logit = float(np.clip(outputs[PRESENCE_OUTPUT].item(), -60, 60))
        return outputs[MESH_OUTPUT].reshape(MESH_SIZE, 3), 1 / (1 + float(np.exp(-logit)))


def _in_picture(vertices: Points, affine: Affine) -> Points:
    flat = apply(inverse(affine), vertices[:, :2])
    return np.column_stack([flat, vertices[:, 2] / np.float32(magnification(affine))])
