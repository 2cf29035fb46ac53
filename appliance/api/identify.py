"""Who is it, among all who are known: in a photograph, or before the camera."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import bottle

from appliance.access_control.register import Recognition, Register
from appliance.api import answers, intake
from appliance.api.gallery_troubles import refusing
from appliance.api.intake import Intake
from appliance.api.live import Live
from appliance.vision.engine import EnginePool, Portrait

PATH = "/identify"


@dataclass(frozen=True, slots=True)
class Identify:
    """One method an endpoint; each takes bottle's current request and returns the answer or raises a Fault."""

    register: Register
    engines: EnginePool
    intake: Intake
    live: Live

    def photograph(self) -> bottle.HTTPResponse:
        """`POST /identify`"""
        limits = intake.detect_limits(bottle.request.query)
        recognition = self._recognition()
        picture = self.intake.picture(self.intake.body(bottle.request.environ))
        with self.engines.lease() as engine:
            portraits = engine.portray(picture, engine.detect(picture, limits))
        return answers.answer(_faces(recognition, portraits), headers={"Cache-Control": "no-store"})

    def camera(self) -> bottle.HTTPResponse:
        """`GET /identify`"""
        limits = intake.detect_limits(bottle.request.query)
        recognition = self._recognition()
        with self.engines.lease() as engine:
            frame = self.live.newest()
            portraits = engine.portray(frame, engine.detect(frame, limits))
        return self.live.answer(_faces(recognition, portraits), frame)

    def _recognition(self) -> Recognition:
        with refusing():
            return self.register.recognition()


def _faces(recognition: Recognition, portraits: Sequence[Portrait]) -> dict[str, Any]:
    return {"count": len(portraits), "faces": [_face(recognition, portrait) for portrait in portraits]}


def _face(recognition: Recognition, portrait: Portrait) -> dict[str, Any]:
    found = recognition.identifier.identify(portrait.embedding)
    person = found.person
    return {
        "box": answers.box(portrait.face.detection.box.squared()),
        "pose": answers.pose(portrait.face.pose),
        "quality": answers.quality(portrait.quality),
        "result": found.outcome.value,
        "person": {"id": person.id, "name": person.name, "groups": list(person.groups)} if person else None,
        "similarity": found.similarity,
    }
