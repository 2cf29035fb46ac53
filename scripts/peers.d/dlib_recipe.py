"""The recipe of the package face_recognition on dlib: HOG detector, five landmarks, ResNet descriptor of 128 numbers.

The argument is how often the picture is doubled before faces are looked for: 0 finds faces from 80 pixels on, 1 (what
face_recognition does when nothing is said) from 40.
"""

import importlib.util
import sys
from pathlib import Path

import dlib
import numpy as np
from lab.bench.protocol import Laps, serve

(FOLDER,) = importlib.util.find_spec("face_recognition_models").submodule_search_locations
WEIGHTS = Path(FOLDER) / "models"

JITTERS = 1
"""Crops that a descriptor is the mean of; what face_recognition does when nothing is said."""


class Recipe:
    """The three networks and how they are called."""

    def __init__(self, doublings: int) -> None:
        self._doublings = doublings
        self._detector = dlib.get_frontal_face_detector()
        self._points = dlib.shape_predictor(str(WEIGHTS / "shape_predictor_5_face_landmarks.dat"))
        self._network = dlib.face_recognition_model_v1(str(WEIGHTS / "dlib_face_recognition_resnet_model_v1.dat"))

    def look(self, pixels: np.ndarray) -> tuple[int, dict[str, float | None]]:
        """Finds, places and describes every face. dlib cuts a face out within its description."""
        laps = Laps()
        boxes = self._detector(pixels, self._doublings)
        laps.lap("detect")
        shapes = [self._points(pixels, box) for box in boxes]
        laps.lap("align")
        for shape in shapes:
            self._network.compute_face_descriptor(pixels, shape, JITTERS)
        laps.lap("embed")
        return len(boxes), laps.seconds


if __name__ == "__main__":
    doublings = int(sys.argv[1])
    serve(f"dlib {dlib.__version__}, HOG upsampled {doublings}x", Recipe(doublings).look)
