"""Labelled faces for the detector: tables of boxes, or the layout of WIDER FACE."""

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from appliance.evaluation.layout import LayoutError, existing, find_table, number, read_lines, read_table
from appliance.evaluation.measures import Flags, Reals

SETTINGS = ("easy", "medium", "hard")
"""Of WIDER FACE: which faces count."""

ALL = "all faces"
"""The setting of labels that do not say which faces count."""

BOX = ("x", "y", "w", "h")

WIDER_LIST = "wider_face_split/wider_face_val_bbx_gt.txt"

WIDER_COLUMNS = 10

WIDER_ROW = re.compile("-?[0-9]{1,6}( -?[0-9]{1,6}){9}")

WIDER_INVALID = 7
"""Column of the list that is 1 for a box to be ignored (its readme)."""


@dataclass(frozen=True, slots=True)
class LabelledPicture:
    """A picture, the boxes in it (M x 4: x, y, width, height in its pixels), and which of them count in each setting."""

    path: Path
    boxes: Reals
    counted: Mapping[str, Flags]


def read_labelled_pictures(folder: Path) -> list[LabelledPicture]:
    """The pictures of labels.csv, of another table with image, x, y, w, h, or of WIDER FACE. Raises LayoutError."""
    if (folder / WIDER_LIST).is_file():
        return list(_wider(folder))
    table = folder / "labels.csv" if (folder / "labels.csv").is_file() else find_table(folder, ("image", *BOX))
    if table is None:
        raise LayoutError(f"{folder}: neither a CSV file with image, x, y, w, h nor {WIDER_LIST} (WIDER FACE)")
    images = folder / "images" if (folder / "images").is_dir() else folder
    return read_boxes(table, images)


def read_boxes(path: Path, images: Path) -> list[LabelledPicture]:
    """The pictures of a table with image (below `images`), x, y, w, h. A row without a box says that there is no face;
    a column named as a setting says by 1 or 0 whether a face counts there. Raises LayoutError.
    """
    rows = read_table(path, ("image", *BOX))
    settings = [setting for setting in SETTINGS if setting in rows[0]]
    labels: dict[str, list[dict[str, str]]] = defaultdict(list)
    for row in rows:
        labels[row["image"]] += [row] if any(row[key] for key in BOX) else []
    existing([images / name for name in sorted(labels)])
    return [_labelled(images / name, labels[name], settings, path) for name in sorted(labels)]


def _labelled(picture: Path, rows: list[dict[str, str]], settings: list[str], table: Path) -> LabelledPicture:
    boxes = np.array([[number(row, key, table) for key in BOX] for row in rows], dtype=np.float64).reshape(-1, 4)
    counted = {setting: np.array([row[setting] == "1" for row in rows], dtype=np.bool_) for setting in settings}
    return LabelledPicture(picture, boxes, counted or {ALL: np.ones(len(rows), dtype=np.bool_)})


def _wider(folder: Path) -> Iterator[LabelledPicture]:
    listed = list(_wider_list(folder / WIDER_LIST))
    images = folder / "WIDER_val" / "images"
    existing([images / name for name, _ in listed])
    official = _official_settings(folder)
    for name, rows in listed:
        boxes = rows[:, :4]
        if official is None:
            yield LabelledPicture(images / name, boxes, {ALL: rows[:, WIDER_INVALID] == 0})
            continue
        counted = {setting: np.zeros(len(rows), dtype=np.bool_) for setting in SETTINGS}
        for setting in SETTINGS:
            counted[setting][official[setting].get(name, np.zeros(0, dtype=np.int64))] = True
        yield LabelledPicture(images / name, boxes, counted)


def _wider_list(path: Path) -> Iterator[tuple[str, Reals]]:
    """Picture and its rows: x, y, w, h, blur, expression, illumination, invalid, occlusion, pose."""
    lines = read_lines(path)
    place = 0
    while place < len(lines):
        name, count = lines[place].strip(), "".join(lines[place + 1 : place + 2]).strip()
        if not re.fullmatch("[0-9]{1,6}", count):
            raise LayoutError(f"{path}: {name} is not followed by the number of its faces")
        faces = int(count)
        rows = [line.split() for line in lines[place + 2 : place + 2 + max(1, faces)]]  # one of zeros without a face
        if len(rows) < faces or any(not WIDER_ROW.fullmatch(" ".join(row)) for row in rows):
            raise LayoutError(f"{path}: the faces of {name} are not {count} rows of ten numbers")
        yield name, np.array(rows, dtype=np.float64).reshape(-1, WIDER_COLUMNS)[:faces]
        place += 2 + len(rows)


def _official_settings(folder: Path) -> dict[str, dict[str, Any]] | None:
    """Of each setting and picture the places of the faces that count; None without the official files, or without scipy."""
    paths = {setting: next(folder.rglob(f"wider_{setting}_val.mat"), None) for setting in SETTINGS}
    found = {setting: path for setting, path in paths.items() if path is not None}
    if len(found) < len(SETTINGS):
        return None
    try:
        from scipy.io import loadmat
    except ImportError as error:
        raise LayoutError(
            f"{found['easy']}: reading it needs scipy: pip install scipy (or move the .mat files away: then all faces count)"
        ) from error
    return {setting: dict(_counted(loadmat(path))) for setting, path in found.items()}


def _counted(table: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """The nested cells of wider_*_val.mat: events, their pictures without suffix, and indices counted from one."""
    for event, files, indices in zip(table["event_list"], table["file_list"], table["gt_list"], strict=True):
        for file, kept in zip(files[0], indices[0], strict=True):
            name = f"{event[0].item()}/{file[0].item()}.jpg"
            yield name, np.asarray(kept[0], dtype=np.int64).ravel() - 1
