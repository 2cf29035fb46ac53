"""Overlap and suppression of bounding boxes."""

import numpy as np
import numpy.typing as npt

from appliance.face.types import Box

Floats = npt.NDArray[np.float32]


def overlap(a: Box, b: Box) -> float:
    """Intersection over union of two boxes, 0..1."""
    width = min(a.x + a.width, b.x + b.width) - max(a.x, b.x)
    height = min(a.y + a.height, b.y + b.height) - max(a.y, b.y)
    if width <= 0 or height <= 0:
        return 0.0
    intersection = width * height
    return intersection / (a.width * a.height + b.width * b.height - intersection)


def suppress(boxes: Floats, scores: Floats, threshold: float) -> npt.NDArray[np.intp]:
    """Greedy non-maximum suppression.

    `boxes` is N x 4 (x, y, width, height), `scores` N. Returns the indices to keep, best score first: of boxes whose
    intersection over union exceeds `threshold` (0..1) only the best stays.
    """
    order = np.argsort(-scores, kind="stable")
    left_top, sizes = boxes[:, :2], boxes[:, 2:]
    right_bottom, areas = left_top + sizes, sizes.prod(axis=1)
    keep = []
    while order.size:
        best, rest = order[0], order[1:]
        keep.append(best)
        extent = np.minimum(right_bottom[best], right_bottom[rest]) - np.maximum(left_top[best], left_top[rest])
        intersection = np.maximum(extent, 0).prod(axis=1)
        union = areas[best] + areas[rest] - intersection
        order = rest[intersection <= threshold * union]
    return np.array(keep, dtype=np.intp)
