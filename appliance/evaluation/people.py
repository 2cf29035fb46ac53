"""Pictures of people who are named: a folder a person, or PERSON_NUMBER.jpg side by side, as LFW has them."""

from collections.abc import Iterator
from pathlib import Path

from appliance.evaluation.layout import SUFFIXES, LayoutError

PICTURES = "images"
"""Where they are below a folder that has a list of pairs, too."""


def read_people(folder: Path) -> dict[str, list[Path]]:
    """The pictures of each person, by name. Raises LayoutError when there are none."""
    root = folder / PICTURES if (folder / PICTURES).is_dir() else folder
    people: dict[str, list[Path]] = {}
    try:
        for name, path in _named(root):
            people.setdefault(name, []).append(path)
    except OSError as error:
        raise LayoutError(f"{error.filename}: {error.strerror}") from error
    if not people:
        raise LayoutError(f"{root}: neither folders that are named after people, nor pictures named PERSON_NUMBER.jpg")
    return people


def _named(root: Path) -> Iterator[tuple[str, Path]]:
    for path in sorted(root.iterdir()):
        if path.is_dir():
            yield from ((path.name, each) for each in sorted(path.iterdir()) if _is_picture(each))
        elif _is_picture(path):
            name, _, number = path.stem.rpartition("_")
            yield name if name and number.isdigit() else path.stem, path


def _is_picture(path: Path) -> bool:
    return path.suffix.lower() in SUFFIXES and not path.name.startswith(".")
