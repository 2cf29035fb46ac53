"""What the command line does with files: one engine, pictures from disk, answers as text."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import tomlkit

from appliance import state
from appliance.api import answers
from appliance.calibration import points as calibration_file
from appliance.calibration.points import CalibrationStore
from appliance.config import Config
from appliance.face.types import AlignedFace, DetectLimits, Face
from appliance.faults import Fault, ResultCode
from appliance.imaging.archive import FRAMES, four_pictures
from appliance.imaging.codec import EncodedPicture
from appliance.imaging.draw import draw_faces
from appliance.vision import loading, selftest
from appliance.vision.loading import Chosen
from appliance.vision.manifest import ModelStore, Role

_SUFFIXES = (".jpg", ".jpeg", ".png")


class Workbench:
    """One engine, as this device would choose it."""

    def __init__(self, settings: Config) -> None:
        self._section = settings.engine
        self._max_pixels = int(settings.server.max_megapixels * 1e6)
        self._max_bytes = settings.server.max_body_mib * 2**20
        calibration = CalibrationStore(state.folder(settings.state.folder) / calibration_file.FILE)
        self._choice, self._engine = loading.first_engine(
            self._section.folder, self._section.precisions, self._section.threads, calibration.thresholds
        )

    def detect(self, photo: Path, limits: DetectLimits, drawing: Path | None = None) -> list[Face]:
        """The faces of a photo; with `drawing`, also drawn into a picture there. Raises OSError, Fault."""
        picture = self._picture(photo)
        found = self._engine.detect(picture, limits)
        if drawing is not None:
            canvas = draw_faces(picture.frame(1.0).pixels, found)
            encoded = cv2.imencode(".png", cv2.cvtColor(canvas, cv2.COLOR_RGB2BGR))[1]
            drawing.write_bytes(encoded.tobytes())
        return found

    def compare(self, a: Path, b: Path) -> float:
        """The similarity of two photos' largest faces. Raises OSError, Fault."""
        return self._engine.compare(self._largest(a), self._largest(b))

    def liveness(self, source: Path) -> str:
        """The verdict on a zip, or a folder, with the pictures 1 to 4, and what it rests on. Raises OSError, Fault."""
        if source.is_dir():
            files = sorted(file for file in source.iterdir() if file.suffix.lower() in _SUFFIXES)
            if [file.stem for file in files] != [str(number) for number in range(1, FRAMES + 1)]:
                raise Fault(ResultCode.ZIP_NAMES, "the folder must hold the pictures 1, 2, 3 and 4")
            pictures = [self._picture(file) for file in files]
        else:
            contents = four_pictures(source.read_bytes(), self._max_bytes)
            pictures = [EncodedPicture(content, self._max_pixels) for content in contents]
        verdict = self._engine.liveness(pictures)
        signs = [name for name in ("coupled", "moire", "still", "blind") if getattr(verdict, name)]
        return (
            f"confidence {verdict.confidence:.4f} (0.5 and above: live)\n"
            f"network {verdict.network:+.2f}, bezel {verdict.bezel:.2f}, signs: {', '.join(signs) or 'none'}"
        )

    def selftest(self) -> tuple[list[str], bool]:
        """A line for each role, and whether all of them work."""
        lines = [
            f"{role:10} {chosen.files[0].precision} works" if isinstance(chosen, Chosen) else f"{role:10} {chosen}"
            for role, chosen in self._choice.items()
        ]
        return lines, all(isinstance(chosen, Chosen) for chosen in self._choice.values())

    def record(self) -> tuple[list[str], bool]:
        """Writes the self-test's known answers anew, for every shipped precision."""
        folder = self._section.folder
        store, portrait = ModelStore.open(folder), loading.portrait(folder)
        tables: dict[str, Any] = {}
        for precision in sorted({model.precision for model in store.models}):
            wanted = dict.fromkeys((Role.DETECTOR, Role.EMBEDDER, Role.LIVENESS), precision)
            engine = loading.build(loading.choose(store, wanted, 1), 1)
            tables[precision] = selftest.Answers.of(engine, portrait).table()
        path = folder / loading.SELFTEST
        path.write_text(tomlkit.dumps(tables), "utf-8")
        return [f"recorded in {path.name}: {', '.join(tables)}"], True

    def _picture(self, photo: Path) -> EncodedPicture:
        return EncodedPicture(photo.read_bytes(), self._max_pixels)

    def _largest(self, photo: Path) -> AlignedFace:
        found = self._engine.align(self._picture(photo), DetectLimits(count=1))
        if not found:
            raise Fault(ResultCode.NO_FACE, str(photo))
        return found[0]


def document(photo: Path, found: Sequence[Face]) -> dict[str, Any]:
    """What `POST /faces` answers, with the file's name, and of each face the detector's own rectangle and score."""
    faces = [
        {
            **answers.face(face),
            "bounding_box": answers.box(face.detection.box),
            "score": round(face.detection.score, answers.DIGITS),
        }
        for face in found
    ]
    return {"file": str(photo), "count": len(found), "faces": faces, "return_msg": answers.message(ResultCode.OK)}


def failure(photo: Path, error: OSError | Fault) -> dict[str, Any]:
    """The same for a photo that could not be read."""
    code = error.code if isinstance(error, Fault) else ResultCode.NO_IMAGE
    return {"file": str(photo), "return_msg": answers.message(code)}


def summary(photo: Path, found: Sequence[Face]) -> str:
    """The faces of a photo as lines for people."""
    lines = [f"{photo}: {len(found)} face{'' if len(found) == 1 else 's'}"]
    for number, face in enumerate(found, 1):
        box, pose = face.detection.box.squared(), face.pose
        lines.append(
            f"  {number:3}  {box.side:6.1f} px at ({box.x:.1f}, {box.y:.1f})  yaw {pose.yaw:+6.1f}  pitch {pose.pitch:+6.1f}"
            f"  roll {pose.roll:+6.1f}  score {face.detection.score:.2f}"
        )
    return "\n".join(lines)
