"""The door's inputs on the device's own pins: door contact, exit button, fire alarm and case tamper."""

import logging
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass

import gpiozero

from appliance.faults import Problem
from appliance.outputs.door import Signal

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class InputPin:
    """A contact between a GPIO (BCM number) and ground, or with `pull` = "down" the 3.3 V of the board. `normally` is "open" or
    "closed": what its circuit is while the input is not active.
    """

    pin: int
    normally: str
    pull: str


class Debounce:
    """Takes a change at once, and then none for some seconds, after which the level counts as it is: a contact that bounces is
    one change, and a press that is shorter than the time is not missed. (gpiozero's `bounce_time` on lgpio is how long a level
    must last before it counts.) Not thread-safe.
    """

    def __init__(self, seconds: float, *, on: bool) -> None:
        self._seconds, self.on = seconds, on
        self._quiet_until = float("-inf")

    def changed(self, now: float, *, on: bool) -> bool:
        """Takes the level at `now` (seconds); whether it counts as a change."""
        if on == self.on or now < self._quiet_until:
            return False
        self.on, self._quiet_until = on, now + self._seconds
        return True

    def due(self, now: float) -> float | None:
        """When the level has to be read again; None if no change is being ignored."""
        return self._quiet_until if now < self._quiet_until else None


@dataclass(frozen=True, slots=True)
class Edge:
    """An input has changed, at `time` (seconds of `time.monotonic`)."""

    signal: Signal
    on: bool
    time: float


class Inputs:
    """For one thread. Pins that are unavailable are a problem, and tried again by `open`."""

    def __init__(
        self,
        pins: Mapping[Signal, InputPin],
        debounce_s: float,
        failures: tuple[type[Exception], ...],
        put: Callable[[Edge], None],
    ) -> None:
        """`failures` are the errors of the pin library; `put` is called with each edge, on its thread, and may not raise: the
        one thread of lgpio ends with the first exception, and no input is heard any more.
        """
        self._pins, self._debounce_s, self._put = pins, debounce_s, put
        self._failures: tuple[type[Exception], ...] = (ImportError, *failures)
        self._devices: dict[Signal, gpiozero.DigitalInputDevice] = {}
        self._bounces: dict[Signal, Debounce] = {}
        self._missing: tuple[str, ...] = ()

    def open(self) -> set[Signal]:
        """Opens the pins that are not open yet, and returns those that were opened now. `active` has their state."""
        opened, missing = set(), []
        for signal, each in self._pins.items():
            if signal in self._devices:
                continue
            try:
                device = gpiozero.DigitalInputDevice(each.pin, pull_up=each.pull == "up")
            except self._failures as error:
                missing.append(f"{signal} (GPIO {each.pin})")
                if missing[-1] not in self._missing:
                    log.error("inputs: %s: %s: %s", missing[-1], type(error).__name__, error)
                continue
            self._devices[signal] = device
            self._bounces[signal] = Debounce(self._debounce_s, on=self._level(signal))
            device.when_activated = self._noted(signal, active=True)
            device.when_deactivated = self._noted(signal, active=False)
            opened.add(signal)
            log.info(
                "inputs: %s: GPIO %d, %s", signal, each.pin, "active" if self._bounces[signal].on else "not active"
            )
        self._missing = tuple(missing)
        return opened

    @property
    def active(self) -> set[Signal]:
        return {signal for signal, each in self._bounces.items() if each.on}

    @property
    def any(self) -> bool:
        return bool(self._devices)

    def changed(self, edge: Edge) -> bool:
        return self._bounces[edge.signal].changed(edge.time, on=edge.on)

    def sampled(self, now: float) -> list[Edge]:
        """The changes that the pins show, whatever was heard of them."""
        edges = [Edge(signal, self._level(signal), now) for signal in self._devices]
        return [edge for edge in edges if self.changed(edge)]

    def due(self, now: float) -> float | None:
        """When the pins have to be sampled; None if no change is being ignored."""
        return min((due for each in self._bounces.values() if (due := each.due(now)) is not None), default=None)

    def close(self) -> None:
        """Gives up the pins, and their pull resistors stay as they are: gpiozero leaves a pin without any."""
        for signal, device in self._devices.items():
            pin = device.pin
            device.close()
            with suppress(gpiozero.PinFixedPull):  # GPIO 2 and 3
                pin.pull = self._pins[signal].pull

    def problem(self) -> Problem | None:
        if not self._missing:
            return None
        return Problem("inputs", "no_pin", f"Inputs of the door do not work: {', '.join(self._missing)}; see the log.")

    def _level(self, signal: Signal) -> bool:
        """A device of gpiozero is active while the circuit is closed."""
        return bool(self._devices[signal].is_active) == (self._pins[signal].normally == "open")

    def _noted(self, signal: Signal, *, active: bool) -> Callable[[], None]:
        on = active == (self._pins[signal].normally == "open")

        def note() -> None:
            self._put(Edge(signal, on, time.monotonic()))

        return note
