"""Which requests are admitted: keys and their scopes, the routes that need them, and slowing down of guesses."""

import math
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, MutableMapping
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from ipaddress import IPv6Address, ip_address
from typing import Any

import bottle

from appliance.api import answers
from appliance.api.answers import Answer, StreamedAnswer
from appliance.faults import Fault, ResultCode
from appliance.keys import Key, KeyStore, Scope
from appliance.state import audit_log as audit

BURST = 10
"""Failed attempts in a row: enough for a person with a list of old keys, not for a program that tries all keys."""

REFILL_SECONDS = 10.0
"""Until one more attempt is allowed: 8,640 per day and address, of 2^256 keys."""

ADDRESSES = 4096
"""Addresses that are remembered at most (about 1 MB); the one that failed longest ago makes room for a new one."""

LOG_SECONDS = 60.0
"""An address whose keys are rejected without a check is logged once in this time."""


@dataclass(slots=True)
class _Bucket:
    full_at: float
    """When all attempts are available again."""
    logged_at: float


class Attempts:
    """A token bucket per address; an IPv6 address counts as its /64, all of which one device can have (RFC 4862)."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._buckets: OrderedDict[int, _Bucket] = OrderedDict()

    def wait(self, address: str) -> float:
        """Seconds until a key from this address is checked again; 0 when it is checked now."""
        with self._lock:
            bucket = self._buckets.get(_network(address))
            return max(0.0, bucket.full_at - self._clock() - (BURST - 1) * REFILL_SECONDS) if bucket else 0.0

    def failed(self, address: str) -> None:
        """Notes a failed attempt."""
        with self._lock:
            network, now = _network(address), self._clock()
            bucket = self._buckets.setdefault(network, _Bucket(now, now - LOG_SECONDS))
            bucket.full_at = max(now, bucket.full_at) + REFILL_SECONDS
            self._buckets.move_to_end(network)
            if len(self._buckets) > ADDRESSES:
                self._buckets.popitem(last=False)

    def worth_logging(self, address: str) -> bool:
        """Whether this address was not logged within the last minute; it counts as logged from now on."""
        with self._lock:
            bucket, now = self._buckets.get(_network(address)), self._clock()
            if bucket is None or now - bucket.logged_at < LOG_SECONDS:
                return False
            bucket.logged_at = now
            return True


def _network(address: str) -> int:
    parsed = ip_address(address)
    if isinstance(parsed, IPv6Address):
        return int(parsed) >> 64 << 64 if parsed.ipv4_mapped is None else int(parsed.ipv4_mapped)
    return int(parsed)


ANYONE: frozenset[Scope] = frozenset()
ANY_KEY = frozenset(Scope)
RECOGNISE, LIVE, ADMIN = (frozenset({scope}) for scope in (Scope.RECOGNISE, Scope.LIVE, Scope.ADMIN))
"""What a route needs: no key, or a key with one of these scopes."""

Handler = Callable[..., Answer | StreamedAnswer]
"""Answers bottle's current request; takes the places of its rule as arguments."""


class Part(StrEnum):
    """A part of the API that the configuration can switch off as a whole."""

    GALLERY = "gallery"
    DOOR = "door"
    LIVENESS = "liveness"


@dataclass(frozen=True, slots=True)
class Route:
    """A method and a path (in bottle's notation), the scopes one of which its key needs, and its handler. After the configured
    expiry date only routes that do not `expires` are answered. Requests of `quiet` routes, which monitors ask again and
    again, are logged at level debug.
    """

    method: str
    rule: str
    scopes: frozenset[Scope]
    handler: Handler
    part: Part | None = None
    expires: bool = False
    quiet: bool = False

    @property
    def path(self) -> str:
        """The path by which the configuration restricts it, for all its versions."""
        return self.rule.removesuffix("/v2")


COOKIE = "face_appliance_key"
"""The cookie of the pages."""

NAME, ADMITTED = "appliance.key", "appliance.admitted"
"""In a request's environment: the name of its key, for the log, and a function that says whether the key is still valid."""

NO_NAME = "-"

LOOPBACK = {"127.0.0.1", "::1"}
"""The addresses of the device itself."""

USES = 4096
"""First uses of keys that are remembered at most; beyond that they are logged again."""

Environ = MutableMapping[str, Any]


class Access:
    """Admits requests by their keys."""

    def __init__(self, keys: KeyStore, attempts: Attempts, *, everyone: bool, loopback: bool) -> None:
        """`everyone`: no client needs a key; `loopback`: no client on this device does."""
        self._keys, self._attempts = keys, attempts
        self._everyone, self._loopback = everyone, loopback
        self._used: set[tuple[Key, str]] = set()
        self._lock = threading.Lock()

    def admit(self, environ: Environ, needed: frozenset[Scope]) -> None:
        """Raises Fault INF-25: 401 without a valid key, 403 when the key has none of the scopes `needed`. Leaves NAME and
        ADMITTED in the environment.
        """
        environ[NAME], environ[ADMITTED] = NO_NAME, _always
        if not needed or self._exempt(environ["REMOTE_ADDR"]):
            return
        key = self.key(environ)
        environ[NAME], environ[ADMITTED] = key.name, partial(self._keys.holds, key)
        if not key.scopes & needed:
            raise Fault(ResultCode.RESTRICTED, f"key {key.name} has another scope", status=403)

    def known(self, environ: Environ) -> bool:
        """Whether the body of a request, of which only the head has arrived, is worth keeping: it needs no key or has one."""
        token, address = token_of(environ), environ["REMOTE_ADDR"]
        valid = token is not None and not self._attempts.wait(address) and self._keys.find(token) is not None
        return valid or self._exempt(address)

    def key(self, environ: Environ) -> Key:
        """The key of a request. Raises Fault INF-25 (401)."""
        token, address = token_of(environ), environ["REMOTE_ADDR"]
        if token is None:
            raise Fault(ResultCode.RESTRICTED, "no key", status=401)
        if wait := self._attempts.wait(address):
            if self._attempts.worth_logging(address):
                audit.warning("keys from %s are not checked for a while: too many were wrong", address)
            raise Fault(ResultCode.RESTRICTED, "too many wrong keys", status=401, retry_after=math.ceil(wait))
        key = self._keys.find(token)
        if key is None:
            self._attempts.failed(address)
            audit.warning("wrong key from %s", address)
            raise Fault(ResultCode.RESTRICTED, "wrong key", status=401)
        self._note(key, address)
        return key

    def _exempt(self, address: str) -> bool:
        return self._everyone or (self._loopback and address in LOOPBACK)

    def _note(self, key: Key, address: str) -> None:
        with self._lock:
            if (key, address) in self._used:
                return
            if len(self._used) >= USES:
                self._used.clear()
            self._used.add((key, address))
        audit.info("key %s is used from %s", key.name, address)


def token_of(environ: Environ) -> str | None:
    """The key in a request: from the first of the headers that clients use, else from the cookie of the pages."""
    scheme, _, bearer = environ.get("HTTP_AUTHORIZATION", "").partition(" ")
    given = (
        bearer.strip() if scheme.lower() == "bearer" else "",
        environ.get("HTTP_X_API_KEY", ""),
        environ.get("HTTP_X_RAPIDAPI_KEY", ""),
        _cookie(environ.get("HTTP_COOKIE", "")),
    )
    return next(filter(None, given), None)


def _cookie(header: str) -> str:
    """The value of the cookie, read by hand (RFC 6265, 4.2.1): http.cookies raises on odd names of other programs' cookies."""
    for pair in header.split(";"):
        name, _, value = pair.partition("=")
        if name.strip() == COOKIE:
            return value.strip()
    return ""


def _always() -> bool:
    return True


YEAR_SECONDS = 365 * 24 * 3600


@dataclass(frozen=True, slots=True)
class KeyCookie:
    """Each method answers bottle's current request or raises a Fault."""

    access: Access

    def routes(self) -> tuple[Route, ...]:
        """The endpoints."""
        return (Route("POST", "/key", LIVE, self.remember), Route("DELETE", "/key", ANYONE, self.forget))

    def remember(self) -> Answer:
        """`POST /key`, with the key in a header."""
        environ = bottle.request.environ
        self.access.key(environ)
        return _with_cookie(token_of(environ) or "", YEAR_SECONDS, secure=environ["wsgi.url_scheme"] == "https")

    def forget(self) -> Answer:
        """`DELETE /key`"""
        return _with_cookie("", -1, secure=False)


def _with_cookie(value: str, seconds: int, *, secure: bool) -> Answer:
    attributes = f"Path=/; Max-Age={seconds}; HttpOnly; SameSite=Strict{'; Secure' if secure else ''}"
    return answers.answer({}, headers={"Set-Cookie": f"{COOKIE}={value}; {attributes}"})
