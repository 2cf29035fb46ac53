"""Writes the bundled statistics anew, for models that were built anew."""

import csv
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from appliance.calibration import statistics
from appliance.calibration.statistics import Attacks
from appliance.cli.calibrate import SimilarityCalibrator
from appliance.config import Config
from appliance.faults import Fault, ResultCode
from appliance.imaging.archive import FRAMES
from appliance.imaging.codec import EncodedPicture
from appliance.vision import loading
from appliance.vision.engine import FaceEngine
from appliance.vision.liveness import LEAST_ODDS
from appliance.vision.manifest import ModelFile, ModelStore, Role

MAX_PIXELS = 40_000_000
"""As the service's default."""

REAL = "real"
"""The label of sequences that are no attack."""


def impostors(settings: Config, folders: Sequence[Path]) -> Path:
    """From photos (as `appliance calibrate similarity` takes them). Raises CalibrationError, ModelError, Fault, OSError."""
    tables = SimilarityCalibrator(settings, {}).recorded(folders)
    path = settings.engine.folder / statistics.IMPOSTORS
    path.write_text(statistics.written("similarity", tables), "utf-8")
    return path


def attacks(settings: Config, folder: Path) -> Path:
    """From sequences.csv (sequence, label, …) and a folder with 1.jpg … 4.jpg for each. Raises ModelError, Fault, OSError."""
    models = settings.engine.folder
    store = ModelStore.open(models)
    tables = [_attacks(store, file, folder) for file in store.models if file.role is Role.LIVENESS]
    path = models / statistics.ATTACKS
    path.write_text(statistics.written("liveness", tables), "utf-8")
    return path


def _attacks(store: ModelStore, file: ModelFile, folder: Path) -> Attacks:
    engine = liveness_engine(store, file)
    species: dict[str, list[float]] = defaultdict(list)
    with (folder / "sequences.csv").open(newline="", encoding="utf-8") as lines:
        for row in csv.DictReader(lines):
            if row["label"] != REAL:
                species[row["label"]].append(round(odds(engine, folder / row["sequence"]), 2))
    return Attacks(
        model=file.sha256, file=file.file, species={name: tuple(sorted(each)) for name, each in species.items()}
    )


def liveness_engine(store: ModelStore, file: ModelFile) -> FaceEngine:
    """An engine with this liveness file, and float16 for the rest. Raises ModelError."""
    precisions = {Role.DETECTOR: "float16", Role.EMBEDDER: "float16", Role.LIVENESS: file.precision}
    return loading.build(loading.choose(store, precisions, 1), 1)


def odds(engine: FaceEngine, sequence: Path) -> float:
    """The log odds of four pictures; the least without a face in one of them: it can never pass. Raises Fault, OSError."""
    frames = [(sequence / f"{number}.jpg").read_bytes() for number in range(1, FRAMES + 1)]
    try:
        return engine.liveness([EncodedPicture(frame, MAX_PIXELS) for frame in frames]).odds
    except Fault as fault:
        if fault.code is not ResultCode.NO_FACE:
            raise
        return LEAST_ODDS
