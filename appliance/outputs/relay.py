"""A relay on the device's own pins, switched on for a moment by each granted decision."""

import logging
import os
import sys
import tempfile
import time
from contextlib import suppress

import gpiozero

from appliance.access.token import SignedDecision
from appliance.faults import Problem
from appliance.outputs.queue import DecisionQueue, DeliveryCounts

log = logging.getLogger(__name__)

FACTORY, LIBRARY = "GPIOZERO_PIN_FACTORY", "lgpio"
"""gpiozero's variable and its default here: the pin library that serves every Pi. Named, it reports what is wrong instead of
being replaced by another one.
"""

MOST_WAITING = 8
"""Decisions are valid for two seconds, and one takes a microsecond here."""

RETRY_SECONDS = 10.0
"""How often an unavailable pin is tried again."""


class Relay:
    """Pulses for granted decisions that are still valid; off before the first, after the last and once stopped."""

    name = "relay"

    def __init__(self, pin: int, *, active_high: bool, pulse_s: float) -> None:
        """`pin`: a GPIO (BCM) number. Call before other threads start: see `_pin_library`."""
        self._pin, self._active_high, self._pulse = pin, active_high, pulse_s
        self._queue = DecisionQueue(self.name, MOST_WAITING)
        self._problem: Problem | None = None
        self._failures = _pin_library()

    def notify(self, signed: SignedDecision) -> None:
        """Ignores denials."""
        if signed.decision.granted:
            self._queue.put(signed)

    def run(self) -> None:
        """Works until `stop`. An unavailable pin is a problem, and tried again."""
        device = self._opened()
        while device is None and not self._queue.closed:
            if self._queue.take(RETRY_SECONDS) is not None:
                self._settle(delivered=False)
            device = self._opened()
        if device is None:
            return
        try:
            self._work(device)
        finally:
            device.off()
            pin = device.pin
            device.close()
            # gpiozero leaves it without the board's pull resistor until the next power-on
            with suppress(gpiozero.PinFixedPull):  # GPIO 2 and 3
                pin.pull = "down" if self._active_high else "up"

    def stop(self) -> None:
        self._queue.close()

    def problem(self) -> Problem | None:
        return self._problem

    def counts(self) -> DeliveryCounts:
        return self._queue.counts()

    def _work(self, device: gpiozero.DigitalOutputDevice) -> None:
        """Switches it on for each valid decision, and off at the end of the last one's pulse."""
        end: float | None = None
        while not self._queue.closed:
            queued = self._queue.take(None if end is None else max(0.0, end - time.monotonic()))
            if queued is not None:
                valid = not queued.expired()
                if valid:
                    device.on()
                    end = time.monotonic() + self._pulse
                self._settle(delivered=valid)
            if end is not None and time.monotonic() >= end:
                device.off()
                end = None

    def _settle(self, *, delivered: bool) -> None:
        self._queue.settled(delivered=delivered)
        log.info(
            "relay: %s",
            f"on for {self._pulse:g} s" if delivered else "a decision has expired, or the pin is unavailable",
        )

    def _opened(self) -> gpiozero.DigitalOutputDevice | None:
        """The pin as an output that is off from the first moment; None if it is unavailable."""
        try:
            _claim_with_level(self._pin)
            device = gpiozero.DigitalOutputDevice(self._pin, active_high=self._active_high, initial_value=False)
        except ImportError as error:
            why = "There is no lgpio: sudo apt install python3-lgpio, then install again."
            self._note("no_pin_library", why, error)
            return None
        except self._failures as error:
            self._note("no_pin", f"GPIO {self._pin} is unavailable: see the log.", error)
            return None
        self._problem = None
        log.info("relay: GPIO %d, off", self._pin)
        return device

    def _note(self, state: str, text: str, error: Exception) -> None:
        problem = Problem(self.name, state, f"The relay does not work. {text}")
        if problem != self._problem:
            log.error("relay: GPIO %d: %s: %s", self._pin, type(error).__name__, error)
        self._problem = problem


def _claim_with_level(number: int) -> None:
    """With lgpio, makes gpiozero claim this output together with its level. gpiozero 2.0 claims it low and writes the level
    afterwards, so that a relay that is on while the pin is low would get a pulse at each start.
    """
    gpiozero.Device.ensure_pin_factory()
    if (lgpio := sys.modules.get(LIBRARY)) is None:
        return
    from gpiozero.pins.lgpio import LGPIOFactory

    factory = gpiozero.Device.pin_factory
    if isinstance(factory, LGPIOFactory):
        pin = factory.pin(number)
        pin.output_with_state = lambda level: lgpio.gpio_claim_output(factory._handle, number, int(level))  # noqa: SLF001


def _pin_library() -> tuple[type[Exception], ...]:
    """Loads the pin library, if it is installed; returns the errors that it and gpiozero raise.

    When loaded, lgpio changes to $LG_WD, or the working directory, and makes a named pipe there. A service cannot write to its
    working directory, and relative paths of the process would change: so lgpio gets a temporary folder.
    """
    expected = (gpiozero.GPIOZeroError, OSError)
    if os.environ.setdefault(FACTORY, LIBRARY) != LIBRARY:
        return expected
    here = os.open(".", os.O_RDONLY | os.O_DIRECTORY)
    try:
        with tempfile.TemporaryDirectory() as folder:
            os.environ["LG_WD"] = folder
            import lgpio
    except ImportError:
        return expected
    finally:
        os.fchdir(here)
        os.close(here)
    return (*expected, lgpio.error)
