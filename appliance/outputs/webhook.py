"""Decisions posted to another system, signed, and again until it has taken them."""

import base64
import binascii
import hashlib
import hmac
import http.client
import io
import json
import logging
import random
import socket
import ssl
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from pathlib import Path
from urllib.parse import urlsplit

from appliance.access.token import SignedDecision
from appliance.faults import Problem
from appliance.outputs import queue
from appliance.outputs.queue import SecretError, Tally, Told, Waiting

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


PREFIX = "whsec_"

LEAST_BYTES, MOST_BYTES = 24, 64
"""Of a secret, as the specification wants it."""


def webhook_key(secret: str) -> bytes:
    """The key in a secret, `whsec_` and base64. Raises ValueError that has nothing of the secret in it."""
    if not secret.startswith(PREFIX):
        raise ValueError(f"the secret does not begin with {PREFIX}")
    try:
        found = base64.b64decode(secret.removeprefix(PREFIX), validate=True)
    except binascii.Error:
        raise ValueError(f"what follows {PREFIX} is not base64") from None
    if not LEAST_BYTES <= len(found) <= MOST_BYTES:
        raise ValueError(f"the secret has {len(found)} bytes, not {LEAST_BYTES} to {MOST_BYTES}")
    return found


def webhook_headers(signing_key: bytes, message: str, timestamp: int, body: bytes) -> dict[str, str]:
    """The three headers of one attempt: `message` is the same in all attempts, `timestamp` (Unix seconds) that of this one."""
    signed = f"{message}.{timestamp}.".encode() + body
    signature = base64.b64encode(hmac.digest(signing_key, signed, hashlib.sha256)).decode()
    return {"webhook-id": message, "webhook-timestamp": str(timestamp), "webhook-signature": f"v1,{signature}"}


log = logging.getLogger(__name__)

CREDENTIAL = "webhook-secret"

FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 1.0, 60.0
"""Between attempts: doubled each time, and each somewhere between half and all of it, so that many devices do not come back
in the same moment.
"""

AGAIN = (HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_EARLY, HTTPStatus.TOO_MANY_REQUESTS)
"""What else than 5xx may be another answer later (RFC 9110, RFC 8470, RFC 6585)."""

PLAIN = {
    "no_secret": "The webhook has no usable secret: see the log.",
    "unreachable": "The webhook's receiver cannot be reached: see the log.",
    "failing": "The webhook's receiver does not take decisions now: see the log.",
    "refused": "The webhook's receiver refuses decisions: see the log.",
}


class Webhook:
    """Posts one decision after the other, oldest first. The secret is read anew for each attempt."""

    name = "webhook"

    def __init__(
        self,
        url: str,
        *,
        secret_file: Path | None,
        ca_file: Path | None,
        timeout_s: float,
        give_up_s: float,
        waiting: int,
    ) -> None:
        """`ca_file` is a PEM file whose certificates are trusted instead of the system's; at most `waiting` decisions wait."""
        self._receiver = Receiver(url, timeout_s, ca_file)
        self._secret_file, self._give_up = secret_file, give_up_s
        self._waiting = Waiting(self.name, waiting)
        self._problem: Problem | None = None
        self._why = ""
        self._failures = 0
        if not url.startswith("https:"):
            log.warning("webhook: %s is not https: what is posted can be read on its way", self._receiver.name)

    def tell(self, signed: SignedDecision) -> None:
        self._waiting.put(signed)

    def run(self) -> None:
        """Works until `stop`."""
        while (told := self._waiting.take()) is not None:
            self._deliver(told)

    def stop(self) -> None:
        self._waiting.close()
        self._receiver.abandon()

    def problem(self) -> Problem | None:
        return self._problem

    def tally(self) -> Tally:
        return self._waiting.tally()

    def _deliver(self, told: Told) -> None:
        """Until it is delivered, refused or given up, or the device stops."""
        while True:
            pause = self._attempt(told)
            if pause is None:
                return
            if told.age() + pause > self._give_up:
                self._waiting.settled(delivered=False)
                log.warning("webhook: a decision is given up after %.0f s", told.age())
                return
            if self._waiting.closed_within(pause):
                return

    def _attempt(self, told: Told) -> float | None:
        """Posts it; returns after how many seconds it is to be tried again, None when it is settled."""
        try:
            reply = self._posted(told)
        except SecretError as error:
            return self._failed("no_secret", str(error))
        except OSError as error:
            return self._failed("unreachable", f"{type(error).__name__}: {error}")
        if HTTPStatus.OK <= reply.status < HTTPStatus.MULTIPLE_CHOICES:
            self._succeeded()
            return None
        if reply.status >= HTTPStatus.INTERNAL_SERVER_ERROR or reply.status in AGAIN:
            return max(self._failed("failing", f"HTTP {reply.status}"), retry_after(reply.retry_after))
        self._failed("refused", f"HTTP {reply.status}")
        self._failures = 0  # it is there, and may take the next one
        self._waiting.settled(delivered=False)
        return None

    def _posted(self, told: Told) -> Reply:
        found = queue.read_secret(self._secret_file, CREDENTIAL)
        if found is None:
            raise SecretError(f"no webhook.secret_file is configured, and systemd has no credential {CREDENTIAL}")
        try:
            key = webhook_key(found)
        except ValueError as error:
            raise SecretError(str(error)) from None
        facts = queue.notice_of(told.signed)
        document = {"type": "access.decision", "timestamp": facts["issued"], "data": facts}
        body = json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()
        return self._receiver.post(body, webhook_headers(key, facts["id"], int(time.time()), body))

    def _succeeded(self) -> None:
        self._waiting.settled(delivered=True)
        if self._problem is not None:
            log.info("webhook: %s takes decisions again", self._receiver.name)
        self._problem, self._why, self._failures = None, "", 0

    def _failed(self, state: str, why: str) -> float:
        """Takes note, in the log once for each cause; returns the pause before the next attempt."""
        if self._waiting.closed:
            return 0.0
        if why != self._why:
            log.warning("webhook: %s: %s", self._receiver.name, why)
        self._problem, self._why = Problem(self.name, f"webhook_{state}", PLAIN[state]), why
        longest = min(LONGEST_PAUSE_SECONDS, FIRST_PAUSE_SECONDS * 2.0**self._failures)
        self._failures = min(self._failures + 1, 16)
        return longest * random.uniform(0.5, 1.0)


def retry_after(value: str) -> float:
    """Seconds that a `Retry-After` asks for (RFC 9110, 10.2.3): a number, or a date; 0 for anything else."""
    value = value.strip()
    if value.isascii() and value.isdigit():
        return float(value)
    try:
        date = parsedate_to_datetime(value)
    except (ValueError, OverflowError):
        return 0.0
    return max(0.0, (date.replace(tzinfo=date.tzinfo or UTC) - datetime.now(UTC)).total_seconds())
