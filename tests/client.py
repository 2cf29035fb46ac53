"""A small HTTP client that sends exactly the bytes it is told, and reads answers one by one from the same connection."""

import http.client
import json
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from email.message import Message
from functools import cached_property
from typing import Any, Self

HOST = "127.0.0.1"

ELSEWHERE = "192.0.2.7"
"""An address that nobody has (RFC 5737)."""

PATIENCE = 30.0
"""Seconds after which real clients give up."""


class ClosedError(Exception):
    """The server closed the connection where an answer was due."""


@dataclass(frozen=True)
class Answer:
    """What came back."""

    status: int
    headers: Message
    content: bytes
    path: str = ""
    """What was asked for, without the query; empty when the test wrote the request itself."""

    @cached_property
    def document(self) -> dict[str, Any]:
        return json.loads(self.content)

    @property
    def code(self) -> str:
        return self.document["return_msg"]["return_code"]


class Wire:
    """One connection to a device."""

    def __init__(self, port: int, timeout: float = PATIENCE, preface: bytes = b"") -> None:
        self.socket = socket.create_connection((HOST, port), timeout=timeout)
        self.socket.sendall(preface)
        self._reader = self.socket.makefile("rb")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._reader.close()
        self.socket.close()

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def answer(self) -> Answer:
        """The next answer; a `100 Continue` counts as one. Raises ClosedError."""
        line = self._reader.readline()
        if not line:
            raise ClosedError
        version, status, _ = line.split(b" ", 2)
        assert version in (b"HTTP/1.0", b"HTTP/1.1"), line
        headers = http.client.parse_headers(self._reader)
        return Answer(int(status), headers, self._reader.read(int(headers.get("Content-Length", "0"))))

    def ask(
        self, method: str, path: str, body: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> Answer:
        """Sends one request and reads its answer."""
        self.send(request(method, path, body, headers))
        return replace(self.answer(), path=path.partition("?")[0])

    def rest(self) -> bytes:
        """Everything until the server closes the connection."""
        return self._reader.read()


def request(method: str, path: str, body: bytes | None = None, headers: Mapping[str, str] | None = None) -> bytes:
    """The bytes of a request; it has no Content-Length when `body` is None, and no Content-Type unless given one."""
    fields = {"Host": HOST, **({} if body is None else {"Content-Length": str(len(body))}), **(headers or {})}
    lines = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    return f"{method} {path} HTTP/1.1\r\n{lines}\r\n".encode("latin-1") + (body or b"")


@dataclass(frozen=True)
class Client:
    """Asks a device, on a new connection each time, which begins with `preface`."""

    port: int
    preface: bytes = b""

    @contextmanager
    def wire(self, timeout: float = PATIENCE) -> Iterator[Wire]:
        with Wire(self.port, timeout, self.preface) as wire:
            yield wire

    def get(self, path: str, headers: Mapping[str, str] | None = None) -> Answer:
        return self.ask("GET", path, None, headers)

    def post(self, path: str, body: bytes, headers: Mapping[str, str] | None = None) -> Answer:
        return self.ask("POST", path, body, headers)

    def ask(
        self, method: str, path: str, body: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> Answer:
        with self.wire() as wire:
            return wire.ask(method, path, body, headers)


def from_elsewhere(front_port: int, address: str = ELSEWHERE) -> Client:
    """A client with another address than this machine's, as the TLS front says it."""
    family, own = ("TCP6", "::1") if ":" in address else ("TCP4", HOST)
    return Client(front_port, f"PROXY {family} {address} {own} 40000 {front_port}\r\n".encode())
