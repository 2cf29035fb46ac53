"""The data that flow through the machine, one type per stage, in pixels of the full, upright picture."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Pixels = npt.NDArray[np.uint8]
"""Height x width x 3, RGB, 0..255."""

Points = npt.NDArray[np.float32]
"""N x 2 positions (x, y), origin in the top-left corner, or N x 3 with a depth in the same unit."""

ALIGNED_SIZE = 112
"""Side of an aligned face in pixels (the contract, and every ArcFace-style network)."""


@dataclass(frozen=True, slots=True)
class Frame:
    """Pixels of a picture, possibly reduced: `scale` is frame pixels per picture pixel (0 < scale <= 1)."""

    pixels: Pixels
    scale: float = 1.0

    @property
    def height(self) -> int:
        return int(self.pixels.shape[0])

    @property
    def width(self) -> int:
        return int(self.pixels.shape[1])


@dataclass(frozen=True, slots=True)
class Box:
    """A bounding box; it may reach past the picture's border."""

    x: float
    y: float
    width: float
    height: float

    @property
    def side(self) -> float:
        return max(self.width, self.height)

    @property
    def center(self) -> tuple[float, float]:
        return self.x + self.width / 2, self.y + self.height / 2

    def squared(self) -> "Box":
        """The square about the centre whose side is the longer one."""
        center_x, center_y = self.center
        return Box(center_x - self.side / 2, center_y - self.side / 2, self.side, self.side)

    def overlap(self, other: "Box") -> float:
        """Intersection over union, 0..1."""
        width = min(self.x + self.width, other.x + other.width) - max(self.x, other.x)
        height = min(self.y + self.height, other.y + other.height) - max(self.y, other.y)
        common = max(width, 0.0) * max(height, 0.0)
        return common / (self.width * self.height + other.width * other.height - common)

    def scaled(self, factor: float) -> "Box":
        return Box(self.x * factor, self.y * factor, self.width * factor, self.height * factor)


@dataclass(frozen=True, slots=True)
class Detection:
    """A face the detector found: its bounding box, five landmarks (5 x 2) and score (0..1).

    The landmarks are the eye on the picture's left, the eye on its right, the nose tip, the left and the right mouth corner.
    """

    box: Box
    landmarks: Points
    score: float


class Pose(NamedTuple):
    """Head pose in degrees: yaw > 0 nose to the picture's right, pitch > 0 nose up, roll > 0 leaning clockwise."""

    yaw: float
    pitch: float
    roll: float


@dataclass(frozen=True, slots=True)
class Face:
    """A detection with its 106 points (106 x 2, the vendor's order) and pose. `upright` is False for a face that leans by more
    than 45 degrees, or whose lean is uncertain: it is not fit for recognition.
    """

    detection: Detection
    points: Points
    pose: Pose
    upright: bool = True


@dataclass(frozen=True, slots=True)
class AlignedFace:
    """An upright face: 112 x 112 x 3 RGB pixels, and its box in the picture."""

    box: Box
    pixels: Pixels


Embedding = npt.NDArray[np.float32]
"""A face as a vector of unit length (512); the cosine of two is their dot product."""


@dataclass(frozen=True, slots=True)
class DetectLimits:
    """The requested faces: smallest and largest side of the face box in picture pixels, and their largest number. With `lying`,
    when there is no other face, also those that lie on their side.
    """

    min_size: float = 48
    max_size: float = float("inf")
    count: int = 10
    lying: bool = True
