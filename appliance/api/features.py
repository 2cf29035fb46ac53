"""Two photographs compared, and embeddings for those who keep and compare them themselves."""

from dataclasses import dataclass

import bottle

from appliance.api import answers, intake
from appliance.api.intake import Intake
from appliance.face.types import AlignedFace, DetectLimits
from appliance.faults import Fault, ResultCode
from appliance.vision.crop import Picture
from appliance.vision.engine import EnginePool, FaceEngine


@dataclass(frozen=True, slots=True)
class Features:
    """One method an endpoint; each takes bottle's current request and returns the answer or raises a Fault."""

    engines: EnginePool
    intake: Intake

    def compare(self) -> bottle.HTTPResponse:
        """`POST /compare`: the largest face of one photograph and that of another."""
        parts = self.intake.form(bottle.request.environ, "image_a", "image_b")
        a, b = (self.intake.picture(part) for part in parts)
        with self.engines.lease() as engine:
            face_a, face_b = (_largest(engine, picture) for picture in (a, b))
            similarity = engine.compare(face_a, face_b)
        return answers.answer(
            {"similarity": similarity, "box_a": answers.box(face_a.box), "box_b": answers.box(face_b.box)}
        )

    def floats(self) -> bottle.HTTPResponse:
        """`POST /feature/floats`: the embedding of an aligned face, which is the body or its part `image`."""
        environ = bottle.request.environ
        posted_as_form = environ.get("CONTENT_TYPE", "").lower().startswith("multipart/")
        content = self.intake.form(environ, "image")[0] if posted_as_form else self.intake.body(environ)
        face = self.intake.aligned_face(content)
        with self.engines.lease() as engine:
            feature = engine.feature(face)
        return answers.answer(answers.feature(feature))

    def face_features(self) -> bottle.HTTPResponse:
        """`POST /facefeatures`: the embeddings of all faces of a picture, the largest first."""
        limits = intake.detect_limits(bottle.request.query)
        picture = self.intake.picture(self.intake.body(bottle.request.environ))
        with self.engines.lease() as engine:
            found = [(face, engine.feature(face)) for face in engine.align(picture, limits)]
        features = [{"box": answers.box(face.box), **answers.feature(feature)} for face, feature in found]
        return answers.answer({"count": len(features), "face_features": features})


def _largest(engine: FaceEngine, picture: Picture) -> AlignedFace:
    faces = engine.align(picture, DetectLimits(count=1))
    if not faces:
        raise Fault(ResultCode.NO_FACE)
    return faces[0]
