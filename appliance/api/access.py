"""Who may ask: keys, what each of them opens, and who needs none."""

import math
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, MutableMapping
from dataclasses import dataclass
from functools import partial
from ipaddress import IPv6Address, ip_address
from typing import Any

import bottle

from appliance.api import answers
from appliance.faults import Fault, ResultCode
from appliance.keys import Key, KeyStore, Scope
from appliance.state import audit_log as audit

BURST = 10
"""Failed attempts in a row: a person with a list of old keys, not a program with a list of all."""

REFILL_SECONDS = 10.0
"""Until one more is allowed: 8,640 a day and address, of 2^256 keys."""

ADDRESSES = 4096
"""Remembered at most, some 1 MB; the one that failed longest ago is forgotten for a new one."""

TELL_SECONDS = 60.0
"""The log is told of an address that is refused unheard once in this time."""


@dataclass(slots=True)
class _Bucket:
    full_at: float
    """When all attempts are back."""
    told_at: float


class Attempts:
    """A token bucket an address; an IPv6 address counts as its /64, all of which one device can have (RFC 4862)."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._buckets: OrderedDict[int, _Bucket] = OrderedDict()

    def wait(self, address: str) -> float:
        """Seconds until an attempt from there is heard again; 0 when it is heard now."""
        with self._lock:
            bucket = self._buckets.get(_network(address))
            return max(0.0, bucket.full_at - self._clock() - (BURST - 1) * REFILL_SECONDS) if bucket else 0.0

    def failed(self, address: str) -> None:
        """Takes note of an attempt that failed."""
        with self._lock:
            network, now = _network(address), self._clock()
            bucket = self._buckets.setdefault(network, _Bucket(now, now - TELL_SECONDS))
            bucket.full_at = max(now, bucket.full_at) + REFILL_SECONDS
            self._buckets.move_to_end(network)
            if len(self._buckets) > ADDRESSES:
                self._buckets.popitem(last=False)

    def worth_telling(self, address: str) -> bool:
        """Whether the log has not been told of this address within the last minute; it counts as told then."""
        with self._lock:
            bucket, now = self._buckets.get(_network(address)), self._clock()
            if bucket is None or now - bucket.told_at < TELL_SECONDS:
                return False
            bucket.told_at = now
            return True


def _network(address: str) -> int:
    parsed = ip_address(address)
    if isinstance(parsed, IPv6Address):
        return int(parsed) >> 64 << 64 if parsed.ipv4_mapped is None else int(parsed.ipv4_mapped)
    return int(parsed)


ANYONE: frozenset[Scope] = frozenset()
ANY_KEY = frozenset(Scope)
RECOGNISE, LIVE, ADMIN = (frozenset({scope}) for scope in (Scope.RECOGNISE, Scope.LIVE, Scope.ADMIN))
"""What a path needs: a key with one of these scopes."""

COOKIE = "face_appliance_key"
"""Where the live page's browser keeps its key."""

NAME, ADMITTED = "appliance.key", "appliance.admitted"
"""In a request's environment: the name of its key, for the log; and a function that says whether it is still good."""

NO_NAME = "-"

LOOPBACK = {"127.0.0.1", "::1"}
"""Addresses of this device itself."""

USES = 4096
"""First uses remembered at most; then they are first uses again."""

Environ = MutableMapping[str, Any]


class Access:
    """The door."""

    def __init__(self, keys: KeyStore, attempts: Attempts, *, everyone: bool, loopback: bool) -> None:
        """`everyone`: nobody needs a key; `loopback`: nobody on this device does."""
        self._keys, self._attempts = keys, attempts
        self._everyone, self._loopback = everyone, loopback
        self._used: set[tuple[Key, str]] = set()
        self._lock = threading.Lock()

    def admit(self, environ: Environ, needed: frozenset[Scope]) -> None:
        """Raises Fault INF-25 without a key that opens what is asked for: 401 when there is no good key, 403 when it has
        another scope. Leaves NAME and ADMITTED in the environment.
        """
        environ[NAME], environ[ADMITTED] = NO_NAME, _always
        if not needed or self._exempt(environ["REMOTE_ADDR"]):
            return
        key = self.key(environ)
        environ[NAME], environ[ADMITTED] = key.name, partial(self._keys.holds, key)
        if not key.scopes & needed:
            raise Fault(ResultCode.RESTRICTED, f"key {key.name} does not open this", status=403)

    def known(self, environ: Environ) -> bool:
        """Whether it is worth keeping what a client sends: it needs no key, or has one. Of a request whose head is all there is
        so far.
        """
        token, address = token_of(environ), environ["REMOTE_ADDR"]
        heard = token is not None and not self._attempts.wait(address) and self._keys.find(token) is not None
        return heard or self._exempt(address)

    def key(self, environ: Environ) -> Key:
        """The key of a request. Raises Fault INF-25 (401)."""
        token, address = token_of(environ), environ["REMOTE_ADDR"]
        if token is None:
            raise Fault(ResultCode.RESTRICTED, "no key", status=401)
        if wait := self._attempts.wait(address):
            if self._attempts.worth_telling(address):
                audit.warning("keys from %s are not looked at for a while: too many were wrong", address)
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
    """The key that a request carries: the first of the headers that clients use, else the live page's cookie."""
    scheme, _, bearer = environ.get("HTTP_AUTHORIZATION", "").partition(" ")
    given = (
        bearer.strip() if scheme.lower() == "bearer" else "",
        environ.get("HTTP_X_API_KEY", ""),
        environ.get("HTTP_X_RAPIDAPI_KEY", ""),
        _cookie(environ.get("HTTP_COOKIE", "")),
    )
    return next(filter(None, given), None)


def _cookie(header: str) -> str:
    """Read by hand (RFC 6265, 4.2.1): http.cookies raises on other programs' cookies with odd names."""
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
    """One method an endpoint; each takes bottle's current request and returns the answer or raises a Fault."""

    access: Access

    def remember(self) -> bottle.HTTPResponse:
        """`POST /key`, with the key in a header."""
        environ = bottle.request.environ
        self.access.key(environ)
        response = answers.answer({})
        response.set_cookie(
            COOKIE,
            token_of(environ),
            path="/",
            max_age=YEAR_SECONDS,
            httponly=True,
            samesite="strict",
            secure=environ["wsgi.url_scheme"] == "https",
        )
        return response

    def forget(self) -> bottle.HTTPResponse:
        """`DELETE /key`"""
        response = answers.answer({})
        response.delete_cookie(COOKIE, path="/", httponly=True, samesite="strict")
        return response
