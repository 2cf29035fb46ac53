"""The commands about files: detect, compare, liveness, selftest; and the people in photos, for `calibrate`. One engine, as this
device would choose it.
"""

import argparse
import json
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import cv2
import numpy as np
import numpy.typing as npt
from rich.console import Console
from rich.progress import track

from appliance import state
from appliance.api import answers
from appliance.calibration import points
from appliance.calibration.points import CalibrationError, CalibrationStore
from appliance.calibration.statistics import Indices
from appliance.config import Config
from appliance.face.embedding import parts, weighted
from appliance.face.types import AlignedFace, DetectLimits, Embedding, Face
from appliance.faults import Fault, ResultCode
from appliance.imaging.archive import FRAMES, four_pictures
from appliance.imaging.codec import EncodedPicture
from appliance.imaging.draw import draw_faces
from appliance.vision import loading
from appliance.vision.embedder import Comparator, Comparators
from appliance.vision.engine import FaceEngine
from appliance.vision.loading import Choice, Chosen
from appliance.vision.manifest import ModelStore, Role

SUFFIXES = (".jpg", ".jpeg", ".png")

T = TypeVar("T")


def detect(options: argparse.Namespace, settings: Config) -> int:
    """Prints the faces of each photo; the exit status: 1 if one could not be read."""
    if options.picture and len(options.photos) > 1:
        print("--picture takes one photo", file=sys.stderr)
        return 2
    largest = float("inf") if options.maxsize is None else options.maxsize
    limits = DetectLimits(options.minsize, largest, options.detectcount)
    _, engine = chosen_engine(settings)
    status = 0
    for photo in progress(options.photos, "detecting"):
        try:
            picture = _picture(photo, settings)
            found = engine.detect(picture, limits, precise=True)
            if options.picture:
                _draw(picture, found, options.picture)
        except (OSError, Fault) as error:
            status = 1
            print(_text(photo, error), file=sys.stderr)
            if options.json:
                code = error.code if isinstance(error, Fault) else ResultCode.NO_IMAGE
                print(json.dumps({"file": str(photo), "return_msg": answers.message(code)}), flush=True)
        else:
            print(json.dumps(_document(photo, found)) if options.json else _summary(photo, found), flush=True)
    return status


def compare(options: argparse.Namespace, settings: Config) -> int:
    """Prints the similarity of two photos' largest faces; the exit status. Raises OSError."""
    _, engine = chosen_engine(settings)
    aligned = []
    for photo in options.photos:
        try:
            aligned += engine.align(_picture(photo, settings), DetectLimits(count=1)) or _no_face()
        except Fault as fault:
            return _failed(fault, photo)
    try:
        print(f"similarity {engine.compare(*aligned):.4f} (0.5 and above: the same person)")
    except Fault as fault:
        return _failed(fault, *options.photos)
    return 0


def _no_face() -> NoReturn:
    raise Fault(ResultCode.NO_FACE)


def liveness(options: argparse.Namespace, settings: Config) -> int:
    """Prints the liveness of four frames, and the evidence; the exit status. Raises OSError."""
    _, engine = chosen_engine(settings)
    try:
        verdict = engine.liveness(_four(options.source, settings))
    except Fault as fault:
        return _failed(fault, options.source)
    signs = [name for name in ("coupled", "moire", "still", "blind") if getattr(verdict, name)]
    print(f"confidence {verdict.confidence:.4f} (0.5 and above: live)")
    print(f"network {verdict.network:+.2f}, bezel {verdict.bezel:.2f}, signs: {', '.join(signs) or 'none'}")
    return 0


def run_selftest(_options: argparse.Namespace, settings: Config) -> int:
    """Prints a line per model role; the exit status: 1 if one does not work."""
    choice, _ = chosen_engine(settings)
    wide = max(map(len, choice))
    for role, chosen in choice.items():
        print(f"{role:{wide}} {f'{chosen.files[0].precision} works' if isinstance(chosen, Chosen) else chosen}")
    return 0 if all(isinstance(chosen, Chosen) for chosen in choice.values()) else 1


def progress(items: Sequence[T], title: str) -> Iterable[T]:
    """The items, with a bar on standard error if there are several and it is a terminal."""
    hidden = len(items) == 1 or not sys.stderr.isatty()
    return items if hidden else track(items, title, console=Console(stderr=True))


def chosen_engine(settings: Config) -> tuple[Choice, FaceEngine]:
    """The models that this device would choose, and an engine of them."""
    calibration = CalibrationStore(state.folder(settings.state.folder) / points.FILE)
    section = settings.engine
    thresholds, recognition = calibration.thresholds, section.recognition
    return loading.first_engine(section.folder, section.precisions, section.threads, thresholds, recognition)


def _picture(photo: Path, settings: Config) -> EncodedPicture:
    return EncodedPicture(photo.read_bytes(), int(settings.server.max_megapixels * 1e6))


def _four(source: Path, settings: Config) -> list[EncodedPicture]:
    """Four frames from a folder or a zip. Raises OSError, Fault."""
    if source.is_dir():
        files = sorted(file for file in source.iterdir() if file.suffix.lower() in SUFFIXES)
        if [file.stem for file in files] != [str(number) for number in range(1, FRAMES + 1)]:
            raise Fault(ResultCode.ZIP_NAMES, "the folder must hold the pictures 1, 2, 3 and 4")
        return [_picture(file, settings) for file in files]
    contents = four_pictures(source.read_bytes(), settings.server.max_body_mib * 2**20)
    return [EncodedPicture(content, int(settings.server.max_megapixels * 1e6)) for content in contents]


def _draw(picture: EncodedPicture, found: Sequence[Face], path: Path) -> None:
    canvas = draw_faces(picture.frame(1.0).pixels, found)
    path.write_bytes(cv2.imencode(".png", cv2.cvtColor(canvas, cv2.COLOR_RGB2BGR))[1].tobytes())


def _document(photo: Path, found: Sequence[Face]) -> dict[str, Any]:
    """The answer of `POST /faces` with the file's name, and each face's own bounding box and score."""
    faces = [
        {
            **answers.face(face),
            "bounding_box": answers.box(face.detection.box),
            "score": round(face.detection.score, answers.DIGITS),
        }
        for face in found
    ]
    return {"file": str(photo), "count": len(found), "faces": faces, "return_msg": answers.message(ResultCode.OK)}


def _summary(photo: Path, found: Sequence[Face]) -> str:
    lines = [f"{photo}: {len(found)} face{'' if len(found) == 1 else 's'}"]
    for number, face in enumerate(found, 1):
        box, pose = face.detection.box.squared(), face.pose
        lines.append(
            f"  {number:3}  {box.side:6.1f} px at ({box.x:.1f}, {box.y:.1f})  yaw {pose.yaw:+6.1f}  pitch {pose.pitch:+6.1f}"
            f"  roll {pose.roll:+6.1f}  score {face.detection.score:.2f}"
        )
    return "\n".join(lines)


def _failed(fault: Fault, *sources: Path) -> int:
    print(_text(" ".join(map(str, sources)), fault), file=sys.stderr)
    return 1


def _text(source: object, error: OSError | Fault) -> str:
    return f"{error.filename or source}: {error.strerror}" if isinstance(error, OSError) else f"{source}: {error}"


@dataclass(frozen=True, slots=True)
class Photo:
    """A photo, and the person in it."""

    path: Path
    person: str


@dataclass(frozen=True, slots=True)
class PhotoFaces:
    """One face per photo, and the photos that cannot be used."""

    photos: tuple[Photo, ...]
    aligned: tuple[AlignedFace, ...]
    unusable: tuple[Path, ...]

    def people(self) -> Indices:
        return numbered(self.photos)


def numbered(photos: Sequence[Photo]) -> Indices:
    """The number of each photo's person: 0, 1, 2, … in the order of their names."""
    return np.unique([photo.person for photo in photos], return_inverse=True)[1].astype(np.int64)


def listed(folders: Sequence[Path]) -> list[Photo]:
    """The photos of all folders: those in subfolders named after people, and files named PERSON_NUMBER. Raises OSError."""
    found = []
    for folder in folders:
        for path in sorted(folder.iterdir()):
            if path.is_dir():
                found += [Photo(each, path.name) for each in sorted(path.iterdir()) if _is_photo(each)]
            elif _is_photo(path):
                found.append(Photo(path, path.stem.rpartition("_")[0] or path.stem))
    return found


def _is_photo(path: Path) -> bool:
    return path.suffix.lower() in SUFFIXES and not path.name.startswith(".")


def subject(faces: Sequence[AlignedFace], size: tuple[int, int]) -> AlignedFace | None:
    """The face that a photo (width, height) is of, None without one: large and central, by area less twice the squared distance
    from the centre, as facenet chooses in labelled photos (Sandberg, align_dataset_mtcnn.py).
    """
    centre = np.array(size) / 2

    def weight(face: AlignedFace) -> float:
        return face.box.side**2 - 2 * float(np.square(np.array(face.box.center) - centre).sum())

    return max(faces, key=weight, default=None)


class PhotoEngine:
    """The device's engine with all ways to compare that it may choose: which one is fast enough may change."""

    def __init__(self, settings: Config) -> None:
        """Raises ModelError; CalibrationError if a required model does not work."""
        section, self._settings = settings.engine, settings
        choice, self._engine = chosen_engine(settings)
        store = ModelStore.open(section.folder)
        precisions = {
            role: _working(choice, role).files[0].precision for role in (Role.DETECTOR, Role.ALIGNMENT, Role.EMBEDDER)
        }
        recognition: loading.Recognition = "strong" if loading.is_strong(section.recognition) else "fast"
        pinned = loading.choose(store, precisions, section.threads, recognition)
        self._embeds, self.comparators = loading.build(pinned, section.threads), loading.comparators(pinned)

    def faces(self, photos: Sequence[Photo]) -> PhotoFaces:
        """The face that each photo is of. Raises OSError, Fault."""
        usable: list[tuple[Photo, AlignedFace]] = []
        unusable = []
        for photo in progress(photos, "finding faces"):
            face = self._face(photo.path)
            if face is None:
                unusable.append(photo.path)
            else:
                usable.append((photo, face))
        return PhotoFaces(tuple(photo for photo, _ in usable), tuple(face for _, face in usable), tuple(unusable))

    def embeddings(self, faces: PhotoFaces) -> dict[Comparator, npt.NDArray[np.float32]]:
        """For each way to compare N x D of unit length, whose products are its scores. Raises Fault."""
        found = [self._embeds.embed_both(face) for face in progress(faces.aligned, "embedding")]
        ways = self.comparators
        return {way: np.stack([_seen_by(way, ways, each) for each in found]) for way in ways.every()}

    def _face(self, path: Path) -> AlignedFace | None:
        """None without a face, and for a file that is no picture. Raises OSError, Fault."""
        try:
            picture = _picture(path, self._settings)
            return subject(self._engine.align(picture, DetectLimits()), (picture.width, picture.height))
        except Fault as fault:
            if fault.code is not ResultCode.BROKEN_IMAGE:
                raise
            return None


def _seen_by(way: Comparator, ways: Comparators, embedding: Embedding) -> Embedding:
    """What a way to compare takes of the embedding by all networks."""
    if way is ways.both:
        return weighted(embedding)
    return parts(embedding)[0 if way is ways.fast else 1]


def _working(choice: Choice, role: Role) -> Chosen:
    chosen = choice[role]
    if isinstance(chosen, Fault):
        raise CalibrationError(f"the {role} model does not work: {chosen.detail}")
    return chosen
