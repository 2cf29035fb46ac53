"""HTTP to one device: its key, its certificate, and errors as exceptions."""

from __future__ import annotations

import binascii
import hashlib
import hmac
import ssl
from base64 import urlsafe_b64decode
from typing import Any

import httpx

TIMEOUT = 30.0
"""Seconds for an answer: a full queue of a small board answers 503 long before."""


class ApplianceError(Exception):
    """A request that was not answered as it should be; the text is one line."""


class UnreachableError(ApplianceError):
    """There is no connection, no answer in time, or another certificate."""


class UnexpectedAnswerError(ApplianceError):
    """This is not the answer of a face appliance, or not of a version that this library knows."""


class RefusedError(ApplianceError):
    """The device refuses. `code` is the result code (INF-…), `reason` a word for programs and `text` a sentence for people,
    both None where the endpoint has none, `facts` the whole answer, `retry_after` seconds, `request_id` as in the device's log.
    """

    def __init__(self, response: httpx.Response, facts: dict[str, Any]) -> None:
        message = facts["return_msg"]
        self.status, self.code, self.facts = response.status_code, str(message["return_code"]), facts
        self.reason, self.text = facts.get("reason"), facts.get("text")
        wait = response.headers.get("Retry-After", "")
        self.retry_after = float(wait) if wait.isdecimal() else None
        self.request_id = response.headers.get("X-Request-Id")
        said = self.text or message["return_msg"]
        super().__init__(f"{self.status} {self.code}{f' {self.reason}' if self.reason else ''}: {said}")


class NotAdmittedError(RefusedError):
    """No key, a wrong one, or one without the scope of this path (401, 403)."""


class NotReadyError(RefusedError):
    """The device cannot answer at the moment (5xx); the same request may succeed after `retry_after` seconds."""


def pinned(fingerprint: str) -> ssl.SSLContext:
    """TLS with the one server whose certificate has this SHA-256: in base64url, as the device announces it, or in hexadecimal
    digits, as OpenSSL and the installer print it. Neither names nor dates nor issuers count. Raises ValueError.
    """
    digits = fingerprint.rpartition("=")[2].replace(":", "").strip()
    try:
        digest = bytes.fromhex(digits) if len(digits) == 64 else urlsafe_b64decode(digits + "=" * (-len(digits) % 4))
    except (ValueError, binascii.Error) as error:
        raise ValueError("a fingerprint is a SHA-256, in base64url or hexadecimal digits") from error
    if len(digest) != hashlib.sha256().digest_size:
        raise ValueError(f"a fingerprint is a SHA-256, 32 bytes; this has {len(digest)}")
    context = _Pinned(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.digest = digest
    return context


class _Pinned(ssl.SSLContext):
    digest = b""

    def wrap_socket(self, *arguments: Any, **named: Any) -> ssl.SSLSocket:
        """The connection after its handshake, in which nothing has been sent yet. Raises SSLCertVerificationError."""
        wrapped = super().wrap_socket(*arguments, **named)
        certificate = wrapped.getpeercert(binary_form=True) or b""
        if hmac.compare_digest(hashlib.sha256(certificate).digest(), self.digest):
            return wrapped
        wrapped.close()
        raise ssl.SSLCertVerificationError("the certificate is not the pinned one")


def connection(url: str, key: str | None, tls: ssl.SSLContext | None, timeout: float) -> httpx.Client:
    """A client of the device at `url`. Proxies and passwords of the environment are for the Internet, and not used."""
    return httpx.Client(
        base_url=url,
        headers={} if key is None else {"Authorization": f"Bearer {key}"},
        verify=True if tls is None else tls,
        timeout=timeout,
        trust_env=False,
    )


def checked(response: httpx.Response) -> httpx.Response:
    """An answer with a status of 2xx; its body has been read. Raises RefusedError, UnexpectedAnswerError."""
    if response.is_success:
        return response
    try:
        facts = response.json()
        kind = NotAdmittedError if response.status_code in (401, 403) else RefusedError
        raise (NotReadyError if response.status_code >= 500 else kind)(response, facts)
    except (ValueError, KeyError, TypeError) as error:
        raise UnexpectedAnswerError(f"{response.status_code} from something other than a face appliance") from error
