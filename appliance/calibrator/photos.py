"""Photos of people on disk, as the device's own engine sees them."""

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
import numpy.typing as npt
from rich.console import Console
from rich.progress import track

from appliance import machine
from appliance.calibration.bounds import Indices
from appliance.calibration.entries import CalibrationError
from appliance.config import Config
from appliance.face.types import AlignedFace, DetectLimits
from appliance.faults import Fault, ResultCode
from appliance.imaging.decode import EncodedPicture
from appliance.vision import loading
from appliance.vision.engine import FaceEngine
from appliance.vision.loading import Choice, Chosen
from appliance.vision.store import ModelFile, ModelStore, Role

T = TypeVar("T")

SUFFIXES = (".jpg", ".jpeg", ".png")


@dataclass(frozen=True, slots=True)
class Photo:
    """A photo, and whose it is."""

    path: Path
    person: str


@dataclass(frozen=True, slots=True)
class Faces:
    """The faces of photos, one each, and the photos that cannot be used."""

    photos: tuple[Photo, ...]
    aligned: tuple[AlignedFace, ...]
    unusable: tuple[Path, ...]

    def people(self) -> Indices:
        """The number of each photo's person."""
        return numbered(self.photos)


def numbered(photos: Sequence[Photo]) -> Indices:
    """The number of each photo's person: 0, 1, 2, … in the order of their names."""
    return np.unique([photo.person for photo in photos], return_inverse=True)[1].astype(np.int64)


def listed(folders: Sequence[Path]) -> list[Photo]:
    """The photos of all folders. Raises CalibrationError for a folder that cannot be read."""
    try:
        return [photo for folder in folders for photo in found(folder)]
    except OSError as error:
        raise CalibrationError(f"{error.filename}: {error.strerror}") from error


def found(folder: Path) -> Iterator[Photo]:
    """The photos in the folders of a folder, which are named after their people; and those that lie in it themselves, named
    PERSON_NUMBER. Raises OSError.
    """
    for path in sorted(folder.iterdir()):
        if path.is_dir():
            yield from (Photo(each, path.name) for each in sorted(path.iterdir()) if _is_photo(each))
        elif _is_photo(path):
            yield Photo(path, path.stem.rpartition("_")[0] or path.stem)


def meant(faces: Sequence[AlignedFace], size: tuple[int, int]) -> AlignedFace | None:
    """The face that a photo (width, height) is of, None without one: large and in the middle, area less twice the squared
    distance from the centre, as facenet's preparation of labelled photos chooses (Sandberg, align_dataset_mtcnn.py).
    """
    centre = np.array(size) / 2

    def weight(face: AlignedFace) -> float:
        return face.box.side**2 - 2 * float(np.square(np.array(face.box.center) - centre).sum())

    return max(faces, key=weight, default=None)


class PhotoEngine:
    """The device's engine with each embedder that it may choose."""

    def __init__(self, settings: Config) -> None:
        """Raises ModelError, CalibrationError when a model that is needed does not work."""
        section = settings.engine
        self._max_pixels = int(settings.server.max_megapixels * 1e6)
        choice, self._engine = machine.first_engine(section)
        store = ModelStore.open(machine.model_folder(section))
        precisions = {
            role: _chosen(choice, role).files[0].precision for role in (Role.DETECTOR, Role.LANDMARKS, Role.EMBEDDER)
        }
        self.embedders: dict[ModelFile, FaceEngine] = {}
        for file in store.candidates(Role.EMBEDDER, section.embedder):
            pinned = loading.choose(store, {**precisions, Role.EMBEDDER: file.precision}, section.threads)
            self.embedders[file] = loading.build(pinned, section.threads)

    def faces(self, photos: Sequence[Photo]) -> Faces:
        """The face that each photo is of. Raises CalibrationError for a photo that cannot be read, Fault."""
        usable: list[tuple[Photo, AlignedFace]] = []
        unusable = []
        for photo in _progress(photos, "finding faces"):
            face = self._face(photo.path)
            if face is None:
                unusable.append(photo.path)
            else:
                usable.append((photo, face))
        return Faces(tuple(p for p, _ in usable), tuple(f for _, f in usable), tuple(unusable))

    def embeddings(self, file: ModelFile, faces: Faces) -> npt.NDArray[np.float32]:
        """N x D of unit length. Raises Fault."""
        engine = self.embedders[file]
        return np.stack([engine.embed(face) for face in _progress(faces.aligned, file.file)])

    def _face(self, path: Path) -> AlignedFace | None:
        """None without a face, and for what is no picture. Raises CalibrationError when it cannot be read, Fault."""
        try:
            picture = EncodedPicture(path.read_bytes(), self._max_pixels)
            return meant(self._engine.align(picture, DetectLimits()), (picture.width, picture.height))
        except OSError as error:
            raise CalibrationError(f"{path}: {error.strerror}") from error
        except Fault as fault:
            if fault.code is not ResultCode.BROKEN_IMAGE:
                raise
            return None


def _chosen(choice: Choice, role: Role) -> Chosen:
    chosen = choice[role]
    if isinstance(chosen, Fault):
        raise CalibrationError(f"the {role} model does not work: {chosen.detail}")
    return chosen


def _is_photo(path: Path) -> bool:
    return path.suffix.lower() in SUFFIXES and not path.name.startswith(".")


def _progress(items: Sequence[T], title: str) -> Iterator[T]:
    """With a bar on the error stream when somebody looks."""
    yield from track(items, title, console=Console(stderr=True), disable=not sys.stderr.isatty())
