"""A photograph whose head turns: the face mesh, with a ring of the head about it, is drawn as it is seen from the side."""

from dataclasses import dataclass

import cv2
import numpy as np

from appliance.camera.source import CameraFrame
from appliance.face.alignment import rotated_square
from appliance.face.mesh import FACE_SIZE
from appliance.face.types import DetectLimits, Pixels
from appliance.vision.detector import cut
from appliance.vision.engine import FaceEngine
from appliance.vision.landmarks import REGION, Landmarks, _in_picture


@dataclass(frozen=True)
class Head:
    """The photograph of a person, the vertices of the head (N x 3, pixels, depth away from the viewer) and its triangles."""

    pixels: Pixels
    vertices: np.ndarray
    triangles: np.ndarray

    @classmethod
    def of(cls, pixels: Pixels, engine: FaceEngine) -> "Head":
        """The head of the largest face."""
        frame = CameraFrame(pixels, 0.0)
        (face,) = engine.detect(frame, DetectLimits(count=1))
        mesh = engine._alignment
        assert isinstance(mesh, Landmarks)
        box, size = face.detection.box, mesh._network.file.width
        affine = rotated_square(box.center, box.side * REGION, np.radians(face.pose.roll), size)
        outputs = mesh._network.run(cut(frame, affine, size))
        found = _in_picture(max(outputs, key=lambda each: each.size).reshape(-1, 3), affine)[:FACE_SIZE].astype(float)
        hull = found[cv2.convexHull(found[:, :2].astype(np.float32), returnPoints=False).ravel()]
        middle, rings = found.mean(0), [found]
        for wider, deeper in ((1.25, 0.35), (1.6, 0.6)):  # temples, hair and neck
            ring = middle + (hull - middle) * (wider, wider, 1)
            ring[:, 2] = hull[:, 2].max() + deeper * box.width
            rings.append(ring)
        vertices = np.concatenate(rings)
        return cls(pixels, vertices - (0, 0, middle[2]), _delaunay(vertices[:, :2]))

    def turned(self, yaw: float, pitch: float = 0.0) -> Pixels:
        """The head turned by these degrees, to the person's left and up, before what was behind it."""
        a, b = np.radians((-yaw, pitch))
        around_y = np.array([[np.cos(a), 0, np.sin(a)], [0, 1, 0], [-np.sin(a), 0, np.cos(a)]])
        around_x = np.array([[1, 0, 0], [0, np.cos(b), np.sin(b)], [0, -np.sin(b), np.cos(b)]])
        face = self.vertices[:FACE_SIZE]
        middle = face.mean(0) + np.array([0, 0, 0.5 * np.ptp(face[:, 0])])  # a neck's axis
        after = (self.vertices - middle) @ (around_x @ around_y).T + middle
        height, width = self.pixels.shape[:2]
        numbers = np.full((height, width), -1, np.int32)
        for triangle in np.argsort(-after[self.triangles, 2].mean(1)):  # what is near is drawn last
            corners = np.round(after[self.triangles[triangle], :2] * 16).astype(np.int32)
            cv2.fillConvexPoly(numbers, corners, int(triangle), cv2.LINE_8, 4)
        y, x = np.nonzero(numbers >= 0)
        seen = numbers[y, x]
        places = np.stack([x, y, np.ones_like(x)], 1).astype(float)
        frames = np.concatenate([after[self.triangles, :2], np.ones((*self.triangles.shape, 1))], 2).transpose(0, 2, 1)
        weights = np.einsum("nij,nj->ni", np.linalg.pinv(frames)[seen], places)
        source = np.einsum("ni,nij->nj", weights, self.vertices[self.triangles[seen], :2]).astype(np.float32)
        columns, rows = (each.astype(np.float32) for each in np.meshgrid(np.arange(width), np.arange(height)))
        columns[y, x], rows[y, x] = source[:, 0], source[:, 1]
        behind = cv2.GaussianBlur(self.pixels, (0, 0), width / 12)
        drawn = cv2.remap(self.pixels, columns, rows, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101)
        there = cv2.GaussianBlur((numbers >= 0).astype(np.float32), (0, 0), width / 100)[..., None]
        return np.asarray(drawn * there + behind * (1 - there), np.uint8)


def _delaunay(points: np.ndarray) -> np.ndarray:
    """Triangles (M x 3 numbers of points)."""
    left, top = np.floor(points.min(0)) - 2
    right, bottom = np.ceil(points.max(0)) + 2
    division = cv2.Subdiv2D((int(left), int(top), int(right - left), int(bottom - top)))
    numbers = {}
    for number, (x, y) in enumerate(points.astype(np.float32)):
        numbers.setdefault(division.insert((float(x), float(y))), number)
    found = []
    for x1, y1, x2, y2, x3, y3 in division.getTriangleList():
        corners = [numbers.get(division.locate(each)[2]) for each in ((x1, y1), (x2, y2), (x3, y3))]
        if None not in corners:
            found.append(corners)
    return np.array(found)
