"""A relay on the device's own pins, on for a moment when somebody is let in; the only file that imports gpiozero."""

import logging
import os
import sys
import tempfile
import time

import gpiozero

from appliance.access.token import SignedDecision
from appliance.faults import Problem
from appliance.outputs.queue import Tally, Waiting

log = logging.getLogger(__name__)

FACTORY, LIBRARY = "GPIOZERO_PIN_FACTORY", "lgpio"
"""gpiozero's own variable, and what it is set to when nobody set it: of its libraries the one that serves every Pi, and that
says what is wrong instead of being replaced by another one.
"""

MOST_WAITING = 8
"""Decisions hold for two seconds, and one takes a microsecond here."""

RETRY_SECONDS = 10.0
"""How often a pin that another program has is asked for."""


class Relay:
    """Pulses for decisions that grant and still hold. It is off before the first, after the last and when it is stopped."""

    name = "relay"

    def __init__(self, pin: int, *, active_high: bool, pulse_s: float) -> None:
        """`pin` is a GPIO (BCM) number. Call before there are other threads: see `_pin_library`."""
        self._pin, self._active_high, self._pulse = pin, active_high, pulse_s
        self._waiting = Waiting(self.name, MOST_WAITING)
        self._problem: Problem | None = None
        self._failures = _pin_library()

    def tell(self, signed: SignedDecision) -> None:
        """A denial is none of its business."""
        if signed.decision.granted:
            self._waiting.put(signed)

    def run(self) -> None:
        """Works until `stop`. A pin that cannot be had is a problem, and asked for again."""
        device = self._opened()
        while device is None and not self._waiting.closed:
            if self._waiting.take(RETRY_SECONDS) is not None:
                self._settle(delivered=False)
            device = self._opened()
        if device is None:
            return
        try:
            self._work(device)
        finally:
            device.off()
            device.close()

    def stop(self) -> None:
        self._waiting.close()

    def problem(self) -> Problem | None:
        return self._problem

    def tally(self) -> Tally:
        return self._waiting.tally()

    def _work(self, device: gpiozero.DigitalOutputDevice) -> None:
        """Turns it on for each decision that holds, and off when the pulse of the last one is over."""
        end: float | None = None
        while not self._waiting.closed:
            told = self._waiting.take(_left(end))
            if told is not None:
                holds = not told.late()
                if holds:
                    device.on()
                    end = time.monotonic() + self._pulse
                self._settle(delivered=holds)
            if end is not None and time.monotonic() >= end:
                device.off()
                end = None

    def _settle(self, *, delivered: bool) -> None:
        self._waiting.settled(delivered=delivered)
        log.info(
            "relay: %s", f"on for {self._pulse:g} s" if delivered else "a decision came too late for it, or has no pin"
        )

    def _opened(self) -> gpiozero.DigitalOutputDevice | None:
        """The pin, as an output that is off from its first moment; None when it cannot be had."""
        try:
            _claim_with_level(self._pin)
            device = gpiozero.DigitalOutputDevice(self._pin, active_high=self._active_high, initial_value=False)
        except ImportError as error:
            why = "There is no lgpio: sudo apt install python3-lgpio, then install again."
            self._note("no_pin_library", why, error)
            return None
        except self._failures as error:
            self._note("no_pin", f"GPIO {self._pin} cannot be had: see the log.", error)
            return None
        self._problem = None
        log.info("relay: GPIO %d, off", self._pin)
        return device

    def _note(self, state: str, text: str, error: Exception) -> None:
        problem = Problem(self.name, state, f"The relay does not work. {text}")
        if problem != self._problem:
            log.error("relay: GPIO %d: %s: %s", self._pin, type(error).__name__, error)
        self._problem = problem


def _left(end: float | None) -> float | None:
    return None if end is None else max(0.0, end - time.monotonic())


def _claim_with_level(number: int) -> None:
    """Makes gpiozero claim this output together with its level where the library is lgpio. gpiozero 2.0 claims it low and
    writes the level afterwards, so a relay that is on when the pin is low gets a pulse at each start.
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
    """Loads the pin library, if there is one; returns the errors that it and gpiozero raise.

    lgpio makes a named pipe in $LG_WD, else in the working directory, which a service cannot write; and goes there, which
    would turn every relative path of the process into another one. So it gets a folder of its own for the moment.
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
