"""Events of the device, and the bus that carries them to subscribers."""

import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, TypeVar

from appliance.face.types import Face
from appliance.vision.quality import Quality

BACKLOG = 64
"""Events in the queue of a slow subscriber; the oldest beyond are dropped."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class SeenFace:
    """A face with the number of its track and the quality of its picture."""

    number: int
    face: Face
    quality: Quality


@dataclass(frozen=True, slots=True)
class FacesSeen:
    """The faces of one frame, which is `age_s` old when the event is published."""

    sequence: int
    age_s: float
    width: int
    height: int
    faces: tuple[SeenFace, ...]


@dataclass(frozen=True, slots=True)
class Appeared:
    """A new face is in front of the camera."""

    number: int


@dataclass(frozen=True, slots=True)
class Left:
    """A face has left, after so many seconds."""

    number: int
    seconds: float


@dataclass(frozen=True, slots=True)
class LivenessJudged:
    """The liveness of a tracked face: 0..1, 0.5 is the operating point."""

    number: int
    confidence: float


@dataclass(frozen=True, slots=True)
class PanelLight:
    """The panel sets the reader's light: colours alternate, each for so many seconds, for `seconds` in all; None: for good."""

    colours: tuple[str, str]
    periods: tuple[float, float]
    seconds: float | None


@dataclass(frozen=True, slots=True)
class PanelSound:
    """The panel sounds the reader's buzzer: seconds on and off, `count` times (0: until the next one)."""

    periods: tuple[float, float]
    count: int


@dataclass(frozen=True, slots=True)
class PanelText:
    """The panel shows a text at the reader, for `seconds`; None: for good."""

    text: str
    seconds: float | None


@dataclass(frozen=True, slots=True)
class GalleryChanged:
    """The gallery has changed; how many people and templates it has now."""

    people: int
    templates: int


class DoorEventKind(StrEnum):
    """What happens at a door: FORCED is an opening without permission, HELD one that lasts too long, NOT_OPENED a grant after
    which the door stayed shut, EXIT the exit button, BUTTON that which asks for a decision, REMOTE_OPEN a request over HTTP,
    DURESS a PIN that asks for help in silence. Between UNLOCKED and LOCKED the door is open for everyone.
    """

    OPENED = "opened"
    CLOSED = "closed"
    FORCED = "forced"
    HELD = "held"
    NOT_OPENED = "not_opened"
    EXIT = "exit"
    BUTTON = "button"
    REMOTE_OPEN = "remote_open"
    DURESS = "duress"
    UNLOCKED = "unlocked"
    LOCKED = "locked"
    TAMPER = "tamper"
    TAMPER_ENDED = "tamper_ended"
    FIRE = "fire"
    FIRE_ENDED = "fire_ended"


@dataclass(frozen=True, slots=True)
class DoorEvent:
    """Something has happened at the door, at `time` (UTC); `by` is the decision's id with NOT_OPENED and DURESS, the key's name
    with REMOTE_OPEN, otherwise None.
    """

    kind: DoorEventKind
    time: datetime
    by: str | None = None


@dataclass(frozen=True, slots=True)
class DoorState:
    """The state of the door has changed: `open` is None without a door contact, `relay` (whether it is on) without a relay that
    works.
    """

    open: bool | None
    forced: bool
    held: bool
    tamper: bool
    fire: bool
    relay: bool | None


@dataclass(frozen=True, slots=True)
class DeliveryCounts:
    """The messages of one output since the start: delivered, dropped, and those still in the queue."""

    delivered: int
    dropped: int
    waiting: int


Event = object
"""What is published: the classes above, and each signed decision as `appliance.access` makes it."""


class Subscription:
    """One listener's queue, of events of `kinds`."""

    def __init__(self, kinds: tuple[type, ...] = (object,)) -> None:
        self.kinds = kinds
        self._events: deque[Event] = deque(maxlen=BACKLOG)
        self._changed = threading.Condition()

    def put(self, event: Event) -> None:
        """Adds an event; the faces of a newer frame take the place of those that have not been heard yet."""
        with self._changed:
            if not isinstance(event, self.kinds):
                return
            if self._events and isinstance(event, FacesSeen) and isinstance(self._events[-1], FacesSeen):
                self._events.pop()
            self._events.append(event)
            self._changed.notify()

    def next(self, timeout: float) -> Event | None:
        """The oldest event that waits; None when none comes within `timeout` seconds."""
        with self._changed:
            self._changed.wait_for(lambda: bool(self._events), timeout)
            return self._events.popleft() if self._events else None


class Broadcast:
    """Hands each event to everyone who listens."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._listeners: list[Subscription] = []
        self._callbacks: list[tuple[type[Any], Callable[[Any], None]]] = []

    def subscribe(self, kind: type[T], callback: Callable[[T], None]) -> None:
        """Calls `callback` with each event of a class, on the publisher's thread: it neither blocks nor raises."""
        self._callbacks.append((kind, callback))

    @contextmanager
    def subscribed(self, *kinds: type) -> Iterator[Subscription]:
        """Events of these classes from now on, inside; without a class, all events."""
        subscription = Subscription(kinds or (object,))
        with self._changed:
            self._listeners.append(subscription)
            self._changed.notify_all()
        try:
            yield subscription
        finally:
            with self._changed:
                self._listeners.remove(subscription)

    def publish(self, event: Event) -> None:
        with self._changed:
            for listener in self._listeners:
                listener.put(event)
        for kind, callback in self._callbacks:
            if isinstance(event, kind):
                callback(event)

    def listened_to(self, timeout: float) -> bool:
        """Whether there is a listener; waits for one at most `timeout` seconds."""
        with self._changed:
            return self._changed.wait_for(lambda: bool(self._listeners), timeout)

    def wants(self, kind: type) -> bool:
        """Whether a listener takes events of a class."""
        with self._changed:
            return any(issubclass(kind, each.kinds) for each in self._listeners)

    @property
    def listeners(self) -> int:
        return len(self._listeners)
