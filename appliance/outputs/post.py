"""One HTTP POST, within bounds: so many seconds for all of it, so many bytes of the answer, no redirect, and it can be
broken off by another thread. http.client bounds each read, but not their sum.
"""

import http.client
import io
import socket
import ssl
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

MOST_HEAD = 16 * 2**10
"""Bytes of an answer's head; of its body nothing is read."""


@dataclass(frozen=True, slots=True)
class Reply:
    """The status of an answer, and its `Retry-After`; empty without one."""

    status: int
    retry_after: str


class Receiver:
    """Whom is posted to. `post` belongs to one thread, `abandon` to any."""

    def __init__(self, url: str, timeout_s: float, authority: Path | None) -> None:
        """`url` is http or https; certificates are those of `authority` (PEM), else of the system."""
        parts = urlsplit(url)
        self._timeout, self._authority = timeout_s, authority
        self._secure = parts.scheme == "https"
        self._host = parts.hostname or ""
        self._port = parts.port or (443 if self._secure else 80)
        self._target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        self._authority_name = parts.netloc
        self._socket: socket.socket | None = None
        self._abandoned = False

    @property
    def name(self) -> str:
        """Host and port, for the log: what follows may be a secret."""
        return f"{self._host}:{self._port}"

    def post(self, body: bytes, headers: Mapping[str, str]) -> Reply:
        """Posts JSON and returns what was answered. Raises OSError: nobody there, too slow, no HTTP, not to be trusted."""
        end = time.monotonic() + self._timeout
        try:
            connection = self._connected(end)
            connection.settimeout(_left(end))
            connection.sendall(self._head(len(body), headers) + body)
            while (reply := _reply(connection, end)).status < http.client.OK:
                pass  # 1xx announce another one (RFC 9110, 15.2)
            return reply
        finally:
            held, self._socket = self._socket, None
            if held is not None:
                held.close()

    def abandon(self) -> None:
        """Breaks off a `post` that is under way, and lets no other one begin: it raises OSError."""
        self._abandoned = True
        held = self._socket
        if held is not None:
            with suppress(OSError):  # it is not connected yet, or closed already
                socket.socket.shutdown(held, socket.SHUT_RDWR)

    def _connected(self, end: float) -> socket.socket:
        failure: OSError = TimeoutError("timed out")
        for family, kind, protocol, _, address in socket.getaddrinfo(self._host, self._port, type=socket.SOCK_STREAM):
            connection = self._hold(socket.socket(family, kind, protocol))
            try:
                connection.settimeout(_left(end))
                connection.connect(address)
            except OSError as error:
                connection.close()
                failure = error
            else:
                return self._secured(connection) if self._secure else connection
        raise failure

    def _secured(self, connection: socket.socket) -> socket.socket:
        context = ssl.create_default_context(cafile=self._authority)
        secured = context.wrap_socket(connection, server_hostname=self._host, do_handshake_on_connect=False)
        self._hold(secured)
        secured.do_handshake()
        return secured

    def _hold(self, connection: socket.socket) -> socket.socket:
        self._socket = connection
        if self._abandoned:
            raise ConnectionAbortedError("abandoned")
        return connection

    def _head(self, length: int, headers: Mapping[str, str]) -> bytes:
        fields = {
            "Host": self._authority_name,
            "Content-Type": "application/json",
            "Content-Length": str(length),
            "User-Agent": "face-appliance",
            "Connection": "close",
            **headers,
        }
        lines = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
        return f"POST {self._target} HTTP/1.1\r\n{lines}\r\n".encode("latin-1")


def _reply(connection: socket.socket, end: float) -> Reply:
    """The head of the next answer, byte by byte up to its end: what follows belongs to another one, or to nobody."""
    head = bytearray()
    while not head.endswith((b"\r\n\r\n", b"\n\n")):
        connection.settimeout(_left(end))
        byte = connection.recv(1)
        if not byte:
            raise ConnectionError("the connection was closed where an answer was due")
        head += byte
        if len(head) > MOST_HEAD:
            raise ConnectionError(f"the answer's head has more than {MOST_HEAD} bytes")
    line, _, fields = bytes(head).partition(b"\n")
    words = line.split()
    if len(words) < 2 or not words[0].startswith(b"HTTP/1.") or len(words[1]) != 3 or not words[1].isdigit():
        raise ConnectionError("the answer is not HTTP")
    try:
        headers = http.client.parse_headers(io.BytesIO(fields))
    except http.client.HTTPException as error:
        raise ConnectionError(f"the answer is not HTTP: {error}") from error
    return Reply(int(words[1]), headers.get("Retry-After", ""))


def _left(end: float) -> float:
    left = end - time.monotonic()
    if left <= 0:
        raise TimeoutError("timed out")
    return left
