"""The relay on the device's own pins, and the pin library."""

import logging
import os
import sys
import tempfile
from contextlib import suppress

import gpiozero

from appliance.faults import Problem

log = logging.getLogger(__name__)

FACTORY, LIBRARY = "GPIOZERO_PIN_FACTORY", "lgpio"
"""gpiozero's variable and its default here: the pin library that serves every Pi. Named, it reports what is wrong instead of
being replaced by another one.
"""


class Relay:
    """The pin of a relay. Not thread-safe."""

    def __init__(self, pin: int, failures: tuple[type[Exception], ...], *, active_high: bool) -> None:
        """`pin`: a GPIO (BCM) number; `failures`: the errors of the pin library."""
        self._pin, self._failures, self._active_high = pin, failures, active_high
        self._device: gpiozero.DigitalOutputDevice | None = None
        self.problem: Problem | None = None

    @property
    def works(self) -> bool:
        return self._device is not None

    def open(self, *, on: bool) -> None:
        """Makes the pin an output that is `on` or off from the first moment; an unavailable pin is a problem."""
        try:
            _claim_with_level(self._pin)
            self._device = gpiozero.DigitalOutputDevice(self._pin, active_high=self._active_high, initial_value=on)
        except ImportError as error:
            why = "There is no lgpio: sudo apt install python3-lgpio, then install again."
            return self._note("no_pin_library", why, error)
        except self._failures as error:
            return self._note("no_pin", f"GPIO {self._pin} is unavailable: see the log.", error)
        self.problem = None
        log.info("relay: GPIO %d, %s", self._pin, "on" if on else "off")
        return None

    def switch(self, *, on: bool) -> None:
        if self._device is not None:
            self._device.value = on

    def close(self) -> None:
        """Switches it off and gives up the pin."""
        if self._device is None:
            return
        self._device.off()
        pin = self._device.pin
        self._device.close()
        # gpiozero leaves it without the board's pull resistor until the next power-on
        with suppress(gpiozero.PinFixedPull):  # GPIO 2 and 3
            pin.pull = "down" if self._active_high else "up"

    def _note(self, state: str, text: str, error: Exception) -> None:
        problem = Problem("relay", state, f"The relay does not work. {text}")
        if problem != self.problem:
            log.error("relay: GPIO %d: %s: %s", self._pin, type(error).__name__, error)
        self.problem = problem


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


def pin_library() -> tuple[type[Exception], ...]:
    """Loads the pin library, if it is installed; returns the errors that it and gpiozero raise. Call it before other threads
    start.

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
