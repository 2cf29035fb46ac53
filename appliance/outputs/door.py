"""A door as its inputs report it: when its lock is released, and which alarms follow. It has no clock and no pins."""

from enum import StrEnum

from appliance.events import DoorEventKind, DoorState

GRACE_SECONDS = 1.0
"""For how long after the pulse an opening is still permitted: the latch is drawn within the pulse, and the contact opens when
the door has moved by some centimetres.
"""

Notice = tuple[DoorEventKind, str | None]
"""What has happened, and the decision that it is about."""


class Signal(StrEnum):
    """An input. It is active while: the door is open; a button is pressed; there is a fire; the case is open."""

    CONTACT = "contact"
    EXIT = "exit"
    BUTTON = "button"
    FIRE = "fire"
    TAMPER = "tamper"


class DoorMonitor:
    """Times are seconds of a clock that never goes back. Not thread-safe."""

    def __init__(self, pulse_s: float, held_s: float, *, contact: bool, until_opened: bool = False) -> None:
        """`pulse_s`: how long the lock is released, `until_opened`: at most until the door opens; `held_s`: from when on an
        open door is an alarm; `contact`: whether there is a door contact.
        """
        self._pulse, self._held_s, self._contact, self._until_opened = pulse_s, held_s, contact, until_opened
        self._active: set[Signal] = set()
        self._until = self._permitted = float("-inf")  # the end of the pulse, and of the permission to open
        self._opened = float("-inf")  # since when an open door counts as held
        self._forced = self._held = self._free = False
        self._granted: list[str] = []  # decisions after which the door has not been opened yet

    def grant(self, now: float, decision: str) -> None:
        self.release(now)
        if self._contact and Signal.CONTACT not in self._active:
            self._granted.append(decision)

    def release(self, now: float) -> None:
        self._until = now + self._pulse
        self._permitted = self._until + GRACE_SECONDS

    def unlock(self, now: float, *, on: bool) -> None:
        """Releases the lock until it is called again with False."""
        self._free, self._opened = on, now

    def start(self, now: float, active: set[Signal]) -> list[Notice]:
        """Takes the first state of inputs: a door that is open then was not forced, and a pressed button does nothing."""
        notices = [
            each
            for signal in Signal
            if signal in active - {Signal.EXIT, Signal.BUTTON}
            for each in self.set(now, signal, on=True)
        ]
        self._forced = self._forced and Signal.CONTACT not in active
        return [notice for notice in notices if notice[0] is not DoorEventKind.FORCED]

    def set(self, now: float, signal: Signal, *, on: bool) -> list[Notice]:
        """Takes the state of an input, and returns what has happened."""
        notices = self.advance(now)
        if on == (signal in self._active):
            return notices
        self._active ^= {signal}
        match signal:
            case Signal.CONTACT if on:
                kinds = self._open(now)
            case Signal.CONTACT:
                self._forced = self._held = False
                kinds = [DoorEventKind.CLOSED]
            case Signal.EXIT:
                if on:
                    self.release(now)
                kinds = [DoorEventKind.EXIT] * on
            case Signal.BUTTON:
                kinds = [DoorEventKind.BUTTON] * on
            case Signal.FIRE:
                self._opened = now
                kinds = [DoorEventKind.FIRE if on else DoorEventKind.FIRE_ENDED]
            case Signal.TAMPER:
                kinds = [DoorEventKind.TAMPER if on else DoorEventKind.TAMPER_ENDED]
        return notices + [(kind, None) for kind in kinds]

    def advance(self, now: float) -> list[Notice]:
        """Returns what has happened because time has passed."""
        notices: list[Notice] = []
        if self._granted and now >= self._permitted:
            notices += [(DoorEventKind.NOT_OPENED, decision) for decision in self._granted]
            self._granted = []
        if self._may_be_held and now >= self._opened + self._held_s:
            self._held = True
            notices.append((DoorEventKind.HELD, None))
        return notices

    def released(self, now: float) -> bool:
        """Whether the relay is on: within a pulse, while it is unlocked, and during a fire."""
        return Signal.FIRE in self._active or self._free or now < self._until

    def due(self, now: float) -> float | None:
        """When `advance` or `released` may have another result; None if only inputs and grants change it."""
        times = [self._until] * (now < self._until) + [self._permitted] * bool(self._granted)
        times += [self._opened + self._held_s] * self._may_be_held
        return min(times, default=None)

    def state(self, *, relay: bool | None) -> DoorState:
        is_open = Signal.CONTACT in self._active if self._contact else None
        tamper, fire = Signal.TAMPER in self._active, Signal.FIRE in self._active
        return DoorState(is_open, self._forced, self._held, tamper, fire, relay)

    @property
    def _may_be_held(self) -> bool:
        free = self._free or Signal.FIRE in self._active
        return Signal.CONTACT in self._active and not free and not self._held

    def _open(self, now: float) -> list[DoorEventKind]:
        permitted = self.released(now) or now < self._permitted or Signal.EXIT in self._active
        self._opened, self._forced, self._granted = now, not permitted, []
        if self._until_opened:
            self._until = min(self._until, now)
        self._permitted = min(self._permitted, self._until)
        return [DoorEventKind.OPENED] + [DoorEventKind.FORCED] * self._forced
