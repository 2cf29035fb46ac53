"""Posts decisions and door events to another system, signed as Standard Webhooks (standardwebhooks.com)."""

import base64
import binascii
import hashlib
import hmac
import json
import logging
import time
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from pathlib import Path
from urllib.parse import urlsplit

from appliance.client import Client, Reply
from appliance.events import DeliveryCounts, DoorEvent
from appliance.faults import Problem
from appliance.outputs import queue
from appliance.outputs.queue import DecisionQueue, Message, Queued, RetryState, SecretError

log = logging.getLogger(__name__)

CREDENTIAL = "webhook-secret"

LONGEST_PAUSE_SECONDS = 60.0

PREFIX = "whsec_"

LEAST_BYTES, MOST_BYTES = 24, 64
"""Of a secret, as Standard Webhooks requires."""

RETRIED = (HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_EARLY, HTTPStatus.TOO_MANY_REQUESTS)
"""Besides 5xx, the status codes after which a later attempt may succeed (RFC 9110, RFC 8470, RFC 6585)."""

TEXTS = {
    "no_secret": "The webhook has no usable secret: see the log.",
    "unreachable": "The webhook's receiver cannot be reached: see the log.",
    "failing": "The webhook's receiver does not accept decisions now: see the log.",
    "refused": "The webhook's receiver refuses decisions: see the log.",
}


class Webhook:
    """Posts one message after the other, oldest first. The secret is read for each attempt."""

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
        device: str,
    ) -> None:
        """`ca_file`: a PEM file with the trusted certificates instead of the system's; at most `waiting` messages wait;
        `device`: the id that door events name.
        """
        self._device = device
        parts = urlsplit(url)
        self._client = Client(url, timeout_s, ca_file)
        self._server = f"{self._client.host}:{self._client.port}"  # for the log: what follows may be a secret
        self._target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        self._secret_file, self._give_up = secret_file, give_up_s
        self._queue = DecisionQueue(self.name, waiting)
        self._state = RetryState(self.name, LONGEST_PAUSE_SECONDS, TEXTS)
        if parts.scheme != "https":
            log.warning("webhook: %s is not https: others on the network can read the decisions", self._server)

    def notify(self, message: Message) -> None:
        self._queue.put(message)

    def run(self) -> None:
        while (queued := self._queue.take()) is not None:
            self._deliver(queued)

    def stop(self) -> None:
        self._queue.close()
        self._client.abort()

    def problem(self) -> Problem | None:
        return self._state.problem

    def counts(self) -> DeliveryCounts:
        return self._queue.counts()

    def _deliver(self, queued: Queued) -> None:
        """Returns when the decision is delivered, refused or dropped, or the device stops."""
        while True:
            pause = self._attempt(queued)
            if pause is None:
                return
            if queued.age() + pause > self._give_up:
                self._queue.settled(delivered=False)
                log.warning("webhook: gave up a decision after %.0f s", queued.age())
                return
            if self._queue.closed_within(pause):
                return

    def _attempt(self, queued: Queued) -> float | None:
        """Posts it; returns the seconds before the next attempt, None if it is settled."""
        try:
            reply = self._post(queued)
        except SecretError as error:
            return self._failed("no_secret", str(error))
        except OSError as error:
            return self._failed("unreachable", f"{type(error).__name__}: {error}")
        if HTTPStatus.OK <= reply.status < HTTPStatus.MULTIPLE_CHOICES:
            self._queue.settled(delivered=True)
            self._state.succeeded()
            return None
        if reply.status >= HTTPStatus.INTERNAL_SERVER_ERROR or reply.status in RETRIED:
            pause = self._failed("failing", f"HTTP {reply.status}")
            return max(pause, retry_after(reply.headers.get("Retry-After", "")))
        self._failed("refused", f"HTTP {reply.status}")
        self._state.reset_pause()  # the next decision may be accepted
        self._queue.settled(delivered=False)
        return None

    def _post(self, queued: Queued) -> Reply:
        secret = queue.read_secret(self._secret_file, CREDENTIAL)
        if secret is None:
            raise SecretError(f"webhook.secret_file is not set, and systemd has no credential {CREDENTIAL}")
        try:
            key = webhook_key(secret)
        except ValueError as error:
            raise SecretError(str(error)) from None
        notice, message = queue.notice_of(queued.message, self._device), queued.message
        if isinstance(message, DoorEvent):
            document = {"type": f"door.{message.kind}", "timestamp": notice["time"], "data": notice}
        else:
            document = {"type": "access.decision", "timestamp": notice["issued"], "data": notice}
        body = json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()
        headers = webhook_headers(key, notice["id"], int(time.time()), body)
        return self._client.request(
            "POST", self._target, body, {"Content-Type": "application/json", **headers}, most_bytes=0
        )

    def _failed(self, state: str, why: str) -> float:
        """Seconds before the next attempt."""
        if self._queue.closed:
            return 0.0
        self._state.failed(state, f"{self._server}: {why}")
        return self._state.pause()


def webhook_key(secret: str) -> bytes:
    """The key in a secret, `whsec_` and base64. Raises ValueError whose text has nothing of the secret."""
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


def retry_after(value: str) -> float:
    """Seconds that a `Retry-After` asks for (RFC 9110, 10.2.3): a number or a date; 0 for anything else."""
    value = value.strip()
    if value.isascii() and value.isdigit():
        return float(value)
    try:
        date = parsedate_to_datetime(value)
    except (ValueError, OverflowError):
        return 0.0
    return max(0.0, (date.replace(tzinfo=date.tzinfo or UTC) - datetime.now(UTC)).total_seconds())
