"""How somebody holds their head while they are enrolled, so that they are known again when they do not look straight ahead.

The front is where the quality tables (vision/quality.py) take nothing away: yaw up to 20, pitch up to 15 degrees, less some
room for yaw. A turned head begins where the front ends, and ends where a picture of it still is worth .85 of one from the front
and so leaves room for imperfect light: 40 degrees of yaw are worth .88, 30 of pitch .87.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from appliance.access_control.prompts import Prompt
from appliance.face.types import Pose


class Asked(StrEnum):
    """Which way a person is asked to look: their own left and right."""

    FRONT = "front"
    LEFT = "left"
    RIGHT = "right"
    UP = "up"
    DOWN = "down"


@dataclass(frozen=True, slots=True)
class Window:
    """Degrees between which yaw and pitch must be. In a picture that is not mirrored a person's left is at yaw > 0."""

    yaw: tuple[float, float]
    pitch: tuple[float, float]


FRONT, TURNED, RAISED = 15.0, 40.0, 30.0
"""Where the front ends, and where the two ways of looking away do."""

STRAY = 20.0
"""How far a head that is asked to turn one way may be turned the other way: up and down as well as left and right."""

WINDOWS: Final = {
    Asked.FRONT: Window((-FRONT, FRONT), (-FRONT, FRONT)),
    Asked.LEFT: Window((FRONT, TURNED), (-STRAY, STRAY)),
    Asked.RIGHT: Window((-TURNED, -FRONT), (-STRAY, STRAY)),
    Asked.UP: Window((-STRAY, STRAY), (FRONT, RAISED)),
    Asked.DOWN: Window((-STRAY, STRAY), (-RAISED, -FRONT)),
}


def nudge(asked: Asked, pose: Pose) -> Prompt | None:
    """What brings a head from its pose to the one that is asked for; None when it is there."""
    window = WINDOWS[asked]
    prompt = _towards(pose.yaw, window.yaw, Prompt.TURN_LEFT, Prompt.TURN_RIGHT) or _towards(
        pose.pitch, window.pitch, Prompt.LOOK_UP, Prompt.LOOK_DOWN
    )
    return Prompt.LOOK_FRONT if prompt and asked is Asked.FRONT else prompt


def _towards(angle: float, window: tuple[float, float], more: Prompt, less: Prompt) -> Prompt | None:
    least, most = window
    if angle < least:
        return more
    return less if angle > most else None
