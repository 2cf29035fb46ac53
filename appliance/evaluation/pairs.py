"""Pairs of pictures of one person, and of two: a plain table, or the layout of LFW or CFP."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from appliance.evaluation.layout import LayoutError, existing, picture_root, read_lines, read_table
from appliance.evaluation.measures import Flags

FOLDS = 10
"""Parts of a list of pairs without parts of its own (the protocol of LFW)."""

COUNT = re.compile("0{0,3}[1-9][0-9]{0,6}", re.ASCII)
"""A number of pairs, or of a picture, as LFW writes it."""

Folds = npt.NDArray[np.int64]
"""The part (0, 1 …) that each pair belongs to."""


@dataclass(frozen=True, slots=True)
class Pair:
    """Two pictures, whether they show one person, and the part of the list (0, 1 …) when the protocol gives one."""

    image_a: Path
    image_b: Path
    same: bool
    fold: int | None = None


@dataclass(frozen=True, slots=True)
class PairList:
    """The pairs of one protocol; its name is "" when the folder has only one."""

    name: str
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


def consecutive_folds(same: Flags, folds: int = FOLDS) -> Folds:
    """Consecutive parts, the same share of both kinds: a list sorted by person keeps a person's pairs together."""
    parts = np.zeros(same.size, dtype=np.int64)
    for kind in (True, False):
        places = np.flatnonzero(same == kind)
        for fold, part in enumerate(np.array_split(places, folds)):
            parts[part] = fold
    return parts


def read_pair_lists(folder: Path) -> list[PairList]:
    """The pairs in a folder of pairs.csv, of LFW (pairs.txt) or of CFP (Protocol/). Raises LayoutError."""
    layouts: Mapping[str, Callable[[Path], list[PairList]]] = {
        "pairs.csv": lambda _: [PairList("", tuple(read_pairs(folder / "pairs.csv", folder / "images")))],
        "pairs.txt": lambda _: [PairList("", tuple(_lfw(folder)))],
        "Protocol": _cfp,
    }
    found = next((read for name, read in layouts.items() if (folder / name).exists()), None)
    if found is None:
        raise LayoutError(f"{folder}: neither pairs.csv (image_a, image_b, same), pairs.txt (LFW) nor Protocol/ (CFP)")
    lists = found(folder)
    for each in lists:
        if each.same.all() or not each.same.any():
            raise LayoutError(f"{folder}: pairs of one person and of two are both needed")
        existing(sorted({path for pair in each.pairs for path in (pair.image_a, pair.image_b)}))
    return lists


def read_pairs(path: Path, images: Path) -> list[Pair]:
    """The rows of a table with image_a, image_b (below `images`) and same (1 or 0). Raises LayoutError."""
    rows = read_table(path, ("image_a", "image_b", "same"))
    wrong = next((row["same"] for row in rows if row["same"] not in ("0", "1")), None)
    if wrong is not None:
        raise LayoutError(f"{path}: same is {wrong!r}; it is 1 for one person and 0 for two")
    return [Pair(images / row["image_a"], images / row["image_b"], row["same"] == "1") for row in rows]


def _lfw(folder: Path) -> list[Pair]:
    """The official format: "FOLDS PAIRS" or "PAIRS", then in each fold as many lines NAME I J, and as many NAME I NAME J."""
    path = folder / "pairs.txt"
    header, *lines = [line.split() for line in read_lines(path)]
    if not 1 <= len(header) <= 2 or not all(COUNT.fullmatch(field) for field in header):
        raise LayoutError(f"{path}, line 1: {' '.join(header)!r} is not the number of folds and of pairs")
    folds, of_a_kind = (1, int(header[0])) if len(header) == 1 else (int(header[0]), int(header[1]))
    if len(lines) != 2 * folds * of_a_kind:
        raise LayoutError(f"{path}: {len(lines)} pairs, but line 1 says {2 * folds * of_a_kind}")
    split = [_lfw_pair(path, number, fields) for number, fields in enumerate(lines, 2)]
    suffix, root = _lfw_pictures(folder, split[0][0])
    return [
        Pair(root / f"{a}{suffix}", root / f"{b}{suffix}", same, index // (2 * of_a_kind) if len(header) == 2 else None)
        for index, (a, b, same) in enumerate(split)
    ]


def _lfw_pair(path: Path, number: int, fields: list[str]) -> tuple[str, str, bool]:
    """Two pictures without their suffix, and whether they are one person's."""
    if len(fields) not in (3, 4) or not all(COUNT.fullmatch(index) for index in (fields[1], fields[-1])):
        raise LayoutError(f"{path}, line {number}: not NAME I J, nor NAME I NAME J")
    name_a, name_b = fields[0], fields[-2] if len(fields) == 4 else fields[0]
    return _lfw_picture(name_a, fields[1]), _lfw_picture(name_b, fields[-1]), len(fields) == 3


def _lfw_picture(name: str, index: str) -> str:
    return f"{name}/{name}_{int(index):04d}"


def _lfw_pictures(folder: Path, picture: str) -> tuple[str, Path]:
    """Suffix and root of the pictures: LFW has .jpg, copies of it that were aligned have .png."""
    try:
        return ".png", picture_root(folder, f"{picture}.png")
    except LayoutError:
        return ".jpg", picture_root(folder, f"{picture}.jpg")


def _cfp(folder: Path) -> list[PairList]:
    """Frontal-frontal (FF) and frontal-profile (FP), each with folds of its own."""
    protocol = folder / "Protocol"
    frontal = _cfp_pictures(protocol / "Pair_list_F.txt")
    second: dict[str, Callable[[], dict[str, Path]]] = {
        "FF": lambda: frontal,
        "FP": lambda: _cfp_pictures(protocol / "Pair_list_P.txt"),
    }
    lists = [
        PairList(f"CFP-{name}", tuple(_cfp_pairs(protocol / "Split" / name, frontal, pictures())))
        for name, pictures in second.items()
        if (protocol / "Split" / name).is_dir()
    ]
    if not lists:
        raise LayoutError(f"{protocol / 'Split'}: neither FF nor FP")
    return lists


def _cfp_pictures(path: Path) -> dict[str, Path]:
    """Lines "NUMBER ../Data/Images/…": the pictures by number, relative to the list itself."""
    split = [line.split() for line in read_lines(path)]
    wrong = next((number for number, fields in enumerate(split, 1) if len(fields) != 2), None)
    if wrong is not None:
        raise LayoutError(f"{path}, line {wrong}: not NUMBER PICTURE")
    return {number: (path.parent / picture).resolve() for number, picture in split}


def _cfp_pairs(split: Path, first: Mapping[str, Path], second: Mapping[str, Path]) -> list[Pair]:
    pairs = []
    for fold, part in enumerate(sorted(path for path in split.iterdir() if path.is_dir())):
        for name, same in (("same.txt", True), ("diff.txt", False)):
            for line in read_lines(part / name):
                a, _, b = line.strip().partition(",")
                if a not in first or b not in second:
                    raise LayoutError(f"{part / name}: {line!r} is no pair of numbers in the lists of pictures")
                pairs.append(Pair(first[a], second[b], same, fold))
    return pairs
