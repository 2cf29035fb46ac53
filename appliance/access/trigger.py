"""What starts a decision that nobody asks for: a face that comes near, or a button."""

import logging
import secrets
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from math import hypot, inf
from queue import Empty, SimpleQueue

from appliance.access.steps import Present
from appliance.access.token import NONCE_BYTES, Direction, SignedDecision, Trigger
from appliance.camera.source import Ring
from appliance.events import Broadcast, DoorEvent, DoorEventKind, FacesSeen, Subscription
from appliance.face.types import Box
from appliance.faults import Fault
from appliance.gallery.people import GalleryError
from appliance.observation.tracking import LOST_SECONDS, SIGHTING_SECONDS, SIGHTINGS

log = logging.getLogger(__name__)

STEADY_SECONDS, STEADY = 0.35, 0.25
"""For how long a face stands still before its decision: two analyses at 5 a second. Its centre moves by at most this share of
its side, and its side by as much. A person who walks by moves by about one side in this time.
"""

COME = 0.1
"""A face has come when its centre has moved by this share of its side since it was first seen, or its side has changed by as
much. A poster never does; the box of a still with sensor noise moves by some hundredths.
"""

FOLLOWED = 0.3
"""By this share of its side a face may move or grow from one frame of the decision to the next, as the analyses nearest to them
show it. The decision itself allows growth by half (`tracking.followed`), which is 0.33.
"""

KEPT_SECONDS = 2.0
"""For so long the boxes of a face are kept: the four frames of a decision span up to 1.33 s at 15 frames a second."""

LONGEST_PAUSE_SECONDS = 60.0
"""The pause of a face that is denied again and again doubles each time up to this, or is `pause_s` where that is longer."""

GONE_SECONDS = 10.0
"""After so long without a face that is near, a step of a decision is not waited for any longer. Eight digits take 8 s on a
touch screen, and a person who types them looks down at it, so that no face is seen.
"""

WAIT_SECONDS = 0.5
"""Longest wait for an event, so that `stop` is noticed."""


@dataclass(frozen=True, slots=True)
class Zone:
    """Where a face is near: its side is at least `least_side` pixels, and its centre is within `region` (left, top, right and
    bottom as shares of the picture).
    """

    least_side: float
    region: tuple[float, float, float, float] = (0.0, 0.0, 1.0, 1.0)

    def near(self, box: Box) -> bool:
        return box.side >= self.least_side

    def holds(self, box: Box, width: int, height: int) -> bool:
        left, top, right, bottom = self.region
        return left <= box.center[0] / width <= right and top <= box.center[1] / height <= bottom


@dataclass(slots=True)
class _Path:
    """A followed face: its first box and those of the last KEPT_SECONDS, each with the time of its frame."""

    since: float
    first: Box
    boxes: deque[tuple[float, Box]] = field(default_factory=deque)
    come: bool = False
    granted: bool = False
    denials: int = 0
    wait_until: float = -inf

    def go_on(self, captured: float, box: Box) -> None:
        self.come = self.come or _shift(self.first, box) > COME
        self.boxes.append((captured, box))
        while self.boxes[0][0] < captured - KEPT_SECONDS:
            self.boxes.popleft()

    def steady(self, captured: float) -> bool:
        newest, begin = self.boxes[-1][1], captured - STEADY_SECONDS
        recent = [box for time, box in self.boxes if time > begin]
        return self.since <= begin and all(_shift(box, newest) <= STEADY for box in recent)

    def followed(self, times: Sequence[float]) -> bool:
        """Whether a decision about frames of these times will find the face in all of them."""
        near = [min((abs(time - moment), time, box) for time, box in self.boxes)[2] for moment in times]
        return self.since <= times[0] and all(_shift(*pair) <= FOLLOWED for pair in pairwise(near))


def _shift(one: Box, other: Box) -> float:
    """How far a face has moved or grown, in sides of its larger box."""
    side = max(one.side, other.side)
    moved = hypot(one.center[0] - other.center[0], one.center[1] - other.center[1])
    return max(moved, abs(one.side - other.side)) / side


class Approach:
    """Chooses the face that starts a decision: the only one that is near, upright, within the region and steady, which has come
    and has not been granted. Not thread-safe.
    """

    def __init__(self, zone: Zone, pause_s: float) -> None:
        """`pause_s`: seconds from one decision to the next."""
        self._zone, self._pause = zone, pause_s
        self._paths: dict[int, _Path] = {}
        self._alone_since = inf
        self._next = -inf

    def seen(self, event: FacesSeen, captured: float, times: Sequence[float]) -> int | None:
        """Takes the faces of a frame, and when it was captured; returns the number of the face that starts a decision now.
        `times` are those of the four frames that this decision would be about (empty: there are too few frames): the face is
        in all of them, and no other one is near from the first on.
        """
        for each in event.faces:
            box = each.face.detection.box
            self._paths.setdefault(each.number, _Path(captured, box)).go_on(captured, box)
        self._paths = {n: path for n, path in self._paths.items() if path.boxes[-1][0] >= captured - LOST_SECONDS}
        near = [each for each in event.faces if self._zone.near(each.face.detection.box)]
        if len(near) > 1:
            self._alone_since = inf
        elif self._alone_since == inf:
            self._alone_since = captured
        if len(near) != 1 or captured < self._next:
            return None
        number, face = near[0].number, near[0].face
        path = self._paths[number]
        stands = (
            face.upright and self._zone.holds(face.detection.box, event.width, event.height) and path.steady(captured)
        )
        may = path.come and not path.granted and captured >= path.wait_until
        alone = bool(times) and self._alone_since <= times[0]
        return number if stands and may and alone and path.followed(times) else None

    def decided(self, number: int, now: float, *, granted: bool) -> None:
        """Takes the decision about a face, which was made at `now`."""
        self._next = now + self._pause
        path = self._paths[number]
        path.granted = path.granted or granted
        pause = self._pause * 2.0 ** min(path.denials, 16)
        path.wait_until = now + max(self._pause, min(pause, LONGEST_PAUSE_SECONDS))
        path.denials += 1


Decide = Callable[[str, Direction, Trigger, float, Present], SignedDecision]
"""Makes a decision: a nonce, a direction, what has started it, from when on the newest frame counts, and whether the person is
still there.
"""


class StillThere:
    """Whether there was a face that is near within GONE_SECONDS, by what was published since the last call. While a device
    sees nothing, as when its camera fails, nothing is published and it counts as gone.
    """

    def __init__(self, subscription: Subscription, zone: Zone, clock: Callable[[], float] = time.monotonic) -> None:
        self._subscription, self._zone, self._clock = subscription, zone, clock
        self._last = clock()

    def __call__(self) -> bool:
        while event := self._subscription.next(0.0):
            if isinstance(event, FacesSeen) and any(self._zone.near(each.face.detection.box) for each in event.faces):
                self._last = self._clock()
        return self._clock() < self._last + GONE_SECONDS


class DoorTrigger:
    """Starts decisions on its own thread."""

    def __init__(
        self,
        trigger: str,
        least_side: float,
        region: tuple[float, float, float, float],
        pause_s: float,
        direction: str,
        decide: Decide,
        bus: Broadcast,
        ring: Ring,
    ) -> None:
        """`pause_s` is the least time between two decisions; the others are values of Trigger and Direction and of a Zone."""
        self._trigger, self._pause, self._direction = Trigger(trigger), pause_s, Direction(direction)
        self._decide, self._bus, self._ring = decide, bus, ring
        self._zone = Zone(least_side, region)
        self._approach = Approach(self._zone, pause_s)
        self._pressed: SimpleQueue[float] = SimpleQueue()
        self._problem = ""
        self._stopping = False
        bus.subscribe(DoorEvent, self._note)

    def run(self) -> None:
        """Works until `stop`. While faces are watched for, the camera's frames are analysed."""
        if self._trigger is Trigger.BUTTON:
            self._await_button()
        elif self._trigger is Trigger.APPROACH:
            with self._bus.subscribed(FacesSeen) as subscription:
                while not self._stopping:
                    event = subscription.next(WAIT_SECONDS)
                    if isinstance(event, FacesSeen) and self._look(event, StillThere(subscription, self._zone)):
                        while subscription.next(0.0):  # what was seen during the decision and its steps is old
                            pass

    def stop(self) -> None:
        """Ends `run` within about a second."""
        self._stopping = True

    def _look(self, event: FacesSeen, present: Present) -> bool:
        """Whether there was a decision."""
        captured = time.monotonic() - event.age_s
        frames = self._ring.spaced(SIGHTINGS, SIGHTING_SECONDS)
        number = self._approach.seen(event, captured, [frame.captured for frame in frames])
        if number is None:
            return False
        signed = self._decision(captured, present)
        self._approach.decided(number, time.monotonic(), granted=signed is not None and signed.decision.granted)
        return True

    def _await_button(self) -> None:
        ready = -inf
        while not self._stopping:
            try:
                pressed = self._pressed.get(timeout=WAIT_SECONDS)
            except Empty:
                continue
            if pressed >= ready:
                self._decision(pressed)
                ready = pressed + self._pause

    def _decision(self, since: float, present: Present = lambda: True) -> SignedDecision | None:
        try:
            signed = self._decide(secrets.token_urlsafe(NONCE_BYTES), self._direction, self._trigger, since, present)
        except (Fault, GalleryError) as error:
            if str(error) != self._problem:
                log.warning("no decision is made: %s", error)
            self._problem = str(error)
            return None
        self._problem = ""
        return signed

    def _note(self, event: DoorEvent) -> None:
        if event.kind is DoorEventKind.BUTTON and self._trigger is Trigger.BUTTON:
            self._pressed.put(time.monotonic())
