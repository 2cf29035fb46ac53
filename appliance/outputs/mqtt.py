"""A connection to an MQTT 5 broker; the only file that imports paho."""

import json
import logging
import random
import select
import socket
import ssl
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from paho.mqtt.client import Client, ConnectFlags, MQTTv5
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from appliance.access.token import SignedDecision
from appliance.faults import Problem
from appliance.outputs import queue
from appliance.outputs.queue import SecretError, Tally, Waiting

KEEPALIVE_SECONDS = 15
"""The broker takes a device that is silent for half as long again for gone, and publishes its last will."""

ANSWER_SECONDS = 5.0
"""How long the broker may take to be reached, and again to say that the device is welcome."""

UNACKNOWLEDGED_MS = 2000
"""How long what was sent may wait in the kernel for a network that is away (tcp(7), TCP_USER_TIMEOUT): as long as a decision
holds. It would otherwise arrive whenever the network is back.
"""

LOOK_SECONDS = 0.1
"""How often a device that waits for its answer looks whether it should end."""

GOODBYE_SECONDS = 0.3
"""How long the broker may take to acknowledge the last message."""


class RefusedError(Exception):
    """The broker does not let the device in; the text is its reason."""


@dataclass(frozen=True, slots=True)
class Broker:
    """Where to, and as whom; `authority` is a PEM file whose certificates are trusted instead of the system's."""

    host: str
    port: int
    tls: bool
    authority: Path | None
    username: str | None


class Connection:
    """One connection, for one thread. Whatever is lost with it is not sent again by the next one."""

    def __init__(self, broker: Broker, password: str | None, client_id: str, will: str) -> None:
        """`will` is the topic on which the broker says "offline", retained, when the device is suddenly gone. Raises OSError:
        the authority's file cannot be read.
        """
        self._broker = broker
        client = self._client = Client(CallbackAPIVersion.VERSION2, client_id, protocol=MQTTv5)
        client.connect_timeout = ANSWER_SECONDS
        client.will_set(will, b"offline", qos=1, retain=True)
        if broker.username is not None:
            client.username_pw_set(broker.username, password)
        if broker.tls:
            client.tls_set_context(ssl.create_default_context(cafile=broker.authority))
        client.on_socket_open = _bound_delay
        client.on_connect = self._on_connect
        client.on_publish = self._on_publish
        self.denied = ""
        """Why the broker did not take a message that it should keep; empty while it does."""
        self._answer: ReasonCode | None = None

    def open(self, stopped: Callable[[], bool]) -> None:
        """Returns when the broker has let the device in. Raises OSError: nobody there, no TLS, no answer, or it is `stopped`;
        RefusedError.
        """
        self._client.connect(self._broker.host, self._broker.port, KEEPALIVE_SECONDS)
        end = time.monotonic() + ANSWER_SECONDS
        while self._answer is None:
            if time.monotonic() >= end or stopped():
                raise TimeoutError("the broker does not answer")
            self.attend(LOOK_SECONDS)

    def attend(self, seconds: float, ear: socket.socket | None = None) -> None:
        """Does what the connection needs, until something came from the broker or there is something to read from `ear`, or
        for so many seconds. Raises ConnectionError when it is lost, RefusedError.
        """
        connection = self._client.socket()
        if connection is None:
            raise self._lost()
        poll = select.poll()
        if ear is not None:
            poll.register(ear, select.POLLIN)
        poll.register(connection, select.POLLIN | (select.POLLOUT if self._client.want_write() else 0))
        pending = isinstance(connection, ssl.SSLSocket) and connection.pending() > 0
        ready = {descriptor for descriptor, _ in poll.poll(0 if pending else seconds * 1e3)}
        if pending or connection.fileno() in ready:
            self._check(self._client.loop_read())
            self._check(self._client.loop_write())
        self._check(self._client.loop_misc())

    @property
    def busy(self) -> bool:
        """Whether the network has not taken yet what was published last."""
        return self._client.want_write()

    def publish(self, topic: str, content: bytes) -> None:
        """A message for those who listen now (QoS 0, not retained), which the broker forgets when it is as old as a decision
        may be. Raises ConnectionError.
        """
        properties = Properties(PacketTypes.PUBLISH)
        properties.MessageExpiryInterval = UNACKNOWLEDGED_MS // 1000
        self._check(self._client.publish(topic, content, qos=0, properties=properties).rc)

    def keep(self, topic: str, content: bytes) -> None:
        """A message that the broker keeps for those who come later (QoS 1, retained). Raises ConnectionError."""
        self._check(self._client.publish(topic, content, qos=1, retain=True).rc)

    def close(self, topic: str, content: bytes) -> None:
        """Keeps a last message, and says goodbye, so that there is no last will."""
        if self._client.socket() is None:
            return
        with suppress(OSError, RefusedError):  # it is gone already, and the broker publishes the last will
            last = self._client.publish(topic, content, qos=1, retain=True)
            end = time.monotonic() + GOODBYE_SECONDS
            while not last.is_published() and (left := end - time.monotonic()) > 0:
                self.attend(left)
            self._client.disconnect()

    def abandon(self) -> None:
        """Closes it without a word."""
        connection = self._client.socket()
        if connection is not None:
            connection.close()

    def _on_connect(
        self, _client: Client, _data: Any, _flags: ConnectFlags, answer: ReasonCode, _properties: Properties | None
    ) -> None:
        self._answer = answer

    def _on_publish(
        self, _client: Client, _data: Any, _number: int, answer: ReasonCode, _properties: Properties | None
    ) -> None:
        if answer.is_failure:
            self.denied = str(answer)

    def _check(self, code: MQTTErrorCode) -> None:
        if code != MQTTErrorCode.MQTT_ERR_SUCCESS or (self._answer is not None and self._answer.is_failure):
            raise self._lost()

    def _lost(self) -> Exception:
        if self._answer is not None and self._answer.is_failure:
            return RefusedError(str(self._answer))
        return ConnectionError("the connection was lost")


def _bound_delay(_client: Client, _data: Any, connection: Any) -> None:
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, UNACKNOWLEDGED_MS)


EVENT = (
    "{{ {'event_type': value_json.result, 'reason': value_json.reason, 'person': value_json.person, "
    "'direction': value_json.direction, 'decision': value_json.id} | to_json }}"
)
"""Of a decision what its event shows; the token is not kept in Home Assistant's history."""

PROBLEM = "{{ 'OFF' if value_json.status == 'ok' else 'ON' }}"


def home_assistant_topic(device: str) -> str:
    """Where it is looked for, under Home Assistant's usual prefix."""
    return f"homeassistant/device/{device}/config"


def home_assistant_discovery(base: str, device: str, *, name: str, model: str, version: str) -> dict[str, Any]:
    """The retained message: `base` is the topic below which the device publishes. An `event` entity has no state, so that
    nothing of a decision is repeated when Home Assistant or the broker starts.
    """
    return {
        "device": {"identifiers": [f"face-appliance-{device}"], "name": name, "model": model, "sw_version": version},
        "origin": {"name": "face-appliance", "sw_version": version},
        "availability_topic": f"{base}/status",
        "components": {
            "decision": {
                "platform": "event",
                "unique_id": f"face-appliance-{device}-decision",
                "name": "Decision",
                "icon": "mdi:door",
                "event_types": ["granted", "denied"],
                "state_topic": f"{base}/decision",
                "value_template": EVENT,
            },
            "problem": {
                "platform": "binary_sensor",
                "unique_id": f"face-appliance-{device}-problem",
                "name": "Problem",
                "device_class": "problem",
                "entity_category": "diagnostic",
                "state_topic": f"{base}/health",
                "value_template": PROBLEM,
                "json_attributes_topic": f"{base}/health",
            },
        },
    }


log = logging.getLogger(__name__)

CREDENTIAL = "mqtt-password"

MOST_WAITING = 16
"""Decisions hold for two seconds; a door makes less than one in that time."""

SECRET_LOOK_SECONDS = 1.0
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

    def tell(self, signed: SignedDecision) -> None:
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
            password = queue.read_secret(self._password_file, CREDENTIAL)
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
            discovery = home_assistant_discovery(self._base, self._device, **self._introduction)
            connection.keep(home_assistant_topic(self._device), _json(discovery))
        connection.keep(f"{self._base}/status", b"online")
        told, looked = b"", -SECRET_LOOK_SECONDS
        while not self._waiting.closed:
            if time.monotonic() - looked >= SECRET_LOOK_SECONDS:
                looked = time.monotonic()
                health = self._condition()
                if health != told:
                    connection.keep(f"{self._base}/health", health)
                    told = health
            self._hear()
            if not connection.busy:
                self._publish(connection)
            connection.attend(SECRET_LOOK_SECONDS, self._ear)
            if connection.denied:
                self._failed("refused", RefusedError(connection.denied))
        connection.close(f"{self._base}/status", b"offline")

    def _publish(self, connection: Connection) -> None:
        """The decisions that wait, without those that hold no more."""
        while (told := self._waiting.take(0)) is not None:
            holds = not told.late()
            try:
                if holds:
                    connection.publish(f"{self._base}/decision", _json(queue.notice_of(told.signed)))
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
