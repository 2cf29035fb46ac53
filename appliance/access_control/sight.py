"""The rules of what the device has, what the frames show, and who it is."""

from appliance.access_control.finding import Finding, at_least, failed, moot, passed, unless
from appliance.access_control.rules import Rules
from appliance.access_control.ruling import Reason
from appliance.access_control.situation import Sighting, Situation
from appliance.gallery.matching import Outcome
from appliance.gallery.people import Person

ALIVE = 0.5
"""The operating point of the liveness check, which its scale is laid around (calibration)."""


def gallery(_: Rules, situation: Situation) -> Finding:
    """Somebody can be recognised at all."""
    return failed(Reason.GALLERY_UNAVAILABLE, situation.gallery) if situation.gallery is not None else passed("open")


def nonce(_: Rules, situation: Situation) -> Finding:
    """The question is a new one."""
    return failed(Reason.NONCE_REPEATED, "used before") if situation.repeated else passed("new")


def camera(_: Rules, situation: Situation) -> Finding:
    """The camera shows what is before it, now."""
    return failed(Reason.CAMERA_BLIND, situation.trouble) if situation.trouble is not None else passed("sees")


def record(rules: Rules, situation: Situation) -> Finding:
    """The decision can be kept."""
    if situation.recordable:
        return passed("has room")
    return unless(rules.without_record, Reason.RECORD_UNAVAILABLE, "cannot be written", "door.without_record")


def one_face(_: Rules, situation: Situation) -> Finding:
    """There is one face in the frames, and no second."""
    if situation.faces == 1:
        return passed("one face")
    return failed(Reason.NOBODY if situation.faces < 1 else Reason.MORE_THAN_ONE_PERSON, f"{situation.faces} faces")


def followed(_: Rules, situation: Situation) -> Finding:
    """One face is in all four."""
    if situation.sighting is None:
        return failed(Reason.NOT_FOLLOWED, "no face is in all four frames")
    return passed("the same face in all four frames")


def one_person(_: Rules, situation: Situation) -> Finding:
    """It is one person's throughout."""
    if situation.sighting is None:
        return moot()
    if not situation.sighting.one_person:
        return failed(Reason.ANOTHER_PERSON, "the frames show more than one person")
    return passed("one person in all four frames")


def liveness(rules: Rules, situation: Situation) -> Finding:
    """The person is alive, by the same frames."""
    if situation.sighting is None:
        return moot()
    alive = situation.sighting.liveness
    if alive is None:
        return unless(rules.without_liveness, Reason.LIVENESS_OFF, 'liveness.mode = "single"', "door.without_liveness")
    return at_least(alive, ALIVE, Reason.NOT_LIVE, "")


def quality(rules: Rules, situation: Situation) -> Finding:
    """The face's picture is worth enough."""
    sighting = situation.sighting
    if sighting is None:
        return moot()
    return at_least(sighting.quality, rules.min_quality, Reason.POOR_PICTURE, f", weakest: {sighting.weakest}")


def identity(_: Rules, situation: Situation) -> Finding:
    """The gallery knows whose it is, and nobody else's."""
    if situation.sighting is None:
        return moot()
    match situation.sighting:
        case Sighting(outcome=Outcome.IDENTIFIED, person=Person()):
            return passed("identified")
        case Sighting(outcome=Outcome.AMBIGUOUS):
            return failed(Reason.AMBIGUOUS, "two people are too alike to tell")
    return failed(Reason.UNKNOWN, "like nobody in the gallery")
