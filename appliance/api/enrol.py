"""Templates for people who are known: from a photograph, or from who stands before the camera."""

from dataclasses import dataclass

import bottle

from appliance.access_control import taking
from appliance.access_control.enrolment import Enrolled, Enrolment
from appliance.access_control.poses import Asked
from appliance.access_control.register import Register
from appliance.api import answers
from appliance.api.gallery_troubles import refusing
from appliance.api.intake import Intake
from appliance.api.live import PATIENCE_SECONDS, Live
from appliance.api.people import PERSON, note, template_record
from appliance.camera.source import CameraFrame
from appliance.faults import Refusal, ResultCode
from appliance.gallery.people import Source
from appliance.vision.engine import EnginePool, Portrait

TEMPLATES = f"{PERSON}/templates"
FROM_CAMERA = f"{TEMPLATES}/camera"


@dataclass(frozen=True, slots=True)
class Enrol:
    """One method an endpoint; each takes bottle's current request and returns the answer or raises a Fault."""

    register: Register
    enrolment: Enrolment
    engines: EnginePool
    intake: Intake
    live: Live
    least_quality: float
    alive: bool
    """Whoever is enrolled by the camera must be alive, by four frames."""

    def from_photograph(self, identity: str) -> bottle.HTTPResponse:
        """`POST /people/<identity>/templates`"""
        self._known(identity)
        picture = self.intake.picture(self.intake.body(bottle.request.environ))
        with self.engines.lease() as engine:
            portrait = taking.from_photograph(engine, picture, self.least_quality)
        return self._enrol(identity, portrait, Source.PHOTO)

    def from_camera(self, identity: str) -> bottle.HTTPResponse:
        """`POST /people/<identity>/templates/camera`"""
        asked = _asked(bottle.request.query.get("pose", Asked.FRONT.value))
        self._known(identity)
        self._frames(PATIENCE_SECONDS)  # a camera that has just started; these may be old when an engine is free
        with self.engines.lease() as engine:
            portrait = taking.from_camera(engine, self._frames(0), asked, self.least_quality)
        return self._enrol(identity, portrait, Source.CAMERA)

    def _frames(self, patience: float) -> list[CameraFrame]:
        return self.live.spaced(patience) if self.alive else [self.live.newest()]

    def _known(self, identity: str) -> None:
        """That there is this person, and a gallery to enrol them in, before anybody is asked to hold still."""
        with refusing():
            self.register.recognition().gallery.person(identity)

    def _enrol(self, identity: str, portrait: Portrait, source: Source) -> bottle.HTTPResponse:
        query = bottle.request.query
        with refusing():
            recognition = self.register.recognition()
            enrolled = self.enrolment.enrol(
                recognition,
                identity,
                portrait,
                source,
                allow_duplicate=query.get("allow_duplicate") == "1",
                allow_mismatch=query.get("allow_mismatch") == "1",
            )
        note(enrolled.person, f"template {enrolled.template.number} enrolled ({source})")
        self.register.tell()
        return _answer(enrolled, portrait, recognition.model)


def _answer(enrolled: Enrolled, portrait: Portrait, model: str) -> bottle.HTTPResponse:
    body = {
        "template": template_record(enrolled.template, model),
        "quality": answers.quality(portrait.quality),
        "warnings": [{"kind": warning.kind, "person": warning.person.id} for warning in enrolled.warnings],
    }
    return answers.answer(body, headers={"Cache-Control": "no-store"})


def _asked(pose: str) -> Asked:
    try:
        return Asked(pose)
    except ValueError:
        poses = ", ".join(each.value for each in Asked)
        raise Refusal(ResultCode.INVALID_QUERY, "invalid_pose", f"pose: one of {poses}") from None
