"""The device as a reader of an access panel (OSDP): a grant sends the person's credential, at most once and in time.

A card is given to a poll that has just come in, and counts as delivered when the panel goes on to its next command. A reply
that was lost is repeated when the panel repeats its command, as OSDP demands. A card that was not taken in time is recorded.
"""

import logging
import os
import secrets
import select
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from appliance.access.log import Record
from appliance.events import DeliveryCounts, DoorState, Event
from appliance.faults import Problem
from appliance.gallery.people import Person
from appliance.outputs.cards import Card, Loss, card_of, record_loss
from appliance.outputs.osdp_key import KeyUnavailableError, PanelKey
from appliance.outputs.osdp_link import CHALLENGE, POLL, RESTART, Framer, PanelCommand, SerialLine, Status
from appliance.outputs.queue import Message
from appliance.state import audit_log as audit

if TYPE_CHECKING:
    from appliance.outputs.osdp_session import ReaderSession

log = logging.getLogger(__name__)

KEY_BYTES = 16

SILENT_SECONDS = 8.0
"""After which a panel that does not poll is gone: libosdp's own limit (OSDP_PD_ONLINE_TOUT_MS)."""

PAUSE_SECONDS = 0.2
"""Silence after which what has come in of a frame is dropped; panels repeat a command after 0.2 s or more."""

LOOK_SECONDS = 1.0
"""How often a request to pair is looked for, and a key that cannot be read is tried again."""

RETRY_SECONDS = 5.0
"""How often a port that cannot be opened is tried again."""


TEXTS = {
    "pairing": "Pairing is open: the panel on this line may set the reader's key.",
    "offline": "The panel does not poll this reader: check the line and the panel.",
    "garbled": "Something is on the line, but no command to this reader: check osdp.baud and osdp.address.",
    "not_paired": "The panel has set no key yet: `appliance osdp pair`, then pair at the panel.",
    "wrong_key": "The panel's key is not the one that was set here: `appliance osdp pair`.",
    "lapsed": "The panel goes on in a secure channel that has ended: switch this reader off and on again at the panel.",
    "clear": "The panel uses no secure channel, and gets no cards: switch the channel on there.",
}
"""What `/healthz` says, by state."""


@dataclass(frozen=True, slots=True)
class Exchange:
    """The last command and its reply, with the card in it."""

    command: PanelCommand
    reply: bytes
    card: Card | None


class Reader:
    """One reader on a line of its own."""

    name = "osdp"

    def __init__(
        self,
        port: Path,
        baud: int,
        address: int,
        format: str,  # noqa: A002 - the setting's name
        *,
        secure: bool,
        serial: int,
        key: PanelKey,
        person: Callable[[str], Person | None],
        record: Record,
        publish: Callable[[Event], None],
        silent_s: float = SILENT_SECONDS,
    ) -> None:
        """`serial` is the number by which the panel tells readers apart; `person` returns the person with an id."""
        self._port, self._baud, self._address, self._wiegand = port, baud, address, format == "wiegand"
        self._secure, self._serial, self._key = secure, serial, key
        self._person, self._record, self._publish, self._silent = person, record, publish, silent_s
        self._waiting: deque[Card] = deque()
        self._exchange: Exchange | None = None
        self._bell = os.eventfd(0, os.EFD_NONBLOCK)
        self._lock = threading.Lock()  # of the bell's life
        self._stopping = False
        self._delivered = self._dropped = 0
        self._trouble: Problem | None = None
        self._begun = self._looked = time.monotonic()
        self._noise = self._heard = self._challenged = self._secured = self._lapsed = float("-inf")
        self._status, self._paired = Status(), False
        self._pairing_until: float | None = None

    def notify(self, message: Message) -> None:
        """Ignores denials, people without a credential, and door events."""
        if card := card_of(message, self._person):
            self._waiting.append(card)
            self._ring()

    def reflect(self, state: DoorState) -> None:
        """Takes the state of the door, for which the panel may ask."""
        self._status = Status(state.tamper, (bool(state.open), state.fire), (bool(state.relay),))

    def run(self) -> None:
        try:
            while not self._stopping:
                self._try()
        finally:
            with self._lock:
                self._stopping = True
                os.close(self._bell)
            while self._waiting:
                self._lose(self._waiting.popleft(), Loss.STOPPED)

    def stop(self) -> None:
        with self._lock:
            if not self._stopping:
                self._stopping = True
                os.eventfd_write(self._bell, 1)

    def problem(self) -> Problem | None:
        if self._trouble or self._pairing_until is not None:
            return self._trouble or self._said("pairing")
        if self._recent(self._begun) or self._recent(self._secured):
            return None
        if not self._recent(self._heard):
            return self._said("garbled" if self._recent(self._noise) else "offline")
        if not self._secure:
            return None
        states = {"not_paired": not self._paired, "wrong_key": self._recent(self._challenged)}
        states["lapsed"] = self._recent(self._lapsed)
        return self._said(next((state for state, holds in states.items() if holds), "clear"))

    def counts(self) -> DeliveryCounts:
        return DeliveryCounts(self._delivered, self._dropped, len(self._waiting))

    def _said(self, state: str) -> Problem:
        return Problem(self.name, state, TEXTS[state])

    def _recent(self, moment: float) -> bool:
        return time.monotonic() - moment <= self._silent

    def _ring(self) -> None:
        with self._lock:
            if not self._stopping:
                os.eventfd_write(self._bell, 1)

    def _note(self, state: str, text: str, cause: object) -> None:
        problem = Problem(self.name, state, text)
        if problem != self._trouble:
            log.error("osdp: %s", cause)
        self._trouble = problem

    def _rest(self, seconds: float) -> None:
        """Waits, and drops cards as they become late."""
        end = time.monotonic() + seconds
        while not self._stopping and (left := end - time.monotonic()) > 0:
            if select.select((self._bell,), (), (), min(left, PAUSE_SECONDS if self._waiting else left))[0]:
                os.eventfd_read(self._bell)
            self._drop_late()

    def _try(self) -> None:
        """Opens the port with a new session and works on it."""
        try:
            session = self._session()
        except ImportError as error:
            self._note("no_library", "There is no libosdp: in a clone, scripts/environment .venv osdp.", error)
            return self._rest(RETRY_SECONDS)
        except KeyUnavailableError as error:
            if not self._recent(self._begun):  # the gallery, whose key seals it, is opened a moment later
                self._note("key_unavailable", "The key of the panel cannot be read: see the log.", error)
            return self._rest(LOOK_SECONDS)
        try:
            line = SerialLine(self._port, self._baud)
        except OSError as error:
            self._note("no_port", f"{self._port} cannot be opened: see the log.", f"{self._port}: {error.strerror}")
            return self._rest(RETRY_SECONDS)
        log.info("osdp: reader %d at %s", self._address, self._port)
        self._trouble, self._begun = None, time.monotonic()
        try:
            self._serve(line, session)
        except OSError as error:
            self._note("no_port", f"{self._port} is gone: is the adapter unplugged?", f"{self._port}: {error}")
            self._rest(LOOK_SECONDS)
        finally:
            line.close()
            self._settle(Loss.UNCONFIRMED)
        return None

    def _session(self) -> "ReaderSession":
        """A new session, for which the panel begins anew. Raises KeyUnavailableError, ImportError."""
        from appliance.outputs.osdp_session import ReaderSession  # here, because libosdp may be missing

        key = self._key.read()
        self._paired = key is not None
        return ReaderSession(
            self._address,
            key or secrets.token_bytes(KEY_BYTES),  # libosdp without a key would accept the default one
            self._serial,
            secure=self._secure,
            pairing=self._pairing_until is not None,
            keep_key=self._keep,
            publish=self._publish,
            status=lambda: self._status,
        )

    def _serve(self, line: SerialLine, session: "ReaderSession") -> None:
        """Works on the line until the stop, or until pairing takes another session. Raises OSError when the port is gone."""
        framer = Framer(self._address)
        while not self._stopping:
            data = line.wait(self._bell, PAUSE_SECONDS)
            if data is None:
                os.eventfd_read(self._bell)
            elif data:
                self._noise = time.monotonic()
            for frame in () if data is None else framer.feed(data) if data else framer.pause():
                self._answer(line, session, frame)
            self._drop_late()
            if self._pairing_changed():
                return

    def _answer(self, line: SerialLine, session: "ReaderSession", frame: PanelCommand) -> None:
        before, self._heard = self._exchange, time.monotonic()
        if frame.code == CHALLENGE:
            self._challenged = self._heard
        repeated = before and frame.raw == before.command.raw and frame.sequence != RESTART
        if before and repeated and not (before.card and before.card.late()):
            line.write(before.reply)
            return
        if before:
            same = frame.sequence == before.command.sequence != RESTART
            self._settle(None if frame.follows(before.command) else Loss.LOST if same else Loss.UNCONFIRMED)
        card = self._waiting[0] if self._waiting and self._takes_cards(session, frame) else None
        reply, sent = session.answer(frame, card.credential if card else None, wiegand=self._wiegand)
        if frame.secure and session.secured:
            self._secured = self._heard
        elif frame.secure:
            self._lapsed = self._heard
        if card and sent:
            self._waiting.popleft()
            if card.late():  # libosdp took this long
                self._lose(card, Loss.OFFLINE)
                return
        self._exchange = Exchange(frame, reply, card if sent else None)
        if reply:
            line.write(reply)

    def _takes_cards(self, session: "ReaderSession", frame: PanelCommand) -> bool:
        safe = frame.secure and session.secured if self._secure else True
        return frame.code == POLL and safe and self._pairing_until is None and not self._waiting[0].late()

    def _settle(self, loss: Loss | None) -> None:
        """The card of the last exchange was delivered, or lost."""
        exchange, self._exchange = self._exchange, None
        if exchange and exchange.card:
            if loss:
                self._lose(exchange.card, loss)
            else:
                self._delivered += 1

    def _drop_late(self) -> None:
        while self._waiting and self._waiting[0].late():
            self._lose(self._waiting.popleft(), Loss.OFFLINE)
        if self._exchange and self._exchange.card and not self._recent(self._heard):
            self._settle(Loss.UNCONFIRMED)

    def _lose(self, card: Card, loss: Loss) -> None:
        self._dropped += 1
        record_loss(self._record, card, loss)

    def _pairing_changed(self) -> bool:
        """Whether pairing was opened, or has ended without a key."""
        now = time.monotonic()
        if self._pairing_until is not None and now >= self._pairing_until:
            self._pairing_until = None
            audit.info("osdp: pairing has ended without a key")
            return True
        if now - self._looked < LOOK_SECONDS:
            return False
        self._looked = now
        if (seconds := self._key.requested()) is None:
            return False
        self._pairing_until = now + seconds
        audit.info("osdp: pairing is open for %.0f s", seconds)
        return True

    def _keep(self, key: bytes) -> bool:
        try:
            self._key.keep(key)
        except KeyUnavailableError as error:
            log.error("osdp: the panel's key cannot be kept: %s", error)
            return False
        self._paired, self._pairing_until = True, None
        audit.info("osdp: the panel has set a key")
        return True
