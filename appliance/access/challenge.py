"""Challenge and response: the person at the camera turns the head as asked, in directions that are drawn after the question.

A pure state machine: poses of frames and their times go in, what to ask and the outcome come out. It does not tell a solid
head from a replayed one; it tells a head that follows from a film that goes its own way (docs/measured.md).
"""

import random
import secrets
import time
from collections.abc import Callable, Sequence
from enum import StrEnum
from typing import Final

import numpy as np
import numpy.typing as npt

from appliance.access.enrol import FRONT, STRAY, Prompt
from appliance.face.types import Pose
from appliance.observation.tracking import LOST_SECONDS

DRAWN: Final = (Prompt.TURN_LEFT, Prompt.TURN_RIGHT, Prompt.LOOK_UP)
"""What a person may be asked for. Looking down hides the eyes, and many cameras hang above them."""

TEXTS: Final = {
    Prompt.LOOK_FRONT: "Look straight at the camera.",
    Prompt.TURN_LEFT: "Turn your head to your left.",
    Prompt.TURN_RIGHT: "Turn your head to your right.",
    Prompt.LOOK_UP: "Raise your chin.",
}

TURN = 25.0, 20.0
"""Degrees of yaw and of pitch from the person's own frontal pose, from which a head is turned. Of the turns of people, nine in
ten reach 36 degrees of yaw. A flat print that is tilted by up to 45 degrees reads 22.5 and 15 at most, a rolled one more
(docs/measured.md).
"""

BASE_SECONDS = 0.4
"""For how long a head looks straight at the camera before its pose is taken as the frontal one: the median over this time."""

BACK = 10.0
"""Degrees from the frontal pose within which a head is back at the centre."""

EARLY_SECONDS = 0.3
"""An answer that comes sooner after the prompt is no answer: people need longer to read and to turn."""

ANSWER_SECONDS = 2.5
"""Time for each prompt, and for the way back to the centre. Of real turns, 97 to 100 % are seen within it when the person
reacts within a second (10 phone videos of people who turn their heads).
"""

FRONT_SECONDS = 5.0
"""Time to look straight at the camera at first."""

WAIT_SECONDS = 2.0
"""A head that looks at the camera waits up to this time for its prompt, at random: a film of a head that turns again and again
does not wait (docs/measured.md).
"""

STILL_SECONDS = 0.9
"""For how long the head looks at the camera at the end, so that the four frames of the decision show it from the front."""

_AXES: Final = {
    Prompt.TURN_LEFT: (0, 1.0),
    Prompt.TURN_RIGHT: (0, -1.0),
    Prompt.LOOK_UP: (1, 1.0),
    Prompt.LOOK_DOWN: (1, -1.0),
}
"""Yaw or pitch, and its sign: in a picture that is not mirrored, a person's left is at yaw > 0."""

TRIES, TRIES_SECONDS = 3, 60.0
"""Failed challenges of a person within this time, after which they are not asked again until the first of them is older."""

Angles = npt.NDArray[np.float64]
"""Yaw and pitch in degrees."""


class Response(StrEnum):
    """How a challenge ended: PASSED; not answered in time; the head moved before its prompt, or sooner after it than anyone can
    react; it turned in another direction first; the face was lost, or a second one came; the frames show more than one person.
    NOT_ASKED: there was none, because this person has failed too often.
    """

    PASSED = "passed"
    TOO_SLOW = "too_slow"
    TOO_EARLY = "too_early"
    OTHER_DIRECTION = "other_direction"
    LOST = "lost"
    ANOTHER_PERSON = "another_person"
    NOT_ASKED = "not_asked"


class ChallengeMode(StrEnum):
    """When a door asks for a challenge: UNSURE, while liveness is not beyond doubt."""

    NEVER = "never"
    UNSURE = "unsure"
    ALWAYS = "always"


class Challenge:
    """One challenge with `count` prompts. `prompt` is what the person is asked now; `response` is None until it has ended."""

    def __init__(
        self,
        count: int,
        draw: Callable[[Sequence[Prompt]], Prompt] = secrets.choice,
        wait: Callable[[], float] = lambda: random.SystemRandom().uniform(0, WAIT_SECONDS),
    ) -> None:
        """`draw` chooses each direction at the moment in which it is asked for, `wait` for how many seconds the head waits for
        it.
        """
        self.prompt = Prompt.LOOK_FRONT
        self.response: Response | None = None
        self._left, self._draw, self._wait = count, draw, wait
        self._asked: float | None = None
        self._last = 0.0
        self._base: Angles | None = None
        self._centred: list[tuple[float, Angles]] = []
        self._before: Prompt | None = None
        self._until: float | None = None

    @property
    def seconds(self) -> float:
        """The longest time for this prompt."""
        waits = self.prompt is Prompt.LOOK_FRONT and not self._ends
        return self._limit + (WAIT_SECONDS if waits else 0)

    def see(self, captured: float, pose: Pose | None, now: float) -> None:
        """Takes the pose of the face in a frame; None when the face that is followed is not there, or not alone. `captured` is
        when the frame was taken, `now` when a new prompt is shown, if this frame leads to one (seconds of one clock).
        """
        if self._asked is None:
            self._asked = self._last = captured
        since, gap, self._last = captured - self._asked, captured - self._last, captured
        if self.response is not None:
            return
        if pose is None or gap > LOST_SECONDS:
            self.response = Response.LOST
        elif since > self._limit and self._until is None:
            self.response = Response.TOO_SLOW
        elif self.prompt is Prompt.LOOK_FRONT:
            self._return(captured, np.array(pose[:2]), now)
        else:
            self._turn(np.array(pose[:2]), since, now)

    @property
    def centred(self) -> bool:
        """Whether the newest frame shows the head at the centre, while it is to be there."""
        return bool(self._centred)

    @property
    def _limit(self) -> float:
        if self._base is None:
            return FRONT_SECONDS
        return ANSWER_SECONDS + (STILL_SECONDS if self._ends else 0)

    @property
    def _ends(self) -> bool:
        return not self._left and self.prompt is Prompt.LOOK_FRONT

    def _return(self, captured: float, angles: Angles, now: float) -> None:
        """Looks for a head that stays at the centre: at first straight ahead, later as it was then."""
        away = np.abs(angles if self._base is None else angles - self._base).max()
        if not away <= (FRONT if self._base is None else BACK):
            self._centred.clear()
            if self._until is not None:
                self.response = Response.TOO_EARLY
            return
        self._centred.append((captured, angles))
        stayed = captured - self._centred[0][0]
        if self._until is not None:
            if captured >= self._until:
                self._ask(self._draw(DRAWN), now)
        elif self._base is None:
            if stayed >= BASE_SECONDS:
                self._base = np.median([each for _, each in self._centred], axis=0)
                self._until = captured + self._wait()
        elif not self._ends:
            if len(self._centred) > 1:
                self._until = captured + self._wait()
        elif stayed >= STILL_SECONDS:
            self.response = Response.PASSED

    def _turn(self, angles: Angles, since: float, now: float) -> None:
        """What is seen in one frame may be noise; what counts is seen in two, one after the other."""
        assert self._base is not None
        before, self._before = self._before, _direction(angles - self._base)
        if self._before is None or self._before is not before:
            return
        if self._before is not self.prompt:
            self.response = Response.OTHER_DIRECTION
        elif since < EARLY_SECONDS:
            self.response = Response.TOO_EARLY
        else:
            self._left -= 1
            self._ask(Prompt.LOOK_FRONT, now)

    def end(self, response: Response) -> None:
        """Ends the challenge, unless it has failed already."""
        if self.response in (None, Response.PASSED):
            self.response = response

    def _ask(self, prompt: Prompt, now: float) -> None:
        self.prompt, self._asked, self._before, self._until = prompt, now, None, None
        self._centred.clear()


def _direction(change: Angles) -> Prompt | None:
    """Where a head looks that is turned by `change` (degrees of yaw and pitch) from its frontal pose; None for anything less
    than a turn, or for one in two directions at once.
    """
    for prompt, (axis, sign) in _AXES.items():
        if sign * change[axis] >= TURN[axis] and abs(change[1 - axis]) < STRAY:
            return prompt
    return None


class Tries:
    """Counts the failed challenges of each person. Not thread-safe."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._failed: dict[str, list[float]] = {}

    def fail(self, reference: str) -> None:
        """Counts one of the person with this reference."""
        now = self._clock()
        recent = {each: [at for at in times if now - at < TRIES_SECONDS] for each, times in self._failed.items()}
        self._failed = {each: times for each, times in recent.items() if times}
        self._failed.setdefault(reference, []).append(now)

    def used_up(self, reference: str) -> bool:
        """Whether this person is not asked at the moment."""
        return sum(self._clock() - at < TRIES_SECONDS for at in self._failed.get(reference, ())) >= TRIES
