"""From the 478 points of the face mesh to the vendor's 106 and to head pose."""

from math import asin, atan2, degrees

import numpy as np

from appliance.face.mesh_tables import MIRROR_106, POSE_COORDINATES, POSE_VERTICES, POSE_WEIGHTS, WEIGHTS_106
from appliance.face.types import Points, Pose

MESH_SIZE = 478
"""468 vertices of the canonical face model and 2 x 5 points of the irises (model card "MediaPipe Face Mesh V2")."""

PITCH_BIAS = 3.6
"""Degrees by which this mesh's pitch lies below angles calibrated as in AFLW2000, measured on HELEN and AFW."""


def _constant_matrix() -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
    matrix = np.zeros((len(WEIGHTS_106), MESH_SIZE), np.float32)
    for row, weights in enumerate(WEIGHTS_106):
        matrix[row, list(weights)] = list(weights.values())
    return matrix


def _mirrored_vertices() -> list[int]:
    """For each of the pose vertices the position, among them, of its counterpart on the face's other side."""
    coordinates = np.array(POSE_COORDINATES)
    distance = np.linalg.norm(coordinates[:, np.newaxis] * [-1, 1, 1] - coordinates, axis=2)
    return [int(position) for position in distance.argmin(axis=1)]


_TO_106 = _constant_matrix()
_MIRROR_106 = list(MIRROR_106)
_VERTICES = np.array(POSE_VERTICES)
_MIRROR_VERTICES = _mirrored_vertices()
_WEIGHTS = np.array(POSE_WEIGHTS) / sum(POSE_WEIGHTS)
_CANONICAL = np.array(POSE_COORDINATES) - _WEIGHTS @ np.array(POSE_COORDINATES)


def points_106(mesh: Points, reflection: Points | None = None) -> Points:
    """The vendor's 106 points (106 x 2) of a mesh (478 x 2 or 478 x 3, pixels).

    `reflection` is the same face's mesh as seen in a mirror, in the coordinates of the unmirrored picture (so its left eye
    lies on the right one): the mean of both is what mirrors exactly.
    """
    points: Points = _TO_106 @ mesh[:, :2]
    if reflection is not None:
        points = (points + (_TO_106 @ reflection[:, :2])[_MIRROR_106]) / np.float32(2)
    return points


def head_pose(mesh: Points, reflection: Points | None = None) -> Pose:
    """Yaw, pitch and roll of a mesh (478 x 3, pixels; depth in the same unit, growing away from the viewer).

    `reflection` as in `points_106`. Method: weighted rigid fit of 33 vertices to the canonical face (Kabsch 1976), angles
    read as R = Rx(pitch) Ry(yaw) Rz(roll) like those of 300W-LP and BIWI.
    """
    vertices = mesh[_VERTICES]
    if reflection is not None:
        vertices = (vertices + reflection[_VERTICES][_MIRROR_VERTICES]) / 2
    seen = vertices * np.array([1.0, -1.0, -1.0])
    u, _, vt = np.linalg.svd((seen - _WEIGHTS @ seen).T @ (_CANONICAL * _WEIGHTS[:, None]))
    rotation = (u * np.array([1.0, 1.0, np.sign(np.linalg.det(u @ vt))])) @ vt
    return Pose(
        yaw=degrees(asin(np.clip(rotation[0, 2], -1.0, 1.0))),
        pitch=degrees(atan2(rotation[1, 2], rotation[2, 2])) + PITCH_BIAS,
        roll=degrees(atan2(rotation[0, 1], rotation[0, 0])),
    )
