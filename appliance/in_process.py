"""A face engine in this process that answers the evaluation's questions exactly as the HTTP API would."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from appliance import __version__, state
from appliance.api import answers, intake
from appliance.api.intake import Intake
from appliance.calibration import points as calibration_file
from appliance.calibration.points import CalibrationStore
from appliance.config import Config
from appliance.evaluation.asked import (
    CutFace,
    FeatureFace,
    FoundFace,
    ScoredFace,
    UnexpectedAnswerError,
    box_of,
    found_face,
)
from appliance.face.types import DetectLimits
from appliance.faults import Fault, ResultCode
from appliance.imaging.codec import EncodedPicture
from appliance.vision import loading
from appliance.vision.engine import EnginePool
from appliance.vision.runtime import RUNTIME, RUNTIME_VERSION

PATIENCE = 3600.0
"""Seconds that a question may wait for an engine; there is one for each worker, so that it never does."""


class InProcess:
    """One engine a worker, as this device would choose them, and the device's own bounds on what it is given."""

    def __init__(self, settings: Config, workers: int) -> None:
        self._calibration = CalibrationStore(state.folder(settings.state.folder) / calibration_file.FILE)
        decided = self._calibration.thresholds()  # of now, for as long as this goes on
        section = settings.engine
        self._choice, first = loading.first_engine(section.folder, section.precisions, section.threads, lambda: decided)
        rest = [
            loading.build(self._choice, settings.engine.threads, thresholds=lambda: decided) for _ in range(workers - 1)
        ]
        self._engines = EnginePool(workers, PATIENCE)
        self._engines.fill([first, *rest])
        self._facts = {
            "sdk_version": __version__,
            "runtime": {"name": RUNTIME, "version": RUNTIME_VERSION},
            "models": loading.models_of(self._choice),
            "calibration": loading.points_of(self._choice, self._calibration),
            "limits": settings.server.model_dump(include={"max_megapixels", "max_body_mib"}),
        }
        self._max_body = settings.server.max_body_mib * 2**20
        self._intake = Intake(self._max_body, int(settings.server.max_megapixels * 1e6))

    def facts(self) -> Mapping[str, Any]:
        """Versions, runtime, models and operating points, as /version names them; and the bounds on what is taken."""
        return self._facts

    def faces(self, picture: bytes, **query: int) -> list[FoundFace]:
        """As `POST /faces`. Raises UnexpectedAnswerError."""
        with _answering(), self._engines.lease() as engine:
            found = engine.detect(self._picture(picture), _limits(query))
        return [found_face(each) for each in answers.faces(found)["faces"]]

    def aligned_faces(self, picture: bytes, **query: int) -> list[CutFace]:
        """As `POST /alignedfaces`. Raises UnexpectedAnswerError."""
        with _answering(), self._engines.lease() as engine:
            found = engine.align(self._picture(picture), _limits(query))
        return [CutFace(box_of(answers.box(each.box)), each.pixels.tobytes()) for each in found]

    def face_features(self, picture: bytes, **query: int) -> list[FeatureFace]:
        """As `POST /facefeatures`. Raises UnexpectedAnswerError."""
        with _answering(), self._engines.lease() as engine:
            found = engine.align(self._picture(picture), _limits(query))
            return [FeatureFace(box_of(answers.box(each.box)), engine.feature(each)) for each in found]

    def scored_faces(self, picture: bytes, **query: int) -> list[ScoredFace]:
        """The faces of `POST /faces`, as the detector itself gives them. Raises UnexpectedAnswerError."""
        with _answering(), self._engines.lease() as engine:
            found = engine.detect(self._picture(picture), _limits(query))
        return [
            ScoredFace(box_of(answers.box(each.detection.box)), round(each.detection.score, answers.DIGITS))
            for each in found
        ]

    def similarity(self, image_a: bytes, image_b: bytes) -> float:
        """As `POST /similarity/v2`. Raises UnexpectedAnswerError."""
        with _answering(), self._engines.lease() as engine:
            return engine.compare(self._intake.aligned_face(image_a), self._intake.aligned_face(image_b))

    def liveness(self, frames: Sequence[bytes], suffix: str = ".jpg") -> float | None:
        """As `POST /liveness/multiframe`. Raises UnexpectedAnswerError."""
        try:
            self._bound(sum(len(frame) for frame in frames))  # one body
            with self._engines.lease() as engine:
                return engine.liveness([self._picture(frame) for frame in frames]).confidence
        except Fault as fault:
            if fault.code == ResultCode.NO_FACE:
                return None
            raise _unexpected(fault) from fault

    def _picture(self, content: bytes) -> EncodedPicture:
        self._bound(len(content))
        return self._intake.picture(content)

    def _bound(self, size: int) -> None:
        if size > self._max_body:
            raise Fault(ResultCode.INVALID_BODY, f"{size} bytes, the bound is {self._max_body}")


def _limits(query: Mapping[str, int]) -> DetectLimits:
    return intake.detect_limits({name: str(value) for name, value in query.items()})


@contextmanager
def _answering() -> Iterator[None]:
    try:
        yield
    except Fault as fault:
        raise _unexpected(fault) from fault


def _unexpected(fault: Fault) -> UnexpectedAnswerError:
    return UnexpectedAnswerError(str(fault), fault.code.text)
