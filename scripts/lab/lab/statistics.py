"""`appliance statistics`: writes the bundled statistics for models that were built anew."""

import argparse
import sys
from base64 import b64encode
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tomlkit

from appliance.calibration import statistics
from appliance.calibration.points import CalibrationError, Measured
from appliance.calibration.statistics import Attacks, ImpostorTable, Pairs, compared, genuine_bounds, impostor_bounds
from appliance.cli.photos import PhotoEngine, listed
from appliance.config import Config
from appliance.face.embedding import parts
from appliance.face.types import DetectLimits, Embedding
from appliance.faults import Fault, ResultCode
from appliance.imaging.codec import EncodedPicture
from appliance.vision import loading, selftest
from appliance.vision.engine import FaceEngine
from appliance.vision.liveness import LEAST_ODDS
from appliance.vision.manifest import ModelError, ModelFile, ModelStore, Role
from lab.device import one_line
from lab.evaluate.datasets import MISNAMED, REAL, LayoutError, read_sequences

HEADER = "# Written by `appliance statistics {} FOLDER`: of which pictures, models/CARDS.md says.\n\n"
MAX_PIXELS = 40_000_000  # as the service's default
STEP = 0.002  # between two cosines of a table; one step changes the false match rate by some 4 %
LOOSEST = 0.1  # highest false match rate of a table, and the highest that can be requested


def main(options: argparse.Namespace, settings: Config) -> int:
    """`appliance statistics`; the exit status."""
    try:
        record = {"similarity": impostors, "liveness": attacks, "selftest": answers}[options.kind]
        print(f"recorded: {record(settings, options.folders)}", file=sys.stderr)
    except (OSError, CalibrationError, LayoutError, ModelError, Fault) as error:
        print(one_line(error), file=sys.stderr)
        return 1
    return 0


def impostors(settings: Config, folders: Sequence[Path]) -> Path:
    """From photos (as `appliance calibrate similarity` takes them), of all ways to compare faces. Raises CalibrationError,
    ModelError, Fault, OSError.
    """
    engine = PhotoEngine(settings)
    faces = engine.faces([photo for photo in listed(folders) if photo.path.stem not in MISNAMED])
    tables = [
        tabulated(way.model, way.file, *compared(embeddings, faces.people()))
        for way, embeddings in engine.embeddings(faces).items()
    ]
    path = settings.engine.folder / statistics.IMPOSTORS
    path.write_text(written("similarity", tables), "utf-8")
    return path


def tabulated(model: str, file: str, impostors: Pairs, genuine: Pairs, loosest: float = LOOSEST) -> ImpostorTable:
    """The table of an embedder from its impostor and genuine pairs, from the false match rate `loosest` on."""
    start = np.ceil(np.quantile(impostors.scores, 1 - loosest) / STEP)
    end = np.floor(impostors.scores.max() / STEP) + 1
    cosines = np.arange(start, end + 1) * STEP
    false, true = impostor_bounds(impostors, cosines), genuine_bounds(genuine, cosines)

    def bounds(side: str, rates: Sequence[Measured]) -> tuple[float, ...]:
        """Three digits exceed the precision of any bound."""
        return tuple(float(f"{getattr(each, side):.3g}") for each in rates)

    return ImpostorTable(
        model=model,
        file=file,
        people=impostors.people,
        pictures=int(impostors.pictures.sum()),
        impostor_pairs=int(impostors.scores.size),
        genuine_pairs=int(genuine.scores.size),
        cosine=tuple(round(float(each), 3) for each in cosines),
        false_matches=tuple(each.count for each in false),
        fmr_lower=bounds("lower", false),
        fmr_upper=bounds("upper", false),
        true_matches=tuple(each.count for each in true),
        tmr_lower=bounds("lower", true),
        tmr_upper=bounds("upper", true),
    )


def attacks(settings: Config, folders: Sequence[Path]) -> Path:
    """From folders as `appliance evaluate liveness` takes them. Raises LayoutError, ModelError, Fault, OSError."""
    models = settings.engine.folder
    store = ModelStore.open(models)
    tables = [_attacks(store, file, folders) for file in store.models if file.role is Role.LIVENESS]
    path = models / statistics.ATTACKS
    path.write_text(written("liveness", tables), "utf-8")
    return path


def answers(_settings: Config, folders: Sequence[Path]) -> Path:
    """The self-test's answers about the bundled portrait, of each precision. Raises ModelError, Fault, OSError."""
    folder = folders[0]
    store, portrait = ModelStore.open(folder), loading.portrait(folder)
    tables: dict[str, Any] = {}
    for precision in sorted({model.precision for model in store.models}):
        wanted = dict.fromkeys((Role.DETECTOR, Role.LIVENESS), precision)
        engine = loading.build(loading.choose(store, wanted, 1, "strong"), 1)
        (face,) = engine.detect(portrait, DetectLimits(count=1), precise=True)
        (aligned,) = engine.align(portrait, DetectLimits(count=1))
        tables[precision] = {
            "corners": np.round(selftest.corners(face).astype(float), 2).tolist(),
            "points": np.round(face.points.astype(float), 2).tolist(),
            "embedding": _encoded(engine.embed(aligned)),
            "strong": _encoded(parts(engine.embed_both(aligned))[1]),
            "logit": round(engine.liveness([portrait] * 4).network, 3),
        }
    path = folder / loading.SELFTEST
    path.write_text(tomlkit.dumps(tables), "utf-8")
    return path


def _encoded(embedding: Embedding) -> str:
    return b64encode(embedding.astype("<f4").tobytes()).decode()


def _attacks(store: ModelStore, file: ModelFile, folders: Sequence[Path]) -> Attacks:
    engine = liveness_engine(store, file)
    species: dict[str, list[float]] = defaultdict(list)
    for sequence in (each for folder in folders for each in read_sequences(folder) if each.label != REAL):
        species[sequence.label].append(round(odds(engine, sequence.frames), 2))
    known = {name: tuple(sorted(each)) for name, each in species.items()}
    return Attacks(model=file.sha256, file=file.file, species=known)


def liveness_engine(store: ModelStore, file: ModelFile) -> FaceEngine:
    """An engine with this liveness file, and float16 for the rest. Raises ModelError."""
    precisions = {Role.DETECTOR: "float16", Role.LIVENESS: file.precision}
    return loading.build(loading.choose(store, precisions, 1), 1)


def odds(engine: FaceEngine, frames: Sequence[bytes]) -> float:
    """The log odds of four pictures; the least, which never pass, without a face in one of them. Raises Fault."""
    try:
        return engine.liveness([EncodedPicture(frame, MAX_PIXELS) for frame in frames]).odds
    except Fault as fault:
        if fault.code is not ResultCode.NO_FACE:
            raise
        return LEAST_ODDS


def written(kind: str, tables: Sequence[ImpostorTable | Attacks]) -> str:
    """The TOML file of these tables."""
    document = {"model": [table.model_dump(mode="json") for table in tables]}
    return HEADER.format(kind) + tomlkit.dumps(document)
