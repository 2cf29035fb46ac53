"""Decisions and health, published by MQTT for whoever listens; and Home Assistant is told what there is."""

import json
import logging
import random
import socket
import ssl
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from appliance.access_control.decision import Signed
from appliance.outputs import home_assistant, notice, secret
from appliance.outputs.mqtt import Broker, Connection, RefusedError
from appliance.outputs.output import Problem, Tally
from appliance.outputs.secret import SecretError
from appliance.outputs.waiting import Waiting

log = logging.getLogger(__name__)

CREDENTIAL = "mqtt-password"

MOST_WAITING = 16
"""Decisions hold for two seconds; a door makes less than one in that time."""

LOOK_SECONDS = 1.0
"""How often health is looked at."""

FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 1.0, 30.0
"""Between attempts to connect: doubled each time, and somewhere between half and all of it."""

PLAIN = {
    "no_password": "The MQTT password cannot be read: see the log.",
    "unreachable": "The MQTT broker cannot be reached: see the log.",
    "untrusted": "The MQTT broker's certificate is not trusted: see the log.",
    "refused": "The MQTT broker refuses this device, its name or its password: see the log.",
}


class Publisher:
    """Publishes below `prefix/device`: `decision` (to those who listen at that moment, never retained), `status` (online,
    offline; retained) and `health` (retained). While there is no connection decisions wait, until they hold no more.
    """

    name = "mqtt"

    def __init__(
        self,
        broker: Broker,
        password_file: Path | None,
        prefix: str,
        device: str,
        health: Callable[[], Mapping[str, Any]],
        introduction: Mapping[str, str] | None,
    ) -> None:
        """`health` gives the body of /healthz; `introduction` has name, model and version for Home Assistant, None: it is
        told nothing.
        """
        self._broker, self._password_file, self._device = broker, password_file, device
        self._health, self._introduction = health, introduction
        self._base = f"{prefix}/{device}"
        self._waiting = Waiting(self.name, MOST_WAITING)
        self._ear, self._mouth = socket.socketpair()
        self._ear.setblocking(False)
        self._mouth.setblocking(False)
        self._problem: Problem | None = None
        self._why = ""
        self._failures = 0

    def tell(self, signed: Signed) -> None:
        self._waiting.put(signed)
        self._wake()

    def run(self) -> None:
        """Connects, again and again, and publishes until `stop`."""
        with self._ear, self._mouth:
            while not self._waiting.closed:
                self._try()
                self._waiting.drop_late()
                longest = min(LONGEST_PAUSE_SECONDS, FIRST_PAUSE_SECONDS * 2.0**self._failures)
                self._failures = min(self._failures + 1, 16)
                self._waiting.closed_within(longest * random.uniform(0.5, 1.0))

    def stop(self) -> None:
        self._waiting.close()
        self._wake()

    def problem(self) -> Problem | None:
        return self._problem

    def tally(self) -> Tally:
        return self._waiting.tally()

    def _try(self) -> None:
        """One connection, from its begin to its end."""
        try:
            will = f"{self._base}/status"
            password = secret.read(self._password_file, CREDENTIAL)
            connection = Connection(self._broker, password, f"face-appliance-{self._device}", will)
            try:
                connection.open(lambda: self._waiting.closed)
                self._connected()
                self._serve(connection)
            finally:
                connection.abandon()
        except SecretError as error:
            self._failed("no_password", error)
        except ssl.SSLCertVerificationError as error:
            self._failed("untrusted", error)
        except OSError as error:
            self._failed("unreachable", error)
        except RefusedError as error:
            self._failed("refused", error)

    def _serve(self, connection: Connection) -> None:
        """Until it is lost or the device stops. Raises ConnectionError."""
        if self._introduction is not None:
            discovery = home_assistant.discovery(self._base, self._device, **self._introduction)
            connection.keep(home_assistant.topic(self._device), _json(discovery))
        connection.keep(f"{self._base}/status", b"online")
        told, looked = b"", -LOOK_SECONDS
        while not self._waiting.closed:
            if time.monotonic() - looked >= LOOK_SECONDS:
                looked = time.monotonic()
                health = self._condition()
                if health != told:
                    connection.keep(f"{self._base}/health", health)
                    told = health
            self._hear()
            if not connection.busy:
                self._publish(connection)
            connection.attend(LOOK_SECONDS, self._ear)
            if connection.denied:
                self._failed("refused", RefusedError(connection.denied))
        connection.close(f"{self._base}/status", b"offline")

    def _publish(self, connection: Connection) -> None:
        """The decisions that wait, without those that hold no more."""
        while (told := self._waiting.take(0)) is not None:
            holds = not told.late()
            try:
                if holds:
                    connection.publish(f"{self._base}/decision", _json(notice.of(told.signed)))
            except ConnectionError:
                self._waiting.settled(delivered=False)
                raise
            self._waiting.settled(delivered=holds)

    def _condition(self) -> bytes:
        report = self._health()
        return _json({"status": report["status"], "reasons": report["reasons"]})

    def _connected(self) -> None:
        log.info("mqtt: connected to %s:%d", self._broker.host, self._broker.port)
        self._problem, self._why, self._failures = None, "", 0

    def _failed(self, state: str, error: Exception) -> None:
        """Takes note, in the log once for each cause."""
        if self._waiting.closed:
            return
        why = f"{type(error).__name__}: {error}"
        if why != self._why:
            log.warning("mqtt: %s:%d: %s", self._broker.host, self._broker.port, why)
        self._problem, self._why = Problem(self.name, f"mqtt_{state}", PLAIN[state]), why

    def _wake(self) -> None:
        with suppress(OSError):  # it is awake already, or has ended
            self._mouth.send(b"!")

    def _hear(self) -> None:
        with suppress(BlockingIOError):
            self._ear.recv(4096)


def _json(document: Mapping[str, Any]) -> bytes:
    return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()
