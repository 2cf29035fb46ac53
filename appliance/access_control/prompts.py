"""What somebody is asked to do, so that a template can be taken from their picture."""

from enum import StrEnum

from appliance.faults import Refusal, ResultCode
from appliance.gallery.people import Source


class Prompt(StrEnum):
    """Left and right, up and down are those of the person."""

    NOBODY = "nobody"
    MORE_THAN_ONE = "more_than_one"
    CLOSER = "closer"
    FARTHER = "farther"
    HOLD_STILL = "hold_still"
    MORE_LIGHT = "more_light"
    LESS_LIGHT = "less_light"
    EVEN_LIGHT = "even_light"
    LOOK_FRONT = "look_front"
    TURN_LEFT = "turn_left"
    TURN_RIGHT = "turn_right"
    LOOK_UP = "look_up"
    LOOK_DOWN = "look_down"
    NOT_LIVE = "not_live"


TEXTS = {
    Prompt.NOBODY: "Nobody is before the camera: step in front of it.",
    Prompt.MORE_THAN_ONE: "There is more than one face in the picture: one person at a time.",
    Prompt.CLOSER: "Come closer.",
    Prompt.FARTHER: "Step back a little, so that the whole face is in the picture.",
    Prompt.HOLD_STILL: "Hold still.",
    Prompt.MORE_LIGHT: "It is too dark: more light on the face.",
    Prompt.LESS_LIGHT: "It is too bright: less light on the face.",
    Prompt.EVEN_LIGHT: "The light comes from one side: turn towards it.",
    Prompt.LOOK_FRONT: "Look straight at the camera.",
    Prompt.TURN_LEFT: "Turn your head a little to your left.",
    Prompt.TURN_RIGHT: "Turn your head a little to your right.",
    Prompt.LOOK_UP: "Raise your chin a little.",
    Prompt.LOOK_DOWN: "Lower your chin a little.",
    Prompt.NOT_LIVE: "No living person could be made out: face the camera for a second, with no picture or screen before it.",
}
"""Said to whoever stands before the camera."""

PHOTO_TEXTS = {
    Prompt.NOBODY: "There is no face in the photograph.",
    Prompt.MORE_THAN_ONE: "There is more than one face in the photograph: take one of this person alone.",
    Prompt.CLOSER: "The face is too small: take a photograph that shows it larger.",
    Prompt.FARTHER: "The face is cut off: take a photograph that shows all of it.",
    Prompt.HOLD_STILL: "The face is blurred: take a sharper photograph.",
    Prompt.MORE_LIGHT: "The face is too dark: take a photograph with more light on it.",
    Prompt.LESS_LIGHT: "The face is too bright: take a photograph with less light on it.",
    Prompt.EVEN_LIGHT: "The face is lit from one side: take a photograph with even light.",
    Prompt.LOOK_FRONT: "The face looks away: take a photograph from the front.",
}
"""Said of a photograph, which nobody can ask to turn its head."""


class NotTakenError(Refusal):
    """No template can be taken from a picture: `prompt` says what is to be done, `text` says it to people."""

    def __init__(self, prompt: Prompt, source: Source) -> None:
        super().__init__(ResultCode.NO_FACE, prompt.value, (TEXTS if source is Source.CAMERA else PHOTO_TEXTS)[prompt])
        self.prompt = prompt
