"""Decisions posted to another system, signed, and again until it has taken them."""

import json
import logging
import random
import time
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from pathlib import Path

from appliance.access_control.decision import Signed
from appliance.outputs import notice, secret, standard_webhooks
from appliance.outputs.output import Problem, Tally
from appliance.outputs.post import Receiver, Reply
from appliance.outputs.secret import SecretError
from appliance.outputs.waiting import Told, Waiting

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
        authority: Path | None,
        timeout_s: float,
        give_up_s: float,
        most_waiting: int,
    ) -> None:
        """`authority` is a PEM file whose certificates are trusted instead of the system's."""
        self._receiver = Receiver(url, timeout_s, authority)
        self._secret_file, self._give_up = secret_file, give_up_s
        self._waiting = Waiting(self.name, most_waiting)
        self._problem: Problem | None = None
        self._why = ""
        self._failures = 0
        if not url.startswith("https:"):
            log.warning("webhook: %s is not https: what is posted can be read on its way", self._receiver.name)

    def tell(self, signed: Signed) -> None:
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
        found = secret.read(self._secret_file, CREDENTIAL)
        if found is None:
            raise SecretError(f"no webhook.secret_file is configured, and systemd has no credential {CREDENTIAL}")
        try:
            key = standard_webhooks.key(found)
        except ValueError as error:
            raise SecretError(str(error)) from None
        facts = notice.of(told.signed)
        document = {"type": "access.decision", "timestamp": facts["issued"], "data": facts}
        body = json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()
        return self._receiver.post(body, standard_webhooks.headers(key, facts["id"], int(time.time()), body))

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
