"""What lies in a folder of labelled pictures: tables with a header, and where the pictures are."""

import csv
import math
from collections.abc import Sequence
from pathlib import Path

SUFFIXES = (".jpg", ".jpeg", ".png")
"""What the contract takes."""


class LayoutError(Exception):
    """A folder is not laid out as the question needs it; the text names the file and what it should be."""


def read_table(path: Path, columns: Sequence[str]) -> list[dict[str, str]]:
    """The rows of a CSV file with a header. Raises LayoutError when it cannot be read, lacks a column or has no row."""
    rows = _rows(path)
    missing = [column for column in columns if column not in (rows[0] if rows else ())]
    if missing:
        raise LayoutError(f"{path}: the header has no {', '.join(missing)}; it should have {', '.join(columns)}")
    if len(rows) < 2:
        raise LayoutError(f"{path}: no row below the header")
    short = next((number for number, row in enumerate(rows, 1) if len(row) < len(rows[0])), None)
    if short is not None:
        raise LayoutError(f"{path}, line {short}: fewer fields than the header")
    return [dict(zip(rows[0], row, strict=False)) for row in rows[1:]]


def find_table(folder: Path, columns: Sequence[str]) -> Path | None:
    """The first CSV file, by name, whose header has these columns."""
    found = (path for path in sorted(folder.glob("*.csv")) if set(columns) <= set((_rows(path) or [[]])[0]))
    return next(found, None)


def number(row: dict[str, str], column: str, path: Path) -> float:
    """A field of a row as a finite number. Raises LayoutError."""
    try:
        value = float(row[column])
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise LayoutError(f"{path}: {column} is {row[column]!r}, not a number")
    return value


def picture_root(folder: Path, picture: str) -> Path:
    """The folder, or the one directly below it, from which `picture` (a relative path) leads to a file.

    Raises LayoutError.
    """
    below = sorted(path for path in folder.iterdir() if path.is_dir())
    found = next((root for root in (folder, *below) if (root / picture).is_file()), None)
    if found is None:
        raise LayoutError(f"{folder / picture}: no such picture, neither there nor in a folder below {folder}")
    return found


def existing(paths: Sequence[Path]) -> Sequence[Path]:
    """The same paths. Raises LayoutError for the first that is no file."""
    missing = next((path for path in paths if not path.is_file()), None)
    if missing is not None:
        raise LayoutError(f"{missing}: no such picture, but the labels name it")
    return paths


def read_lines(path: Path) -> list[str]:
    """The lines of a text file that are not blank, one at least. Raises LayoutError."""
    try:
        lines = [line for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise LayoutError(f"{path}: {getattr(error, 'strerror', None) or 'not UTF-8 text'}") from error
    if not lines:
        raise LayoutError(f"{path}: nothing is in it")
    return lines


def _rows(path: Path) -> list[list[str]]:
    try:
        with path.open(newline="", encoding="utf-8-sig") as lines:
            return [row for row in csv.reader(lines) if row]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise LayoutError(f"{path}: {getattr(error, 'strerror', None) or 'not a CSV file in UTF-8'}") from error
