"""Folders of labelled pictures in their known layouts. Every reader raises LayoutError, in one line that names the file."""

import csv
import math
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from appliance.calibration.rates import Flags, Reals

SUFFIXES = (".jpg", ".jpeg", ".png")  # the contract's picture formats

# Pictures that show another person than their name says: this one of LFW is more like three of Abdullah Gul (cosines of .76 to
# .80) than any two other people are alike.
MISNAMED = {"Recep_Tayyip_Erdogan_0004"}

FOLDS = 10  # parts of a list of pairs without parts of its own (the protocol of LFW)
COUNT = "0{0,3}[1-9][0-9]{0,6}"  # a number of pairs, or of a picture, as LFW writes it
LFW_HEADER = re.compile(rf"\s*({COUNT})(?:\s+({COUNT}))?\s*", re.ASCII)
LFW_PAIR = re.compile(rf"\s*(\S+)\s+({COUNT})\s+(?:(\S+)\s+)?({COUNT})\s*", re.ASCII)

SETTINGS = ("easy", "medium", "hard")  # of WIDER FACE: which faces count
ALL = "all faces"  # the setting of labels that do not say which faces count
BOX = ("x", "y", "w", "h")
WIDER_LIST = "wider_face_split/wider_face_val_bbx_gt.txt"
# x, y, w, h, blur, expression, illumination, invalid, occlusion, pose: 1 in column 7 marks a box to ignore (its readme)
WIDER_COLUMNS, WIDER_INVALID = 10, 7
WIDER_ROW = re.compile("-?[0-9]{1,6}( -?[0-9]{1,6}){9}")

ANGLES = ("yaw", "pitch", "roll")  # degrees, positive: nose to the picture's right, nose up, head leaning clockwise
REAL = "real"  # the label of a person; every other one is a species of attack (ISO/IEC 30107-3)
FRAMES = 4
POINTS = 68  # of 300-W, AFW, HELEN, IBUG and LFPW
LABEL_ORIGIN = (
    0.5  # .pts count pixel centres from one (MATLAB; menpo's importer), the contract from the picture's corner
)
EYE_CORNERS = (36, 45)  # the outer eye corners, points 37 and 46 counted from one: 300-W's inter-ocular distance

Folds = npt.NDArray[np.int64]  # the part (0, 1 …) that each pair belongs to


class LayoutError(Exception):
    """A folder is not laid out as the question needs it; the text names the file and what it should be."""


@dataclass(frozen=True, slots=True)
class Pair:
    """Two pictures, whether they show one person, and the part of the list (0, 1 …) when the protocol gives one."""

    image_a: Path
    image_b: Path
    same: bool
    fold: int | None = None


@dataclass(frozen=True, slots=True)
class PairList:
    """The pairs of a protocol."""

    pairs: tuple[Pair, ...]

    @property
    def same(self) -> Flags:
        """Of each pair, whether it is one person."""
        return np.array([pair.same for pair in self.pairs], dtype=np.bool_)

    @property
    def folds(self) -> Folds:
        """The part of each pair: as the protocol gives them, else ten consecutive ones with the same share of both kinds."""
        given = [pair.fold for pair in self.pairs if pair.fold is not None]
        return np.array(given, dtype=np.int64) if len(given) == len(self.pairs) else consecutive_folds(self.same)


@dataclass(frozen=True, slots=True)
class LabelledPicture:
    """A picture, the boxes in it (M x 4: x, y, width, height in its pixels), and which of them count in each setting."""

    path: Path
    boxes: Reals
    counted: Mapping[str, Flags]


@dataclass(frozen=True, slots=True)
class LabelledFace:
    """A picture, the 68 labelled points (68 x 2) of one face in it, and their inter-ocular distance in pixels."""

    path: Path
    points: Reals
    interocular: float


@dataclass(frozen=True, slots=True)
class FrameSequence:
    """Four pictures in time order, and what they show: REAL, or the species of the attack."""

    name: str
    label: str
    paths: tuple[Path, ...]

    @property
    def frames(self) -> tuple[bytes, ...]:
        """Their contents. Raises OSError."""
        return tuple(path.read_bytes() for path in self.paths)


def consecutive_folds(same: Flags, folds: int = FOLDS) -> Folds:
    """Consecutive parts, the same share of both kinds: a list sorted by person keeps a person's pairs together."""
    parts = np.zeros(same.size, dtype=np.int64)
    for kind in (True, False):
        for fold, part in enumerate(np.array_split(np.flatnonzero(same == kind), folds)):
            parts[part] = fold
    return parts


def read_pair_list(folder: Path) -> PairList:
    """The pairs in a folder of pairs.csv or of LFW (pairs.txt)."""
    if (folder / "pairs.csv").is_file():
        listed = PairList(tuple(read_pairs(folder / "pairs.csv", folder / "images")))
    else:
        official = folder / "pairs.txt"
        _need(official.is_file(), f"{folder}: neither pairs.csv (image_a, image_b, same) nor pairs.txt (LFW)")
        listed = PairList(tuple(_lfw(official)))
    _need(len({pair.same for pair in listed.pairs}) == 2, f"{folder}: pairs of one person and of two are both needed")
    _existing(sorted({path for pair in listed.pairs for path in (pair.image_a, pair.image_b)}))
    return listed


def read_pairs(path: Path, images: Path) -> list[Pair]:
    """The rows of a table with image_a, image_b (below `images`) and same (1 or 0)."""
    rows = _table(path, ("image_a", "image_b", "same"))
    for same in (row["same"] for row in rows):
        _need(same in {"0", "1"}, f"{path}: same is {same!r}; it is 1 for one person and 0 for two")
    return [Pair(images / row["image_a"], images / row["image_b"], row["same"] == "1") for row in rows]


def _lfw(path: Path) -> Iterator[Pair]:
    """The official format: "FOLDS PAIRS" or "PAIRS", then in each fold as many lines NAME I J, and as many NAME I NAME J."""
    header, *lines = _lines(path)
    counts = LFW_HEADER.fullmatch(header)
    if counts is None:
        raise LayoutError(f"{path}, line 1: {header.strip()!r} is not the number of folds and of pairs")
    folds, of_a_kind = (int(counts[1]), int(counts[2])) if counts[2] else (1, int(counts[1]))
    wanted = 2 * folds * of_a_kind
    _need(len(lines) == wanted, f"{path}: {len(lines)} pairs, but line 1 says {wanted}")
    names = []
    for number, line in enumerate(lines, 2):
        pair = LFW_PAIR.fullmatch(line)
        if pair is None:
            raise LayoutError(f"{path}, line {number}: not NAME I J, nor NAME I NAME J")
        a, first, b, second = pair.groups()
        names.append((_lfw_name(a, first), _lfw_name(b or a, second), b is None))
    roots = (path.parent, *sorted(each for each in path.parent.iterdir() if each.is_dir()))
    places = ((root, suffix) for suffix in (".png", ".jpg") for root in roots)  # aligned copies have .png
    found = next((place for place in places if (place[0] / f"{names[0][0]}{place[1]}").is_file()), None)
    if found is None:
        raise LayoutError(
            f"{path.parent / names[0][0]}.jpg: no such picture, neither there nor in a folder beside {path}"
        )
    root, suffix = found
    for number, (a, b, same) in enumerate(names):
        yield Pair(root / f"{a}{suffix}", root / f"{b}{suffix}", same, number * folds // wanted if counts[2] else None)


def _lfw_name(person: str, number: str) -> str:
    return f"{person}/{person}_{int(number):04d}"


def read_people(folder: Path) -> dict[str, list[Path]]:
    """The pictures of each person, by name, except MISNAMED ones: a folder a person, or PERSON_NUMBER.jpg side by side, as LFW
    has them; below images/ where a list of pairs lies beside it.
    """
    root = folder / "images" if (folder / "images").is_dir() else folder
    people: dict[str, list[Path]] = defaultdict(list)
    try:
        for path in sorted(root.iterdir()):
            name, _, number = path.stem.rpartition("_")
            own = path.name if path.is_dir() else name if name and number.isdigit() else path.stem
            for each in sorted(path.iterdir()) if path.is_dir() else (path,):
                if each.suffix.lower() in SUFFIXES and each.name[0] != "." and each.stem not in MISNAMED:
                    people[own].append(each)
    except OSError as error:
        raise LayoutError(f"{error.filename}: {error.strerror}") from error
    _need(people, f"{root}: neither folders that are named after people, nor pictures named PERSON_NUMBER.jpg")
    return dict(people)


def read_labelled_pictures(folder: Path) -> list[LabelledPicture]:
    """The pictures of a table with image, x, y, w, h, or of WIDER FACE.

    A row without a box says that there is no face; a column named as a setting says by 1 or 0 whether a face counts there.
    """
    if (folder / WIDER_LIST).is_file():
        return list(_wider(folder))
    rows, table, images = _found_table(folder, ("image", *BOX), f", and no {WIDER_LIST} (WIDER FACE)")
    settings = [setting for setting in SETTINGS if setting in rows[0]]
    labels: dict[str, list[dict[str, str]]] = defaultdict(list)
    for row in rows:
        labels[row["image"]] += [row] if any(row[key] for key in BOX) else []
    _existing([images / name for name in sorted(labels)])
    pictures = []
    for name, own in sorted(labels.items()):
        counted = {setting: np.array([row[setting] == "1" for row in own], dtype=np.bool_) for setting in settings}
        boxes = _numbers(own, BOX, table)
        pictures.append(LabelledPicture(images / name, boxes, counted or {ALL: np.ones(len(own), dtype=np.bool_)}))
    return pictures


def _wider(folder: Path) -> Iterator[LabelledPicture]:
    listed = list(_wider_list(folder / WIDER_LIST))
    images = folder / "WIDER_val" / "images"
    _existing([images / name for name, _ in listed])
    official = {setting: next(folder.rglob(f"wider_{setting}_val.mat"), None) for setting in SETTINGS}
    tables = {setting: dict(_wider_counted(path)) for setting, path in official.items() if path is not None}
    for name, rows in listed:
        counted = {ALL: np.asarray(rows[:, WIDER_INVALID] == 0)}
        if len(tables) == len(SETTINGS):
            numbers = np.arange(len(rows))
            counted = {setting: np.isin(numbers, tables[setting].get(name, [])) for setting in SETTINGS}
        yield LabelledPicture(images / name, rows[:, :4], counted)


def _wider_list(path: Path) -> Iterator[tuple[str, Reals]]:
    """Picture and its rows of WIDER_COLUMNS numbers."""
    lines = iter(_lines(path))
    for name in map(str.strip, lines):
        count = next(lines, "").strip()
        _need(re.fullmatch("[0-9]{1,6}", count), f"{path}: {name} is not followed by the number of its faces")
        rows = [" ".join(line.split()) for line in islice(lines, max(1, int(count)))]
        whole = len(rows) >= int(count) and all(WIDER_ROW.fullmatch(row) for row in rows)  # one of zeros without a face
        _need(whole, f"{path}: the faces of {name} are not {count} rows of ten numbers")
        yield name, np.array([row.split() for row in rows], np.float64).reshape(-1, WIDER_COLUMNS)[: int(count)]


def _wider_counted(path: Path) -> Iterator[tuple[str, Any]]:
    """The nested cells of wider_*_val.mat: of each picture, the places of the faces that count."""
    from scipy.io import loadmat

    table = loadmat(path)
    for event, files, indices in zip(table["event_list"], table["file_list"], table["gt_list"], strict=True):
        for file, kept in zip(files[0], indices[0], strict=True):
            yield f"{event[0].item()}/{file[0].item()}.jpg", np.asarray(kept[0], dtype=np.int64).ravel() - 1


def read_labelled_faces(folder: Path) -> list[LabelledFace]:
    """Every .pts file below the folder, with the picture beside it."""
    paths = sorted(folder.rglob("*.pts"))
    _need(paths, f"{folder}: no NAME.pts with the 68 points of 300-W beside NAME.jpg or NAME.png")
    return [_labelled_face(path) for path in paths]


def _labelled_face(path: Path) -> LabelledFace:
    rows = [line.split() for line in _lines(path) if line.lstrip()[:1] in set("-0123456789")]
    try:
        points = np.array(rows, dtype=np.float64) - LABEL_ORIGIN
    except ValueError as error:
        raise LayoutError(f"{path}: its points are not all two numbers a line") from error
    whole = points.shape == (POINTS, 2) and bool(np.isfinite(points).all())
    _need(whole, f"{path}: {len(rows)} points; 300-W has {POINTS}, two numbers a line")
    picture = _picture(path.with_suffix(""), "no such picture beside its .pts")
    return LabelledFace(picture, points, float(np.linalg.norm(points[EYE_CORNERS[0]] - points[EYE_CORNERS[1]])))


def read_posed_pictures(folder: Path) -> tuple[list[Path], Reals]:
    """The rows of a CSV file with image, yaw, pitch, roll; pictures lie beside it or in images/. Their paths, and the poses of
    the largest face in each (N x 3: yaw, pitch, roll in degrees).
    """
    rows, table, images = _found_table(folder, ("image", *ANGLES), " (degrees)")
    paths = [images / row["image"] for row in rows]
    _existing(paths)
    return paths, _numbers(rows, ANGLES, table)


def read_sequences(folder: Path) -> list[FrameSequence]:
    """The sequences of sequences.csv (sequence, label), or those in real/NAME/ and SPECIES/NAME/."""
    table = folder / "sequences.csv"
    if table.is_file():
        listed = [(row["sequence"], row["label"]) for row in _table(table, ("sequence", "label"))]
    else:
        found = sorted(path for path in folder.glob("*/*") if path.is_dir())
        listed = [(f"{path.parent.name}/{path.name}", path.parent.name) for path in found]
    labels = {label for _, label in listed}
    layouts = "sequences.csv (sequence, label) nor real/NAME/1.jpg … 4.jpg and SPECIES/NAME/1.jpg … 4.jpg"
    _need(REAL in labels and len(labels) > 1, f"{folder}: neither {layouts}; real people and attacks are both needed")
    missing, numbers = "no such frame; a sequence is 1.jpg, 2.jpg, 3.jpg and 4.jpg", range(1, FRAMES + 1)
    return [
        FrameSequence(name, label, tuple(_picture(folder / name / str(number), missing) for number in numbers))
        for name, label in listed
    ]


def _picture(path: Path, missing: str) -> Path:
    """The picture of this name without its suffix."""
    found = next((each for suffix in SUFFIXES if (each := path.with_name(f"{path.name}{suffix}")).is_file()), None)
    if found is None:
        raise LayoutError(f"{path}.jpg: {missing}")
    return found


def _table(path: Path, columns: Sequence[str]) -> list[dict[str, str]]:
    """The rows of a CSV file with these columns in its header, one at least."""
    header, rows = _csv(path)
    missing = ", ".join(column for column in columns if column not in header)
    _need(not missing, f"{path}: the header has no {missing}; it should have {', '.join(columns)}")
    _need(rows, f"{path}: no row below the header")
    for number, row in enumerate(rows, 2):
        _need(None not in row.values(), f"{path}, line {number}: fewer fields than the header")
    return rows


def _found_table(folder: Path, columns: Sequence[str], otherwise: str = "") -> tuple[list[dict[str, str]], Path, Path]:
    """The rows of the first CSV file, by name, whose header has these columns, its path, and the folder of the pictures."""
    table = next((path for path in sorted(folder.glob("*.csv")) if set(columns) <= set(_csv(path)[0])), None)
    if table is None:
        raise LayoutError(f"{folder}: no CSV file with {', '.join(columns)}{otherwise}")
    return _table(table, columns), table, folder / "images" if (folder / "images").is_dir() else folder


def _numbers(rows: Sequence[Mapping[str, str]], columns: Sequence[str], path: Path) -> Reals:
    """Finite numbers, a row each."""
    numbers = np.full((len(rows), len(columns)), np.nan)
    for place, column in np.ndindex(numbers.shape):
        text = rows[place][columns[column]]
        with suppress(ValueError):
            numbers[place, column] = float(text)
        _need(math.isfinite(numbers[place, column]), f"{path}: {columns[column]} is {text!r}, not a number")
    return numbers


def _existing(paths: Iterable[Path]) -> None:
    for path in paths:
        _need(path.is_file(), f"{path}: no such picture, but the labels name it")


def _lines(path: Path) -> list[str]:
    """The lines of a text file that are not blank, one at least."""
    try:
        lines = [line for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise LayoutError(f"{path}: {getattr(error, 'strerror', None) or 'not UTF-8 text'}") from error
    _need(lines, f"{path}: nothing is in it")
    return lines


def _csv(path: Path) -> tuple[Sequence[str], list[dict[str, str]]]:
    try:
        with path.open(newline="", encoding="utf-8-sig") as lines:
            reader = csv.DictReader(lines)
            return reader.fieldnames or (), list(reader)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise LayoutError(f"{path}: {getattr(error, 'strerror', None) or 'not a CSV file in UTF-8'}") from error


def _need(held: object, otherwise: str) -> None:
    """Raises LayoutError unless something holds."""
    if not held:
        raise LayoutError(otherwise)
