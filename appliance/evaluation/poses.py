"""Pictures whose head pose is known: a table of angles."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from appliance.evaluation.layout import LayoutError, existing, find_table, number, read_table
from appliance.evaluation.measures import Reals

ANGLES = ("yaw", "pitch", "roll")
"""In degrees, with the contract's signs: nose to the picture's right, nose up, head leaning clockwise are positive."""


@dataclass(frozen=True, slots=True)
class PosedPicture:
    """A picture and the pose (3: yaw, pitch, roll in degrees) of the largest face in it."""

    path: Path
    pose: Reals


def read_posed_pictures(folder: Path) -> list[PosedPicture]:
    """The rows of a CSV file with image, yaw, pitch, roll; pictures lie beside it or in images/. Raises LayoutError."""
    table = find_table(folder, ("image", *ANGLES))
    if table is None:
        raise LayoutError(f"{folder}: no CSV file with image, yaw, pitch, roll (degrees)")
    images = folder / "images" if (folder / "images").is_dir() else folder
    rows = read_table(table, ("image", *ANGLES))
    existing([images / row["image"] for row in rows])
    return [
        PosedPicture(images / row["image"], np.array([number(row, angle, table) for angle in ANGLES])) for row in rows
    ]
