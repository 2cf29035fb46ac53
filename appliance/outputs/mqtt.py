"""Publishes decisions, the door and health to an MQTT 5 broker, and announces the device to Home Assistant."""

import json
import logging
import select
import socket
import ssl
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from paho.mqtt.client import Client, ConnectFlags, MQTTMessage, MQTTv5
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from appliance.access.passes import VISITOR
from appliance.camera.source import Ring
from appliance.events import DeliveryCounts, DoorEvent
from appliance.faults import Problem
from appliance.imaging.codec import jpeg
from appliance.outputs import queue
from appliance.outputs.queue import DecisionQueue, Message, RetryState, SecretError

log = logging.getLogger(__name__)

CREDENTIAL = "mqtt-password"

MOST_WAITING = 16
"""Decisions are valid for two seconds; a door makes less than one in that time."""

LOOK_SECONDS = 1.0
"""How often health is read."""

LONGEST_PAUSE_SECONDS = 30.0

TEXTS = {
    "no_password": "The MQTT password cannot be read: see the log.",
    "unreachable": "The MQTT broker cannot be reached: see the log.",
    "untrusted": "The MQTT broker's certificate is not trusted: see the log.",
    "too_old": "The MQTT broker does not speak MQTT 5, which this device needs: it may speak 3.1.1 only.",
    "refused": "The MQTT broker refuses this device, its name or its password: see the log.",
}

KEEPALIVE_SECONDS = 15
"""The broker publishes the last will of a device that is silent for half as long again."""

ANSWER_SECONDS = 5.0
"""Longest wait for the connection, and again for the broker's acknowledgement."""

UNACKNOWLEDGED_MS = 2000
"""How long sent data may remain unacknowledged while the network is down (tcp(7), TCP_USER_TIMEOUT): as long as a decision is
valid. Otherwise it would arrive whenever the network returns.
"""

STOP_SECONDS = 0.1
"""How often a device that waits for the acknowledgement checks whether it should stop."""

JPEG_QUALITY = 80
"""Of published pictures, as of `live.jpeg_quality`."""

DISCONNECT_SECONDS = 0.3
"""Longest wait for the acknowledgement of the last message."""


UNSUPPORTED_VERSION = 0x84
"""The reason code of MQTT 5 (3.2.2.2); paho gives a broker of 3.1.1 the same, which answers 0x01 (3.1.1, 3.2.2.3)."""


class RefusedError(Exception):
    """The broker refuses the device; the text is its reason, `state` a key of TEXTS."""

    def __init__(self, answer: object, state: str = "refused") -> None:
        super().__init__(str(answer))
        self.state = state


@dataclass(frozen=True, slots=True)
class Broker:
    """The broker's address and the user name; `authority`: a PEM file with the trusted certificates instead of the system's."""

    host: str
    port: int
    tls: bool
    authority: Path | None
    username: str | None


class BrokerSession:
    """One connection, for one thread. Messages lost with it are not sent again by the next one."""

    def __init__(self, broker: Broker, password: str | None, client_id: str, will: str) -> None:
        """`will`: the topic on which the broker publishes "offline", retained, if the connection breaks. Raises OSError if the
        authority's file cannot be read.
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
        client.on_message = self._on_message
        self.awakened = False
        """Whether Home Assistant has started since it was introduced to the device."""
        self.denied = ""
        """Why the broker refused a retained message; empty if it did not."""
        self._answer: ReasonCode | None = None

    def open(self, stopped: Callable[[], bool]) -> None:
        """Returns when the broker has accepted the device. Raises OSError: no broker, no TLS, no answer, or `stopped`;
        RefusedError.
        """
        self._client.connect(self._broker.host, self._broker.port, KEEPALIVE_SECONDS)
        end = time.monotonic() + ANSWER_SECONDS
        while self._answer is None:
            if time.monotonic() >= end or stopped():
                raise TimeoutError("the broker does not answer")
            self.attend(STOP_SECONDS)

    def attend(self, seconds: float, wake: socket.socket | None = None) -> None:
        """Serves the connection until data arrives from the broker or at `wake`, or for so many seconds. Raises
        ConnectionError if it is lost, RefusedError.
        """
        connection = self._client.socket()
        if connection is None:
            raise self._lost()
        poll = select.poll()
        if wake is not None:
            poll.register(wake, select.POLLIN)
        poll.register(connection, select.POLLIN | (select.POLLOUT if self._client.want_write() else 0))
        pending = isinstance(connection, ssl.SSLSocket) and connection.pending() > 0
        ready = {descriptor for descriptor, _ in poll.poll(0 if pending else seconds * 1e3)}
        if pending or connection.fileno() in ready:
            self._check(self._client.loop_read())
            self._check(self._client.loop_write())
        self._check(self._client.loop_misc())

    def follow(self, topic: str) -> None:
        """Sets `awakened` whenever "online" is published there. Raises ConnectionError."""
        self._check(self._client.subscribe(topic)[0])

    @property
    def busy(self) -> bool:
        """Whether data of earlier messages still waits for the network."""
        return self._client.want_write()

    def publish(self, topic: str, content: bytes) -> None:
        """A message to the current subscribers (QoS 0, not retained) that expires with its decision. Raises ConnectionError."""
        properties = Properties(PacketTypes.PUBLISH)
        properties.MessageExpiryInterval = UNACKNOWLEDGED_MS // 1000
        self._check(self._client.publish(topic, content, qos=0, properties=properties).rc)

    def keep(self, topic: str, content: bytes) -> None:
        """A message that the broker also delivers to later subscribers (QoS 1, retained). Raises ConnectionError."""
        self._check(self._client.publish(topic, content, qos=1, retain=True).rc)

    def close(self, topic: str, content: bytes) -> None:
        """Publishes a last retained message and disconnects, so that the broker does not publish the last will."""
        if self._client.socket() is None:
            return
        with suppress(OSError, RefusedError):  # the connection is lost already, and the broker publishes the last will
            last = self._client.publish(topic, content, qos=1, retain=True)
            end = time.monotonic() + DISCONNECT_SECONDS
            while not last.is_published() and (left := end - time.monotonic()) > 0:
                self.attend(left)
            self._client.disconnect()

    def abandon(self) -> None:
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

    def _on_message(self, _client: Client, _data: Any, message: MQTTMessage) -> None:
        self.awakened |= message.payload == b"online"

    def _check(self, code: MQTTErrorCode) -> None:
        if code != MQTTErrorCode.MQTT_ERR_SUCCESS or (self._answer is not None and self._answer.is_failure):
            raise self._lost()

    def _lost(self) -> Exception:
        if self._answer is not None and self._answer.is_failure:
            return RefusedError(self._answer, "too_old" if self._answer.value == UNSUPPORTED_VERSION else "refused")
        return ConnectionError("the connection was lost")


def _bound_delay(_client: Client, _data: Any, connection: Any) -> None:
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, UNACKNOWLEDGED_MS)


EVENT = (
    "{{ {'event_type': value_json.result, 'reason': value_json.reason, 'person': value_json.person, "
    "'direction': value_json.direction, 'decision': value_json.id} | to_json }}"
)
"""What an event shows of a decision; the token stays out of Home Assistant's history."""

PROBLEM = "{{ 'OFF' if value_json.status == 'ok' else 'ON' }}"


BIRTH = "homeassistant/status"
"""Where Home Assistant says that it has started, with its default settings."""

DOOR_SENSORS = {
    "open": ("Door", "door"),
    "forced": ("Door forced", "problem"),
    "held": ("Door held open", "problem"),
    "tamper": ("Case", "tamper"),
    "fire": ("Fire alarm", "problem"),
}
"""Name and device class in Home Assistant, by the part of the topic `door`."""


def home_assistant_discovery(
    base: str,
    device: str,
    sensors: Iterable[str] = (),
    *,
    name: str,
    model: str,
    version: str,
    url: str = "",
    pictures: bool = False,
) -> dict[str, Any]:
    """The retained discovery message; `base` is the topic below which the device publishes, `sensors` are keys of DOOR_SENSORS,
    `url` is the device's page, if others reach it; with `pictures` there are a camera and the picture of the last decision.
    An `event` entity has no state, so that no decision is repeated when Home Assistant or the broker starts.
    """
    door = {
        f"door_{each}": {
            "platform": "binary_sensor",
            "unique_id": f"face-appliance-{device}-door-{each}",
            "name": DOOR_SENSORS[each][0],
            "device_class": DOOR_SENSORS[each][1],
            "state_topic": f"{base}/door",
            "value_template": f"{{{{ 'ON' if value_json.{each} else 'OFF' }}}}",
        }
        for each in sensors
    }
    seen = {
        "camera": {"platform": "camera", "name": "Camera", "topic": f"{base}/camera"},
        "picture": {
            "platform": "image",
            "name": "Last decision",
            "image_topic": f"{base}/picture",
            "content_type": "image/jpeg",
        },
    }
    for part, component in seen.items():
        component["unique_id"] = f"face-appliance-{device}-{part}"
    return {
        "device": {
            "identifiers": [f"face-appliance-{device}"],
            "name": name,
            "manufacturer": "Face Appliance",
            "model": model,
            "sw_version": version,
            **({"configuration_url": url} if url else {}),
        },
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
            **door,
            **(seen if pictures else {}),
        },
    }


class Pictures:
    """The camera's picture, at most every `period` seconds."""

    def __init__(self, ring: Ring, period: float) -> None:
        self._ring, self._period, self._due = ring, period, 0.0

    def newest(self) -> bytes | None:
        """The newest frame as a JPEG; None without one."""
        frame = self._ring.newest()
        return jpeg(frame.pixels, JPEG_QUALITY) if frame else None

    def due(self) -> bytes | None:
        """The same when it is time for it, otherwise None."""
        if time.monotonic() < self._due:
            return None
        self._due = time.monotonic() + self._period
        return self.newest()


class Publisher:
    """Publishes below `prefix/device`: `decision` and `event` (to the current subscribers, never retained), `status` (online,
    offline), `health` and `door` (retained), and pictures (`camera`, `picture`). Without a connection decisions wait until they
    expire.
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
        sensors: Iterable[str] = (),
        pictures: Pictures | None = None,
    ) -> None:
        """`health` returns the body of /healthz; `introduction` has name, model, version and url for Home Assistant, None
        without discovery; `sensors` are the keys of DOOR_SENSORS that it shows; `pictures` are published, None: none.
        """
        self._sensors, self._pictures = tuple(sensors), pictures
        self._broker, self._password_file, self._device = broker, password_file, device
        self._health, self._introduction = health, introduction
        self._base = f"{prefix}/{device}"
        self._queue = DecisionQueue(self.name, MOST_WAITING)
        self._state = RetryState(self.name, LONGEST_PAUSE_SECONDS, TEXTS)
        self._look = 0.0  # when health and the door are read again
        self._woken, self._waker = socket.socketpair()
        self._woken.setblocking(False)
        self._waker.setblocking(False)

    def notify(self, message: Message) -> None:
        if isinstance(message, DoorEvent):
            self._look = 0.0
        self._queue.put(message)
        self._wake()

    def run(self) -> None:
        """Connects, again and again, and publishes until `stop`."""
        with self._woken, self._waker:
            while not self._queue.closed:
                self._connect()
                self._queue.drop_expired()
                self._queue.closed_within(self._state.pause())

    def stop(self) -> None:
        self._queue.close()
        self._wake()

    def problem(self) -> Problem | None:
        return self._state.problem

    def counts(self) -> DeliveryCounts:
        return self._queue.counts()

    def _connect(self) -> None:
        try:
            will = f"{self._base}/status"
            password = queue.read_secret(self._password_file, CREDENTIAL)
            session = BrokerSession(self._broker, password, f"face-appliance-{self._device}", will)
            try:
                session.open(lambda: self._queue.closed)
                log.info("mqtt: connected to %s:%d", self._broker.host, self._broker.port)
                self._state.succeeded()
                self._serve(session)
            finally:
                session.abandon()
        except SecretError as error:
            self._failed("no_password", error)
        except ssl.SSLCertVerificationError as error:
            self._failed("untrusted", error)
        except OSError as error:
            self._failed("unreachable", error)
        except RefusedError as error:
            self._failed(error.state, error)

    def _serve(self, session: BrokerSession) -> None:
        """Until the connection is lost or the device stops. Raises ConnectionError."""
        if self._introduction is not None:
            session.follow(BIRTH)
            self._introduce(session, self._introduction)
        session.keep(f"{self._base}/status", b"online")
        published: dict[str, bytes] = {}
        self._look = 0.0
        while not self._queue.closed:
            if session.awakened and self._introduction is not None:
                self._introduce(session, self._introduction)
            if time.monotonic() >= self._look:
                self._look, report = time.monotonic() + LOOK_SECONDS, self._health()
                kept = {
                    "health": {"status": report["status"], "reasons": report["reasons"]},
                    "door": report.get("door"),
                }
                for topic, document in kept.items():
                    if document is not None and published.get(topic) != (content := _json(document)):
                        session.keep(f"{self._base}/{topic}", content)
                        published[topic] = content
            with suppress(BlockingIOError):
                self._woken.recv(4096)
            if not session.busy:
                self._publish(session)
                if self._pictures and (picture := self._pictures.due()):
                    session.publish(f"{self._base}/camera", picture)
            session.attend(LOOK_SECONDS, self._woken)
            if session.denied:
                self._failed("refused", RefusedError(session.denied))
        session.close(f"{self._base}/status", b"offline")

    def _introduce(self, session: BrokerSession, introduction: Mapping[str, str]) -> None:
        session.awakened = False
        shown: dict[str, Any] = {**introduction, "pictures": self._pictures is not None}
        discovery = home_assistant_discovery(self._base, self._device, self._sensors, **shown)
        session.keep(f"homeassistant/device/{self._device}/config", _json(discovery))

    def _publish(self, session: BrokerSession) -> None:
        """The waiting decisions, except expired ones."""
        while (queued := self._queue.take(0)) is not None:
            valid = not queued.expired()
            try:
                if valid:
                    topic = "event" if isinstance(queued.message, DoorEvent) else "decision"
                    session.publish(f"{self._base}/{topic}", _json(queue.notice_of(queued.message, self._device)))
                    shown = self._pictures if _may_be_shown(queued.message) else None
                    if shown and (picture := shown.newest()):
                        session.publish(f"{self._base}/picture", picture)
            except ConnectionError:
                self._queue.settled(delivered=False)
                raise
            self._queue.settled(delivered=valid)

    def _failed(self, state: str, error: Exception) -> None:
        if not self._queue.closed:
            why = f"{type(error).__name__}: {error}"
            self._state.failed(state, f"{self._broker.host}:{self._broker.port}: {why}")

    def _wake(self) -> None:
        with suppress(OSError):  # the buffer is full, or `run` has ended
            self._waker.send(b"!")


def _may_be_shown(message: Message) -> bool:
    """Whether a picture goes with it: with a decision, unless a visitor shows the camera a pass, which could be copied."""
    return not isinstance(message, DoorEvent) and not (message.decision.person or "").startswith(VISITOR)


def _json(document: Mapping[str, Any]) -> bytes:
    return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()
