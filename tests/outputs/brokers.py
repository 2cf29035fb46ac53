"""Debian's mosquitto as a child, and who listens to it."""

import shutil
import socket
import subprocess
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import pytest
from client import HOST
from devices import until
from paho.mqtt.client import Client, MQTTv5
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

SYSTEM = "/usr/sbin:/usr/bin:/usr/local/sbin:/usr/local/bin"

PROGRAM, PASSWORDS = (shutil.which(name, path=SYSTEM) for name in ("mosquitto", "mosquitto_passwd"))

needs_mosquitto = pytest.mark.skipif(PROGRAM is None, reason="needs mosquitto: sudo apt install mosquitto")


class Mosquitto:
    """A broker on a port that it keeps, with persistence: it can be killed and started again."""

    def __init__(
        self,
        folder: Path,
        *settings: str,
        users: Sequence[tuple[str, str]] = (),
        inside: Sequence[str] = (),
        addresses: Sequence[str] = (HOST,),
    ) -> None:
        """`inside` is what the command line begins with to run in a network namespace, `addresses` what it listens on."""
        with socket.create_server((HOST, 0)) as free:
            self.port = free.getsockname()[1]
        self._folder, self._inside, self._addresses = folder, inside, addresses
        lines = [f"listener {self.port} {address}" for address in addresses]
        lines += ["persistence true", f"persistence_location {folder}/", "log_type all"]
        lines += ["autosave_interval 1", "autosave_on_changes true"]  # each change is on the disk at once
        if users:
            passwords = folder / "passwords"
            passwords.touch(0o600)
            for name, password in users:
                subprocess.run([PASSWORDS, "-b", passwords, name, password], check=True, timeout=30)
            lines.append(f"password_file {passwords}")
        else:
            lines.append("allow_anonymous true")
        (folder / "mosquitto.conf").write_text("\n".join([*lines, "user root", *settings, ""]), "utf-8")
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        assert PROGRAM
        with (self._folder / "mosquitto.log").open("ab") as log:
            self._process = subprocess.Popen(
                [*self._inside, PROGRAM, "-c", str(self._folder / "mosquitto.conf")],
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
            )
        assert until(self._listens, 10), (self._folder / "mosquitto.log").read_text("utf-8")

    def stop(self, *, kill: bool = False) -> None:
        if self._process is not None:
            (self._process.kill if kill else self._process.terminate)()
            self._process.wait(20)
            self._process = None

    def _listens(self) -> bool:
        with socket.socket() as attempt:
            return attempt.connect_ex((self._addresses[0], self.port)) == 0


class Listener:
    """A client that keeps what it hears: (topic, payload, retained)."""

    def __init__(
        self, port: int, topic: str = "#", *, session: str = "", qos: int = 2, host: str = HOST, **login: str
    ) -> None:
        """With `session`, the broker keeps what comes while it is away, if it is such that it can be kept."""
        self.heard: list[tuple[str, bytes, bool]] = []
        self.expiries: list[int | None] = []
        self._subscribed = threading.Event()
        self._client = client = Client(CallbackAPIVersion.VERSION2, session, protocol=MQTTv5)
        if login:
            client.username_pw_set(login["name"], login["password"])
        client.on_connect = lambda client, *_: client.subscribe(topic, qos)
        client.on_subscribe = lambda *_: self._subscribed.set()
        client.on_message = self._on_message
        kept = Properties(PacketTypes.CONNECT)
        kept.SessionExpiryInterval = 3600 if session else 0
        client.connect(host, port, clean_start=not session, properties=kept)

    def __enter__(self) -> Self:
        self._client.loop_start()
        assert self._subscribed.wait(10)
        return self

    def __exit__(self, *_: object) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def _on_message(self, _client: Client, _data: Any, message: Any) -> None:
        self.heard.append((message.topic, message.payload, message.retain))
        self.expiries.append(getattr(message.properties, "MessageExpiryInterval", None))

    def publish(self, topic: str, payload: str, *, retain: bool = False) -> None:
        self._client.publish(topic, payload, qos=1, retain=retain)

    def on(self, topic: str, count: int = 1, seconds: float = 10.0) -> list[bytes]:
        """What was heard on a topic, as soon as it is so many; whatever it is after that time."""
        until(lambda: len(self._of(topic)) >= count, seconds)
        return self._of(topic)

    def _of(self, topic: str) -> list[bytes]:
        return [payload for heard, payload, _ in self.heard if heard.endswith(topic)]
