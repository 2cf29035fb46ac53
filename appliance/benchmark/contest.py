"""The device's own engine beside what else could be installed: same pictures, same run, one core each."""

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from statistics import mean, median

import numpy as np
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.progress import track
from rich.table import Column, Table

from appliance.benchmark.bench import Bench
from appliance.benchmark.figures import Measured
from appliance.benchmark.material import CANVAS, FACE_HEIGHT
from appliance.benchmark.peers import OURS, Entry, Peer, RawPicture, Seen, running
from appliance.benchmark.protocol import STEPS
from appliance.benchmark.scaling import pictures_of
from appliance.evaluation.pictures import upright
from appliance.evaluation.report import Finding

TIMES = 5
"""Looks at a picture in a row, so that what another peer left in the caches does not count alone."""

LEAST_TIMES_OURS = {"dlib-upsampled": 8.0, "onnxruntime": 1.0}
"""What a peer of this kind should take at least, as a multiple of ours, for a face at 1280 x 720. dlib's HOG is held to it as
the `face_recognition` package runs it when nothing is said: upsampled once, which finds faces of about our default size.
"""

PORTRAITS = "portraits, 1280x720"


@dataclass(frozen=True, slots=True)
class Row:
    """A peer on a set of pictures: milliseconds a picture by step (None where it has no such step), how many times ours all
    of it takes (ours without a step that it does not have), and the faces found in all pictures.
    """

    pictures: str
    kind: str
    name: str
    milliseconds: dict[str, float | None]
    times_ours: float
    faces: int


@dataclass(slots=True)
class Score:
    """What one peer did with each picture of a set, round by round."""

    peer: Peer
    rounds: list[list[Seen]] = field(default_factory=list)

    def taken(self, number: int, without: Sequence[str] = ()) -> float:
        """Milliseconds of all steps on all pictures in a round, except of those steps `without` which it is to be taken."""
        every, left_out = (
            sum(_median(seen, step) or 0.0 for seen in self.rounds[number] for step in steps)
            for steps in (("all",), without)
        )
        return every - left_out

    def step(self, step: str) -> float | None:
        """Milliseconds of a step a picture: the mean over the pictures of the medians over the rounds."""
        by_picture = zip(*([_median(seen, step) for seen in each] for each in self.rounds), strict=True)
        times = [[value for value in values if value is not None] for values in by_picture]
        return mean(median(values) for values in times) if all(times) else None


def measure(bench: Bench, peers: Sequence[Entry]) -> tuple[Measured, list[Row]]:
    """Everyone on the bundled portraits, and on pictures that somebody brought. Raises OSError, PeerFailedError."""
    sets = {PORTRAITS: [_raw(bench, subject.on(CANVAS, FACE_HEIGHT)) for subject in bench.subjects]}
    if bench.pictures is not None:
        files = pictures_of(bench.pictures, bench.extent.pictures)
        sets[f"{len(files)} pictures"] = [_raw(bench, file.read_bytes()) for file in files]
    with ExitStack() as stack:
        everyone = [stack.enter_context(running(entry)) for entry in (OURS, *peers)]
        rows = [
            row for title, pictures in sets.items() for row in _rows(title, everyone, pictures, bench.extent.rounds)
        ]
    return Measured([_judged(row) for row in rows if row.kind in LEAST_TIMES_OURS and row.pictures == PORTRAITS]), rows


def print_rows(rows: Sequence[Row], console: Console) -> None:
    """A table a set of pictures, a line a peer."""
    for title in dict.fromkeys(row.pictures for row in rows):
        numbers = (Column(name, justify="right", width=6) for name in (*STEPS, "all", "x ours", "faces"))
        title_column = Column(f"{title}: ms", width=34)
        table = Table(title_column, *numbers, box=SIMPLE_HEAD, padding=(0, 1, 0, 0), show_edge=False)
        for row in rows:
            if row.pictures == title:
                table.add_row(*cells(row))
        console.print(table)
        console.print()


def cells(row: Row) -> list[str]:
    """The row as text: name, steps, all, times ours, faces."""
    steps = (row.milliseconds[step] for step in (*STEPS, "all"))
    times = ["none" if value is None else f"{value:.1f}" for value in steps]
    return [row.name, *times, f"{row.times_ours:.2f}", str(row.faces)]


def _rows(title: str, everyone: Sequence[Peer], pictures: Sequence[RawPicture], rounds: int) -> list[Row]:
    scores = [Score(peer) for peer in everyone]
    for peer in everyone:
        for picture in pictures:
            peer.look(picture, 1)  # the first look at a size builds what later ones find ready
    for _ in track(range(rounds), title, console=Console(stderr=True)):
        for score in scores:
            score.rounds.append([])
        for picture in pictures:
            for score in scores:
                score.rounds[-1].append(score.peer.look(picture, TIMES))
    return [_row(title, score, scores[0]) for score in scores]


def _row(title: str, score: Score, ours: Score) -> Row:
    """The times ours are taken round by round, of the steps that the peer has."""
    milliseconds = {step: score.step(step) for step in (*STEPS, "all")}
    lacking = [step for step in STEPS if milliseconds[step] is None]
    times = median(score.taken(number) / ours.taken(number, lacking) for number in range(len(ours.rounds)))
    faces = sum(seen.faces for seen in score.rounds[-1])
    return Row(title, score.peer.kind, score.peer.name, milliseconds, times, faces)


def _judged(row: Row) -> Finding:
    return Finding("times ours, all steps", row.name, row.times_ours, at_least=LEAST_TIMES_OURS[row.kind])


def _median(seen: Seen, step: str) -> float | None:
    values = [look[step] for look in seen.milliseconds]
    known = [value for value in values if value is not None]
    return median(known) if known else None


def _raw(bench: Bench, picture: bytes) -> RawPicture:
    """The picture as a file of its upright RGB bytes in the bench's folder."""
    image = upright(picture)
    file = _free_name(bench.folder)
    np.asarray(image, np.uint8).tofile(file)
    return RawPicture(file, image.width, image.height)


def _free_name(folder: Path) -> Path:
    return folder / f"{len(list(folder.glob('*.rgb')))}.rgb"
