"""What each model file measures, and whether it may fall in for the float16 one."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt
from errors import BuildError
from faces import MAX_PIXELS, central_face
from lab.evaluate import detection
from lab.evaluate.datasets import (
    FrameSequence,
    LabelledPicture,
    read_labelled_pictures,
    read_pairs,
    read_sequences,
)
from lab.evaluate.measures import average_precision, best_threshold, precision_recall
from manifest import Models
from recipe import Recipe

from appliance.face.embedding import joined, weighted
from appliance.face.types import AlignedFace, DetectLimits, Embedding
from appliance.faults import Fault, ResultCode
from appliance.imaging.codec import EncodedPicture
from appliance.vision.detector import Detector
from appliance.vision.embedder import Embedder
from appliance.vision.engine import FaceEngine
from appliance.vision.manifest import Gate, OperatingPoint, Role
from appliance.vision.selftest import LOGIT_TOLERANCE

FAST, STRONG_HEAD = "embedder_float16.tflite", "strong_head_int8.tflite"
"""The files that the strong embedder works with."""

FMR = 0.001
"""False match rate of the operating point (the contract)."""


@dataclass(frozen=True, slots=True)
class Figure:
    """What one file measured: higher is better."""

    value: float
    points: Mapping[str, OperatingPoint] = field(default_factory=dict)
    """By the name of their field in the manifest."""


def measure(models: Models, recipe: Recipe, folder: Path) -> None:
    """Measures every file of a role on the labelled pictures in `folder` and enters the result in `models`."""
    measurement = MEASUREMENTS[recipe.role](models, folder)
    reference: dict[tuple[int, int], float] = {}
    for output in recipe.outputs():
        figure = measurement(output.file)
        value = round(figure.value, 4)
        float16 = reference.setdefault((output.width, output.height), value)
        gate = Gate(
            measure=recipe.measure,
            value=value,
            reference=float16,
            margin=recipe.margin,
            passed=value >= float16 - recipe.margin,
        )
        file = models.files[output.file]
        models.files[output.file] = file.model_copy(update={"gate": gate, **figure.points})
        print(f"{output.file}: {value:.4f} ({recipe.measure}), {'passed' if gate.passed else 'FAILED'}", flush=True)


def accept(models: Models, recipe: Recipe) -> None:
    """Enters the files of a role that are used as they are published: they are their own reference."""
    for output in recipe.outputs():
        gate = Gate(measure=recipe.measure, value=1.0, reference=1.0, margin=recipe.margin, passed=True)
        models.files[output.file] = models.files[output.file].model_copy(update={"gate": gate})


def keep(models: Models, recipe: Recipe, before: Models) -> None:
    """Enters the figures of an earlier build. Raises BuildError when a file is not the one that was measured."""
    for output in recipe.outputs():
        earlier = before.files.get(output.file)
        if earlier is None or earlier.sha256 != models.files[output.file].sha256:
            raise BuildError(f"{output.file} has changed and must be measured: add --{recipe.pictures} FOLDER")
        figures = {name: getattr(earlier, name) for name in ("gate", "operating_point", "joint_point")}
        models.files[output.file] = models.files[output.file].model_copy(update=figures)


def _detection(models: Models, folder: Path) -> Callable[[str], Figure]:
    pictures = read_labelled_pictures(folder)
    limits = DetectLimits(min_size=detection.MINSIZE, count=detection.DETECTCOUNT)

    def found(detector: Detector, picture: LabelledPicture) -> list[list[float]]:
        faces = detector.detect(EncodedPicture(picture.path.read_bytes(), MAX_PIXELS), limits)
        return [[face.box.x, face.box.y, face.box.width, face.box.height, face.score] for face in faces]

    def figure(file: str) -> Figure:
        detector = Detector([models.network(file)])
        judged = detection.by_setting(pictures, [found(detector, picture) for picture in pictures])
        curves = [precision_recall(judged[setting]) for setting in detection.LEAST_AP]
        return Figure(float(np.mean([average_precision(*curve) for curve in curves])))

    return figure


def _verification(models: Models, folder: Path) -> Callable[[str], Figure]:
    engine = models.engine()
    faces: dict[Path, AlignedFace] = {}
    images = folder / "images"
    for path in sorted(images.glob("*.jpg")):
        face = central_face(engine, EncodedPicture(path.read_bytes(), MAX_PIXELS))
        if face is not None:
            faces[path] = face
    pairs = [p for p in read_pairs(folder / "pairs.csv", images) if p.image_a in faces and p.image_b in faces]
    same = np.array([pair.same for pair in pairs])

    def embedded(*files: str) -> dict[Path, Embedding]:
        embedder = Embedder(*(models.network(file) for file in files))
        return {name: embedder.embed(face) for name, face in faces.items()}

    def figure(file: str) -> Figure:
        if models.files[file].role is Role.EMBEDDER:
            embeddings, points = embedded(file), {}
        else:
            embeddings, fast = embedded(file, STRONG_HEAD), embedded(FAST)
            joint = {name: weighted(joined(fast[name], each)) for name, each in embeddings.items()}
            points = {"joint_point": _operating_point(joint)}
        cosines = np.array([float(embeddings[p.image_a] @ embeddings[p.image_b]) for p in pairs])
        _, accuracy = best_threshold(cosines[same], cosines[~same])
        return Figure(accuracy, {"operating_point": _operating_point(embeddings), **points})

    return figure


def _operating_point(embeddings: Mapping[Path, Embedding]) -> OperatingPoint:
    """From all pairs of different people; a file is named after its person, up to the last underscore."""
    people = np.array([path.name.rpartition("_")[0] for path in embeddings])
    vectors = np.stack(list(embeddings.values()))
    first, second = np.triu_indices(len(people), k=1)
    impostors = (vectors @ vectors.T)[first, second][people[first] != people[second]]
    cosine = float(np.quantile(impostors, 1 - FMR, method="higher"))
    return OperatingPoint(cosine=round(cosine, 4), fmr=FMR, impostor_pairs=len(impostors))


def _liveness(models: Models, folder: Path) -> Callable[[str], Figure]:
    """How far a file's log odds may be trusted at the float16 one's operating point. The area under the curve would not do:
    it is blind to a shift, and the confidence is made from the log odds with constants that do not shift along.
    """
    sequences = read_sequences(folder)

    def logits(precision: str) -> npt.NDArray[np.float64]:
        engine = models.engine(precision)
        return np.array([_logit(engine, sequence) for sequence in sequences])

    expected = logits("float16")

    def figure(file: str) -> Figure:
        differences = np.abs(logits(models.files[file].precision) - expected)
        return Figure(float(np.mean(differences[np.isfinite(differences)] <= LOGIT_TOLERANCE)))

    return figure


def _logit(engine: FaceEngine, sequence: FrameSequence) -> float:
    """Mean live log odds of the four frames; not a number when there is no face."""
    try:
        return engine.liveness([EncodedPicture(frame, MAX_PIXELS) for frame in sequence.frames]).network
    except Fault as fault:
        if fault.code != ResultCode.NO_FACE:
            raise
        return float("nan")


MEASUREMENTS: Mapping[str, Callable[[Models, Path], Callable[[str], Figure]]] = {
    "detector": _detection,
    "embedder": _verification,
    "strong_embedder": _verification,
    "liveness": _liveness,
}
