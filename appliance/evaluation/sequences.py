"""Four-frame sequences of real people and of attacks: a table, or a folder a species."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from appliance.evaluation.layout import SUFFIXES, LayoutError, read_table

REAL = "real"
"""The label of a person; every other one is a species of attack (ISO/IEC 30107-3)."""

FRAMES = 4


@dataclass(frozen=True, slots=True)
class FrameSequence:
    """Four pictures in time order, and what they show: real, or the species of the attack."""

    name: str
    label: str
    paths: tuple[Path, ...]

    @property
    def frames(self) -> tuple[bytes, ...]:
        """Their contents. Raises OSError."""
        return tuple(path.read_bytes() for path in self.paths)


def read_sequences(folder: Path) -> list[FrameSequence]:
    """The sequences of sequences.csv (sequence, label), or those in real/NAME/ and SPECIES/NAME/. Raises LayoutError."""
    table = folder / "sequences.csv"
    found = _listed(table) if table.is_file() else list(_sorted_into_folders(folder))
    labels = {sequence.label for sequence in found}
    if REAL not in labels or len(labels) < 2:
        raise LayoutError(
            f"{folder}: neither sequences.csv (sequence, label) nor real/NAME/1.jpg … 4.jpg and SPECIES/NAME/1.jpg … 4.jpg;"
            " real people and attacks are both needed"
        )
    return found


def _listed(table: Path) -> list[FrameSequence]:
    rows = read_table(table, ("sequence", "label"))
    return [FrameSequence(row["sequence"], row["label"], _frames(table.parent / row["sequence"])) for row in rows]


def _sorted_into_folders(folder: Path) -> Iterator[FrameSequence]:
    for species in sorted(path for path in folder.iterdir() if path.is_dir()):
        for sequence in sorted(path for path in species.iterdir() if path.is_dir()):
            yield FrameSequence(f"{species.name}/{sequence.name}", species.name, _frames(sequence))


def _frames(folder: Path) -> tuple[Path, ...]:
    return tuple(_frame(folder, number) for number in range(1, FRAMES + 1))


def _frame(folder: Path, number: int) -> Path:
    found = next((path for path in (folder / f"{number}{suffix}" for suffix in SUFFIXES) if path.is_file()), None)
    if found is None:
        raise LayoutError(f"{folder / str(number)}.jpg: no such frame; a sequence is 1.jpg, 2.jpg, 3.jpg and 4.jpg")
    return found
