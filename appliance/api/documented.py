"""The endpoints of the published document."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import bottle

from appliance.api import answers, intake
from appliance.api.intake import Intake
from appliance.vision.engine import EnginePool


@dataclass(frozen=True, slots=True)
class Documented:
    """One method an endpoint; each takes bottle's current request and returns the answer or raises a Fault."""

    engines: EnginePool
    intake: Intake
    facts: Callable[[], Mapping[str, Any]]

    def faces(self) -> bottle.HTTPResponse:
        """`POST /faces`"""
        limits = intake.detect_limits(bottle.request.query)
        picture = self.intake.picture(self.intake.body(bottle.request.environ))
        with self.engines.lease() as engine:
            found = engine.detect(picture, limits)
        return answers.answer(answers.faces(found))

    def aligned_faces(self) -> bottle.HTTPResponse:
        """`POST /alignedfaces`"""
        limits = intake.detect_limits(bottle.request.query)
        picture = self.intake.picture(self.intake.body(bottle.request.environ))
        with self.engines.lease() as engine:
            found = engine.align(picture, limits)
        return answers.answer(answers.aligned_faces(found))

    def similarity(self) -> bottle.HTTPResponse:
        """`POST /similarity/v2` and `POST /similarity`"""
        parts = self.intake.form(bottle.request.environ, "image_a", "image_b")
        a, b = (self.intake.aligned_face(part) for part in parts)
        with self.engines.lease() as engine:
            similarity = engine.compare(a, b)
        return answers.answer({"similarity": similarity})

    def liveness(self) -> bottle.HTTPResponse:
        """`POST /liveness/multiframe`"""
        (archive,) = self.intake.form(bottle.request.environ, "images")
        with self.engines.lease() as engine:
            verdict = engine.liveness(self.intake.four_pictures(archive))
        return answers.answer({"confidence": verdict.confidence})

    def version(self) -> bottle.HTTPResponse:
        """`GET /version`"""
        return answers.answer(self.facts())
