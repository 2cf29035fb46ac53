"""A photograph on paper that is tilted and bent before a camera: every ray of a pinhole camera is cut with the sheet."""

import cv2
import numpy as np

from appliance.face.types import Box, Pixels


def held(
    photo: Pixels,
    box: Box,
    yaw: float = 0,
    pitch: float = 0,
    *,
    away: float = 4,
    radius: float = 0,
    lying: bool = False,
) -> Pixels:
    """The sheet, its middle that of the face in `box`, turned by these degrees, `away` face widths from the camera. `radius` is
    that of a cylinder in face widths (0: flat; below 0: hollow), upright or, if `lying`, across.
    """
    height, width = photo.shape[:2]
    rows, columns = np.mgrid[:height, :width].astype(float)
    zoom = box.width * 0.8
    x, y = (columns - width / 2) / zoom / away, (rows - height / 2) / zoom / away
    a, b = np.radians((yaw, pitch))
    around_y = np.array([[np.cos(a), 0, -np.sin(a)], [0, 1, 0], [np.sin(a), 0, np.cos(a)]])
    around_x = np.array([[1, 0, 0], [0, np.cos(b), -np.sin(b)], [0, np.sin(b), np.cos(b)]])
    to_sheet = around_x @ around_y
    eye, rays = to_sheet.T @ (0, 0, -away), np.stack([x, y, np.ones_like(x)], -1) @ to_sheet
    bent, straight = (1, 0) if lying else (0, 1)
    with np.errstate(invalid="ignore", divide="ignore"):
        if radius:
            p = rays[..., bent] ** 2 + rays[..., 2] ** 2
            q = eye[bent] * rays[..., bent] + (eye[2] - radius) * rays[..., 2]
            root = np.sqrt(q * q - p * (eye[bent] ** 2 + (eye[2] - radius) ** 2 - radius**2))
            way = (-q - np.sign(radius) * root) / p
            along, depth = eye[bent] + way * rays[..., bent], eye[2] + way * rays[..., 2]
            across = abs(radius) * np.arctan2(along, (radius - depth) * np.sign(radius))
        else:
            way = -eye[2] / rays[..., 2]
            across = eye[bent] + way * rays[..., bent]
        places = {bent: across, straight: eye[straight] + way * rays[..., straight]}
    maps = [np.nan_to_num(places[i] * box.width + box.center[i], nan=-1e4, posinf=-1e4, neginf=-1e4) for i in (0, 1)]
    grey = (110, 104, 96)
    seen = cv2.remap(
        photo, *(m.astype(np.float32) for m in maps), cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT, borderValue=grey
    )
    return np.asarray(seen, np.uint8)
