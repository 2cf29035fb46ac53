"""Faces drawn into their picture: boxes, the 106 points and the axes of the head."""

from collections.abc import Sequence

import cv2
import numpy as np

from appliance.face.types import Box, Face, Pixels, Pose

BOX, POINT = (255, 196, 0), (0, 255, 128)
RIGHT, UP, FORWARD = (255, 64, 64), (64, 224, 64), (64, 128, 255)

_SUBPIXEL_BITS = 4
"""OpenCV draws at 1/16 pixel with this shift."""


def draw_faces(pixels: Pixels, faces: Sequence[Face]) -> Pixels:
    """A copy of an RGB picture with each face's square box, points and pose axes (red to its right, green up, blue
    forward), lines as thick as the face is large.
    """
    canvas = pixels.copy()
    for face in faces:
        box = face.detection.box.squared()
        thickness = max(1, round(box.side / 160))
        corners = _at(box.x, box.y), _at(box.x + box.side, box.y + box.side)
        cv2.rectangle(canvas, *corners, BOX, thickness, cv2.LINE_AA, _SUBPIXEL_BITS)
        for x, y in face.points:
            cv2.circle(canvas, _at(x, y), max(16, round(box.side / 10)), POINT, -1, cv2.LINE_AA, _SUBPIXEL_BITS)
        _draw_axes(canvas, box, face.pose, thickness + 1)
    return canvas


def _draw_axes(canvas: Pixels, box: Box, pose: Pose, thickness: int) -> None:
    """The head's three axes from the box's centre, half the box's side long, in orthographic view."""
    yaw, pitch, roll = np.radians(pose)
    about_y = np.array([[np.cos(yaw), 0, np.sin(yaw)], [0, 1, 0], [-np.sin(yaw), 0, np.cos(yaw)]])
    about_x = np.array([[1, 0, 0], [0, np.cos(pitch), np.sin(pitch)], [0, -np.sin(pitch), np.cos(pitch)]])
    about_z = np.array([[np.cos(roll), np.sin(roll), 0], [-np.sin(roll), np.cos(roll), 0], [0, 0, 1]])
    rotation = about_x @ about_y @ about_z
    x, y = box.center
    for axis, colour in ((0, RIGHT), (1, UP), (2, FORWARD)):
        tip = rotation[:, axis] * box.side / 2
        cv2.line(canvas, _at(x, y), _at(x + tip[0], y - tip[1]), colour, thickness, cv2.LINE_AA, _SUBPIXEL_BITS)


def _at(x: float, y: float) -> tuple[int, int]:
    return round(x * 2**_SUBPIXEL_BITS), round(y * 2**_SUBPIXEL_BITS)
