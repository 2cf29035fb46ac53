"""The commands about files: detect, compare, liveness, selftest. One engine, as this device would choose it."""

import argparse
import json
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import cv2
import tomlkit
from rich.console import Console
from rich.progress import track

from appliance import state
from appliance.api import answers
from appliance.calibration import points
from appliance.calibration.points import CalibrationStore
from appliance.config import Config
from appliance.face.types import DetectLimits, Face
from appliance.faults import Fault, ResultCode
from appliance.imaging.archive import FRAMES, four_pictures
from appliance.imaging.codec import EncodedPicture
from appliance.imaging.draw import draw_faces
from appliance.vision import loading, selftest
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
    _, engine = _chosen(settings)
    status = 0
    for photo in progress(options.photos, "detecting"):
        try:
            picture = _picture(photo, settings)
            found = engine.detect(picture, limits)
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
    _, engine = _chosen(settings)
    try:
        aligned = [engine.align(_picture(photo, settings), DetectLimits(count=1)) for photo in options.photos]
        for photo, faces in zip(options.photos, aligned, strict=True):
            if not faces:
                raise Fault(ResultCode.NO_FACE, str(photo))
        (a,), (b,) = aligned
        print(f"similarity {engine.compare(a, b):.4f} (0.5 and above: the same person)")
    except Fault as fault:
        return _failed(fault, *options.photos)
    return 0


def liveness(options: argparse.Namespace, settings: Config) -> int:
    """Prints the liveness of four frames, and the evidence; the exit status. Raises OSError."""
    _, engine = _chosen(settings)
    try:
        verdict = engine.liveness(_four(options.source, settings))
    except Fault as fault:
        return _failed(fault, options.source)
    signs = [name for name in ("coupled", "moire", "still", "blind") if getattr(verdict, name)]
    print(f"confidence {verdict.confidence:.4f} (0.5 and above: live)")
    print(f"network {verdict.network:+.2f}, bezel {verdict.bezel:.2f}, signs: {', '.join(signs) or 'none'}")
    return 0


def run_selftest(options: argparse.Namespace, settings: Config) -> int:
    """Prints a line per model role; the exit status: 1 if one does not work. With `record`, writes the known answers anew."""
    if options.record:
        return _record(settings)
    choice, _ = _chosen(settings)
    for role, chosen in choice.items():
        print(f"{role:10} {f'{chosen.files[0].precision} works' if isinstance(chosen, Chosen) else chosen}")
    return 0 if all(isinstance(chosen, Chosen) for chosen in choice.values()) else 1


def progress(items: Sequence[T], title: str) -> Iterable[T]:
    """The items, with a bar on standard error if there are several and it is a terminal."""
    hidden = len(items) == 1 or not sys.stderr.isatty()
    return items if hidden else track(items, title, console=Console(stderr=True))


def _chosen(settings: Config) -> tuple[Choice, FaceEngine]:
    calibration = CalibrationStore(state.folder(settings.state.folder) / points.FILE)
    section = settings.engine
    return loading.first_engine(section.folder, section.precisions, section.threads, calibration.thresholds)


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


def _record(settings: Config) -> int:
    """Writes the self-test's known answers for every shipped precision."""
    folder = settings.engine.folder
    store, portrait = ModelStore.open(folder), loading.portrait(folder)
    tables: dict[str, Any] = {}
    for precision in sorted({model.precision for model in store.models}):
        wanted = dict.fromkeys((Role.DETECTOR, Role.EMBEDDER, Role.LIVENESS), precision)
        engine = loading.build(loading.choose(store, wanted, 1), 1)
        tables[precision] = selftest.Answers.of(engine, portrait).table()
    path = folder / loading.SELFTEST
    path.write_text(tomlkit.dumps(tables), "utf-8")
    print(f"recorded in {path.name}: {', '.join(tables)}")
    return 0


def _failed(fault: Fault, *sources: Path) -> int:
    print(_text(" ".join(map(str, sources)), fault), file=sys.stderr)
    return 1


def _text(source: object, error: OSError | Fault) -> str:
    return f"{error.filename or source}: {error.strerror}" if isinstance(error, OSError) else f"{source}: {error}"
