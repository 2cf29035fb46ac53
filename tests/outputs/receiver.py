"""A system that is posted to: a real server on a free port that answers as it is told, and verifies as docs/door.md does."""

import base64
import hashlib
import hmac
import socket
import ssl
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Self

from client import HOST
from devices import until

SECRET = "whsec_" + base64.b64encode(bytes(range(32))).decode()

OK = b"HTTP/1.1 204 No Content\r\n\r\n"

Behaviour = bytes | Callable[[socket.socket], None]


def status(number: int, *fields: str) -> bytes:
    """An answer without a body."""
    return "\r\n".join([f"HTTP/1.1 {number} Whatever", *fields, "Content-Length: 0", "", ""]).encode()


def silent(connection: socket.socket) -> None:
    """Never answers."""
    connection.settimeout(20)
    while connection.recv(4096):
        pass


def dripping(connection: socket.socket) -> None:
    """Answers a byte every now and then, for ever."""
    try:
        connection.sendall(b"HTTP/1.1 200 OK\r\nX: ")
        for _ in range(400):
            connection.sendall(b"x")
            time.sleep(0.05)
    except OSError:
        pass


def endless(connection: socket.socket) -> None:
    """Answers with a head that has no end, as fast as it can."""
    try:
        connection.sendall(b"HTTP/1.1 200 OK\r\nX: ")
        while True:
            connection.sendall(b"x" * 65536)
    except OSError:
        pass


def closing(_connection: socket.socket) -> None:
    """Hangs up."""


class Receiver:
    """Answers one request after the other, each as the next of `behaviours`, and all further ones as the last of them."""

    def __init__(self, *behaviours: Behaviour, tls: ssl.SSLContext | None = None) -> None:
        self.requests: list[tuple[str, dict[str, str], bytes, float]] = []
        self._behaviours: Sequence[Behaviour] = behaviours or (OK,)
        self._tls = tls
        self._listener = socket.create_server((HOST, 0))
        self.port = self._listener.getsockname()[1]
        self._threads: list[threading.Thread] = []
        self._open: list[socket.socket] = []

    @property
    def url(self) -> str:
        return f"http{'s' if self._tls else ''}://{'localhost' if self._tls else HOST}:{self.port}/hook?door=1"

    def __enter__(self) -> Self:
        self._start(self._accept)
        return self

    def __exit__(self, *_: object) -> None:
        for each in [self._listener, *self._open]:
            with suppress(OSError):
                socket.socket.shutdown(each, socket.SHUT_RDWR)
            each.close()
        for thread in self._threads:
            thread.join(10)

    def got(self, count: int, seconds: float = 15.0) -> bool:
        """Waits until there have been so many requests."""
        return until(lambda: len(self.requests) >= count, seconds)

    def _start(self, work: Callable[..., None], *arguments: object) -> None:
        thread = threading.Thread(target=work, args=arguments, name="receiver")
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self._start(self._serve, connection)

    def _serve(self, connection: socket.socket) -> None:
        self._open.append(connection)
        try:
            if self._tls:
                connection = self._tls.wrap_socket(connection, server_side=True)
                self._open.append(connection)
            with connection, connection.makefile("rb") as reader:
                line = reader.readline().decode().strip()
                headers = {}
                while field := reader.readline().decode().strip():
                    name, _, value = field.partition(": ")
                    headers[name.lower()] = value
                if not line:
                    return
                body = reader.read(int(headers["content-length"]))
                self.requests.append((line, headers, body, time.monotonic()))
                behaviour = self._behaviours[min(len(self.requests), len(self._behaviours)) - 1]
                if callable(behaviour):
                    behaviour(connection)
                else:
                    connection.sendall(behaviour)
        except OSError:
            return


class Verifier:
    """Takes what is signed, new and has not been there before: the receiver of docs/door.md."""

    def __init__(self, secret: str) -> None:
        self._key, self._seen = base64.b64decode(secret.removeprefix("whsec_")), set()

    def __call__(self, headers: dict[str, str], body: bytes, now: float) -> bool:
        number, moment = headers["webhook-id"], headers["webhook-timestamp"]
        expected = hmac.digest(self._key, f"{number}.{moment}.".encode() + body, hashlib.sha256)
        signatures = [each.removeprefix("v1,") for each in headers["webhook-signature"].split()]
        signed = any(hmac.compare_digest(base64.b64encode(expected), each.encode()) for each in signatures)
        fresh = abs(now - int(moment)) < 300 and number not in self._seen
        if signed and fresh:
            self._seen.add(number)
        return signed and fresh
