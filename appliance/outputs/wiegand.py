"""The credential of a granted person on two wires (Wiegand), as a card reader without OSDP sends it."""

import logging
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any

import gpiozero

from appliance.access.log import Record
from appliance.events import DeliveryCounts
from appliance.faults import Problem
from appliance.gallery.people import Person
from appliance.outputs.cards import Card, Loss, card_of, record_loss
from appliance.outputs.queue import Message
from appliance.outputs.relay import LIBRARY, pin_library

log = logging.getLogger(__name__)

PAUSE_SECONDS = 0.25
"""Between two cards: panels take the bits as one card until the line has been quiet for some tens of milliseconds."""

RETRY_SECONDS = 10.0
"""How often unavailable pins are tried again."""

MISSING = "There is no lgpio: sudo apt install python3-lgpio, then install again."

Pulse = tuple[int, int]
"""Which lines are pulled low (bit 0: D0, bit 1: D1), and for how many microseconds."""


def wave(bits: str, pulse_us: int, gap_us: int) -> list[Pulse]:
    """The pulses of a card (SIA AC-01): a bit 0 pulls D0 low for `pulse_us`, a 1 pulls D1; then both rest for `gap_us`."""
    return [pulse for bit in bits for pulse in ((0b10 if bit == "1" else 0b01, pulse_us), (0, gap_us))]


class WavesUnavailableError(Exception):
    """The pins cannot send; `state` is for programs, the text for people."""

    def __init__(self, state: str, text: str) -> None:
        super().__init__(text)
        self.state = state


class LgpioWaves:
    """Two pins of lgpio, which times the pulses on a thread of its own. Its methods raise WavesUnavailableError."""

    def __init__(self, data0: int, data1: int, *, active_high: bool) -> None:
        """GPIO (BCM) numbers; `active_high`: a pin that is high pulls its line low. Call it before other threads start."""
        self._pins, self._active_high = (data0, data1), active_high
        self._failures = pin_library()
        self._handle: int | None = None

    def open(self) -> None:
        lgpio: Any = sys.modules.get(LIBRARY)
        try:
            gpiozero.Device.ensure_pin_factory()
            if lgpio is None or (handle := getattr(gpiozero.Device.pin_factory, "_handle", None)) is None:
                raise WavesUnavailableError("no_pin_library", MISSING)
            lgpio.group_claim_output(handle, list(self._pins), [0, 0], 0 if self._active_high else lgpio.SET_ACTIVE_LOW)
        except ImportError as error:
            raise WavesUnavailableError("no_pin_library", MISSING) from error
        except self._failures as error:
            pins = " and ".join(map(str, self._pins))
            raise WavesUnavailableError("no_pins", f"GPIO {pins} are unavailable: {error}.") from error
        self._handle = handle

    def send(self, pulses: list[Pulse]) -> None:
        lgpio: Any = sys.modules[LIBRARY]
        try:
            lgpio.tx_wave(self._handle, self._pins[0], [lgpio.pulse(lines, 0b11, time_us) for lines, time_us in pulses])
        except self._failures as error:
            raise WavesUnavailableError("no_pins", f"The pins do not send: {error}.") from error

    def close(self) -> None:
        if self._handle is not None:
            sys.modules[LIBRARY].group_free(self._handle, self._pins[0])
            self._handle = None


class WiegandSender:
    """Sends a card for each grant, one at a time; nothing tells whether the panel takes it."""

    name = "wiegand"

    def __init__(
        self,
        waves: LgpioWaves,
        pulse_us: int,
        gap_us: int,
        person: Callable[[str], Person | None],
        record: Record,
        retry_s: float = RETRY_SECONDS,
    ) -> None:
        self._waves, self._pulse, self._gap, self._retry = waves, pulse_us, gap_us, retry_s
        self._person, self._record = person, record
        self._waiting: deque[Card] = deque()
        self._changed = threading.Condition()
        self._stopping, self._delivered, self._dropped = False, 0, 0
        self._problem: Problem | None = None

    def notify(self, message: Message) -> None:
        if card := card_of(message, self._person):
            with self._changed:
                self._waiting.append(card)
                self._changed.notify_all()

    def run(self) -> None:
        """Works until `stop`. Unavailable pins are a problem, and tried again."""
        opened, tried = False, float("-inf")
        while not self._stopping:
            if not opened and time.monotonic() - tried >= self._retry:
                opened, tried = self._opened(), time.monotonic()
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._stopping, None if opened else self._retry)
                card = self._waiting.popleft() if self._waiting and not self._stopping else None
            if card is not None:
                opened = self._sent(card) if opened else self._lost(card, Loss.OFFLINE)
        self._waves.close()
        while self._waiting:
            self._lost(self._waiting.popleft(), Loss.STOPPED)

    def stop(self) -> None:
        with self._changed:
            self._stopping = True
            self._changed.notify_all()

    def problem(self) -> Problem | None:
        return self._problem

    def counts(self) -> DeliveryCounts:
        return DeliveryCounts(self._delivered, self._dropped, len(self._waiting))

    def _opened(self) -> bool:
        try:
            self._waves.open()
        except WavesUnavailableError as error:
            return self._note(error)
        self._problem = None
        return True

    def _sent(self, card: Card) -> bool:
        """Returns whether the pins still work."""
        if card.late():
            self._lost(card, Loss.OFFLINE)
            return True
        pulses = wave(card.credential.bits, self._pulse, self._gap)
        try:
            self._waves.send(pulses)
        except WavesUnavailableError as error:
            self._lost(card, Loss.OFFLINE)
            return self._note(error)
        self._delivered += 1
        time.sleep(sum(time_us for _, time_us in pulses) / 1e6 + PAUSE_SECONDS)
        return True

    def _lost(self, card: Card, loss: Loss) -> bool:
        self._dropped += 1
        record_loss(self._record, card, loss)
        return False

    def _note(self, error: WavesUnavailableError) -> bool:
        problem = Problem(self.name, error.state, f"No card is sent by Wiegand. {error}")
        if problem != self._problem:
            log.error("wiegand: %s", error)
        self._problem = problem
        return False
