"""HTTP requests to other servers: each has a deadline, and another thread can abort it."""

import http.client
import socket
import ssl
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from urllib.parse import urlsplit

NONE: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer: its status, headers (`get` ignores case) and the beginning of its body."""

    status: int
    headers: http.client.HTTPMessage
    body: bytes


class Client:
    """Sends requests to one server, each on a new connection. `request` belongs to one thread, `abort` to any."""

    def __init__(self, url: str, timeout_s: float, authority: Path | None = None) -> None:
        """`url`: http(s)://HOST[:PORT], the rest is ignored. `timeout_s`: longest time of a request, answer included.
        `authority`: a PEM file with the trusted certificates instead of the system's. Raises ValueError for another URL.
        """
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname or not url.isascii():
            raise ValueError("not http://HOST:PORT or https://HOST:PORT")
        self.host, self.port = parts.hostname, parts.port or (443 if parts.scheme == "https" else 80)
        self._secure, self._timeout, self._authority = parts.scheme == "https", timeout_s, authority
        self._headers = {"Host": parts.netloc, "User-Agent": "face-appliance", "Connection": "close"}
        self._socket: socket.socket | None = None
        self._aborted = False

    def request(
        self,
        method: str,
        target: str,
        body: bytes | None = None,
        headers: Mapping[str, str] = NONE,
        *,
        most_bytes: int = 2**20,
    ) -> Reply:
        """The answer with at most `most_bytes` of its body; redirects are not followed. Raises OSError: no connection, an
        untrusted certificate, no HTTP, aborted; TimeoutError after the deadline.
        """
        connection = _Connection(self)
        end = time.monotonic() + self._timeout
        deadline = threading.Timer(self._timeout, self._shut_down)
        deadline.start()
        try:
            connection.request(method, target, body, {**self._headers, **headers})
            response = connection.getresponse()
            while response.status < http.client.OK:  # interim answers (RFC 9110, 15.2); http.client skips 100 only
                response.headers = None  # type: ignore[assignment]
                response.begin()
            reply = Reply(response.status, response.headers, response.read(most_bytes))
            if self._aborted or time.monotonic() >= end:  # http.client takes a head that was cut off for a complete one
                raise ConnectionAbortedError("aborted")
        except (OSError, http.client.HTTPException) as error:
            if time.monotonic() >= end:
                raise TimeoutError("timed out") from error
            if isinstance(error, OSError):
                raise
            raise ConnectionError(f"the answer is not HTTP: {type(error).__name__} {error}") from error
        else:
            return reply
        finally:
            deadline.cancel()
            connection.close()
            held, self._socket = self._socket, None
            if held is not None:
                held.close()

    def abort(self) -> None:
        """Breaks off the current request, and fails every later one: they raise OSError."""
        self._aborted = True
        self._shut_down()

    def connect(self) -> socket.socket:
        """A new connection to the server, TLS included. Raises OSError."""
        failure: OSError = ConnectionError("the host has no address")
        for family, kind, protocol, _, address in socket.getaddrinfo(self.host, self.port, type=socket.SOCK_STREAM):
            connection = self._hold(socket.socket(family, kind, protocol))
            try:
                connection.settimeout(self._timeout)
                connection.connect(address)
            except OSError as error:
                connection.close()
                failure = error
            else:
                return self._secured(connection) if self._secure else connection
        raise failure

    def _secured(self, connection: socket.socket) -> socket.socket:
        context = ssl.create_default_context(cafile=self._authority)
        secured = context.wrap_socket(connection, server_hostname=self.host, do_handshake_on_connect=False)
        self._hold(secured)
        secured.do_handshake()
        return secured

    def _hold(self, connection: socket.socket) -> socket.socket:
        """Held before it connects, so that `abort` and the deadline reach it."""
        self._socket = connection
        if self._aborted:
            raise ConnectionAbortedError("aborted")
        return connection

    def _shut_down(self) -> None:
        held = self._socket
        if held is not None:
            with suppress(OSError):  # not connected yet, or closed already
                socket.socket.shutdown(held, socket.SHUT_RDWR)


class _Connection(http.client.HTTPConnection):
    """Python's HTTP over a connection of the client."""

    def __init__(self, client: Client) -> None:
        super().__init__(client.host, client.port)
        self._client = client

    def connect(self) -> None:
        self.sock = self._client.connect()
