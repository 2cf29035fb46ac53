"""A connection to an MQTT 5 broker; the only file that imports paho."""

import select
import socket
import ssl
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from paho.mqtt.client import Client, ConnectFlags, MQTTv5
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

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
