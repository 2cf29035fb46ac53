"""From the points of a face mesh to the vendor's 106 and to head pose."""

from math import asin, atan2, degrees

import numpy as np

from appliance.face.mesh_tables import POSE_COORDINATES, POSE_VERTICES, POSE_WEIGHTS, WEIGHTS_106
from appliance.face.types import Points, Pose

FACE_SIZE = 468
"""Vertices of the canonical face model (model card "MediaPipe Face Mesh")."""

MESH_SIZE = FACE_SIZE + 10
"""The same and 2 x 5 points of the irises (model card "MediaPipe Face Mesh V2")."""

PUPILS, EYE_CENTRES = [104, 105], [74, 77]
"""Among the 106 points."""

PITCH_BIAS = 3.6
"""Degrees by which this mesh's pitch lies below angles calibrated as in AFLW2000, measured on HELEN and AFW."""


def _constant_matrix() -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
    matrix = np.zeros((len(WEIGHTS_106), MESH_SIZE), np.float32)
    for row, weights in enumerate(WEIGHTS_106):
        matrix[row, list(weights)] = list(weights.values())
    return matrix


_TO_106 = _constant_matrix()
_WITHOUT_IRISES = _TO_106[:, :FACE_SIZE].copy()
_WITHOUT_IRISES[PUPILS] = _WITHOUT_IRISES[EYE_CENTRES]
_VERTICES = np.array(POSE_VERTICES)
_WEIGHTS = np.array(POSE_WEIGHTS) / sum(POSE_WEIGHTS)
_CANONICAL = np.array(POSE_COORDINATES) - _WEIGHTS @ np.array(POSE_COORDINATES)


def points_106(mesh: Points) -> Points:
    """The vendor's 106 points (106 x 2) of a mesh (478 or 468 rows of x, y and perhaps depth, in pixels). A mesh of 468
    vertices has no irises: the centres of the eyes stand in for the pupils.
    """
    points: Points = (_TO_106 if len(mesh) == MESH_SIZE else _WITHOUT_IRISES) @ mesh[:, :2]
    return points


def head_pose(mesh: Points) -> Pose:
    """Yaw, pitch and roll of a mesh (478 x 3 or 468 x 3, pixels; depth in the same unit, growing away from the viewer).

    Method: weighted rigid fit of 33 vertices to the canonical face (Kabsch 1976), angles read as R = Rx(pitch) Ry(yaw)
    Rz(roll) like those of 300W-LP and BIWI.
    """
    seen = mesh[_VERTICES] * np.array([1.0, -1.0, -1.0])
    u, _, vt = np.linalg.svd((seen - _WEIGHTS @ seen).T @ (_CANONICAL * _WEIGHTS[:, None]))
    rotation = (u * np.array([1.0, 1.0, np.sign(np.linalg.det(u @ vt))])) @ vt
    return Pose(
        yaw=degrees(asin(np.clip(rotation[0, 2], -1.0, 1.0))),
        pitch=degrees(atan2(rotation[1, 2], rotation[2, 2])) + PITCH_BIAS,
        roll=degrees(atan2(rotation[0, 1], rotation[0, 0])),
    )
