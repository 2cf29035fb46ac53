"""The operating point of the embedder: from the bundled statistics, or from photos of one's own people."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from appliance import machine
from appliance.calibration import choice, statistics
from appliance.calibration.bounds import Pairs, compared, genuine_bounds, impostor_bounds
from appliance.calibration.entries import Basis, CalibrationError, Kind, Measured, SimilarityEntry, now
from appliance.calibration.statistics import Impostors, Statistics
from appliance.calibrator.outcome import Outcome, Point
from appliance.calibrator.photos import Faces, Photo, PhotoEngine, listed, numbered
from appliance.config import Config
from appliance.vision.store import ModelFile, ModelStore, Role

FEW_PEOPLE = 20
"""With fewer, drawing other people (the bootstrap) says little about people who are not there."""

NAMED = 3
"""Of the photos that cannot be used."""


@dataclass(frozen=True, slots=True)
class SimilarityCalibrator:
    """Finds an operating point for each embedder file that the device may choose: which one is fastest may change."""

    settings: Config
    before: dict[str, float]
    """The device's own operating points so far."""

    def from_statistics(self, fmr: float) -> Outcome:
        """Raises CalibrationError, ModelError."""
        folder = machine.model_folder(self.settings.engine)
        files = ModelStore.open(folder).candidates(Role.EMBEDDER, self.settings.engine.embedder)
        known = Statistics.read(folder).impostors
        return Outcome(Kind.SIMILARITY, tuple(self._tabulated(file, known.get(file.sha256), fmr) for file in files))

    def from_photos(self, folders: Sequence[Path], fmr: float, check: Sequence[Path]) -> Outcome:
        """`check` are folders of photos that are not used, but to see what the operating point is worth.

        Raises CalibrationError, ModelError, Fault.
        """
        photos, others_photos = listed(folders), listed(check)
        _enough(photos, fmr)
        engine = PhotoEngine(self.settings)
        faces = engine.faces(photos)
        _enough(faces.photos, fmr)
        used = {photo.person for photo in photos}
        others = engine.faces([photo for photo in others_photos if photo.person not in used])
        points, checked, alike = [], {}, []
        for file in engine.embedders:
            impostors, genuine = compared(engine.embeddings(file, faces), faces.people())
            points.append(self._point(file, _entry(file, fmr, impostors, genuine)))
            alike.append(_most_alike(faces, impostors))
            if others.photos:
                pairs = compared(engine.embeddings(file, others), others.people())
                checked[file.file] = _rates(points[-1].entry.threshold, *pairs)
        notes = [*_notes(faces), *dict.fromkeys(alike)]
        if check:
            notes.append(f"checked on {_counted(others)}, nobody of whom was used")
        return Outcome(Kind.SIMILARITY, tuple(points), tuple(notes), checked)

    def recorded(self, folders: Sequence[Path]) -> list[Impostors]:
        """The statistics of every shipped embedder. Raises CalibrationError, ModelError, Fault."""
        engine = PhotoEngine(self.settings)
        faces = engine.faces(listed(folders))
        return [
            statistics.tabulated(file.sha256, file.file, *compared(engine.embeddings(file, faces), faces.people()))
            for file in engine.embedders
        ]

    def _tabulated(self, file: ModelFile, table: Impostors | None, fmr: float) -> Point:
        if table is None:
            raise CalibrationError(f"there are no statistics of {file.file}: name a folder of photos")
        row = table.row(fmr)
        counts = {name: getattr(table, name) for name in ("people", "pictures", "impostor_pairs", "genuine_pairs")}
        entry = SimilarityEntry(
            model=file.sha256,
            threshold=table.cosine[row],
            wanted={"fmr": fmr},
            measured={"fmr": table.false_match_rate(row), "tmr": table.true_match_rate(row)},
            counts=counts,
            basis=Basis.STATISTICS,
            date=now(),
        )
        return self._point(file, entry)

    def _point(self, file: ModelFile, entry: SimilarityEntry) -> Point:
        assert file.operating_point is not None
        return Point(file.file, self.before.get(file.sha256, file.operating_point.cosine), entry)


def _entry(file: ModelFile, fmr: float, impostors: Pairs, genuine: Pairs) -> SimilarityEntry:
    threshold = choice.cosine(impostors.scores, fmr)
    pairs = {"impostor_pairs": impostors.scores.size, "genuine_pairs": genuine.scores.size}
    return SimilarityEntry(
        model=file.sha256,
        threshold=threshold,
        wanted={"fmr": fmr},
        measured=_rates(threshold, impostors, genuine),
        counts={"people": impostors.people, "pictures": int(impostors.pictures.sum()), **pairs},
        basis=Basis.PHOTOS,
        date=now(),
    )


def _rates(threshold: float, impostors: Pairs, genuine: Pairs) -> dict[str, Measured]:
    """FMR, and TMR where anybody has two photos."""
    at = np.array([threshold])
    rates = {"fmr": impostor_bounds(impostors, at)[0]} if impostors.scores.size else {}
    return rates | ({"tmr": genuine_bounds(genuine, at)[0]} if genuine.scores.size else {})


def _enough(photos: Sequence[Photo], fmr: float) -> None:
    pictures = np.bincount(numbered(photos))
    pairs = int(pictures.sum() ** 2 - (pictures**2).sum()) // 2
    needed = choice.fewest_pairs(fmr)
    if pairs < needed:
        people = int(np.ceil((1 + np.sqrt(1 + 8 * needed)) / 2))
        raise CalibrationError(
            f"FMR {fmr:g} needs {needed:,} pairs of different people (such as {people:,} people with a photo each), "
            f"these photos make {pairs:,}: more people, or a larger --fmr"
        )


def _notes(faces: Faces) -> list[str]:
    notes = []
    people = int(faces.people().max()) + 1
    if people < FEW_PEOPLE:
        notes.append(f"{people} people say little about others: the true bounds are wider")
    if faces.unusable:
        named = ", ".join(str(path) for path in faces.unusable[:NAMED])
        more = ", …" if len(faces.unusable) > NAMED else ""
        notes.append(f"not used, no face in it or no picture: {len(faces.unusable)} ({named}{more})")
    return notes


def _counted(faces: Faces) -> str:
    return f"{len({photo.person for photo in faces.photos}):,} people, {len(faces.photos):,} photos"


def _most_alike(faces: Faces, impostors: Pairs) -> str:
    """The pair to look at when a folder has somebody else's photo in it."""
    most = int(impostors.scores.argmax())
    names = np.unique([photo.person for photo in faces.photos])
    first, second = names[impostors.first[most]], names[impostors.second[most]]
    return f"most alike of different people: {first} and {second}, cosine {impostors.scores[most]:.2f}"
