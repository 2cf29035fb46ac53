"""MediaPipe's face detection and face mesh (478 points), of the last version that ships their models. It has no embedder.

Face mesh looks for faces by itself; its step is what it takes beyond a detection alone.
"""

import time

import mediapipe
import numpy as np
from lab.bench.protocol import serve

MOST_FACES = 50
"""As everyone else here; more make it no slower where there are none."""

SURE = 0.5
"""Its own default, for both."""


class Solutions:
    """The two graphs."""

    def __init__(self) -> None:
        solutions = mediapipe.solutions
        self._detection = solutions.face_detection.FaceDetection(model_selection=0, min_detection_confidence=SURE)
        self._mesh = solutions.face_mesh.FaceMesh(
            static_image_mode=True, max_num_faces=MOST_FACES, refine_landmarks=True, min_detection_confidence=SURE
        )

    def look(self, pixels: np.ndarray) -> tuple[int, dict[str, float | None]]:
        """Detection, and then everything, which has a detection in it: that is counted once."""
        begun = time.process_time()
        self._detection.process(pixels)
        found = time.process_time()
        faces = self._mesh.process(pixels).multi_face_landmarks or []
        every = time.process_time() - found
        detect = found - begun
        return len(faces), {"detect": detect, "align": max(0.0, every - detect), "embed": None, "all": every}


if __name__ == "__main__":
    serve(f"MediaPipe {mediapipe.__version__}, no embedder", Solutions().look)
